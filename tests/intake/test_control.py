from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from odl_daemon import __version__
from odl_daemon.intake import control
from odl_daemon.intake.control import ControlDoor
from odl_daemon.model.task import Phase
from odl_daemon.ports import StoreAway
from tests.intake.paper_desk import PaperDesk


@pytest.fixture
def desk() -> PaperDesk:
    return PaperDesk()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@asynccontextmanager
async def opened(desk: PaperDesk, path: Path) -> AsyncIterator[None]:
    """The door, open as long as the block lasts."""
    async with asyncio.TaskGroup() as group:
        door = group.create_task(ControlDoor(desk.as_desk, path).serve(), name="control door")
        await asyncio.sleep(0)  # its first step opens it
        yield
        door.cancel()


class Client:
    """A client that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, words: bytes) -> None:
        self._writer.write(words)
        await self._writer.drain()

    async def hear(self) -> bytes:
        async with asyncio.timeout(10):
            return await self._reader.readline()

    async def ask(self, **message: object) -> dict[str, object]:
        await self.say(json.dumps(message).encode() + b"\n")
        answer = json.loads(await self.hear())
        assert isinstance(answer, dict)
        return answer


@asynccontextmanager
async def client(path: Path, *, greeted: bool = True) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    try:
        guest = Client(reader, writer)
        if greeted:
            await guest.hear()
        yield guest
    finally:
        writer.close()


REQUEST = {"owner": "local", "library": "default", "path": "docs/", "url": "HTTP://example.org/ä", "name": ""}


async def test_the_door_greets_first(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path), client(path, greeted=False) as guest:
        assert json.loads(await guest.hear()) == {"odl-daemon": __version__}
        assert await guest.ask(do="ping") == {"ok": "pong"}


async def test_the_socket_is_for_its_owner_alone(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path):
        assert lying_in(path.parent) == {"control.sock": 0o600}
    assert lying_in(path.parent) == {}


async def test_a_dead_daemons_socket_is_replaced(desk: PaperDesk, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with opened(desk, path), client(path) as guest:
        assert await guest.ask(do="ping") == {"ok": "pong"}


async def test_a_newer_daemons_socket_is_left_alone(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path):
        await asyncio.to_thread(path.unlink)
        async with opened(desk, path):
            newer = lying_in(path.parent)
            async with client(path):
                pass
        os.mknod(path, stat.S_IFREG | 0o600)
    assert lying_in(path.parent) == newer


def lying_in(folder: Path) -> dict[str, int]:
    """The files of a folder, and who may do what with them."""
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_a_long_path_is_no_obstacle(desk: PaperDesk, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 150)
    folder.mkdir()
    async with opened(desk, folder / "control.sock"):
        short = os.open(folder, os.O_PATH)
        async with client(Path(f"/proc/self/fd/{short}/control.sock")) as guest:
            assert await guest.ask(do="ping") == {"ok": "pong"}
        os.close(short)


async def test_requests_become_tasks(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path), client(path) as guest:
        answer = await guest.ask(do="add", requests=[REQUEST, REQUEST])
        assert isinstance(answer["ok"], list)
        assert [task["id"] for task in answer["ok"]] == [1, 2]
        assert answer["ok"][0]["url"] == "http://example.org/%C3%A4"
        assert answer["ok"][0]["path"] == "/docs"


async def test_an_unusable_request_adds_none_of_its_message(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path), client(path) as guest:
        for bad in ({"url": "ftp://x/y"}, {"path": "/../x"}, {"owner": ""}, {"url": 3}):
            answer = await guest.ask(do="add", requests=[REQUEST, REQUEST | bad])
            assert answer["kind"] == "refused"
    assert desk.book == {}


async def test_tasks_are_listed_by_what_is_asked(desk: PaperDesk, path: Path) -> None:
    for phase in (Phase.DONE, Phase.FETCHING, Phase.DONE):
        desk.write(phase=phase)
    async with opened(desk, path), client(path) as guest:

        async def ids(**which: object) -> list[int]:
            answer = await guest.ask(do="tasks", **which)
            assert isinstance(answer["ok"], list)
            return [task["id"] for task in answer["ok"]]

        assert await ids() == [3, 2, 1]
        assert await ids(phases=["done"], limit=1) == [3]
        assert await ids(statuses=[3]) == [2]
        assert await ids(ids=[1, 2, 9]) == [2, 1]
        assert await ids(before=3) == [2, 1]


async def test_wishes_questions_and_retries_are_passed_on(desk: PaperDesk, path: Path) -> None:
    desk.write()
    desk.write(phase=Phase.FAILED)
    async with opened(desk, path), client(path) as guest:
        answer = await guest.ask(do="wish", ids=[1, 9], wish="pause")
        assert answer["ok"] == [
            {"id": 1, "granted": True, "sentence": "will pause"},
            {"id": 9, "granted": False, "sentence": "no task 9"},
        ]
        assert await guest.ask(do="retry_failed") == {"ok": 1}
        assert await guest.ask(do="why", id=1) == {"ok": "all transfer slots are busy"}
        assert await guest.ask(do="why", id=9) == {"error": "no task 9", "kind": "unknown"}


@pytest.mark.parametrize(
    "words",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"3\n",
        b"{}\n",
        b'{"do":"fly"}\n',
        b'{"do":["add"]}\n',
        b'{"do":"wish","ids":[1],"wish":"fly"}\n',
        b'{"do":"wish","ids":1,"wish":"pause"}\n',
        b'{"do":"wish","ids":[true],"wish":"pause"}\n',
        b'{"do":"tasks","phases":["x"]}\n',
        b'{"do":"tasks","phases":[[]]}\n',
        b'{"do":"tasks","limit":0}\n',
        b'{"do":"why"}\n',
        b'{"do":"add","requests":[1]}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
async def test_nonsense_is_refused_and_the_talk_goes_on(desk: PaperDesk, path: Path, words: bytes) -> None:
    async with opened(desk, path), client(path) as guest:
        await guest.say(words)
        answer = json.loads(await guest.hear())
        assert answer["kind"] == "refused"
        assert await guest.ask(do="ping") == {"ok": "pong"}


async def test_a_line_without_an_end_is_cut_off(desk: PaperDesk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LONGEST_LINE", 1000)
    async with opened(desk, path), client(path) as guest:
        await guest.say(b"x" * 5000)
        assert json.loads(await guest.hear())["kind"] == "refused"
        assert await guest.hear() == b""


async def test_half_a_line_is_no_request(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path):
        async with client(path) as guest:
            await guest.say(json.dumps({"do": "add", "requests": [REQUEST]}).encode())
        async with client(path) as other:
            assert await other.ask(do="ping") == {"ok": "pong"}
    assert desk.book == {}


@pytest.mark.parametrize("closed", [True, False])
async def test_a_request_is_carried_out_only_while_somebody_listens(desk: PaperDesk, path: Path, closed: bool) -> None:
    """The client says all that it has to say before the door, frozen in between, comes to it."""
    loop = asyncio.get_running_loop()
    async with opened(desk, path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as guest:
            await loop.sock_connect(guest, str(path))
            assert (await loop.sock_recv(guest, 1000)).startswith(b'{"odl-daemon":')
            guest.sendall(json.dumps({"do": "add", "requests": [REQUEST]}).encode() + b"\n")
            if closed:
                guest.close()
            else:
                guest.shutdown(socket.SHUT_WR)
                assert (await loop.sock_recv(guest, 1000)).startswith(b'{"ok":')
        async with client(path) as other:
            assert await other.ask(do="ping") == {"ok": "pong"}
    assert len(desk.book) == (0 if closed else 1)


async def test_clients_that_leave_at_any_moment_harm_nobody(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path):
        for words in (b"", b"{", b'{"do":"tasks"}\n' * 50):
            async with client(path, greeted=False) as guest:
                await guest.say(words)
        async with client(path) as guest:
            assert await guest.ask(do="ping") == {"ok": "pong"}


async def test_a_silent_client_is_sent_away(desk: PaperDesk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SILENCE_LIMIT", 0.01)
    async with opened(desk, path), client(path) as guest:
        assert await guest.hear() == b""


async def test_more_guests_than_there_is_room_for_wait(
    desk: PaperDesk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MOST_GUESTS", 1)
    async with opened(desk, path):
        async with client(path), client(path, greeted=False) as second:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await second._reader.readline()
        async with client(path) as third:
            assert await third.ask(do="ping") == {"ok": "pong"}


async def test_a_desk_that_breaks_is_an_answer(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path), client(path) as guest:
        desk.breaks = StoreAway("the database does not answer")
        assert await guest.ask(do="tasks") == {"error": "the database does not answer", "kind": "away"}
        desk.breaks = RuntimeError("oops")
        assert (await guest.ask(do="tasks"))["kind"] == "broken"
        desk.breaks = None
        assert await guest.ask(do="tasks") == {"ok": []}


async def test_leaving_the_door_ends_every_talk(desk: PaperDesk, path: Path) -> None:
    async with opened(desk, path):
        reader, writer = await asyncio.open_unix_connection(path)
        await reader.readline()
    assert await reader.read() == b""
    writer.close()
