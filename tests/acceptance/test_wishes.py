"""What users may wish of a task in each phase is done at once, and what they may not is refused with a sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.files import make_file, sha256_of
from tests.servers.nginx import Nginx
from tests.servers.origin import Origin, Page, content, sha256

MIB = 1 << 20
DATA = content(4 * MIB)
SMALL = content(1000)

ALLOWED = {
    "pause": {"waiting", "queued", "fetching"},
    "resume": {"paused"},
    "cancel": {"waiting", "queued", "fetching", "paused", "committing"},
    "retry": {"waiting", "failed", "cancelled", "expired"},
}
"""For each wish the phases in which it can be granted."""

REFUSED = {
    "pause": "only a task that is fetching, queued or waiting can be paused",
    "resume": "only a task that is paused can be resumed",
    "cancel": "only a task that is committing, fetching, paused, queued or waiting can be cancelled",
    "retry": "only a task that is cancelled, expired, failed or waiting can be retried",
}

STATUS = {
    "waiting": 1,
    "queued": 2,
    "paused": 2,
    "fetching": 3,
    "committing": 3,
    "done": 4,
    "failed": 5,
    "cancelled": 5,
    "expired": 6,
}
"""What the shared table shows in each phase."""


async def test_what_a_phase_does_not_allow_is_refused_and_changes_nothing(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon, tasks = await _one_of_each(start_daemon, origin, sqlite)
    before = await _standing(daemon, tasks)
    for phase, task_id in tasks.items():
        for wish, phases in ALLOWED.items():
            if phase in phases:
                continue
            answer = await daemon.odl(wish, str(task_id))
            assert (answer.code, answer.out) == (1, ""), (phase, wish, answer)
            assert answer.err.strip() == f"task {task_id} is {phase}: {REFUSED[wish]}"
    assert await _standing(daemon, tasks) == before
    shown = {phase: (await sqlite.row(task_id))["status"] for phase, task_id in tasks.items()}
    assert shown == {phase: STATUS[phase] for phase in tasks}


@pytest.mark.parametrize("phase", sorted(ALLOWED["cancel"] - {"committing"}))
async def test_a_cancelled_task_ends_at_once(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, phase: str
) -> None:
    daemon, tasks = await _living(start_daemon, origin, sqlite)
    task_id = tasks[phase]
    answer = await daemon.odl("cancel", str(task_id))
    assert (answer.code, answer.out.strip(), answer.err) == (0, f"task {task_id}: cancelled", "")
    (task,) = await daemon.show(task_id)
    assert (task["phase"], task["reason"], task["comment"]) == ("cancelled", "cancelled", "cancelled")
    assert await sqlite.row(task_id) == {"status": 5, "comment": "cancelled", "path": "/", "size": 0}
    await until(lambda: not _folder_of(daemon, task_id), what="the end of its bytes", within=5)
    others = [other for other in tasks.values() if other != task_id]
    _open_all(origin)
    await daemon.odl("resume", str(tasks["paused"]))
    assert {other["phase"] for other in await daemon.finish(*others)} == {"done"}
    assert (await daemon.show(task_id))[0] == task
    assert len(list(daemon.file("/").iterdir())) == len(others)


async def test_a_cancelled_transfer_frees_the_disk_and_its_slot(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"slots": 1})
    large = DATA * 16  # more than lies in the buffers between it and us
    page = origin.pages["/a"] = Page(large, ranges=False, gate=asyncio.Event(), gate_at=2 * MIB)
    origin.pages["/b"] = Page(SMALL)
    first, second = await daemon.add(origin.url("/a"), origin.url("/b"))
    await _until_halfway(daemon, first)
    assert _folder_of(daemon, first)
    assert not origin.requests("/b")
    assert (await daemon.odl("cancel", str(first))).code == 0
    await until(lambda: not _folder_of(daemon, first), what="the end of its bytes", within=5)
    assert (await daemon.finish(second))[0]["phase"] == "done"
    assert page.gate is not None
    page.gate.set()
    await until(lambda: origin.at_once == 0, what="the end of its connection")
    assert origin.sent["/a"] < len(large) / 2  # nobody is there to take the rest


async def test_a_cancelled_commit_is_never_both_cancelled_and_there(
    start_daemon: StartDaemon, nginx: Nginx, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    expected = await asyncio.to_thread(make_file, nginx.root / "a.bin", 100 * MIB)
    (task_id,) = await daemon.add(nginx.url("a.bin"))
    await until(lambda: _in_table(sqlite, task_id, "committing"), what="the commit")
    daemon.freeze()  # so that it stays where it is; the command line goes to the table meanwhile
    try:
        assert await _in_table(sqlite, task_id, "committing")
        assert (await sqlite.row(task_id))["status"] == STATUS["committing"]
        cancelled, refused = await asyncio.gather(daemon.odl("cancel", str(task_id)), daemon.odl("pause", str(task_id)))
        assert (refused.code, refused.err.strip()) == (1, f"task {task_id} is committing: {REFUSED['pause']}")
        assert (cancelled.code, cancelled.out.strip()) == (0, f"task {task_id} will be cancelled")
    finally:
        daemon.thaw()
    (task,) = await daemon.finish(task_id)
    if task["phase"] == "done":  # it was too late
        assert sha256_of(daemon.file("a.bin")) == expected
    else:
        assert task["phase"] == "cancelled"
        assert list(daemon.file("/").iterdir()) == []
    await until(lambda: not _folder_of(daemon, task_id), what="the end of its bytes", within=5)


@pytest.mark.parametrize("phase", sorted(ALLOWED["pause"]))
async def test_a_paused_task_rests_until_it_is_resumed(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, phase: str
) -> None:
    daemon, tasks = await _living(start_daemon, origin, sqlite)
    task_id = tasks[phase]
    answer = await daemon.odl("pause", str(task_id))
    assert (answer.code, answer.out.strip(), answer.err) == (0, f"task {task_id}: paused", "")
    (task,) = await daemon.show(task_id)
    assert (task["phase"], task["comment"], task["speed"]) == ("paused", "paused", 0)
    assert (await sqlite.row(task_id))["status"] == STATUS["paused"]
    assert (await daemon.odl("why", str(task_id))).out.strip() == "it is paused: resume it to go on"
    _open_all(origin)
    await daemon.finish(*(other for at, other in tasks.items() if at not in (phase, "paused")))
    assert (await daemon.show(task_id))[0] == task  # though there is room for it now
    answer = await daemon.odl("resume", str(task_id))
    assert (answer.code, answer.err) == (0, "")
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["attempt"], task["sha256"]) == ("done", 1, sha256(DATA))


async def test_a_resumed_task_goes_on_with_the_bytes_it_has(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url)
    page = origin.pages["/a"] = _gated()
    (task_id,) = await daemon.add(origin.url("/a"))
    await _until_halfway(daemon, task_id)
    await until(lambda: origin.requests("/a", "HEAD"), what="the question for a validator")
    await daemon.odl("pause", str(task_id))
    (paused,) = await daemon.show(task_id)
    assert (paused["phase"], paused["total"]) == ("paused", len(DATA))
    assert 0 < paused["done"] <= len(DATA) // 2
    assert _folder_of(daemon, task_id)
    assert page.gate is not None
    page.gate.set()
    await daemon.odl("resume", str(task_id))
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["attempt"], task["sha256"]) == ("done", 1, sha256(DATA))
    _assert_continued(origin)


async def test_a_paused_task_outlives_a_restart(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    page = origin.pages["/a"] = _gated()
    (task_id,) = await daemon.add(origin.url("/a"))
    await _until_halfway(daemon, task_id)
    await until(lambda: origin.requests("/a", "HEAD"), what="the question for a validator")
    await daemon.odl("pause", str(task_id))
    await daemon.restart()
    origin.pages["/b"] = Page(SMALL)
    await daemon.finish(*await daemon.add(origin.url("/b")))
    assert (await daemon.show(task_id))[0]["phase"] == "paused"
    assert page.gate is not None
    page.gate.set()
    await daemon.odl("resume", str(task_id))
    assert (await daemon.finish(task_id))[0]["sha256"] == sha256(DATA)
    _assert_continued(origin)


async def test_a_wish_without_a_daemon_is_done_when_one_runs(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = origin.pages["/b"] = origin.pages["/c"] = _gated()
    ids = await daemon.add(*map(origin.url, ("/a", "/b", "/c")))
    await _until_halfway(daemon, *ids)
    assert await daemon.stop() == 0
    paused, cancelled, left = ids
    for wish, task_id, sentence in (("pause", paused, "will pause"), ("cancel", cancelled, "will be cancelled")):
        answer = await daemon.odl(wish, str(task_id))
        assert (answer.code, answer.out.strip()) == (0, f"task {task_id} {sentence}")
        assert answer.err.strip() == "the daemon is not running: this will happen when the daemon runs"
    _open_all(origin)
    await daemon.start()
    await _until(daemon, paused, "paused")
    assert [task["phase"] for task in await daemon.finish(cancelled, left)] == ["cancelled", "done"]
    await until(lambda: not _folder_of(daemon, cancelled), what="the end of its bytes", within=5)
    assert _folder_of(daemon, paused)


@pytest.mark.parametrize("phase", ["failed", "cancelled", "expired"])
async def test_an_ended_task_can_be_tried_again(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, phase: str
) -> None:
    daemon, tasks = await _ended(start_daemon, origin, sqlite)
    task_id = tasks[phase]
    _open_all(origin)
    origin.pages["/failed"] = Page(DATA)
    answer = await daemon.odl("retry", str(task_id))
    assert (answer.code, answer.err) == (0, "")
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["attempt"], task["reason"], task["comment"]) == ("done", 1, None, "")
    assert task["sha256"] == sha256(DATA)
    others = {at: other for at, other in tasks.items() if at != phase}
    assert {at: (await daemon.show(other))[0]["phase"] for at, other in others.items()} == {at: at for at in others}


async def test_a_retry_need_not_wait_for_its_time(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"retry_wait": 1000})
    page = origin.pages["/a"] = Page(status=503)
    (task_id,) = await daemon.add(origin.url("/a"))
    await until(lambda: _tried(daemon, task_id), what="the first attempt")
    page.status, page.body = 200, SMALL
    assert (await daemon.odl("retry", str(task_id))).code == 0
    (task,) = await daemon.finish(task_id)
    assert (task["phase"], task["attempt"], task["sha256"]) == ("done", 1, sha256(SMALL))


async def test_retry_failed_takes_what_failed_and_what_expired(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon, tasks = await _ended(start_daemon, origin, sqlite)
    origin.pages["/failed"] = Page(DATA)
    _open_all(origin)
    nobody = await daemon.odl("retry", "--failed", "--owner", "bob@example.com")
    assert (nobody.code, nobody.out.strip()) == (0, "0 tasks will be tried again")
    both = await daemon.odl("retry", "--failed")
    assert (both.code, both.out.strip(), both.err) == (0, "2 tasks will be tried again", "")
    await _until(daemon, tasks["failed"], "done")
    await _until(daemon, tasks["expired"], "done")
    assert (await daemon.show(tasks["cancelled"]))[0]["phase"] == "cancelled"


async def test_a_retried_task_has_its_whole_time_again(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    limit = 1.5
    daemon = await start_daemon("a", database=sqlite.url, download={"time_limit": limit})
    origin.pages["/a"] = _gated()
    (task_id,) = await daemon.add(origin.url("/a"))
    assert (await daemon.finish(task_id))[0]["phase"] == "expired"
    assert (await daemon.odl("retry", str(task_id))).code == 0
    began = time.monotonic()
    await _until(daemon, task_id, "fetching")
    assert (await daemon.finish(task_id))[0]["phase"] == "expired"
    assert time.monotonic() - began >= limit


async def test_a_task_that_is_not_there_is_told(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon("a")
    for command in (*ALLOWED, "show", "why", "watch"):
        answer = await daemon.odl(command, "99")
        assert (answer.code, answer.out, answer.err.strip()) == (1, "", "no task 99"), command


async def test_one_refusal_does_not_keep_the_others_from_their_wish(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/fetching"] = _gated()
    (failed,) = await daemon.finish(*await daemon.add(origin.url("/failed")))
    (fetching,) = await daemon.add(origin.url("/fetching"))
    answer = await daemon.odl("cancel", str(failed["id"]), "99", str(fetching), str(fetching))
    assert (answer.code, answer.out.strip()) == (1, f"task {fetching}: cancelled")
    assert answer.err.splitlines() == [f"task {failed['id']} is failed: {REFUSED['cancel']}", "no task 99"]


# --- tasks in every phase


async def _one_of_each(start_daemon: StartDaemon, origin: Origin, table: Table) -> tuple[Daemon, dict[str, int]]:
    """A task in every phase that lasts, by phase."""
    daemon, ended = await _ended(start_daemon, origin, table)
    origin.pages["/done"] = Page(SMALL)
    (done,) = await daemon.finish(*await daemon.add(origin.url("/done")))
    assert done["phase"] == "done"
    return daemon, {"done": done["id"], **ended, **await _begin(daemon, origin)}


async def _ended(start_daemon: StartDaemon, origin: Origin, table: Table) -> tuple[Daemon, dict[str, int]]:
    """A daemon of one slot, with a task in each of the phases from which there is a way back."""
    daemon = await start_daemon("a", database=table.url, download={"slots": 1, "time_limit": 0.3})
    origin.pages["/expired"], origin.pages["/cancelled"] = _gated(), _gated()
    failed, expired = await daemon.add(origin.url("/failed"), origin.url("/expired"))
    await daemon.finish(failed, expired)
    daemon.configure(download={"time_limit": 1000})
    daemon.reload()
    await until(lambda: "settings read anew" in daemon.log(), what="the longer limit")
    (cancelled,) = await daemon.add(origin.url("/cancelled"))
    await _until_halfway(daemon, cancelled)
    await daemon.odl("cancel", str(cancelled))
    tasks = {"failed": failed, "expired": expired, "cancelled": cancelled}
    for phase, task_id in tasks.items():
        assert await _is(daemon, task_id, phase), phase
    return daemon, tasks


async def _living(start_daemon: StartDaemon, origin: Origin, table: Table) -> tuple[Daemon, dict[str, int]]:
    """A daemon of one slot, with a task in each phase in which it is not over."""
    daemon = await start_daemon("a", database=table.url, download={"slots": 1})
    return daemon, await _begin(daemon, origin)


async def _begin(daemon: Daemon, origin: Origin) -> dict[str, int]:
    """One task is fetching, one stands in line for the only slot, one for its claim; and one was paused before. When
    that one leaves, its place and one in line are claimed in the same moment: a task has just ended."""
    for phase in ("paused", "fetching", "queued", "waiting"):
        origin.pages[f"/{phase}"] = _gated()
    (paused,) = await daemon.add(origin.url("/paused"))
    await _until_halfway(daemon, paused)
    fetching, queued = await daemon.add(origin.url("/fetching"), origin.url("/queued"))
    await daemon.odl("pause", str(paused))
    await _until_halfway(daemon, fetching)
    tasks = {"paused": paused, "fetching": fetching, "queued": queued}
    for phase, task_id in tasks.items():
        await _until(daemon, task_id, phase)
    return tasks | {"waiting": await _one_that_waits(daemon, origin)}


async def _one_that_waits(daemon: Daemon, origin: Origin) -> int:
    """A task that is not claimed: nothing ended of late."""
    while True:
        (task_id,) = await daemon.add(origin.url("/waiting"))
        if await _is(daemon, task_id, "waiting"):
            return task_id
        await daemon.odl("cancel", str(task_id))


def _gated() -> Page:
    """The data, of which the second half waits for an event of its own."""
    return Page(DATA, etag='"1"', gate=asyncio.Event(), gate_at=len(DATA) // 2)


def _open_all(origin: Origin) -> None:
    for page in origin.pages.values():
        if page.gate is not None:
            page.gate.set()


async def _until_halfway(daemon: Daemon, *ids: int) -> None:
    """Returns when most of what the gates let through is here."""

    async def halfway() -> bool:
        return all(task["phase"] == "fetching" and task["done"] > len(DATA) // 4 for task in await daemon.show(*ids))

    await until(halfway, what="half of the file")


async def _until(daemon: Daemon, task_id: int, phase: str) -> None:
    await until(lambda: _is(daemon, task_id, phase), what=f"the task that is {phase}")


def _assert_continued(origin: Origin) -> None:
    """No byte of what was here when the first request was left is asked for again."""
    first, *others = origin.requests("/a")
    assert "range" not in first.headers
    begins = [int(other.headers["range"].removeprefix("bytes=").partition("-")[0]) for other in others]
    assert min(begins) > len(DATA) // 4


async def _standing(daemon: Daemon, tasks: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """What a wish would change."""
    shown = await daemon.show(*tasks.values())
    return [(task["phase"], task["wish"], task["changed"], task["comment"]) for task in shown]


async def _tried(daemon: Daemon, task_id: int) -> Mapping[str, Any] | None:
    (task,) = await daemon.show(task_id)
    return task if task["attempt"] == 2 and task["phase"] == "waiting" else None


async def _is(daemon: Daemon, task_id: int, phase: str) -> bool:
    (task,) = await daemon.show(task_id)
    return bool(task["phase"] == phase)


async def _in_table(table: Table, task_id: int, phase: str) -> bool:
    return await table.run("SELECT phase FROM odl_task WHERE odr_id = %s", task_id) == [(phase,)]


def _folder_of(daemon: Daemon, task_id: int) -> bool:
    return (daemon.scratch / str(task_id)).exists()
