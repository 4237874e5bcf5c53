"""The door itself: its socket, what it says while the database is away, and how long it waits for whom."""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from multidict import CIMultiDict

from odl_daemon.engine.desk import Desk
from odl_daemon.intake.http import conversation, endpoint, server
from odl_daemon.intake.http.doorman import Doorman
from odl_daemon.intake.http.people_api import Place
from odl_daemon.intake.http.safety import Pace, client_address
from odl_daemon.intake.http.server import Address, HttpDoor
from odl_daemon.intake.http.trouble import Trouble
from odl_daemon.model.keys import Principal
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.http.client import WELL, Client, until_event
from tests.http.conftest import ANN, house, until_answered
from tests.http.test_live import LiveDesk
from tests.servers.daemon import Daemon
from tests.servers.mariadb import MariaDb
from tests.servers.origin import Origin, Page, content
from tests.servers.ports import free_port, listening, port_of

TASKS = "/api/v1/tasks"
STILL = {"enabled": False}


async def key(daemon: Daemon) -> str:
    return (await daemon.odl("token", "create", "--owner", ANN)).out.strip()


# --- its socket


async def test_the_door_can_be_a_file_for_a_web_server_on_this_host(start_daemon: StartDaemon, tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    daemon = await start_daemon(
        "a", daemon=STILL, http={"listen": f"unix:{path}", "public_url": "https://files.example.org"}
    )
    await until(path.exists)
    client = Client("http://files.example.org", await key(daemon), unix=str(path))
    assert (await client.get("/api/v1/me"))["owner"] == ANN
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    await daemon.kill()
    await daemon.start()  # what the dead one left there is no hindrance
    await until_answered_by(client)


async def until_answered_by(client: Client) -> None:
    async def is_answered() -> bool:
        try:
            return (await client.ask("GET", "/api/v1/me")).status == 200
        except OSError:
            return False

    await until(is_answered)


async def test_a_file_that_somebody_listens_at_is_left_to_him(start_daemon: StartDaemon, tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    first = await start_daemon("a", daemon=STILL, http={"listen": f"unix:{path}"})
    await until(path.exists)
    second = await start_daemon("b", daemon=STILL, http={"listen": f"unix:{path}"})
    await until(lambda: "cannot listen" in second.log())
    await until_answered_by(Client("http://localhost", await key(first), unix=str(path)))


async def test_a_port_that_is_taken_is_told_once_and_waited_for_while_files_come(tmp_path: Path) -> None:
    with listening() as taken:
        port = port_of(taken)
        async with Origin() as origin, Daemon(tmp_path / "a", http={"listen": f"127.0.0.1:{port}"}) as daemon:
            origin.pages["/a"] = Page(content(10))
            (task,) = await daemon.finish(*await daemon.add(origin.url("/a")))
            assert task["status_name"] == "OK"
            told = f"ERROR   odl_daemon.intake.http.server: the HTTP door cannot listen at 127.0.0.1:{port}"
            await until(lambda: told in daemon.log())
            taken.close()
            await until_answered(f"http://127.0.0.1:{port}")
            assert daemon.log().count("cannot listen") == 1
            assert "Traceback" not in daemon.log()


async def test_without_the_setting_there_is_no_door(daemon: Daemon) -> None:
    assert "HTTP door" not in daemon.log()


# --- the database away


@pytest.fixture
async def mariadb() -> AsyncIterator[MariaDb]:
    async with MariaDb() as server:
        server.create("odl")
        yield server


async def test_while_the_database_is_away_the_door_says_so_at_once(mariadb: MariaDb, tmp_path: Path) -> None:
    async with Origin() as origin, house(tmp_path / "a", database=mariadb.url("odl"), download={"slots": 2}) as running:
        gate = asyncio.Event()
        origin.pages["/a"] = Page(content(400_000), gate=gate, gate_at=100_000)
        async with running.ann.events() as events:
            await until_event(events, "hello")
            (task_id,) = await running.ann.add(origin.url("/a"))
            await until_event(events, "tasks")
            await mariadb.kill()
            await until(lambda: "does not serve us" in running.daemon.log())
            began = time.monotonic()
            for method, path, body in REQUESTS:
                told = await running.ann.ask(method, path.replace("1", str(task_id)), body, headers={"X-Odl": "1"})
                assert (told.status, told.reason, told.json["error"]["action"]) == (503, "away", "retry"), path
                assert told.headers["Retry-After"] == "5"
                assert told.sentence == "the database does not answer: try again in a moment"
            probes = [await running.nobody.ask("GET", path) for path in ("/healthz", "/readyz", "/metrics")]
            assert [probe.status for probe in probes] == [200, 503, 200]
            assert time.monotonic() - began < 5
            seen = [await until_event(events, "tasks") for _ in range(2)]
            assert {task["id"] for event in seen for task in event.data["tasks"]} == {task_id}
            await mariadb.start()
            gate.set()
            await until_done(running.ann, task_id)
        assert [task["id"] for task in (await running.ann.get(TASKS))["tasks"]] == [task_id]


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/api/v1/me", None),
    ("GET", TASKS, None),
    ("GET", f"{TASKS}/1", None),
    ("POST", TASKS, {"urls": ["https://example.com/"]}),
    ("POST", f"{TASKS}/1/cancel", None),
    ("POST", f"{TASKS}/bulk", {"wish": "cancel", "tab": "all"}),
    ("POST", "/api/v1/session", {"token": "odl_" + "x" * 43}),
    ("DELETE", "/api/v1/session", None),
    ("GET", "/api/v1/events", None),
]


async def until_done(client: Client, task_id: int) -> None:
    async def is_done() -> bool:
        told = await client.ask("GET", f"{TASKS}/{task_id}")
        return told.status == 200 and told.json["task"]["phase"] == "done"

    await until(is_done)


# --- in this process, where time can be short


class Door:
    """The real door before a desk of paper."""

    def __init__(self, desk: LiveDesk, port: int) -> None:
        self.desk, self.port = desk, port
        self.base = f"http://127.0.0.1:{port}"

    async def client(self, owner: str = "ann") -> Client:
        secret, _ = await self.desk.keyring.make(Principal(owner))
        return Client(self.base, secret)

    async def line(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    port, desk = free_port(), LiveDesk()
    http = HttpDoor(
        desk=cast(Desk, desk),
        doorman=Doorman(desk.keyring),
        place=Place(local=True, libraries=lambda: None, blocks=lambda: []),
        address=Address(f"127.0.0.1:{port}"),
        vitals=WELL,
    )
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(http.serve(), name="HTTP door")
        await until_answered(f"http://127.0.0.1:{port}")
        yield Door(desk, port)
        serving.cancel()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """All that still comes, once the other side has hung up."""
    async with asyncio.timeout(10):
        return await reader.read()


async def test_a_database_that_goes_silent_is_not_waited_for_for_ever(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_LIMIT", 0.1)
    client = await door.client()

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(door.desk, "submit", never)
    told = await client.ask("POST", TASKS, {"urls": ["https://example.com/"]})
    assert (told.status, told.reason) == (503, "away")
    assert told.sentence == "the database does not answer: look whether it was done before you try again"


async def test_a_request_that_breaks_is_told_in_the_log_and_not_to_its_client(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    client = await door.client()
    door.desk.breaks = RuntimeError("secret inner thing")
    told = await client.ask("GET", TASKS, query={"q": "private"})
    assert (told.status, told.reason) == (500, "internal")
    assert "secret" not in told.text
    assert f"a request at the HTTP door broke: GET {TASKS}" in caplog.text
    assert "secret inner thing" in caplog.text
    assert "private" not in caplog.text
    door.desk.breaks = None
    assert (await client.ask("GET", f"{TASKS}/1")).status == 404


async def test_who_connects_and_says_nothing_is_hung_up_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "HEAD_LIMIT", 0.2)
    for begin in (b"", b"GET /api/v1/me HTTP/1.1\r\nHost: loc", b"\r\n"):
        reader, writer = await door.line()
        writer.write(begin)
        assert await closed(reader) == b""
        writer.close()


async def test_who_goes_on_asking_is_not_hung_up_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "HEAD_LIMIT", 0.2)
    reader, writer = await door.line()
    for _ in range(3):
        writer.write(b"GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 401 " in await reader.readline()
        await reader.readuntil(b"}}")
        await asyncio.sleep(0.15)  # longer, all together, than a first head may take
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_LIMIT", 0.2)
    client = await door.client()
    reader, writer = await door.line()
    head = f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_a_client_that_leaves_in_the_middle_is_nobodys_trouble(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    client = await door.client()
    head = f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n"
    for text in (
        f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{",
        f"GET {TASKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n\r\n" * 20,
        "GET / HT",
    ):
        _, writer = await door.line()
        writer.write(text.encode())
        await writer.drain()
        writer.transport.abort()
    assert (await client.ask("GET", TASKS)).status == 200
    assert caplog.text == ""


async def test_an_answer_that_is_not_taken_is_thrown_away(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "TAKE_LIMIT", 0.2)
    for number in range(200):
        door.desk.write(f"https://example.com/{'x' * 4000}/{number}", owner="ann")
    client = await door.client()
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", door.port))
    request = f"GET {TASKS}?limit=200 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.token}\r\n\r\n"
    deaf.send(request.encode() * 16)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1)  # several times what he may take
    taken = 0
    async with asyncio.timeout(10):
        while piece := await loop.sock_recv(deaf, 1 << 20):
            taken += len(piece)
    assert taken < 16 * 800_000
    deaf.close()


async def test_who_comes_when_all_places_are_taken_is_hung_up_on_and_finds_one_later(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "MOST_GUESTS", 3)
    lines = [await door.line() for _ in range(3)]
    reader, writer = await door.line()
    assert await closed(reader) == b""
    writer.close()
    for _, line in lines:
        line.close()
    await until_answered(door.base)


# --- from where


@pytest.mark.parametrize(
    ("peer", "lines", "address"),
    [
        (("10.0.0.1", 5), [], "10.0.0.1"),
        (("10.0.0.1", 5), ["1.2.3.4"], "10.0.0.1"),
        (("127.0.0.1", 5), ["1.2.3.4"], "1.2.3.4"),
        (("127.0.0.1", 5), ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (("127.0.0.1", 5), ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (("127.0.0.1", 5), ["1.2.3.4, 6.6.6.6", " 2001:db8::1 "], "2001:db8::1"),
        (("127.0.0.1", 5), ["nonsense"], "127.0.0.1"),
        (("127.0.0.1", 5), ["1.2.3.4,"], "127.0.0.1"),
        (("::1", 5, 0, 0), ["1.2.3.4"], "::1"),
        ("", ["1.2.3.4"], "1.2.3.4"),
        (None, [], "unix"),
    ],
)
def test_only_the_word_of_a_proxy_that_is_believed_counts(peer: object, lines: list[str], address: str) -> None:
    transport = SimpleNamespace(get_extra_info=lambda name: peer)
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    request = cast(web.Request, SimpleNamespace(transport=transport, headers=headers))
    assert client_address(request, ["127.0.0.1", "unix"]) == address


async def test_the_pace_is_counted_for_each_one_alone_and_forgotten() -> None:
    pace = Pace(pace=1000, burst=3)
    for _ in range(3):
        pace.check("a")
    with pytest.raises(Trouble) as trouble:
        pace.check("a")
    assert (trouble.value.status, trouble.value.headers) == (429, {"Retry-After": "1"})
    pace.check("b")
    await asyncio.sleep(0.01)  # ten requests at that pace
    for _ in range(3):
        pace.check("a")
    for number in range(20_000):
        pace.check(str(number))
    assert len(pace._buckets) <= 10_000
