"""Looks at everything that is left when all work is done, and says whether a task was lost, doubled or spoilt."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.servers.daemon import Daemon
from tests.servers.files import sha256_of

OK = 4


async def assert_world(
    table: Table, sums: Mapping[str, str], daemons: Sequence[Daemon], *, library: Path | None = None
) -> None:
    """Stops what still runs of `daemons`, then holds everything that they left behind against what was asked of them.

    `sums` has for each URL the sha256 of what its origin serves, and every task of the table has one of these URLs.
    `library` is the one folder into which all of them write, by default that of the first.
    """
    folder = (library or daemons[0].library) / "default"
    await _swept(daemons)
    await _stopped(daemons)
    rows = await table.run("SELECT odr_id, url, status, path, size, comment FROM OfflineDownloadRecord ORDER BY odr_id")
    ends = {task_id: (status, comment) for task_id, _, status, _, _, comment in rows}
    assert set(ends.values()) == {(OK, "")}, f"not every task came to its end: {ends}"
    assert sorted(url for _, url, *_ in rows) == sorted(sums), "rows were lost or doubled"
    paths = sorted(path for _, _, _, path, *_ in rows)
    assert await asyncio.to_thread(_files, folder) == paths, "the library holds other files than the rows say"
    for _, url, _, path, size, _ in rows:
        file = folder / path.lstrip("/")
        assert (await asyncio.to_thread(sha256_of, file), file.stat().st_size) == (sums[url], size), path


async def _swept(daemons: Sequence[Daemon]) -> None:
    """Those who still work have until now what they need to tidy up."""

    def swept() -> bool:
        return not any(_scratch(daemon) for daemon in daemons)

    await until(swept, what="empty scratch folders")


async def _stopped(daemons: Sequence[Daemon]) -> None:
    for daemon in daemons:
        code = await daemon.stop()
        assert code in (0, -signal.SIGKILL), daemon.log()  # one that the test had killed for good has that code
        assert not _held(daemon.state), f"{daemon.folder.name} still runs"
        assert not sandboxed(daemon), f"a process of the sandboxes of {daemon.folder.name} still runs"
        assert not _scratch(daemon), "an empty scratch folder filled itself"
        assert "Traceback" not in daemon.log(), daemon.log()


def sandboxed(daemon: Daemon, which: str = "*") -> list[str]:
    """The locks of sandboxes of which a process lives: `sandbox` is that for all, `quarantine-...` those for one."""
    return sorted(path.stem for path in daemon.state.glob(f"{which}.lock") if _held(path))


def _files(folder: Path) -> list[str]:
    """Everything in the library that is no folder, temporary files too."""
    return sorted(f"/{path.relative_to(folder)}" for path in folder.rglob("*") if not path.is_dir())


def _scratch(daemon: Daemon) -> list[str]:
    return sorted(path.name for path in daemon.scratch.iterdir())


def _held(path: Path) -> bool:
    """Whether somebody has locked it: the daemon its state folder, all processes of its sandbox the sandbox's lock."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
