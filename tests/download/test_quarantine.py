"""What may have brought aria2 down goes on alone, and hurts nobody else."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from tests.acceptance.until import until
from tests.download.bench import Bench, benched, kill_aria2c, pids_of_aria2c
from tests.download.test_walls import breaches
from tests.servers.origin import Origin, Page, bomb, content, twice

from odl_daemon.download import quarantine, server
from odl_daemon.download import sandbox as sandbox_module
from odl_daemon.download.lock import locked
from odl_daemon.download.sandbox import Isolation
from odl_daemon.model.task import Fetched, Progress, Reason, Task
from odl_daemon.ports import Remedy, Trouble

MIB = 1024 * 1024
DEADLY = "the answer of 127.0.0.1 brought the downloader down each time"
IMPOSSIBLE = "the file from 127.0.0.1 is larger than the whole disk for downloads"

both = pytest.mark.parametrize("isolation", list(Isolation))


# --- bombs ---------------------------------------------------------------------------------------------------


@both
async def test_bombs_among_a_hundred_tasks_end_alone(root: Path, origin: Origin, isolation: Isolation) -> None:
    for length in (10**14, 9 * 10**15, 10**16, 10**18):
        origin.pages[f"/bomb/{length}"] = bomb(length)
    async with benched(root, isolation=isolation) as bench:
        await _all_the_good_arrive(bench, origin, [origin.url(path) for path in list(origin.pages)])


async def test_bombs_by_https_end_alone(root: Path, origin: Origin, tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    async with Origin(tls=serving) as secure, benched(root, ca=bundle) as bench:
        secure.pages["/bomb"] = bomb()
        await _all_the_good_arrive(bench, origin, [secure.url("/bomb")])


async def _all_the_good_arrive(bench: Bench, origin: Origin, bombs: list[str]) -> None:
    good = []
    for number in range(100):
        origin.pages[f"/{number}"] = Page(content(20_000 + number, seed=number))
        good.append(bench.task(origin.url(f"/{number}"), owner=f"user{number % 7}"))
    evil = [bench.task(url, owner="mallory") for url in bombs]
    async with asyncio.TaskGroup() as group:
        ends = [group.create_task(_sentence(bench, task)) for task in evil]
        arrivals = [group.create_task(bench.fetch(task)) for task in good]
    assert [end.result() for end in ends] == [DEADLY] * len(evil)
    for number, (task, arrived) in enumerate(zip(good, arrivals, strict=True)):
        assert bench.content(task, arrived.result()) == content(20_000 + number, seed=number)


@pytest.mark.parametrize("length", [2 * 10**13, 10**14, 10**16, 10**18, 2**63 - 1, 2**64])
async def test_what_says_by_itself_that_no_disk_can_hold_it_is_asked_once(
    bench: Bench, origin: Origin, length: int
) -> None:
    origin.pages["/bomb"] = bomb(length, honest=True)
    trouble = await _trouble(bench, bench.task(origin.url("/bomb")))
    if length < 2**63:  # aria2 refuses to read what is longer, by itself
        assert (trouble.sentence, trouble.reason, trouble.remedy) == (IMPOSSIBLE, Reason.TOO_LARGE, Remedy.NONE)
    assert len(origin.requests("/bomb")) == 1
    assert (await _trouble(bench, bench.task(origin.url("/nothing")))).reason is Reason.NOT_FOUND


async def test_a_part_of_too_large_a_file_is_a_bomb_too(bench: Bench, origin: Origin) -> None:
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/%d\r\nContent-Length: 1\r\n\r\nx" % 10**18
    origin.pages["/bomb"] = Page(raw=head, deaf_to_head=True)
    assert await _sentence(bench, bench.task(origin.url("/bomb"))) == DEADLY


# --- who goes alone ------------------------------------------------------------------------------------------


async def test_a_good_task_that_was_there_twice_arrives_alone(bench: Bench, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/good"] = Page(content(MIB), gate=gate, gate_at=0)
    task = bench.task(origin.url("/good"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.fetch(task))
        for times in (1, 2):
            await _asked(origin, "/good", times)
            kill_aria2c("ABRT")
        await _asked(origin, "/good", 3)
        await until(lambda: len(pids_of_aria2c()) == 2)
        gate.set()
    assert bench.content(task, running.result()) == content(MIB)
    await until(lambda: len(pids_of_aria2c()) == 1, what="the end of its sandbox")


async def test_what_has_come_further_is_not_to_blame_for_a_crash(bench: Bench, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/long"] = Page(content(MIB), gate=gate, gate_at=500_000)
    origin.pages["/bombs"] = bomb()
    task = bench.task(origin.url("/long"))
    halfway = asyncio.Event()

    async def note(progress: Progress) -> None:
        if progress.done > 400_000:
            halfway.set()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.fetch(task, note))
        await halfway.wait()
        assert await _sentence(bench, bench.task(origin.url("/bombs"))) == DEADLY
        assert len(pids_of_aria2c()) <= 2
        await until(lambda: len(pids_of_aria2c()) == 1)
        gate.set()
    assert bench.content(task, running.result()) == content(MIB)
    assert not bench.downloader._suspects.record(task.id).suspect


async def test_a_crash_that_nothing_new_can_explain_is_blamed_on_all(bench: Bench, origin: Origin) -> None:
    origin.pages["/long"] = Page(content(MIB), gate=asyncio.Event(), gate_at=500_000, deaf_to_head=True)
    task = bench.task(origin.url("/long"))
    async with aclosing(bench.downloader.fetch(task, str(bench.folder(task)))) as news:
        async for item in news:
            assert isinstance(item, Progress)
            if item.done > 400_000:
                break
        kill_aria2c("ABRT")
        await anext(news)
        assert bench.downloader._suspects.record(task.id).blamed == 1


async def test_an_operators_kill_blames_nobody(bench: Bench, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/good"] = Page(content(MIB), gate=gate, gate_at=0)
    task = bench.task(origin.url("/good"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.fetch(task))
        for times in range(1, 5):
            await _asked(origin, "/good", times)
            kill_aria2c()
        await _asked(origin, "/good", 5)
        assert len(pids_of_aria2c()) == 1
        gate.set()
    assert bench.content(task, running.result()) == content(MIB)


async def test_a_suspect_begins_alone_when_its_user_tries_it_again(bench: Bench, origin: Origin) -> None:
    origin.pages["/bomb"] = bomb()
    task = bench.task(origin.url("/bomb"))
    assert await _sentence(bench, task) == DEADLY
    (shared,) = await until(lambda: pids_of_aria2c() if len(pids_of_aria2c()) == 1 else [])
    assert await _sentence(bench, bench.task(origin.url("/bomb"), id=task.id, epoch=2)) == DEADLY
    assert len(origin.requests("/bomb")) == 4
    assert shared in pids_of_aria2c()


# --- life in a quarantine ------------------------------------------------------------------------------------


async def test_it_is_left_and_continued_like_any_other(bench: Bench, origin: Origin) -> None:
    size = 4 * MIB
    page = Page(content(size), etag='"v1"', gate=asyncio.Event(), gate_at=3 * MIB)
    async with _alone(bench, origin, page) as (task, progress):
        validator = ""
        async for item in progress:
            assert isinstance(item, Progress)
            validator = item.validator
            if item.done > 2 * MIB and validator:
                break
    await bench.downloader.gone(task)
    assert (bench.folder(task) / "file.aria2").exists()
    page.gate = None
    sent = origin.sent["/file"]
    again = bench.task(task.url, id=task.id, epoch=2, progress=Progress(validator=validator))
    assert bench.content(again, await bench.fetch(again)) == content(size)
    assert origin.sent["/file"] - sent < 3 * MIB


async def test_leaving_frees_the_folder(bench: Bench, origin: Origin) -> None:
    async with _alone(bench, origin, Page(content(MIB), gate=asyncio.Event(), gate_at=500_000)) as (task, _):
        pass
    async with asyncio.timeout(20):
        await bench.downloader.gone(task)
    shutil.rmtree(bench.folder(task))
    await until(lambda: len(pids_of_aria2c()) == 1)


async def test_one_that_is_killed_there_begins_anew(bench: Bench, origin: Origin) -> None:
    gate = asyncio.Event()
    page = Page(content(MIB), etag='"v1"', gate=gate, gate_at=500_000)
    async with _alone(bench, origin, page) as (task, progress):
        os.kill(_of_the_suspect(bench), signal.SIGKILL)
        await anext(progress)
        await _asked(origin, "/file", 4)
        gate.set()
        fetched = [item async for item in progress][-1]
    assert isinstance(fetched, Fetched)
    assert bench.content(task, fetched) == content(MIB)


async def test_one_that_freezes_there_is_given_up_and_nobody_notices(root: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/good"] = Page(content(MIB), gate=gate, gate_at=500_000)
    page = Page(content(MIB), gate=asyncio.Event(), gate_at=0)
    async with benched(root, answer_limit=1.0) as bench, _alone(bench, origin, page) as (_, progress):
        good = bench.task(origin.url("/good"))
        (shared,) = set(pids_of_aria2c()) - {_of_the_suspect(bench)}
        async with asyncio.TaskGroup() as group:
            running = group.create_task(bench.fetch(good))
            await origin.heard("/good")
            os.kill(_of_the_suspect(bench), signal.SIGSTOP)
            with pytest.raises(Trouble, match=DEADLY):
                async for _ in progress:
                    pass
            gate.set()
        assert bench.content(good, running.result()) == content(MIB)
        assert shared in pids_of_aria2c()


async def test_a_source_that_sends_nothing_ends_by_the_stall_limit(root: Path, origin: Origin) -> None:
    page = Page(content(MIB), gate=asyncio.Event(), gate_at=0)
    async with benched(root, stall_limit=1.0) as bench, _alone(bench, origin, page) as (_, progress):
        with pytest.raises(Trouble, match=r"sent nothing for 1 s"):
            async for _ in progress:
                pass


async def test_a_source_that_drips_keeps_no_other_suspect_waiting(bench: Bench, origin: Origin) -> None:
    origin.pages["/other"] = twice(Page(content(1000)))
    async with _alone(bench, origin, Page(content(MIB), gate=asyncio.Event(), gate_at=500_000)):
        other = bench.task(origin.url("/other"))
        assert bench.content(other, await bench.fetch(other)) == content(1000)


async def test_who_finds_all_lanes_taken_waits(bench: Bench) -> None:
    lanes = bench.downloader._quarantine
    late = asyncio.Event()

    async def come_late() -> None:
        async with lanes.stay(str(bench.root / "late")):
            late.set()

    async with asyncio.TaskGroup() as group:
        async with AsyncExitStack() as first:
            for number in range(quarantine.LANES):
                await first.enter_async_context(lanes.stay(str(bench.root / str(number))))
            group.create_task(come_late())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await late.wait()
        await late.wait()


async def test_walls_that_do_not_hold_there_end_the_daemon(
    root: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breach(sandbox: sandbox_module.Sandbox, *_: object) -> str:
        return "" if sandbox.scratch == str(root) else "it fell"

    monkeypatch.setattr(server, "breach", breach)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with benched(root) as bench, _alone(bench, origin, Page(content(MIB))):
            raise AssertionError("it began")
    assert [breach.sentence for breach in breaches(caught.value)] == ["it fell"]


async def test_a_sandbox_that_cannot_be_made_is_one_tasks_trouble(bench: Bench) -> None:
    (bench.root / "link").symlink_to("/etc")
    for _ in range(quarantine.LANES + 1):
        with pytest.raises(Trouble) as caught:
            async with bench.downloader._quarantine.stay(str(bench.root / "link")):
                raise AssertionError("it began")
        assert (caught.value.reason, caught.value.remedy) == (Reason.HOST_TROUBLE, Remedy.RETRY)
    async with bench.downloader._quarantine.stay(str(bench.root / "7")) as aria2:
        assert aria2.up


async def test_the_sandbox_of_an_earlier_daemon_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "OLD_ONE_LIMIT", 0.2)
    async with locked(root.parent / "quarantine-2.lock", 1):
        with pytest.raises(BaseExceptionGroup) as caught:
            async with benched(root):
                raise AssertionError("it is ready")
    assert "an earlier aria2 still runs" in str(caught.value.exceptions)


# --- helpers -------------------------------------------------------------------------------------------------


async def _trouble(bench: Bench, task: Task) -> Trouble:
    with pytest.raises(Trouble) as caught:
        await bench.fetch(task)
    return caught.value


async def _sentence(bench: Bench, task: Task) -> str:
    return (await _trouble(bench, task)).sentence


async def _asked(origin: Origin, path: str, times: int) -> None:
    await until(lambda: len(origin.requests(path)) == times, what=f"GET number {times} of {path}")


@asynccontextmanager
async def _alone(
    bench: Bench, origin: Origin, page: Page
) -> AsyncIterator[tuple[Task, AsyncGenerator[Progress | Fetched, None]]]:
    """A fetch of /file that goes on alone, and its news from the moment when this page is asked for."""
    origin.pages["/file"] = twice(page)
    task = bench.task(origin.url("/file"))
    async with aclosing(bench.downloader.fetch(task, str(bench.folder(task)))) as news:
        while not bench.downloader._suspects.record(task.id).alone:
            await anext(news)
        await _asked(origin, "/file", 3)
        await bench.server.ready()
        yield task, news


def _of_the_suspect(bench: Bench) -> int:
    """The aria2c that holds the lock of a lane."""
    for pid in pids_of_aria2c():
        if any("quarantine-" in str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()):
            return pid
    raise AssertionError("nobody is in quarantine")
