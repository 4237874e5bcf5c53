"""The stream of what moves, from a daemon that downloads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.until import until
from tests.http.client import Client, Event, until_event
from tests.http.conftest import ANN, House, house
from tests.servers.origin import Origin, Page, content

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASKS = "/api/v1/tasks"
EVENTS = "/api/v1/events"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("http"), download={"slots": 5}) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as origin:
        yield origin


@pytest.fixture
async def ann(busy: House, request: pytest.FixtureRequest) -> Client:
    """Somebody who has no tasks yet."""
    return await busy.client(f"{request.node.name}@example.com"[-60:])


def file(origin: Origin, name: str, *, held: bool = False) -> str:
    """A file, whose bytes stop in the middle until its page's gate is opened."""
    page = Page(content(200_000), gate=asyncio.Event() if held else None, gate_at=100_000)
    origin.pages[name] = page
    return origin.url(name)


def let_go(origin: Origin, name: str) -> None:
    gate = origin.pages[name].gate
    assert gate is not None
    gate.set()


async def until_phase(events: AsyncIterator[Event], phase: str) -> dict[str, Any]:
    """The next task that the stream tells of in this phase."""
    async for event in events:
        for task in event.data["tasks"] if event.name == "tasks" else []:
            if task["phase"] == phase:
                found: dict[str, Any] = task
                return found
    raise AssertionError(f"the stream ended before {phase}")


async def test_the_greeting_comes_first_and_can_be_come_back_to(ann: Client) -> None:
    async with ann.events() as events:
        hello = await anext(events)
    assert (hello.name, hello.data["now"][-1:]) == ("hello", "Z")
    async with ann.events(last=hello.id) as events:
        assert await anext(events) == Event("hello", ANY, hello.id)


class _Any:
    def __eq__(self, _: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY = _Any()


async def test_a_task_is_followed_from_its_coming_to_its_end(ann: Client, origin: Origin) -> None:
    async with ann.events() as events:
        await until_event(events, "hello")
        (task_id,) = await ann.add(file(origin, "/held", held=True))
        half = await until_phase(events, "fetching")
        assert (half["id"], half["total"]) == (task_id, 200_000)
        counts = await until_event(events, "counts")
        assert counts.data == {"all": 1, "active": 1, "waiting": 0, "done": 0, "failed": 0}
        let_go(origin, "/held")
        done = await until_phase(events, "done")
        assert (await until_event(events, "counts")).data["done"] == 1
    assert done == (await ann.get(f"{TASKS}/{task_id}"))["task"]
    assert (done["progress"], done["name"]) == (1.0, "held")


async def test_a_row_of_somebody_else_is_told_of_when_it_is_adopted(tmp_path: Path) -> None:
    async with (
        house(tmp_path / "idle", daemon={"enabled": False}, intake={"poll": 0.2}) as idle,
        idle.ann.events() as events,
    ):
        idle.sql(
            "INSERT INTO OfflineDownloadRecord (repo_id, path, url, owner, timestamp, size, status, comment)"
            " VALUES ('default', '/', 'http://example.org/a', ?, '2026-01-02 03:04:05', 0, 1, '')",
            (ANN,),
        )
        assert (await until_phase(events, "waiting"))["url"] == "http://example.org/a"


async def test_figures_move_while_a_file_comes_and_counts_stay_silent(ann: Client, origin: Origin) -> None:
    data = content(400_000)
    gate = asyncio.Event()
    origin.pages["/slow"] = Page(data, gate=gate, gate_at=150_000)
    async with ann.events() as events:
        await ann.add(origin.url("/slow"))
        while (task := await until_phase(events, "fetching"))["done"] < 100_000:
            pass
        assert 0 < task["progress"] < 1
        began, names = time.monotonic(), []
        async for event in events:
            names.append(event.name)
            if len(names) == 3:
                break
        gate.set()
    assert names.count("counts") <= 1
    assert time.monotonic() - began > 1.5


async def test_a_piece_comes_at_most_once_a_second(ann: Client, origin: Origin) -> None:
    links = [file(origin, f"/many{number}") for number in range(30)]

    async def hand_over() -> None:
        for link in links:
            await ann.add(link)
            await asyncio.sleep(0.1)  # over three seconds: that they make few pieces is what is shown

    async with ann.events() as events, asyncio.TaskGroup() as group:
        group.create_task(hand_over(), name="somebody who hands over")
        times: dict[str, float] = {}
        done = 0
        while done < len(links):
            event = await anext(events)
            if event.name == "tasks":
                times[event.id] = time.monotonic()
                done += sum(task["phase"] == "done" for task in event.data["tasks"])
    gaps = [later - earlier for earlier, later in zip(times.values(), [*times.values()][1:], strict=False)]
    assert len(gaps) >= 2
    assert min(gaps) > 0.7


async def test_nobody_hears_of_anybody_elses_tasks(busy: House, ann: Client, origin: Origin) -> None:
    async with ann.events() as mine, busy.boss.events(owner="*") as all_, busy.boss.events() as own:
        for events in (mine, all_, own):
            await until_event(events, "hello")
        (theirs,) = await busy.bob.add(file(origin, "/theirs"))
        assert (await until_phase(all_, "done"))["id"] == theirs
        (task_id,) = await ann.add(file(origin, "/mine"))
        async for event in mine:
            assert event.name != "tasks" or {task["id"] for task in event.data["tasks"]} == {task_id}
            if event.name == "counts" and event.data["done"] == 1:
                break
        (bosses,) = await busy.boss.add(file(origin, "/bosses"))
        assert (await until_phase(own, "done"))["id"] == bosses


async def test_another_users_stream_is_for_admins(busy: House) -> None:
    for owner in ("*", "bob@example.com"):
        told = await busy.ann.ask("GET", EVENTS, query={"owner": owner})
        assert (told.status, told.reason) == (403, "admins_only")
    async with busy.ann.events(owner=ANN) as events:
        assert (await anext(events)).name == "hello"
    async with busy.boss.events(owner=ANN) as events:
        assert (await anext(events)).name == "hello"
    assert (await busy.nobody.ask("GET", EVENTS)).status == 401


async def test_who_comes_back_goes_on_where_he_was(ann: Client, origin: Origin) -> None:
    seen: list[tuple[str, str]] = []
    async with ann.events() as events:
        (first,) = await ann.add(file(origin, "/first"))
        await until_phase(events, "done")
        last = (await until_event(events, "counts")).id
    (second,) = await ann.add(file(origin, "/second"))
    await until(lambda: is_done(ann, second))
    await asyncio.sleep(1.2)  # a piece more than his absence needs
    (third,) = await ann.add(file(origin, "/third"))
    async with ann.events(last=last) as events:
        done: set[int] = set()
        async for event in events:
            seen.append((event.name, event.id))
            if event.name == "tasks":
                done |= {task["id"] for task in event.data["tasks"] if task["phase"] == "done"}
            if event.name == "counts" and third in done:
                break
    assert done == {second, third}
    assert first not in done
    assert seen[0] == ("hello", last)
    assert "reset" not in {name for name, _ in seen}
    numbers = sorted({int(mark.rpartition("-")[2]) for _, mark in seen})
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


async def is_done(client: Client, task_id: int) -> bool:
    phase: str = (await client.get(f"{TASKS}/{task_id}"))["task"]["phase"]
    return phase == "done"


@pytest.mark.parametrize(
    "last", ["deadbeef-3", "x", "-", "-1", "9" * 400, "deadbeef-\N{SUPERSCRIPT TWO}", "deadbeef--1"]
)
async def test_who_cannot_go_on_where_he_was_is_told_to_read_anew(ann: Client, last: str) -> None:
    async with ann.events(last=last) as events:
        assert [(await anext(events)).name for _ in range(2)] == ["hello", "reset"]


async def test_a_crowd_that_moves_at_once_is_read_anew(ann: Client) -> None:
    links = [f"http://127.0.0.1:1/{number}" for number in range(100)]
    async with ann.events() as events:
        await until_event(events, "hello")
        await asyncio.gather(*(ann.add(*links) for _ in range(7)))
        names = []
        async for event in events:
            names.append(event.name)
            if event.name == "counts" and event.data["all"] == 700:
                break
    assert "reset" in names
    await ann.post(f"{TASKS}/bulk", {"wish": "cancel", "tab": "all"})


async def test_a_proxy_that_speaks_http_1_0_gets_the_stream_too(busy: House) -> None:
    host, _, port = busy.base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {EVENTS} HTTP/1.0\r\nHost: {host}:{port}\r\nAuthorization: Bearer {busy.ann.token}\r\n\r\n".encode()
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.0 200")
    assert "chunked" not in head.lower()
    assert await reader.readline() == b"retry: 2000\n"
    writer.close()


async def test_one_user_may_watch_a_hundred_times(busy: House) -> None:
    client = await busy.client("watcher@example.com")
    async with asyncio.TaskGroup() as group:
        over, ready = asyncio.Event(), asyncio.Semaphore(0)

        async def watch() -> None:
            async with client.events() as events:
                await anext(events)
                ready.release()
                await over.wait()

        for number in range(100):
            group.create_task(watch(), name=f"watcher {number}")
        for _ in range(100):
            await ready.acquire()
        told = await client.ask("GET", EVENTS)
        assert (told.status, told.reason) == (429, "too_many_streams")
        assert (await client.ask("GET", "/api/v1/me")).status == 200
        over.set()

    async def free() -> bool:
        async with client.events() as events:
            return (await anext(events)).name == "hello"

    assert await until(free)


async def test_a_daemon_that_stops_does_not_wait_for_watchers_and_tells_them_after_it_started(
    busy: House, origin: Origin
) -> None:
    async with busy.ann.events() as events:
        await busy.ann.add(file(origin, "/before"))
        await until_phase(events, "done")
        last = (await until_event(events, "counts")).id
        began = time.monotonic()
        assert await busy.daemon.stop() == 0
        assert time.monotonic() - began < 5
    assert "Traceback" not in busy.daemon.log()
    await busy.daemon.start()

    async def greeted() -> list[str]:
        try:
            async with busy.ann.events(last=last) as events:
                return [(await anext(events)).name for _ in range(2)]
        except OSError:
            return []

    assert await until(greeted) == ["hello", "reset"]
