from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.intake.paper_desk import PaperDesk

SLOW = {
    *("asyncio", "ssl", "aiohttp", "aioaria2", "sqlalchemy", "databases", "aiomysql", "aiosqlite", "sqlite3"),
    *("logging", "typing_extensions", "subprocess", "tempfile", "difflib", "concurrent", "email", "http"),
    *("odl_daemon.app", "odl_daemon.ports", "odl_daemon.engine", "odl_daemon.store", "odl_daemon.download"),
}

ADD = """
import sys
from odl_daemon.cli.main import main
assert main(["add", "http://example.org/a"]) == 0
print(*sys.modules)
"""


async def test_adding_to_a_running_daemon_imports_nothing_slow(daemon: PaperDesk, place: Path) -> None:
    odl = await asyncio.create_subprocess_exec(sys.executable, "-c", ADD, cwd=place, stdout=asyncio.subprocess.PIPE)
    out, _ = await odl.communicate()
    task_id, modules = out.decode().splitlines()
    assert task_id == "1"
    assert SLOW.isdisjoint(modules.split())
