"""A Seafile installation in the machine: its layout, its settings, a user of its own, a stand-in that runs as him."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.servers.mariadb import MariaDb
from tests.servers.seafile import ROOT, SeafServer
from tests.systemd.conftest import WHEELS
from tests.systemd.machine import Machine

TOP: Final = "/opt/seafile"
CONF: Final = f"{TOP}/conf/seafevents.conf"

_PROGRAM: Final = f"{TOP}/stand-in/bin/seaf-server"
_RUNTIME: Final = f"{TOP}/seafile-server-latest/runtime"

_LAYOUT: Final = f"""
id seafile >/dev/null 2>&1 || useradd --home-dir {TOP} --create-home seafile
cd {TOP}
mkdir -p conf seafile-server-12.0.14/runtime
ln -sfn seafile-server-12.0.14 seafile-server-latest
python3 -m venv stand-in
stand-in/bin/pip install --quiet --no-index --find-links {WHEELS} aiohttp
ln -sf python3 stand-in/bin/seaf-server
chown -R -h seafile: {TOP}
"""

_SEAFEVENTS: Final = f"""\
[DATABASE]
type = mysql
unix_socket = {TOP}/mysqld.sock
username = root
name = seahub_db
[OFFLINE DOWNLOAD]
enabled = true
"""


@asynccontextmanager
async def seafile(machine: Machine, tmp_path: Path) -> AsyncIterator[SeafServer]:
    """The installation, with its server and its database at work, and the old worker switched on."""
    await machine.ok("sh", "-eu", "-c", _LAYOUT)
    shutil.copytree(ROOT / "tests", machine.file(f"{TOP}/stand-in/tests"), dirs_exist_ok=True)
    machine.file(CONF).write_text(_SEAFEVENTS)
    async with (
        MariaDb(f"--socket={machine.file(TOP)}/mysqld.sock") as database,
        _InstalledSeafServer(machine, tmp_path / "seafile") as server,
    ):
        database.create("seahub_db")
        yield server


class _InstalledSeafServer(SeafServer):
    """It runs in the machine; the tests talk to it from outside."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        super().__init__(folder)
        self._machine = machine

    def _program(self) -> list[str]:
        paths = ["--socket", f"{_RUNTIME}/seafile.sock", "--data", f"{TOP}/seafile-data"]
        become = ["setpriv", "--reuid=seafile", "--regid=seafile", "--init-groups"]
        run = ["env", f"PYTHONPATH={TOP}/stand-in", _PROGRAM, "-m", "tests.servers.seafile"]
        return [*self._machine.enter(), *become, *run, *paths]
