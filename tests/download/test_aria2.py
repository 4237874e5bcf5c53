"""The downloader on a real aria2 in its sandbox, against a web server that means no good."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from tests.download.bench import Bench, benched, kill_aria2c, pids_of_aria2c
from tests.servers.origin import Origin, Page, bomb, content, sha256

from odl_daemon.download.aria2 import short_name
from odl_daemon.download.rpc import Aria2Rpc, Call, Gone
from odl_daemon.download.sandbox import Isolation
from odl_daemon.guard.guests import address_of
from odl_daemon.model.task import Fetched, Progress, Reason
from odl_daemon.ports import Remedy, Trouble

MIB = 1024 * 1024


@pytest.mark.parametrize("size", [0, 1, 10_240, 3 * MIB, 50 * MIB])
async def test_a_file_arrives_byte_for_byte(bench: Bench, origin: Origin, size: int) -> None:
    origin.pages["/file.bin"] = Page(content(size))
    task = bench.task(origin.url("/file.bin"))
    fetched = await bench.fetch(task)
    assert [file.name for file in fetched.files] == ["file.bin"]
    assert sha256(bench.content(task, fetched)) == sha256(content(size))


async def test_hundreds_at_once_all_arrive(bench: Bench, origin: Origin) -> None:
    tasks = []
    for number in range(300):
        origin.pages[f"/{number}"] = Page(content(5_000 + number, seed=number))
        tasks.append(bench.task(origin.url(f"/{number}")))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(bench.fetch(task)) for task in tasks]
    for number, (task, done) in enumerate(zip(tasks, running, strict=True)):
        assert bench.content(task, done.result()) == content(5_000 + number, seed=number)
    assert origin.most_at_once <= 10


async def test_the_first_news_of_a_transfer_says_that_it_runs(bench: Bench, origin: Origin) -> None:
    origin.pages["/file"] = Page(content(1000), gate=asyncio.Event(), gate_at=-1)
    async with aclosing(_news(bench, origin.url("/file"))) as news:
        assert await anext(news) == Progress()


async def test_a_transfer_in_line_says_nothing(root: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/first"] = Page(content(1000), gate=gate, gate_at=500)
    origin.pages["/second"] = Page(content(1000))
    async with benched(root, slots=1) as bench, asyncio.TaskGroup() as group:
        first = group.create_task(bench.fetch(bench.task(origin.url("/first"))))
        await origin.heard("/first")
        second = _news(bench, origin.url("/second"))
        early = group.create_task(_next(second))
        await asyncio.wait([early], timeout=0.7)
        assert not early.done()
        gate.set()
        assert isinstance(await early, Progress | Fetched)  # it may be over in a blink
        await first
        await second.aclose()


async def test_no_more_transfers_than_slots_run_at_once(root: Path, origin: Origin) -> None:
    for number in range(40):
        origin.pages[f"/{number}"] = Page(content(200_000))
    async with benched(root, slots=3) as bench:
        await asyncio.gather(*(bench.fetch(bench.task(origin.url(f"/{number}"))) for number in range(40)))
    assert 1 <= origin.most_at_once <= 3


async def test_a_long_transfer_learns_the_validator_of_its_source(bench: Bench, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/file"] = Page(content(MIB), etag='"v1"', gate=gate, gate_at=300_000)
    async with aclosing(_news(bench, origin.url("/file"))) as news:
        async for item in news:
            if isinstance(item, Progress) and item.validator:
                assert '"v1"' in item.validator
                assert item.total == MIB
                gate.set()
                break
        else:
            pytest.fail("no validator came")
    assert len(origin.requests("/file", "HEAD")) == 1


# --- deaths of aria2 and of the daemon -----------------------------------------------------------------------


async def test_a_killed_aria2_costs_no_byte_twice(root: Path, origin: Origin) -> None:
    size = 20 * MIB
    page = origin.pages["/file"] = Page(content(size), etag='"v1"', gate=asyncio.Event(), gate_at=15 * MIB)
    killed = False
    async with benched(root, autosave=1) as bench:
        task = bench.task(origin.url("/file"))
        control = bench.folder(task) / "file.aria2"

        async def kill_once(progress: Progress) -> None:
            nonlocal killed
            if progress.validator and progress.done > 14 * MIB and not killed:
                await _saved(control, 13)
                killed = True
                kill_aria2c()
                page.gate = None  # for the next request; the one that was cut down hangs on

        fetched = await bench.fetch(task, kill_once)
        assert killed
        assert bench.content(task, fetched) == content(size)
    assert origin.sent["/file"] < size + 5 * MIB


async def test_partial_bytes_of_an_earlier_daemon_are_continued(root: Path, origin: Origin) -> None:
    size = 4 * MIB
    page = origin.pages["/file"] = Page(content(size), etag='"v1"', gate=asyncio.Event(), gate_at=3 * MIB)
    validator, task_id = await _begin_and_leave(root, origin)
    page.gate = None
    sent = origin.sent["/file"]
    async with benched(root) as bench:
        task = bench.task(origin.url("/file"), id=task_id, epoch=2, progress=Progress(validator=validator))
        fetched = await bench.fetch(task)
        assert bench.content(task, fetched) == content(size)
    assert origin.sent["/file"] - sent < 2 * MIB


async def test_partial_bytes_of_another_version_are_thrown_away(root: Path, origin: Origin) -> None:
    size = 4 * MIB
    page = origin.pages["/file"] = Page(content(size), etag='"v1"', gate=asyncio.Event(), gate_at=3 * MIB)
    validator, task_id = await _begin_and_leave(root, origin)
    page.gate, page.etag, page.body = None, '"v2"', content(size, seed=2)
    async with benched(root) as bench:
        task = bench.task(origin.url("/file"), id=task_id, epoch=2, progress=Progress(validator=validator))
        assert bench.content(task, await bench.fetch(task)) == content(size, seed=2)


async def test_partial_bytes_of_an_unknown_version_are_thrown_away(root: Path, origin: Origin) -> None:
    size = 4 * MIB
    page = origin.pages["/file"] = Page(content(size), gate=asyncio.Event(), gate_at=3 * MIB)
    _, task_id = await _begin_and_leave(root, origin, wait_for_validator=False)
    page.gate, page.body = None, content(size, seed=2)
    async with benched(root) as bench:
        task = bench.task(origin.url("/file"), id=task_id, epoch=2)
        assert bench.content(task, await bench.fetch(task)) == content(size, seed=2)


async def test_partial_bytes_survive_a_source_that_is_away(root: Path, origin: Origin) -> None:
    page = origin.pages["/file"] = Page(content(4 * MIB), etag='"v1"', gate=asyncio.Event(), gate_at=3 * MIB)
    validator, task_id = await _begin_and_leave(root, origin)
    page.gate, page.status = None, 503
    async with benched(root) as bench:
        task = bench.task(origin.url("/file"), id=task_id, epoch=2, progress=Progress(validator=validator))
        with pytest.raises(Trouble, match="the server is busy"):
            await bench.fetch(task)
        assert sorted(path.name for path in bench.folder(task).iterdir()) == ["file", "file.aria2"]


async def test_partial_bytes_survive_a_source_that_is_out_of_reach(
    root: Path, origin: Origin, unused_port: int
) -> None:
    origin.pages["/file"] = Page(content(4 * MIB), etag='"v1"', gate=asyncio.Event(), gate_at=3 * MIB)
    validator, task_id = await _begin_and_leave(root, origin)
    async with benched(root) as bench:
        url = f"http://127.0.0.1:{unused_port}/file"
        task = bench.task(url, id=task_id, epoch=2, progress=Progress(validator=validator))
        with pytest.raises(Trouble, match="could not be reached"):
            await bench.fetch(task)
        assert sorted(path.name for path in bench.folder(task).iterdir()) == ["file", "file.aria2"]


async def test_a_source_that_cannot_be_asked_is_fetched_from_its_first_byte(root: Path, origin: Origin) -> None:
    page = origin.pages["/file"] = Page(content(4 * MIB), etag='"v1"', gate=asyncio.Event(), gate_at=3 * MIB)
    validator, task_id = await _begin_and_leave(root, origin)
    page.gate, page.deaf_to_head = None, True
    async with benched(root) as bench:
        task = bench.task(origin.url("/file"), id=task_id, epoch=2, progress=Progress(validator=validator))
        assert bench.content(task, await bench.fetch(task)) == content(4 * MIB)


async def test_a_folder_that_cannot_be_used_is_trouble_of_the_host(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    task = bench.task("http://127.0.0.1:1/")
    with pytest.raises(Trouble) as caught:
        await anext(bench.downloader.fetch(task, str(tmp_path / "file" / "1")))
    assert (caught.value.reason, caught.value.remedy) == (Reason.HOST_TROUBLE, Remedy.HOST)
    assert str(tmp_path) not in caught.value.sentence


async def test_data_without_its_control_file_is_not_believed(bench: Bench, origin: Origin) -> None:
    origin.pages["/file"] = Page(content(1000), etag='"v1"')
    task = bench.task(origin.url("/file"), progress=Progress(validator='"v1"||1000'))
    (bench.folder(task) / "file").write_bytes(b"x" * 1000)
    (bench.folder(task) / "link").symlink_to("/etc/passwd")
    (bench.folder(task) / "deep").mkdir()
    assert bench.content(task, await bench.fetch(task)) == content(1000)


async def test_a_lost_reply_adds_nothing_twice(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    origin.pages["/file"] = Page(content(1000), gate=gate, gate_at=-1)
    heard = Aria2Rpc.batch
    lost: list[object] = []

    async def batch(self: Aria2Rpc, calls: list[Call]) -> list[object]:
        answers = await heard(self, calls)
        if not lost and any(call.method == "aria2.addUri" for call in calls):
            lost.append(answers)
            await self.client_session.close()
            raise Gone("the reply is lost")
        if lost:
            gate.set()
        return answers

    monkeypatch.setattr(Aria2Rpc, "batch", batch)
    task = bench.task(origin.url("/file"))
    assert bench.content(task, await bench.fetch(task)) == content(1000)
    assert lost
    assert len(origin.requests("/file")) == 1


async def test_a_frozen_aria2_is_replaced(root: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/file"] = Page(content(MIB), gate=gate, gate_at=500_000)
    frozen: list[int] = []
    async with benched(root, answer_limit=1.0) as bench:
        task = bench.task(origin.url("/file"))

        async def freeze_once(progress: Progress) -> None:
            if progress.done and not frozen:
                frozen.extend(pids_of_aria2c())
                kill_aria2c("STOP")
                gate.set()

        assert bench.content(task, await bench.fetch(task, freeze_once)) == content(MIB)
        assert frozen
        assert not set(frozen) & set(pids_of_aria2c())


async def test_an_answer_that_kills_aria2_ends_its_own_task_only(bench: Bench, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/deadly"] = bomb()
    origin.pages["/good"] = Page(content(MIB), gate=gate, gate_at=500_000)
    good = bench.task(origin.url("/good"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.fetch(good))
        await origin.heard("/good")
        with pytest.raises(Trouble) as caught:
            await bench.fetch(bench.task(origin.url("/deadly")))
        gate.set()
    assert caught.value.sentence == "the answer of 127.0.0.1 brought the downloader down each time"
    assert caught.value.remedy is Remedy.NONE
    assert len(origin.requests("/deadly")) == 3
    assert bench.content(good, running.result()) == content(MIB)


# --- leaving ---------------------------------------------------------------------------------------------------


async def test_leaving_ends_the_transfer_and_frees_the_folder(bench: Bench, origin: Origin) -> None:
    origin.pages["/file"] = Page(content(MIB), gate=asyncio.Event(), gate_at=500_000)
    task = bench.task(origin.url("/file"))
    async with aclosing(bench.downloader.fetch(task, str(bench.folder(task)))) as news:
        await anext(news)
        await origin.heard("/file")
    await bench.downloader.gone(task)
    shutil.rmtree(bench.folder(task))
    origin.pages["/next"] = Page(content(1000))
    await bench.fetch(bench.task(origin.url("/next")))
    assert not (bench.root / str(task.id)).exists()


async def test_a_second_cancel_does_not_skip_the_removal(bench: Bench, origin: Origin) -> None:
    origin.pages["/file"] = Page(content(MIB), gate=asyncio.Event(), gate_at=500_000)
    task = bench.task(origin.url("/file"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.fetch(task))
        await origin.heard("/file")
        running.cancel()
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
    async with asyncio.timeout(10):
        await bench.downloader.gone(task)
    shutil.rmtree(bench.folder(task))


async def test_a_transfer_in_line_is_removed_without_having_run(root: Path, origin: Origin) -> None:
    gate = asyncio.Event()
    origin.pages["/first"] = Page(content(1000), gate=gate, gate_at=-1)
    origin.pages["/second"] = Page(content(1000))
    async with benched(root, slots=1) as bench, asyncio.TaskGroup() as group:
        first = group.create_task(bench.fetch(bench.task(origin.url("/first"))))
        await origin.heard("/first")
        task = bench.task(origin.url("/second"))
        second = group.create_task(bench.fetch(task))
        await asyncio.wait([second], timeout=0.2)
        second.cancel()
        async with asyncio.timeout(10):
            await bench.downloader.gone(task)
        gate.set()
        await first
    assert not origin.requests("/second")


async def test_a_task_of_a_new_epoch_waits_for_its_older_transfer(bench: Bench, origin: Origin) -> None:
    page = origin.pages["/file"] = Page(content(MIB), gate=asyncio.Event(), gate_at=500_000)
    task = bench.task(origin.url("/file"))
    async with aclosing(bench.downloader.fetch(task, str(bench.folder(task)))) as news:
        await anext(news)
        await origin.heard("/file")
    page.gate = None
    again = bench.task(origin.url("/file"), id=task.id, epoch=2)
    assert bench.content(again, await bench.fetch(again)) == content(MIB)


# --- failures ----------------------------------------------------------------------------------------------------

ENDINGS = [
    (404, Reason.NOT_FOUND, Remedy.NONE, "127.0.0.1 answered 404: there is no such file"),
    (403, Reason.FORBIDDEN, Remedy.NONE, "127.0.0.1 answered 403: it does not give this file to us"),
    (401, Reason.LOGIN_NEEDED, Remedy.NONE, "127.0.0.1 answered 401: it wants a login"),
    (410, Reason.NOT_FOUND, Remedy.NONE, "127.0.0.1 answered 410: the file is gone for good"),
    (418, Reason.HTTP_ERROR, Remedy.NONE, "127.0.0.1 answered 418: the server refuses the request"),
    (429, Reason.SERVER_BUSY, Remedy.RETRY, "127.0.0.1 answered 429: it was asked too often"),
    (500, Reason.SERVER_ERROR, Remedy.RETRY, "127.0.0.1 answered 500: the server has a problem"),
    (502, Reason.SERVER_ERROR, Remedy.RETRY, "127.0.0.1 answered 502: the server has a problem"),
    (503, Reason.SERVER_BUSY, Remedy.RETRY, "127.0.0.1 answered 503: the server is busy"),
]


async def test_each_refusal_has_its_sentence(bench: Bench, origin: Origin) -> None:
    for status, reason, remedy, sentence in ENDINGS:
        origin.pages[f"/{status}"] = Page(b"no", status=status, headers={"Retry-After": "7"})
        trouble = await _trouble(bench, origin.url(f"/{status}"))
        assert (trouble.reason, trouble.remedy, trouble.sentence) == (reason, remedy, sentence)
        assert trouble.after == (7.0 if reason is Reason.SERVER_BUSY else None)


async def test_a_redirect_without_end_is_given_up(bench: Bench, origin: Origin) -> None:
    origin.pages["/loop"] = Page(status=302, headers={"Location": "/loop"})
    trouble = await _trouble(bench, origin.url("/loop"))
    assert (trouble.reason, trouble.remedy) == (Reason.REDIRECT_LOOP, Remedy.NONE)


async def test_a_redirect_to_a_local_file_is_refused(bench: Bench, origin: Origin) -> None:
    origin.pages["/x"] = Page(status=302, headers={"Location": "file:///etc/passwd"})
    trouble = await _trouble(bench, origin.url("/x"))
    assert trouble.sentence == "127.0.0.1 sends us on to a link that is neither http nor https"
    assert trouble.remedy is Remedy.NONE


async def test_refused_and_unknown_hosts_sound_the_same(bench: Bench, unused_port: int) -> None:
    refused = await _trouble(bench, f"http://127.0.0.1:{unused_port}/x")
    unknown = await _trouble(bench, "https://no-such-host.invalid/x")
    assert refused.sentence == "127.0.0.1 could not be reached"
    assert unknown.sentence == "no-such-host.invalid could not be reached"
    assert refused.reason is unknown.reason is Reason.UNREACHABLE
    assert refused.remedy is unknown.remedy is Remedy.RETRY


async def test_a_truncated_file_is_no_file(bench: Bench, origin: Origin) -> None:
    origin.pages["/cut"] = Page(content(300_000), cut=100_000)
    trouble = await _trouble(bench, origin.url("/cut"))
    assert (trouble.reason, trouble.remedy) == (Reason.INTERRUPTED, Remedy.RETRY)


async def test_one_broken_connection_of_several_does_not_end_a_large_file(bench: Bench, origin: Origin) -> None:
    origin.pages["/large"] = Page(content(100 * MIB), cut=MIB, cuts=1)
    task = bench.task(origin.url("/large"))
    assert sha256(bench.content(task, await bench.fetch(task))) == sha256(content(100 * MIB))
    assert len(origin.requests("/large")) > 1


async def test_an_answer_that_never_comes_ends_by_the_stall_limit(root: Path, origin: Origin) -> None:
    origin.pages["/never"] = Page(content(10), gate=asyncio.Event(), gate_at=-1)
    async with benched(root, stall_limit=1.0) as bench:
        trouble = await _trouble(bench, origin.url("/never"))
    assert trouble.sentence == "127.0.0.1 did not answer within 1 s"
    assert (trouble.reason, trouble.remedy) == (Reason.TIMEOUT, Remedy.RETRY)


async def test_an_answer_that_stops_ends_by_the_stall_limit(root: Path, origin: Origin) -> None:
    origin.pages["/stops"] = Page(content(MIB), gate=asyncio.Event(), gate_at=1000)
    async with benched(root, stall_limit=1.0) as bench:
        trouble = await _trouble(bench, origin.url("/stops"))
    assert trouble.sentence == "127.0.0.1 sent nothing for 1 s"
    assert (trouble.reason, trouble.remedy) == (Reason.STALLED, Remedy.RETRY)


async def test_garbage_is_told_as_such(bench: Bench, origin: Origin) -> None:
    origin.pages["/garbage"] = Page(raw=b"hello world\r\n\r\n")
    assert (await _trouble(bench, origin.url("/garbage"))).reason is Reason.PROTOCOL_ERROR


async def test_https_on_a_plain_port_is_told_as_such(bench: Bench, origin: Origin) -> None:
    trouble = await _trouble(bench, f"https://127.0.0.1:{origin.port}/x")
    assert trouble.reason is Reason.PROTOCOL_ERROR
    assert "no secure connection" in trouble.sentence


@pytest.mark.parametrize(
    "url",
    [
        "not a link",
        "",
        "ftp://example.org/x",
        "file:///etc/passwd",
        "http://",
        "http://a@b@127.0.0.1/",
        "http://h:0/",
        "http://example.org/x\nall-proxy=",
        "http://example.org\\@127.0.0.1/",
        "http://example.org:99999/",
    ],
)
async def test_what_is_no_link_never_reaches_aria2(bench: Bench, url: str) -> None:
    trouble = await _trouble(bench, url)
    assert (trouble.reason, trouble.remedy) == (Reason.BAD_URL, Remedy.NONE)


async def test_no_secret_of_a_link_is_in_a_sentence(bench: Bench, origin: Origin) -> None:
    origin.pages["/x"] = Page(status=403)
    url = origin.url("/x?token=hunter2").replace("http://", "http://ann:swordfish@")
    sentence = (await _trouble(bench, url)).sentence
    assert "hunter2" not in sentence
    assert "swordfish" not in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_what_one_server_is_told_no_other_is(bench: Bench, origin: Origin, host: str) -> None:
    """Neither the login of a link nor the link itself, nor a cookie of the first server."""
    async with Origin() as other:
        headers = {"Location": other.url("/x", host=host), "Set-Cookie": "a=secret"}
        origin.pages["/a"] = Page(status=302, headers=headers)
        other.pages["/x"] = Page(content(1000))
        await bench.fetch(bench.task(origin.url("/a?token=secret").replace("//", "//ann:secret@", 1)))
        assert "authorization" in origin.asked[-1].headers
        for asked in other.asked:
            assert not {"authorization", "referer", "proxy-authorization"} & asked.headers.keys(), asked
            assert host == "127.0.0.1" or "cookie" not in asked.headers, asked  # cookies know no ports


async def test_outside_a_namespace_it_works_too(root: Path, origin: Origin) -> None:
    origin.pages["/x"] = Page(content(MIB))
    async with benched(root, isolation=Isolation.PROXY_ONLY) as bench:
        task = bench.task(origin.url("/x"))
        assert bench.content(task, await bench.fetch(task)) == content(MIB)


@dataclass(frozen=True)
class Certified:
    """Servers of one name: one that can be trusted, and those that cannot."""

    bundle: Path
    good: ssl.SSLContext
    bad: Mapping[str, ssl.SSLContext]


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    ours, strangers = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    then = datetime(2020, 1, 1, tzinfo=UTC)
    return Certified(
        tmp_path / "ca.pem",
        _serving(ours.issue_cert("localhost")),
        {
            "of somebody's own": _serving(strangers.issue_cert("localhost")),
            "of another host": _serving(ours.issue_cert("example.org")),
            "run out": _serving(ours.issue_cert("localhost", not_before=then, not_after=then + timedelta(days=1))),
        },
    )


def _serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def test_https_needs_a_certificate_that_is_trusted(root: Path, origin: Origin, certified: Certified) -> None:
    """NCDownloader ran aria2 with --check-certificate=false; OpenList CVE-2026-25060 did the like."""
    async with benched(root, ca=certified.bundle) as bench, Origin(tls=certified.good) as good:
        good.pages["/x"] = Page(content(MIB))
        task = bench.task(good.url("/x", host="localhost"))
        assert bench.content(task, await bench.fetch(task)) == content(MIB)
        for kind, tls in certified.bad.items():
            async with Origin(tls=tls) as bad:
                url = bad.url("/x", host="localhost")
                origin.pages["/to"] = Page(status=302, headers={"Location": url})
                for link in (url, origin.url("/to", host="localhost")):
                    trouble = await _trouble(bench, link)
                    assert trouble.sentence.startswith("no secure connection to localhost"), kind
                    assert trouble.remedy is Remedy.NONE
                assert bad.asked == []


async def test_what_the_system_does_not_trust_is_not_trusted(root: Path, certified: Certified) -> None:
    async with benched(root) as bench, Origin(tls=certified.good) as good:
        trouble = await _trouble(bench, good.url("/x", host="localhost"))
        assert trouble.sentence.startswith("no secure connection to localhost")
        assert good.asked == []


async def test_a_torrent_by_link_stays_a_file(bench: Bench, origin: Origin) -> None:
    body = b"d8:announce20:http://127.0.0.1:1/a4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:" + b"a" * 20
    origin.pages["/x.torrent"] = Page(body + b"ee", headers={"Content-Type": "application/x-bittorrent"})
    fetched = await bench.fetch(bench.task(origin.url("/x.torrent")))
    assert [file.name for file in fetched.files] == ["x.torrent"]


# --- names -------------------------------------------------------------------------------------------------------


async def test_a_name_that_is_too_long_is_cut(bench: Bench, origin: Origin) -> None:
    path = "/" + "n" * 300 + ".pdf"
    origin.pages[path] = Page(content(1000))
    task = bench.task(origin.url(path))
    fetched = await bench.fetch(task)
    assert bench.content(task, fetched) == content(1000)
    assert fetched.files[0].name.endswith("n.pdf")


async def test_a_sent_name_cannot_leave_the_folder(bench: Bench, origin: Origin) -> None:
    origin.pages["/x"] = Page(content(1000), headers={"Content-Disposition": 'attachment; filename="../../evil"'})
    task = bench.task(origin.url("/x"))
    assert bench.content(task, await bench.fetch(task)) == content(1000)
    assert not (bench.root.parent / "evil").exists()


@pytest.mark.parametrize("name", ["evil.aria2", ".bashrc", "-rf", "%F0%9F%98%80.txt"])
async def test_odd_names_arrive(bench: Bench, origin: Origin, name: str) -> None:
    origin.pages[f"/{name}"] = Page(content(1000))
    task = bench.task(origin.url(f"/{name}"))
    assert bench.content(task, await bench.fetch(task)) == content(1000)


def test_a_short_name_keeps_its_ending() -> None:
    assert short_name("http://h/%2E%2E") == short_name("http://h/x/..") == "download"
    assert "/" not in short_name("http://h/a%2Fb")
    assert short_name("http://h/" + "%C3%A4" * 300 + ".tar.gz").endswith("ä.gz")
    assert len(short_name("http://h/" + "%F0%9F%98%80" * 300 + ".pdf").encode()) <= 184
    assert short_name("http://h/") == "download"
    assert len(short_name("http://h/a." + "b" * 400).encode()) <= 180


def test_an_owner_has_an_address_of_his_own() -> None:
    addresses = {address_of(f"user{number}") for number in range(1000)}
    assert len(addresses) == 1000
    assert all(address.startswith("127.") and not address.startswith("127.0.0.") for address in addresses)
    assert address_of("ann") == address_of("ann")


# --- helpers -------------------------------------------------------------------------------------------------------


def _news(bench: Bench, url: str) -> AsyncGenerator[Progress | Fetched, None]:
    task = bench.task(url)
    return bench.downloader.fetch(task, str(bench.folder(task)))


async def _next(news: AsyncGenerator[Progress | Fetched, None]) -> Progress | Fetched:
    return await anext(news)


async def _trouble(bench: Bench, url: str) -> Trouble:
    with pytest.raises(Trouble) as caught:
        await bench.fetch(bench.task(url))
    return caught.value


async def _begin_and_leave(root: Path, origin: Origin, wait_for_validator: bool = True) -> tuple[str, int]:
    """Fetches a part of /file with a daemon that then stops in order; the task's validator and id."""
    async with benched(root) as bench:
        task = bench.task(origin.url("/file"))
        async with aclosing(bench.downloader.fetch(task, str(bench.folder(task)))) as news:
            async for item in news:
                assert isinstance(item, Progress)
                validator = item.validator
                if item.done > 2 * MIB and (validator or not wait_for_validator):
                    break
        await bench.downloader.gone(task)
        assert (bench.folder(task) / "file.aria2").exists()
        return validator, task.id


async def _saved(control: Path, pieces: int) -> None:
    """Waits until aria2's control file says that so many pieces (1 MiB each) are on the disk; nobody rings for it.

    Its format: https://aria2.github.io/manual/en/html/technical-notes.html
    """
    async with asyncio.timeout(30):
        while _pieces(control) < pieces:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _pieces(control: Path) -> int:
    said = control.read_bytes()
    length = int.from_bytes(said[30:34], "big") if len(said) >= 34 else 0
    return int.from_bytes(said[34 : 34 + length], "big").bit_count()
