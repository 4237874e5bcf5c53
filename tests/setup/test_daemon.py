"""The daemon of the tests lives and dies as its caller says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.files import make_file, sha256_of
from tests.servers.nginx import Nginx


async def test_a_link_becomes_a_file(daemon: Daemon, nginx: Nginx) -> None:
    digest = make_file(nginx.root / "a.bin", 100_000, seed=1)
    (task,) = await daemon.finish(*await daemon.add(nginx.url("a.bin")))
    assert task["phase"] == "done", daemon.log()
    assert sha256_of(daemon.file(task["path"])) == digest == task["sha256"]


async def test_it_stops_in_order_and_starts_again(daemon: Daemon, nginx: Nginx) -> None:
    assert await daemon.stop() == 0
    (nginx.root / "late").write_text("hello")
    (task_id,) = await daemon.add(nginx.url("late"))
    await daemon.start()
    (task,) = await daemon.finish(task_id)
    assert daemon.file(task["path"]).read_text() == "hello"


async def test_what_a_kill_interrupts_is_finished_by_the_next_life(daemon: Daemon, nginx: Nginx) -> None:
    make_file(nginx.root / "x", 50_000)
    (task_id,) = await daemon.add(nginx.slow_url("x"))
    await daemon.kill()
    await daemon.start()
    (task,) = await daemon.finish(task_id)
    assert task["status_name"] == "OK", daemon.log()


async def test_a_config_that_cannot_work_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="slots"):
        async with Daemon(tmp_path / "daemon", download={"slots": 0}):
            pass


async def test_settings_are_given_by_section(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon("small", download={"slots": 2}, intake={"poll": 3})
    answer = await daemon.odl("config")
    assert answer.code == 0
    assert "slots = 2" in answer.out
    assert "poll = 3" in answer.out
