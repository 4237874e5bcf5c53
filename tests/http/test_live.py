"""What moves, gathered into pieces: nothing is missed unnoticed, and who reads slowly costs nobody anything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from odl_daemon.engine.desk import Desk
from odl_daemon.engine.keyring import Keyring
from odl_daemon.engine.news import News
from odl_daemon.intake.http import stream
from odl_daemon.intake.http.doorman import Doorman
from odl_daemon.intake.http.live import EVERYBODY, KEPT, MOST, Live, Watch
from odl_daemon.intake.http.people_api import Place
from odl_daemon.intake.http.server import Address, HttpDoor
from odl_daemon.model.keys import Principal
from odl_daemon.model.task import Phase, Progress, Task
from tests.acceptance.until import until
from tests.engine.test_keyring import Clock, Drawer
from tests.http.client import WELL, Client, until_event
from tests.http.conftest import until_answered
from tests.intake.paper_desk import PaperDesk
from tests.servers.ports import free_port

TICK = 0.02


class LiveDesk(PaperDesk):
    """A desk of paper from which there is news."""

    def __init__(self) -> None:
        super().__init__()
        self.news = News()
        self.clock = Clock()
        self.keyring = Keyring(Drawer(), self.clock)
        self.counted = 0
        self.is_away = False

    def away(self) -> bool:
        return self.is_away

    async def phases(self, owner: str = "") -> dict[Phase, int]:
        self.counted += 1
        if self.breaks:
            raise self.breaks
        return {Phase.WAITING: len(self.book)}

    def move(self, owner: str = "ann", phase: Phase = Phase.FETCHING, done: int = 0, url: str = "http://h/a") -> Task:
        """A new task that moves."""
        task = self.write(url, owner=owner, phase=phase, progress=Progress(done, None))
        self.news.publish(task)
        return task


@pytest.fixture
def desk() -> LiveDesk:
    return LiveDesk()


@pytest.fixture
async def live(desk: LiveDesk) -> AsyncIterator[Live]:
    live = Live(cast(Desk, desk), TICK)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(live.run(), name="live view")
        await asyncio.sleep(0)
        yield live
        running.cancel()


@contextmanager
def watching(live: Live, owner: str = "ann", last: str = "") -> Iterator[Watch]:
    with live.watching(owner, last) as watch:
        yield watch


def events(piece: bytes) -> list[tuple[str, Any]]:
    """Names and contents of a piece."""
    found = []
    for block in piece.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def mark(piece: bytes) -> str:
    return next(line[4:] for line in piece.decode().splitlines() if line.startswith("id: "))


async def test_a_piece_has_each_task_once_as_it_is_now(desk: LiveDesk, live: Live) -> None:
    with watching(live) as watch:
        task = desk.move()
        for done in (1, 2, 3):
            desk.news.progress(task, Progress(done, 10))
        (name, told), (counts, _) = events(await watch.next(5))
    assert (name, counts) == ("tasks", "counts")
    assert [(each["id"], each["done"]) for each in told["tasks"]] == [(task.id, 3)]


async def test_counts_are_asked_for_when_a_phase_changes_and_not_for_figures(desk: LiveDesk, live: Live) -> None:
    with watching(live) as watch:
        task = desk.move()
        await watch.next(5)
        assert desk.counted == 1
        for done in range(1, 5):
            desk.news.progress(task, Progress(done, 10))
            assert [name for name, _ in events(await watch.next(5))] == ["tasks"]
        assert desk.counted == 1
        desk.news.publish(replace(task, phase=Phase.DONE))
        assert [name for name, _ in events(await watch.next(5))] == ["tasks", "counts"]
        assert desk.counted == 2


async def test_nothing_is_gathered_for_nobody(desk: LiveDesk, live: Live) -> None:
    for owner in ("ann", EVERYBODY):
        with watching(live, owner):
            pass
    await asyncio.sleep(TICK * (KEPT + 10))  # as long as somebody might come back
    desk.move()
    await asyncio.sleep(TICK * 5)  # and some ticks more
    assert (desk.counted, live.watchers, live._audiences) == (0, 0, {})


async def test_who_comes_back_in_time_misses_nothing(desk: LiveDesk, live: Live) -> None:
    with watching(live) as watch:
        last = mark(watch.greeting())
    moved = []
    for _ in range(3):
        moved.append(desk.move().id)
        await asyncio.sleep(TICK * 3)  # a piece each
    with watching(live, last=last) as watch:
        assert [name for name, _ in events(watch.greeting())] == ["hello"]
        seen = [events(await watch.next(5))[0][1]["tasks"][0]["id"] for _ in moved]
    assert seen == moved


async def test_who_comes_back_too_late_reads_anew(desk: LiveDesk, live: Live) -> None:
    with watching(live) as away, watching(live) as watch:
        last = mark(away.greeting())
        for _ in range(KEPT + 1):
            desk.move()
            assert await watch.next(5)
    with watching(live, last=last) as watch:
        assert [name for name, _ in events(watch.greeting())] == ["hello", "reset"]


async def test_a_mark_of_an_audience_that_is_no_more_is_not_taken_for_one_of_the_next(
    desk: LiveDesk, live: Live
) -> None:
    with watching(live) as watch:
        for _ in range(3):
            desk.move()
            last = mark(await watch.next(5))
    await until(lambda: not live._audiences)
    with watching(live) as watch:
        for _ in range(4):
            desk.move()
            await watch.next(5)
        with watching(live, last=last) as late:
            assert [name for name, _ in events(late.greeting())] == ["hello", "reset"]


async def test_who_reads_more_slowly_than_it_comes_reads_anew_and_goes_on(desk: LiveDesk, live: Live) -> None:
    with watching(live) as slow, watching(live) as watch:
        for _ in range(KEPT + 5):
            desk.move()
            newest = await watch.next(5)
        piece = await slow.next(5)
        assert events(piece) == [("reset", {})]
        assert mark(piece) == mark(newest)
        last = desk.move()
        assert events(await slow.next(5))[0][1]["tasks"][0]["id"] == last.id


async def test_a_crowd_in_one_piece_is_a_reset(desk: LiveDesk, live: Live) -> None:
    with watching(live) as watch:
        for _ in range(MOST):
            desk.move()
        assert [name for name, _ in events(await watch.next(5))] == ["tasks", "counts"]
        for _ in range(MOST + 1):
            desk.move()
        assert [name for name, _ in events(await watch.next(5))] == ["reset", "counts"]


async def test_while_the_database_is_away_figures_move_on_and_counts_follow_later(desk: LiveDesk, live: Live) -> None:
    desk.is_away = True
    with watching(live) as watch:
        task = desk.move()
        assert [name for name, _ in events(await watch.next(5))] == ["tasks"]
        desk.is_away = False
        desk.news.progress(task, Progress(5, 10))
        assert [name for name, _ in events(await watch.next(5))] == ["tasks", "counts"]


async def test_a_piece_that_cannot_be_made_does_not_end_the_others(
    desk: LiveDesk, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    with watching(live) as watch:
        desk.breaks = RuntimeError("broken")
        desk.move()
        await until(lambda: "the live view broke" in caplog.text)
        desk.breaks = None
        desk.move()
        assert await watch.next(5)


async def test_names_that_no_text_can_hold_make_a_piece_all_the_same(desk: LiveDesk, live: Live) -> None:
    with watching(live) as watch:
        desk.move(url="http://h/\ud800\n\nevent: counts\r\rdata: {}\n\n\u2028")
        piece = await watch.next(5)
    assert [name for name, _ in events(piece)] == ["tasks", "counts"]
    assert b"\r" not in piece


# --- over a socket


class Door:
    def __init__(self, desk: LiveDesk, door: HttpDoor, port: int) -> None:
        self.desk, self.door, self.port = desk, door, port
        self.base = f"http://127.0.0.1:{port}"

    async def client(self, owner: str) -> Client:
        secret, _ = await self.desk.keyring.make(Principal(owner))
        return Client(self.base, secret)


@pytest.fixture
async def door(desk: LiveDesk) -> AsyncIterator[Door]:
    port = free_port()
    place = Place(local=True, libraries=lambda: None, blocks=lambda: [])
    http = HttpDoor(
        desk=cast(Desk, desk),
        doorman=Doorman(desk.keyring),
        place=place,
        address=Address(f"127.0.0.1:{port}"),
        vitals=WELL,
    )
    http.live = stream_live = Live(cast(Desk, desk), TICK)
    http._stream = stream.Stream(stream_live, Doorman(desk.keyring), desk.away)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(http.serve(), name="HTTP door")
        await until_answered(f"http://127.0.0.1:{port}")
        yield Door(desk, http, port)
        serving.cancel()


async def test_a_reader_who_does_not_read_is_cut_off_and_the_others_see_all(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "TAKE_LIMIT", 0.3)
    ann = await door.client("ann")
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", door.port))
    await loop.sock_sendall(
        deaf, f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode()
    )
    await until(lambda: door.door.live.watchers == 1)
    async with ann.events() as mine:
        await until_event(mine, "hello")
        seen = 0
        while door.door.live.watchers == 2:
            for _ in range(100):
                door.desk.move(url="http://h/" + "x" * 4000)
            seen += len((await until_event(mine, "tasks")).data["tasks"])
        assert seen == len(door.desk.book)
    deaf.close()
    assert caplog.text == ""


async def test_a_silent_stream_is_kept_alive_by_words_that_mean_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BREATH", 0.1)
    monkeypatch.setattr(stream, "CHECK", 0.05)
    ann = await door.client("ann")
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(
        f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ann.token}\r\n\r\n".encode()
    )
    for _ in range(3):
        await reader.readuntil(b": still here\n\n")
    writer.close()


async def test_who_leaves_is_forgotten_at_once(door: Door) -> None:
    ann = await door.client("ann")
    async with ann.events() as mine:
        await until_event(mine, "hello")
        assert door.door.live.watchers == 1
    await until(lambda: door.door.live.watchers == 0, within=2)


async def test_who_watches_goes_on_watching_while_nobody_can_say_whether_he_may(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHECK", 0.05)
    ann = await door.client("ann")
    async with ann.events() as mine:
        await until_event(mine, "hello")
        looks = 0

        async def never(_: object) -> None:
            nonlocal looks
            looks += 1
            await asyncio.Event().wait()

        monkeypatch.setattr(door.desk.keyring, "_find", never)
        await until(lambda: looks > 1)
        door.desk.is_away = True
        for _ in range(5):
            door.desk.move()
            await until_event(mine, "tasks")
