"""What the tests of the command line share: a daemon made of paper, and the tool as a user calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from odl_daemon import app
from odl_daemon.cli.main import main
from odl_daemon.config import Config
from odl_daemon.engine.desk import Desk
from odl_daemon.intake.control import ControlDoor
from tests.intake.paper_desk import PaperDesk


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Odl = Callable[..., Awaitable[Said]]
"""`await odl("list", "--json")`"""


@pytest.fixture
def desk() -> PaperDesk:
    return PaperDesk()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in, with a config file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "config.toml").write_text("")
    return tmp_path


@pytest.fixture
def odl(place: Path, capsys: pytest.CaptureFixture[str]) -> Odl:
    async def call(*words: object) -> Said:
        code = await asyncio.to_thread(main, [str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
async def daemon(desk: PaperDesk, place: Path) -> AsyncIterator[PaperDesk]:
    """A daemon that answers at the control door."""
    async with asyncio.TaskGroup() as group:
        door = group.create_task(ControlDoor(desk.as_desk, place / "state/control.sock").serve(), name="control door")
        await asyncio.sleep(0)  # its first step opens it
        yield desk
        door.cancel()


@pytest.fixture
def table(desk: PaperDesk, monkeypatch: pytest.MonkeyPatch) -> PaperDesk:
    """No daemon, but a table."""

    @asynccontextmanager
    async def open_desk(config: Config) -> AsyncIterator[Desk]:
        yield desk.as_desk

    monkeypatch.setattr(app, "open_desk", open_desk)
    return desk
