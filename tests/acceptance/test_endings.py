"""Each way in which a stranger's server can fail a download ends in its own sentence and reason."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import NamedTuple

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256

DATA = content(300_000)


class End(NamedTuple):
    """What a page does to whoever fetches it, and how the task ends if it is tried once more at most."""

    page: Page
    reason: str
    sentence: str
    tries: int = 2


ENDS = {
    "/401": End(Page(status=401), "login_needed", "127.0.0.1 answered 401: it wants a login", 1),
    "/403": End(Page(status=403), "forbidden", "127.0.0.1 answered 403: it does not give this file to us", 1),
    "/404": End(Page(status=404), "not_found", "127.0.0.1 answered 404: there is no such file", 1),
    "/410": End(Page(status=410), "not_found", "127.0.0.1 answered 410: the file is gone for good", 1),
    "/418": End(Page(status=418), "http_error", "127.0.0.1 answered 418: the server refuses the request", 1),
    "/429": End(Page(status=429), "server_busy", "127.0.0.1 answered 429: it was asked too often"),
    "/500": End(Page(status=500), "server_error", "127.0.0.1 answered 500: the server has a problem"),
    "/503": End(Page(status=503), "server_busy", "127.0.0.1 answered 503: the server is busy"),
    "/cut": End(
        Page(DATA, declared=400_000, ranges=False),
        "interrupted",
        "the connection to 127.0.0.1 broke before the file was complete",
    ),
    "/cut-with-ranges": End(
        Page(
            DATA[:1000], raw=b"HTTP/1.1 200 So\r\nAccept-Ranges: bytes\r\nContent-Length: 300000\r\n\r\n" + DATA[:1000]
        ),
        "interrupted",
        "the connection to 127.0.0.1 broke before the file was complete",
    ),
    "/cut-chunks": End(
        Page(raw=b"HTTP/1.1 200 So\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + DATA[:1000]),
        "interrupted",
        "the connection to 127.0.0.1 broke before the file was complete",
    ),
    "/nothing": End(
        Page(raw=b""),
        "interrupted",
        "the connection to 127.0.0.1 broke before the file was complete",
    ),
    "/nonsense": End(
        Page(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        "protocol_error",
        "127.0.0.1 sent something that cannot be understood",
    ),
    "/loop": End(
        Page(status=302, headers={"Location": "/loop"}),
        "redirect_loop",
        "127.0.0.1 sends us on from link to link without an end",
        1,
    ),
}


async def test_every_failure_ends_with_its_sentence(start_daemon: StartDaemon, origin: Origin, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url, download={"retries": 1, "retry_wait": 0.05})
    for path, end in ENDS.items():
        origin.pages[path] = end.page
    tasks = await daemon.finish(*await daemon.add(*map(origin.url, ENDS)))
    wrong = {}
    for task, (path, end) in zip(tasks, ENDS.items(), strict=True):
        comment = end.sentence if end.tries == 1 else f"{end.sentence} (given up after {end.tries} attempts)"
        expected = ("ERROR", end.reason, comment, end.tries)
        found = (task["status_name"], task["reason"], task["comment"], task["attempt"])
        if found != expected:
            wrong[path] = (found, expected)
        assert await table.row(task["id"]) == {"status": 5, "comment": task["comment"], "path": "/", "size": 0}
    assert not wrong
    assert not list(daemon.scratch.glob("[0-9]*"))


async def test_servers_that_cannot_be_reached_give_nothing_away(start_daemon: StartDaemon, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"retries": 1, "retry_wait": 0.05})
    with socket.socket() as deaf:  # bound, so that nobody else takes the port, and not listening
        deaf.bind(("127.0.0.1", 0))
        urls = {
            f"http://127.0.0.1:{deaf.getsockname()[1]}/a": "127.0.0.1",
            "http://no-such-host.invalid/a": "no-such-host.invalid",
        }
        tasks = await daemon.finish(*await daemon.add(*urls))
    for task, host in zip(tasks, urls.values(), strict=True):
        assert (task["status_name"], task["reason"]) == ("ERROR", "unreachable")
        assert task["comment"] == f"{host} could not be reached (given up after 2 attempts)"


async def test_a_busy_server_is_asked_again_when_it_said(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, download={"retry_wait": 0.05})
    busy = origin.pages["/a"] = Page(status=503, headers={"Retry-After": "2"})
    (task_id,) = await daemon.add(origin.url("/a"))
    waiting = await until(lambda: _waits(table, task_id), what="the retry")
    assert re.fullmatch(r"retry at \d\d:\d\d:\d\d: 127\.0\.0\.1 answered 503: the server is busy", waiting), waiting
    why = await daemon.odl("why", str(task_id))
    assert why.out.strip() == waiting
    asked = len(origin.asked)
    busy.status, busy.body = 200, DATA
    (task,) = await daemon.finish(task_id)
    assert (task["status_name"], task["attempt"], task["comment"], task["reason"]) == ("OK", 2, "", None)
    assert task["sha256"] == sha256(DATA)
    assert len(origin.asked) > asked


async def _waits(table: Table, task_id: int) -> str:
    row = await table.row(task_id)
    return str(row["comment"]) if row["status"] == 1 else ""


async def test_a_server_that_breaks_off_is_continued(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"retry_wait": 0.05})
    data, gate = content(4 << 20), asyncio.Event()
    origin.pages["/a"] = Page(data, etag='"1"', cut=3 << 20, cuts=1, gate=gate, gate_at=2 << 20)
    (task_id,) = await daemon.add(origin.url("/a"))
    await until(lambda: _begun(daemon, task_id), what="the first bytes")
    await until(lambda: origin.requests("/a", "HEAD"), what="the question for a validator")
    gate.set()
    (task,) = await daemon.finish(task_id)
    assert (task["status_name"], task["attempt"], task["sha256"]) == ("OK", 2, sha256(data))
    assert origin.sent["/a"] < 1.5 * len(data)


async def _begun(daemon: Daemon, task_id: int) -> bool:
    (task,) = await daemon.show(task_id)
    return bool(task["done"])


async def test_a_body_without_a_length_arrives(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = Page(DATA, declared=-1, ranges=False)
    (task,) = await daemon.finish(*await daemon.add(origin.url("/a")))
    assert (task["status_name"], task["sha256"], task["size"]) == ("OK", sha256(DATA), len(DATA))


@pytest.mark.parametrize("declared", [None, -1], ids=["declared", "undeclared"])
async def test_a_file_that_is_too_large_ends(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, declared: int | None
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download={"max_size": "1 MiB"})
    origin.pages["/a"] = Page(content(8 << 20), declared=declared, ranges=declared is None)
    (task,) = await daemon.finish(*await daemon.add(origin.url("/a")))
    assert (task["status_name"], task["reason"], task["attempt"]) == ("ERROR", "too_large", 1)
    assert re.fullmatch(r"the file is larger than allowed here \([\d,]+ bytes; at most 1,048,576\)", task["comment"]), (
        task["comment"]
    )
    assert not list(daemon.scratch.glob("[0-9]*"))


async def test_a_server_that_falls_silent_is_left(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    limits = {"stall_limit": 1, "retries": 1, "retry_wait": 0.05}
    daemon = await start_daemon("a", database=sqlite.url, download=limits)
    origin.pages["/body"] = Page(DATA, gate=asyncio.Event(), gate_at=100_000)
    origin.pages["/head"] = Page(DATA, gate=asyncio.Event(), gate_at=-1)
    ids = await daemon.add(origin.url("/body"), origin.url("/head"))
    for task in await daemon.finish(*ids):
        assert task["status_name"] == "ERROR", task
        assert task["reason"] in ("stalled", "timeout"), task
        assert re.match(r"127\.0\.0\.1 (sent nothing for|did not answer within) [\d.]+ s", task["comment"]), task
