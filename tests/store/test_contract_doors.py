"""What the doors ask of the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.model.task import Fetched, FetchedFile, Intent, Phase, Placement, Progress, Reason, Status, Wish
from odl_daemon.ports import Filter, Request
from tests.store.conftest import AT, Place, added, inserted, later, request, shown

EVERY = frozenset(Phase)


async def test_an_added_record_is_a_waiting_task_and_a_row_that_others_can_read(place: Place) -> None:
    asked = Request("ann@x", "a-library", "/in/b", "http://host/a?b=%20c&d=:e", name="wanted %s.txt")
    async with place.store() as store:
        [task] = await store.add([asked], AT)
        [read] = await store.tasks(Filter(ids=(task.id,)), 10)
    assert read == task
    assert (task.owner, task.library, task.path, task.target) == ("ann@x", "a-library", "/in/b", "/in/b")
    assert (task.url, task.name, task.phase) == (asked.url, asked.name, Phase.WAITING)
    assert (task.created, task.changed) == (AT, AT)
    [row] = await place.run("SELECT repo_id, path, url, owner, size, status, comment FROM OfflineDownloadRecord")
    assert tuple(row) == ("a-library", "/in/b", asked.url, "ann@x", 0, 1, "")
    [stamp] = await place.run("SELECT CAST(timestamp AS CHAR) FROM OfflineDownloadRecord")
    assert stamp[0].startswith("2025-01-02 03:04:05")


async def test_a_record_that_is_added_paused_is_nobodys_to_claim(place: Place) -> None:
    async with place.store() as store:
        [task] = await store.add([replace(request(), paused=True)], AT)
        [read] = await store.tasks(Filter(ids=(task.id,)), 10)
        claimed = await store.claim("me", 10, {}, AT)
    assert read == task
    assert (task.phase, task.wish, claimed) == (Phase.PAUSED, None, [])
    assert (await shown(place, task.id))[:2] == (2, "paused")


async def test_records_come_back_in_the_order_in_which_they_were_asked_for(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 700)
    assert [task.url for task in tasks] == [f"http://host/ann@x/{number}" for number in range(700)]
    assert [task.id for task in tasks] == sorted(task.id for task in tasks)


async def test_adding_nothing_is_nothing(place: Place) -> None:
    async with place.store() as store:
        assert await store.add([], AT) == []


async def test_all_tasks_come_in_pages_the_newest_first(place: Place) -> None:
    async with place.store() as store:
        ids = [task.id for task in await added(store, 25)]
        first = await store.tasks(Filter(), 10)
        second = await store.tasks(Filter(), 10, before=first[-1].id)
        third = await store.tasks(Filter(), 10, before=second[-1].id)
        assert await store.count(Filter()) == 25
    assert [task.id for task in first + second + third] == ids[::-1]
    assert len(third) == 5


async def test_the_tasks_of_a_user_come_in_pages_the_newest_first(place: Place) -> None:
    async with place.store() as store:
        await added(store, 5, owner="ann@x")
        ids = [task.id for task in await added(store, 5, owner="bob@x")]
        await added(store, 5, owner="Bob@x")
        first = await store.tasks(Filter(owner="bob@x"), 3)
        second = await store.tasks(Filter(owner="bob@x"), 3, before=first[-1].id)
        assert await store.count(Filter(owner="bob@x")) == 5
    assert [task.id for task in first + second] == ids[::-1]


async def test_tasks_are_found_by_status_and_by_phase(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 4)
        old = [await inserted(place, status=status) for status in (0, 2, 5, 99)]
        [held] = await store.claim("h", 1, {}, AT)
        paused = advance(tasks[1], Event.PAUSED, at=AT)
        failed = advance(tasks[2], Event.FAILED, at=AT, comment="no")
        assert len(await store.settle([paused, failed])) == 2

        async def by_status(*statuses: Status) -> list[int]:
            return [task.id for task in await store.tasks(Filter(statuses=frozenset(statuses)), 100)][::-1]

        async def by_phase(*phases: Phase) -> list[int]:
            return [task.id for task in await store.tasks(Filter(phases=frozenset(phases)), 100)][::-1]

        assert await by_status(Status.WAITING) == [tasks[3].id]
        assert await by_status(Status.QUEUING) == [held.id, paused.id, old[1]]
        assert await by_status(Status.ERROR) == [failed.id, old[2]]
        assert await by_status(Status.UNKNOWN) == [old[0], old[3]]
        assert await by_phase(Phase.PAUSED) == [paused.id]
        assert await by_phase(Phase.QUEUED) == [held.id, old[1]]
        assert await by_phase(Phase.FAILED, Phase.WAITING) == [failed.id, tasks[3].id, old[2]]
        assert await by_phase(Phase.UNKNOWN) == [old[0], old[3]]
        assert await store.count(Filter(phases=frozenset({Phase.FAILED}))) == 2


async def test_everything_that_is_known_of_a_task_is_kept(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        files = (FetchedFile("a/ü😀.txt", 2**40), FetchedFile("b", 0))
        full = replace(
            advance(task, Event.FETCHED, at=later(7)),
            fetched=Fetched(files, "h"),
            intent=Intent("/in/ü", (Placement("a", "/in/ü", 5, "ab" * 32, "id"),)),
            progress=Progress(2**40, 2**41, 0, '"etag" \\ 日本'),
            reason=Reason.SERVER_BUSY,
            attempt=3,
            strikes=2,
            spent=12.3456789,
        )
        await store.save(full)
        [read] = await store.tasks(Filter(ids=(task.id,)), 1)
    assert read == full


async def test_status_comment_size_and_path_of_a_record_are_shown(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        assert await shown(place, task.id) == (2, "", "/in", 0)
        task = advance(task, Event.STARTED, at=AT)
        await store.save(task)
        assert await shown(place, task.id) == (3, "", "/in", 0)
        task = advance(task, Event.FETCHED, at=AT)
        await store.save(task)
        assert await shown(place, task.id) == (3, "", "/in", 0)
        task = advance(task, Event.COMMITTED, at=AT, path="/in/file.txt", size=17)
        await store.save(task)
        assert await shown(place, task.id) == (4, "", "/in/file.txt", 17)
        [read] = await store.tasks(Filter(ids=(task.id,)), 1)
    assert (read.path, read.target, read.size, read.phase) == ("/in/file.txt", "/in", 17, Phase.DONE)


async def test_a_failed_record_says_why(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        await store.save(advance(task, Event.FAILED, at=AT, comment="it isn't there: 100% \\ 'gone'"))
        assert await shown(place, task.id) == (5, "it isn't there: 100% \\ 'gone'", "/in", 0)


async def test_a_row_without_a_task_is_read_by_its_status(place: Place) -> None:
    async with place.store() as store:
        done = await inserted(place, status=4, path="/in/file")
        odd = await inserted(place, status=42)
        tasks = {task.id: task for task in await store.tasks(Filter(), 10)}
    assert tasks[done].phase is Phase.DONE
    assert tasks[done].path == "/in/file"
    assert tasks[odd].phase is Phase.UNKNOWN


async def test_a_wish_reaches_only_tasks_in_the_named_phases(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 3)
        await store.settle([advance(tasks[2], Event.FAILED, at=AT)])
        ids = [task.id for task in tasks]
        allowed = frozenset({Phase.WAITING, Phase.QUEUED})
        assert sorted(await store.wish([*ids, 999], Wish.CANCEL, allowed)) == ids[:2]
        assert [(task.id, task.wish) for task in await store.wished(10)] == [
            (number, Wish.CANCEL) for number in ids[:2]
        ]


async def test_a_wish_on_a_held_task_is_for_its_holder(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        assert await store.wish([task.id], Wish.PAUSE, EVERY) == [task.id]
        assert await store.wished(10) == []
        [held] = await store.pulse("h", [])
        assert held.wish is Wish.PAUSE
        task = advance(task, Event.STARTED, at=AT)
        await store.save(task)
        [held] = await store.pulse("h", [])
        assert held.wish is Wish.PAUSE
        await store.save(advance(task, Event.PAUSED, at=AT))
        [read] = await store.tasks(Filter(), 1)
    assert (read.phase, read.wish, read.holder) == (Phase.PAUSED, None, "")


async def test_a_cancel_that_comes_in_the_moment_of_a_retry_is_not_lost(place: Place) -> None:
    async with place.store() as store:
        await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        await store.wish([task.id], Wish.CANCEL, EVERY)
        await store.save(advance(task, Event.RETRIED, at=AT, due=5))
        assert [(one.id, one.wish) for one in await store.wished(10)] == [(task.id, Wish.CANCEL)]


async def test_a_wish_for_all_reaches_all_that_the_filter_names(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 2300)
        failed = [advance(task, Event.FAILED, at=AT) for task in tasks]
        await store.settle(failed[:2200])
        await inserted(place, status=5)
        failures = Filter(phases=frozenset({Phase.FAILED, Phase.EXPIRED}))
        assert await store.wish_all(failures, Wish.RETRY) == 2200
        assert len(await store.wished(5000)) == 2200


async def test_only_tasks_of_the_same_user_come_before_a_task(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 4)
        await added(store, 3, owner="bob@x")
        late = replace(advance(tasks[0], Event.REVIVED, at=AT), due=int(later(60).timestamp() * 1e6))
        await store.settle([late])
        last = tasks[3]
        assert await store.ahead_of([last], AT) == [2]
        assert await store.ahead_of([last], AT + timedelta(seconds=61)) == [3]
        assert await store.ahead_of([tasks[1]], AT) == [0]


async def test_two_requests_for_the_same_are_two_tasks(place: Place) -> None:
    async with place.store() as store:
        first, second = await store.add([request(), request()], AT)
    assert first.id != second.id
