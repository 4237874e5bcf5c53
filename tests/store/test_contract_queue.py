"""What the dispatcher asks of the store: claims, leases, wishes that nobody holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from odl_daemon.model.lifecycle import BEGUN, CLAIMED_ONLY, CUT_OFF, Event, advance
from odl_daemon.model.task import Phase, Progress, Reason, Status, Task, Wish
from odl_daemon.ports import Beat, Filter, LeaseLost, Store
from tests.store.conftest import AT, Place, added, inserted, later, shown

WAITING = frozenset({Status.WAITING})


async def only(store: Store, task_id: int) -> Task:
    [task] = await store.tasks(Filter(ids=(task_id,)), 1)
    return task


async def test_a_claim_takes_the_oldest_and_holds_it(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 5)
        claimed = await store.claim("h", 2, {}, later(1))
        assert [task.id for task in claimed] == [task.id for task in tasks[:2]]
        for task, before in zip(claimed, tasks, strict=False):
            assert (task.phase, task.holder, task.epoch) == (Phase.QUEUED, "h", before.epoch + 1)
            assert await only(store, task.id) == task
            assert (await shown(place, task.id))[:2] == (2, "")
        assert [task.id for task in await store.claim("h", 10, {}, later(1))] == [task.id for task in tasks[2:]]
        assert await store.claim("h", 10, {}, later(1)) == []


async def test_claims_are_fair_over_users(place: Place) -> None:
    async with place.store() as store:
        await added(store, 50, owner="ann@x")
        await added(store, 2, owner="bob@x")
        await added(store, 50, owner="cid@x")
        owners = Counter(task.owner for task in await store.claim("h", 12, {}, AT))
        assert owners == {"ann@x": 5, "bob@x": 2, "cid@x": 5}


async def test_who_has_much_running_waits_for_those_who_have_little(place: Place) -> None:
    async with place.store() as store:
        await added(store, 9, owner="ann@x")
        await added(store, 9, owner="bob@x")
        claimed = await store.claim("h", 6, {"ann@x": 4}, AT)
        assert Counter(task.owner for task in claimed) == {"bob@x": 5, "ann@x": 1}


async def test_many_users_all_come_to_their_turn(place: Place) -> None:
    async with place.store() as store:
        for number in range(60):
            await added(store, 2, owner=f"user{number:02}@x")
        seen: Counter[str] = Counter()
        for _ in range(12):
            seen.update(task.owner for task in await store.claim("h", 5, seen, AT))
        assert seen == {f"user{number:02}@x": 1 for number in range(60)}


async def test_interrupted_work_goes_first_then_retries_that_are_due_then_the_oldest(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 5)
        micros = int(later(10).timestamp() * 1_000_000)
        dues = [0, micros, micros + 60_000_000, -1, -2]
        await store.settle([replace(task, due=due) for task, due in zip(tasks, dues, strict=True)])
        claimed = await store.claim("h", 10, {}, later(11))
        assert [task.id for task in claimed] == [tasks[number].id for number in (4, 3, 1, 0)]
        assert await store.next_due(later(11)) == later(70)
        assert await store.next_due(later(71)) is None
        assert [task.id for task in await store.claim("h", 10, {}, later(71))] == [tasks[2].id]


async def test_several_daemons_never_claim_the_same_task(place: Place) -> None:
    async with place.store() as one, place.store() as two, place.store() as three:
        ids = {task.id for task in await added(one, 300)}

        async def work(store: Store, holder: str) -> list[int]:
            taken: list[int] = []
            while tasks := await store.claim(holder, 7, {}, AT):
                taken += [task.id for task in tasks]
                await asyncio.gather(*[store.save(advance(task, Event.STARTED, at=AT)) for task in tasks])
            return taken

        taken = await asyncio.gather(work(one, "a"), work(two, "b"), work(three, "c"), work(one, "a"))
        claimed = [task_id for part in taken for task_id in part]
        assert len(claimed) == len(set(claimed))
        assert set(claimed) == ids


async def test_a_lease_that_ran_out_is_reaped_and_its_holder_may_not_write_any_longer(place: Place) -> None:
    async with place.store() as dead, place.store() as alive:
        tasks = await added(alive, 2)
        first, second = await dead.claim("dead", 2, {}, AT)
        first = advance(first, Event.STARTED, at=AT)
        await dead.save(first)
        assert await alive.reap(AT) == 0
        await lapse(place)
        assert await alive.reap(AT) == 2
        assert await alive.reap(AT) == 0
        assert [(await only(alive, task.id)).due for task in tasks] == [-2, -1]
        assert (await shown(place, first.id))[:2] == (1, "")
        taken = await alive.claim("alive", 2, {}, AT)
        assert [task.id for task in taken] == [first.id, second.id]
        assert all(task.epoch > first.epoch for task in taken)
        with pytest.raises(LeaseLost):
            await dead.save(advance(first, Event.FETCHED, at=AT))
        assert await dead.pulse("dead", [Beat(first.id, first.epoch, Progress(9), 1.0)]) == []
        assert await only(alive, first.id) == taken[0]


async def test_a_pulse_keeps_the_lease_and_the_beat_and_tells_what_is_held(place: Place) -> None:
    async with place.store() as store:
        await added(store, 3)
        tasks = await store.claim("h", 3, {}, AT)
        beat = Beat(tasks[0].id, tasks[0].epoch, Progress(5, 50, 7, "v"), 1.5)
        stale = Beat(tasks[1].id, tasks[1].epoch - 1, Progress(6), 9.0)
        await lapse(place)
        held = await store.pulse("h", [beat, stale])
        assert {one.id: (one.epoch, one.wish, one.changed_outside) for one in held} == {
            task.id: (task.epoch, None, False) for task in tasks
        }
        assert await store.reap(AT) == 0
        read = await only(store, tasks[0].id)
        assert (read.progress, read.spent) == (Progress(5, 50, 0, "v"), 1.5)
        assert (await only(store, tasks[1].id)).progress == Progress()
        assert await store.pulse("another", []) == []


async def test_a_pulse_sees_that_a_row_was_deleted_or_holds_another_request(place: Place) -> None:
    async with place.store() as store:
        await added(store, 3)
        gone, edited, same = await store.claim("h", 3, {}, AT)
        await place.run("DELETE FROM OfflineDownloadRecord WHERE odr_id = %s", (gone.id,))
        await place.run("UPDATE OfflineDownloadRecord SET url = 'http://other' WHERE odr_id = %s", (edited.id,))
        held = {one.id: one.changed_outside for one in await store.pulse("h", [])}
        assert held == {gone.id: True, edited.id: True, same.id: False}
        for task in (gone, edited):
            with pytest.raises(LeaseLost):
                await store.save(advance(task, Event.ABANDONED, at=AT))
        assert [one.id for one in await store.pulse("h", [])] == [same.id]
        assert (await shown(place, edited.id))[0] == 2


async def test_a_restarted_daemon_gets_its_own_back_ahead_of_others(place: Place) -> None:
    async with place.store() as store:
        tasks = await added(store, 5)
        first, second, third = await store.claim("h", 3, {}, AT)
        await store.claim("other", 1, {}, AT)
        await store.save(advance(third, Event.FETCHED, at=AT))
        await store.save(advance(first, Event.STARTED, at=AT))
        await store.wish([second.id], Wish.PAUSE, frozenset(Phase))
    async with place.store() as store:
        assert await store.restore("h", later(5)) == 3
        assert await store.restore("h", later(5)) == 0
        assert [(await only(store, task.id)).due for task in (first, second, third)] == [BEGUN, CLAIMED_ONLY, CUT_OFF]
        assert (await shown(place, first.id))[:2] == (1, "")
        assert [task.id for task in await store.wished(9)] == [second.id]
        claimed = [task for task in await store.claim("h", 9, {}, later(6)) if task.wish is None]
        assert [task.id for task in claimed] == [third.id, first.id, tasks[4].id], "what may be committing goes first"
        assert claimed[0].epoch > first.epoch


async def test_a_claim_leaves_alone_what_a_rival_took(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with place.store() as store:
        taken, ours = await added(store, 2)
        await place.run(
            "UPDATE OfflineDownloadRecord SET status = 3, comment = '/tmp/x' WHERE odr_id = %s", (taken.id,)
        )
        assert [task.id for task in await store.claim("h", 5, {}, AT)] == [ours.id]
        assert (await shown(place, taken.id))[:2] == (3, "/tmp/x")
        assert (await only(store, taken.id)).holder == ""
        assert f"task {taken.id}" in caplog.text


async def test_a_claim_never_takes_a_row_that_became_another_request(place: Place) -> None:
    async with place.store() as store:
        [task] = await added(store, 1)
        await place.run("UPDATE OfflineDownloadRecord SET owner = 'bob@x' WHERE odr_id = %s", (task.id,))
        assert await store.claim("h", 5, {}, AT) == []
        [row] = await store.strangers(0, WAITING, 10)
        assert (row.id, row.owner, row.before) == (task.id, "bob@x", None)


async def test_a_deleted_row_is_not_claimed(place: Place) -> None:
    async with place.store() as store:
        first, second = await added(store, 2)
        await place.run("DELETE FROM OfflineDownloadRecord WHERE odr_id = %s", (first.id,))
        assert [task.id for task in await store.claim("h", 5, {}, AT)] == [second.id]


async def test_a_wish_is_settled_once(place: Place) -> None:
    async with place.store() as one, place.store() as two:
        await added(one, 2)
        await one.wish([task.id for task in await one.tasks(Filter(), 9)], Wish.CANCEL, frozenset(Phase))
        wished = await one.wished(10)
        settled = [advance(task, Event.CANCELLED, at=AT, comment="cancelled") for task in wished]
        results = await asyncio.gather(
            one.settle(settled), two.settle([replace(task, changed=later(1)) for task in settled])
        )
        assert sorted(results[0] + results[1]) == sorted(task.id for task in settled)
        read = await only(one, settled[0].id)
        assert (read.phase, read.wish, read.reason) == (Phase.CANCELLED, None, Reason.CANCELLED)
        assert read.epoch == settled[0].epoch + 1
        assert (await shown(place, settled[0].id))[:2] == (5, "cancelled")


async def test_a_claim_beats_a_settlement_of_the_state_before(place: Place) -> None:
    async with place.store() as store:
        [before] = await added(store, 1)
        [task] = await store.claim("h", 1, {}, AT)
        assert await store.settle([advance(before, Event.PAUSED, at=AT)]) == []
        assert await only(store, task.id) == task


async def test_ten_thousand_interrupted_tasks_come_back(place: Place) -> None:
    async with place.store() as store:
        for _ in range(10):
            await added(store, 1000)
        while await store.claim("h", 1000, {}, AT):
            pass
        assert await store.restore("h", AT) == 10_000
        assert await store.count(Filter(phases=frozenset({Phase.WAITING}))) == 10_000


async def lapse(place: Place) -> None:
    """Every lease ran out long ago."""
    await place.run("UPDATE odl_task SET lease_until = 1 WHERE holder <> ''")


async def test_a_row_inserted_by_others_is_claimed_only_after_it_was_adopted(place: Place) -> None:
    async with place.store() as store:
        await inserted(place)
        assert await store.claim("h", 5, {}, AT) == []
