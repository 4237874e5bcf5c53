"""The machine of the tests: a Debian tree into which this project is installed as into a container, then booted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.servers.daemon import Answer
from tests.servers.origin import Origin
from tests.systemd.machine import CONFIG, TOOL, Machine, ended

WHEELS = "/var/lib/wheels"

GATHER_WHEELS = f"""
cp -R /root/project /tmp/project
/opt/odl-daemon/.venv/bin/python -m pip wheel --quiet --wheel-dir {WHEELS} /tmp/project 'setuptools>=68' wheel
rm -rf /etc/xdg/pip /root/.config/pip /root/.pip
printf '[global]\\nno-index = true\\nfind-links = {WHEELS}\\n' >/etc/pip.conf
"""
"""What pip needs once the machine has no network."""


@pytest.fixture(scope="session")
def suite() -> str:
    return os.environ.get("SUITE") or "bookworm"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tree(suite: str) -> Path:
    """A Debian without any of what the project needs, with this project in /root/project."""
    made = await ended(["sh", TOOL, "make", suite], env={**os.environ, "FRESH_WORK_TREE": "1"})
    assert made.code == 0, made
    return Path(made.out.splitlines()[-1])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def first_install(suite: str, tree: Path) -> Answer:
    """What `make install` says where no systemd runs."""
    return await ended(["sh", TOOL, "enter", suite, "make", "-C", "/root/project", "install"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def machine(
    suite: str, tree: Path, first_install: Answer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Machine]:
    assert first_install.code == 0, first_install
    wheels = await ended(["sh", TOOL, "enter", suite, "sh", "-eu", "-c", GATHER_WHEELS])
    assert wheels.code == 0, wheels
    with (tree / CONFIG.lstrip("/")).open("a") as config:
        config.write('[guard]\nallow = ["127.0.0.0/8"]\n')
    async with Machine(suite, tree, tmp_path_factory.mktemp("machine") / "console") as machine:
        yield machine


@pytest_asyncio.fixture(loop_scope="session")
async def origin(machine: Machine) -> AsyncIterator[Origin]:
    """A web server on the machine's own loopback."""
    async with Origin(listener=await machine.listening()) as origin:
        yield origin
