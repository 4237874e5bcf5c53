"""The laws of the message channel's door: a message becomes a task, a line in the log, or goes back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from odl_daemon.engine.allowance import Allowance
from odl_daemon.engine.bell import Bell
from odl_daemon.engine.desk import Desk, Refusal
from odl_daemon.engine.news import News
from odl_daemon.fittings import SeafileChannel
from odl_daemon.intake import events
from odl_daemon.intake.events import ChannelTrouble, EventsDoor
from odl_daemon.library.seaf_server import SeafServer as Calls
from odl_daemon.library.searpc import Searpc
from odl_daemon.model.task import Task
from odl_daemon.ports import Filter, StoreAway
from odl_daemon.store import SqlStore
from tests.intake.paper_desk import KEYLESS, PaperDesk
from tests.servers.seafile import VERSIONS, SeafServer
from tests.simulation.process import Process
from tests.simulation.world import BEGIN, World

REPO = "7cfae2a8-4d2f-4f0a-9d6d-3d1d8f1f0e10"
ALICE = "alice@example.org"
TABS = f"offline-file-upload\t{REPO}\t/docs\t{ALICE}\thttp://example.org/a.bin"
LOGIN = "user-login\tbob@example.org\t1700000000\t-1"
SPOKEN = {
    "msg_type": "offline-file-upload",
    "repo_id": REPO,
    "path": "/docs",
    "user_name": ALICE,
    "url": "http://example.org/a.bin",
}


class PaperChannel:
    """A queue in memory, away on demand. `at` tells when it was asked."""

    def __init__(self, *messages: str) -> None:
        self.queue = deque(messages)
        self.published: list[str] = []
        self.at: list[float] = []
        self.away: ChannelTrouble | None = None
        self.publishing_fails: ChannelTrouble | None = None
        self.others_are_quick = False
        """Whether somebody takes at once what is published."""
        self.hangs: asyncio.Event | None = None
        """The answer to a pop waits for it; the message is gone from the queue all the same."""
        self._changed = asyncio.Condition()
        self.empty = 0
        """How often a pop found nothing."""

    async def pop(self) -> str | None:
        self.at.append(asyncio.get_running_loop().time())
        if self.away is not None:
            await self._change()
            raise self.away
        popped = self.queue.popleft() if self.queue else None
        self.empty += popped is None
        await self._change()
        if self.hangs is not None:
            await self.hangs.wait()
        return popped

    async def publish(self, content: str) -> None:
        if self.publishing_fails is not None:
            await self._change()
            raise self.publishing_fails
        if not self.others_are_quick:
            self.queue.append(content)
        self.published.append(content)
        await self._change()

    async def _change(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(so)

    async def until_empty(self) -> None:
        """Everything that was in it has been worked off: the door has looked again."""
        before = self.empty
        await self.until(lambda: self.empty > before and not self.queue)


@asynccontextmanager
async def opened(door: EventsDoor) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(door.serve(), name="events door")
        yield serving
        serving.cancel()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with SqlStore(url=f"sqlite://{tmp_path / 'odl.db'}") as store:
        yield store


@pytest.fixture
def desk(store: SqlStore) -> Desk:
    def clock() -> datetime:
        return datetime.now(UTC)

    allowance = Allowance(store=store, clock=clock)
    return Desk(
        store=store, news=News(), bell=Bell(), clock=clock, allowance=allowance, keyring=KEYLESS, obstacle=lambda: None
    )


def door_at(channel: PaperChannel, desk: Desk | PaperDesk, *, shared: bool = False, **times: float) -> EventsDoor:
    counter = desk.as_desk if isinstance(desk, PaperDesk) else desk
    return EventsDoor(counter, channel, "odl.intake", shared=shared, **{"pause": 0.001, "rest": 0.001, **times})


async def tasks_of(desk: Desk, *messages: str) -> list[Task]:
    """What these messages become, the oldest first."""
    channel = PaperChannel(*messages)
    async with opened(door_at(channel, desk)):
        await channel.until_empty()
    return (await desk.tasks(Filter(), 1000))[::-1]


# --- messages


async def test_a_message_becomes_a_task_that_waits(desk: Desk) -> None:
    [task] = await tasks_of(desk, TABS)
    assert (task.owner, task.library, task.target) == (ALICE, REPO, "/docs")
    assert (task.url, task.phase) == ("http://example.org/a.bin", "waiting")


@pytest.mark.parametrize("key", ["user_name", "user", "email"])
async def test_the_json_form_says_the_same(desk: Desk, key: str) -> None:
    spoken = {name: word for name, word in SPOKEN.items() if name != "user_name"} | {key: ALICE, "more": [1, None]}
    one, other = await tasks_of(desk, TABS, json.dumps(spoken))
    assert (one.owner, one.library, one.target, one.url) == (other.owner, other.library, other.target, other.url)


async def test_link_and_folder_are_made_canonical_as_at_the_other_doors(desk: Desk) -> None:
    [task] = await tasks_of(desk, f"offline-file-upload\t{REPO}\t\t{ALICE}\tHTTP://example.org/ä#x")
    assert (task.url, task.target) == ("http://example.org/%C3%A4", "/")


async def test_messages_are_taken_in_their_order(desk: Desk) -> None:
    urls = [f"http://example.org/{number}" for number in range(20)]
    tasks = await tasks_of(desk, *(f"offline-file-upload\t{REPO}\t/\t{ALICE}\t{url}" for url in urls))
    assert [task.url for task in tasks] == urls


BAD = {
    "a field too few": f"offline-file-upload\t{REPO}\t/\t{ALICE}",
    "a field too many": f"{TABS}\t",
    "only the type": "offline-file-upload",
    "a file": f"offline-file-upload\t{REPO}\t/\t{ALICE}\tfile:///etc/passwd",
    "no link": f"offline-file-upload\t{REPO}\t/\t{ALICE}\tnot a url",
    "an empty link": f"offline-file-upload\t{REPO}\t/\t{ALICE}\t",
    "out of the library": f"offline-file-upload\t{REPO}\t/../x\t{ALICE}\thttp://example.org/",
    "no user": f"offline-file-upload\t{REPO}\t/\t\thttp://example.org/",
    "no library": f"offline-file-upload\t\t/\t{ALICE}\thttp://example.org/",
    "a long user": f"offline-file-upload\t{REPO}\t/\t{'x' * 256}\thttp://example.org/",
    "a long library": f"offline-file-upload\t{'x' * 37}\t/\t{ALICE}\thttp://example.org/",
    "two lines in the user": f"offline-file-upload\t{REPO}\t/\tx\ny\thttp://example.org/",
    "a number for the link": json.dumps(SPOKEN | {"url": 3}),
    "no path": json.dumps({name: word for name, word in SPOKEN.items() if name != "path"}),
    "no one": json.dumps(SPOKEN | {"user_name": None}),
    "half a letter": json.dumps(SPOKEN | {"user_name": "\ud800"}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("shared", [False, True])
async def test_a_bad_message_is_dropped_with_a_sentence_and_the_next_is_taken(
    bad: str, shared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    desk, channel = PaperDesk(), PaperChannel(bad, TABS)
    async with opened(door_at(channel, desk, shared=shared)):
        await channel.until_empty()
    assert [task.url for task in desk.book.values()] == ["http://example.org/a.bin"]
    assert channel.published == []
    [warning] = warnings(caplog)
    assert "odl.intake: dropped a bad message: " in warning


@pytest.mark.parametrize(("bad", "fields"), [(TABS.rpartition("\t")[0], 4), (f"{TABS}\tx", 6)])
async def test_the_log_tells_how_many_fields_a_message_has(
    bad: str, fields: int, caplog: pytest.LogCaptureFixture
) -> None:
    channel = PaperChannel(bad)
    async with opened(door_at(channel, PaperDesk())):
        await channel.until_empty()
    assert f"not {fields}" in caplog.text


FOREIGN = [
    "",
    "{",
    "[" * 100_000,
    '{"a":' * 100_000,
    '"x"',
    "[1]",
    "{}",
    '{"msg_type": ["x"]}',
    LOGIN,
    "x" * 10_000,
    "\n",
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=range(len(FOREIGN)))
async def test_in_a_channel_of_its_own_the_door_drops_what_is_not_for_it(
    foreign: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk, channel = PaperDesk(), PaperChannel(foreign, TABS)
    async with opened(door_at(channel, desk)):
        await channel.until_empty()
    assert (len(desk.book), channel.published) == (1, [])
    [warning] = warnings(caplog)
    assert "none of our messages" in warning
    assert len(warning) < 150
    assert "\n" not in warning


@pytest.mark.parametrize("breaks", [None, RuntimeError("oops")])
@pytest.mark.parametrize(
    "message",
    [
        f"offline-file-upload\t{REPO}\t/\t{ALICE}\thttp://me:s3cret@example.org/a?token=s3cret#s3cret",
        f"offline-file-upload\t{REPO}\t/\t{ALICE}\tftp://me:s3cret@example.org/a?token=s3cret",
        f"offline-file-upload\t{REPO}\t/\thttp://me:s3cret@example.org/a?token=s3cret\t{ALICE}",
        f"offline-file-upload\t{REPO}\t/\t{ALICE}\thttp://me:s3cret@example.org/a?token=\ts3cret",
        json.dumps(SPOKEN | {"url": "http://me:s3cret@example.org:x/a?token=s3cret"}),
        "http://me:s3cret@example.org/a?token=s3cret",
        '{"msg_type": "http://example.org/s3cret"}',
    ],
)
async def test_the_log_holds_no_secret_of_a_link(
    message: str, breaks: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk, channel = PaperDesk(), PaperChannel(message)
    desk.breaks = breaks
    async with opened(door_at(channel, desk)):
        await channel.until_empty()
    assert "odl.intake" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_message_that_breaks_the_desk_does_not_end_the_door(caplog: pytest.LogCaptureFixture) -> None:
    desk, channel = PaperDesk(), PaperChannel(TABS)
    desk.breaks = RuntimeError("oops")
    async with opened(door_at(channel, desk)):
        await channel.until_empty()
        desk.breaks = None
        await channel.publish(TABS)
        await channel.until_empty()
    assert len(desk.book) == 1
    assert f"{ALICE} asks for http://example.org/a.bin, to /docs in {REPO}" in caplog.text


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- its pace, on a clock of its own


@contextmanager
def played(life: Callable[[], Coroutine[None, None, None]]) -> Iterator[Callable[[float], None]]:
    """Runs it in a world where hours pass in no time; the function lets so many seconds pass."""
    world = World(Random(1))
    process = Process(world, "one", None)
    serving = process.loop.create_task(life(), name="events door")
    passed = 0.0

    def pass_(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        world.run(BEGIN + passed)
        assert not serving.done()

    try:
        yield pass_
    finally:
        process.die()


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 6) for earlier, later in pairwise(times)]


def test_an_empty_channel_is_asked_every_half_second_and_a_full_one_at_once() -> None:
    desk, channel = PaperDesk(), PaperChannel()
    with played(EventsDoor(desk.as_desk, channel, "odl.intake").serve) as pass_:
        pass_(1.2)
        assert gaps(channel.at) == [0.5, 0.5]
        channel.queue.extend([TABS] * 100)
        pass_(0.5)
    assert gaps(channel.at)[2:] == [0.5] + [0.0] * 100
    assert len(desk.book) == 100


def test_a_server_that_is_away_is_asked_ever_less_and_told_of_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk, channel = PaperDesk(), PaperChannel(TABS)
    channel.away = ChannelTrouble("no such socket", again=True)
    with played(EventsDoor(desk.as_desk, channel, "odl.intake").serve) as pass_:
        pass_(60)
        assert gaps(channel.at)[:7] == [0.5, 1, 2, 4, 8, 10, 10]
        channel.away = None
        pass_(10)
    assert len(desk.book) == 1
    told = [record.getMessage() for record in caplog.records if "task" not in record.getMessage()]
    assert told == [
        "the channel odl.intake of the Seafile server is away (no such socket): it is asked until it is back",
        "the channel odl.intake of the Seafile server is back",
    ]


def test_after_it_was_back_a_server_is_asked_soon_again() -> None:
    desk, channel = PaperDesk(), PaperChannel()
    channel.away = ChannelTrouble("no such socket", again=True)
    with played(EventsDoor(desk.as_desk, channel, "odl.intake").serve) as pass_:
        pass_(60)
        channel.away = None
        pass_(10)
        channel.away = ChannelTrouble("no such socket", again=True)
        before = len(channel.at)
        pass_(1.1)
    assert gaps(channel.at[before:])[:1] == [0.5]


def test_answers_that_did_not_come_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    desk, channel = PaperDesk(), PaperChannel()
    channel.away = ChannelTrouble("no answer", again=False)
    with played(EventsDoor(desk.as_desk, channel, "odl.intake").serve) as pass_:
        pass_(1)
        channel.away = None
        pass_(10)
    assert "2 calls failed that may each have taken a message along" in caplog.text


def test_while_the_database_refuses_the_message_stays_in_hand(caplog: pytest.LogCaptureFixture) -> None:
    desk, channel = PaperDesk(), PaperChannel(TABS, TABS)
    desk.breaks = StoreAway("the password is wrong")
    with played(EventsDoor(desk.as_desk, channel, "odl.intake").serve) as pass_:
        pass_(60)
        assert (len(channel.at), len(channel.queue)) == (1, 1)
        desk.breaks = None
        pass_(10)
    assert len(desk.book) == 2
    assert len(warnings(caplog)) == 1


# --- the end


class DeskOfAStoreThatWaits(PaperDesk):
    """As the desk is while the database is away: it says nothing until that is back."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.back = asyncio.Event()

    async def submit(self, requests: object) -> list[Task | Refusal]:
        self.asked.set()
        await self.back.wait()
        return await super().submit(requests)  # type: ignore[arg-type]  # what a door passes on


async def test_a_message_waits_in_hand_until_the_database_is_back() -> None:
    desk, channel = DeskOfAStoreThatWaits(), PaperChannel(TABS)
    async with opened(door_at(channel, desk)):
        await desk.asked.wait()
        desk.back.set()
        await channel.until_empty()
    assert (len(desk.book), channel.published) == (1, [])


async def test_a_message_that_did_not_become_a_task_goes_back_when_the_door_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk, channel = DeskOfAStoreThatWaits(), PaperChannel(TABS, LOGIN)
    async with opened(door_at(channel, desk, last_wait=0.01)):
        await desk.asked.wait()
    assert list(channel.queue) == [LOGIN, TABS]
    assert "put back a message" in caplog.text


async def test_a_closing_door_lets_a_message_in_hand_become_a_task() -> None:
    desk, channel = DeskOfAStoreThatWaits(), PaperChannel(TABS, TABS)
    async with opened(door_at(channel, desk)) as serving:
        await desk.asked.wait()
        serving.cancel()
        await asyncio.sleep(0)
        desk.back.set()
    assert (len(desk.book), channel.published, len(channel.queue)) == (1, [], 1)


async def test_a_message_that_is_on_its_way_when_the_door_closes_becomes_a_task() -> None:
    desk, channel = PaperDesk(), PaperChannel(TABS)
    channel.hangs = asyncio.Event()
    async with opened(door_at(channel, desk)) as serving:
        await channel.until(lambda: not channel.queue)
        serving.cancel()
        await asyncio.sleep(0)
        channel.hangs.set()
    assert (len(desk.book), channel.published) == (1, [])


async def test_a_door_at_rest_closes_at_once() -> None:
    channel = PaperChannel()
    async with opened(door_at(channel, PaperDesk(), pause=1000, last_wait=1000)):
        await channel.until(lambda: channel.empty == 1)


async def test_a_message_that_cannot_go_back_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    desk, channel = DeskOfAStoreThatWaits(), PaperChannel(TABS)
    channel.publishing_fails = ChannelTrouble("no such socket", again=True)
    async with opened(door_at(channel, desk, last_wait=0.01)):
        await desk.asked.wait()
    [error] = warnings(caplog)
    assert error == (
        "the channel odl.intake: a message cannot be put back (no such socket): "
        f"{ALICE} asks for http://example.org/a.bin, to /docs in {REPO}"
    )


# --- a shared channel


def test_in_a_shared_channel_what_is_for_others_goes_back_and_ours_is_found_behind_it() -> None:
    desk, channel = PaperDesk(), PaperChannel("a", "b", TABS, "c")
    with played(EventsDoor(desk.as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(0.1)
        assert len(desk.book) == 1
        assert sorted(channel.queue) == ["a", "b", "c"]
        assert channel.published == ["a", "b", "c", "a"]


def test_what_nobody_takes_is_dropped_after_a_rest(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    channel = PaperChannel("user-login\ta", "user-login\tb")
    with played(EventsDoor(PaperDesk().as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(1.9)
        assert sorted(channel.queue) == ["user-login\ta", "user-login\tb"]
        pass_(0.2)
        assert len(channel.queue) == 0
        pass_(60)
        assert len(channel.published) == 3
    assert caplog.text.count("dropped what nobody takes: user-login") == 2


def test_what_others_take_is_no_longer_known_to_the_door() -> None:
    """The same words may be said again."""
    channel = PaperChannel("a", "b")
    with played(EventsDoor(PaperDesk().as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(1)
        channel.queue.clear()
        pass_(2)
        channel.queue.extend(["a", "b"])
        pass_(1)
        assert sorted(channel.queue) == ["a", "b"]


def test_a_round_ends_with_the_channel_when_others_took_everything() -> None:
    desk, channel = PaperDesk(), PaperChannel("a")
    channel.others_are_quick = True
    with played(EventsDoor(desk.as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(0.1)
        channel.queue.extend(["a", TABS])
        pass_(0.5)
        assert len(desk.book) == 1


def test_among_messages_of_the_same_words_none_is_dropped_that_just_came() -> None:
    channel = PaperChannel("a")
    with played(EventsDoor(PaperDesk().as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(1)
        channel.queue.append("a")
        pass_(1.5)
        assert list(channel.queue) == ["a"]


def test_two_doors_at_one_channel_do_not_chase_each_other() -> None:
    desk, channel = PaperDesk(), PaperChannel("a", "b", TABS, "c")
    doors = [EventsDoor(desk.as_desk, channel, "seahub.stats", shared=True) for _ in range(2)]

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            for door in doors:
                group.create_task(door.serve(), name="one of two doors")

    with played(both) as pass_:
        pass_(1.9)
        assert len(channel.published) < 20
        assert sorted(channel.queue) == ["a", "b", "c"]
        pass_(60)
        assert len(channel.published) < 40
    assert (len(desk.book), len(channel.queue)) == (1, 0)


def test_a_long_queue_that_nobody_reads_is_got_through_in_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_PUT_BACK", 10)
    desk, channel = PaperDesk(), PaperChannel(*map(str, range(100)), TABS)
    with played(EventsDoor(desk.as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(0.1)
        assert len(desk.book) == 1
        assert sorted(channel.queue) == sorted(map(str, range(10)))


@pytest.mark.parametrize("again", [True, False])
def test_what_is_for_others_is_put_back_again_only_if_it_surely_was_not(
    again: bool, caplog: pytest.LogCaptureFixture
) -> None:
    channel = PaperChannel("a")
    channel.publishing_fails = ChannelTrouble("no answer", again=again)
    with played(EventsDoor(PaperDesk().as_desk, channel, "seahub.stats", shared=True).serve) as pass_:
        pass_(1)
        channel.publishing_fails = None
        pass_(10)
    assert channel.published[:1] == (["a"] if again else [])
    assert ("perhaps a message was not put back" in caplog.text) is not again


# --- a real server


class ServersChannel(SeafileChannel):
    """The app's channel of a server, which tells what was taken."""

    def __init__(self, server: SeafServer, name: str) -> None:
        super().__init__(Calls(Searpc(server.socket, limit=5)), name)
        self._taken: asyncio.Queue[str] = asyncio.Queue()

    async def pop(self) -> str | None:
        content = await super().pop()
        if content is not None:
            self._taken.put_nowait(content)
        return content

    async def taken(self) -> str:
        """The next message that the door takes, when it has it in hand."""
        async with asyncio.timeout(20):
            return await self._taken.get()


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_published_at_a_server_becomes_tasks_over_its_restart(
    version: str, tmp_path: Path, desk: Desk
) -> None:
    async with SeafServer(tmp_path / "seafile", version=version) as server:
        channel, other = (ServersChannel(server, name) for name in ("odl.intake", "seahub.stats"))
        await other.publish(LOGIN)
        await channel.publish(TABS)
        async with opened(EventsDoor(desk, channel, "odl.intake", pause=0.01, longest_wait=0.02)):
            await channel.publish(json.dumps(SPOKEN))
            assert [await channel.taken(), await channel.taken()] == [TABS, json.dumps(SPOKEN)]
            assert await other.pop() == LOGIN
            await server.restart()
            await channel.publish(TABS)
            assert await channel.taken() == TABS
        assert await channel.pop() is None
    assert [task.owner for task in await desk.tasks(Filter(), 9)] == [ALICE] * 3


async def test_a_message_goes_back_into_the_server_and_is_taken_by_the_next_daemon(tmp_path: Path, desk: Desk) -> None:
    async with SeafServer(tmp_path / "seafile") as server:
        channel = ServersChannel(server, "odl.intake")
        await channel.publish(TABS)
        away = DeskOfAStoreThatWaits()
        async with opened(EventsDoor(away.as_desk, channel, "odl.intake", last_wait=0.01)):
            assert await channel.taken() == TABS
        async with opened(EventsDoor(desk, channel, "odl.intake", pause=0.01)):
            assert await channel.taken() == TABS
        assert await channel.pop() is None
    assert len(await desk.tasks(Filter(), 9)) == 1
