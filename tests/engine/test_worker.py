"""The life of one task, told in plays."""

from __future__ import annotations

from odl_daemon.engine.endings import Limits
from odl_daemon.model.patience import Patience
from odl_daemon.model.task import Phase, Progress, Reason, Wish
from odl_daemon.ports import NameTaken, Remedy, Trouble
from tests.engine.plays import FILE, PLACE, Stage, claimed

HALF = Progress(5, 10)
BUSY = Trouble(Reason.SERVER_BUSY, "example.org answered 503", Remedy.RETRY)


async def test_a_good_task_is_fetched_then_committed_then_done() -> None:
    stage = Stage(HALF, FILE)
    last = await stage.play()
    assert stage.phases == [Phase.FETCHING, Phase.COMMITTING, Phase.DONE]
    assert (last.path, last.size, last.sha256, last.holder) == ("/a.bin", 10, "00" * 32, "")
    assert stage.wiped == [1]


async def test_a_commit_shows_how_far_it_is_and_begins_anew_under_another_name() -> None:
    stage = Stage(FILE)
    stage.pieces = [4, 6, 5]
    stage.commits = [lambda: None]
    await stage.play()
    assert [(each.done, each.saved) for each in stage.seen] == [(10, 4), (10, 10), (10, 10)]
    assert all(each.speed > 0 and each.saving > 0 for each in stage.seen)


async def test_the_intent_is_durable_before_the_commit() -> None:
    stage = Stage(FILE)
    stage.commits = [Trouble(Reason.COMMIT_FAILED, "no", Remedy.RETRY)]
    await stage.play()
    assert stage.saved[-2].intent == PLACE


async def test_a_retryable_trouble_waits_and_says_until_when() -> None:
    last = await Stage(HALF, BUSY).play()
    assert last.phase is Phase.WAITING
    assert last.comment.startswith("retry at ") and last.comment.endswith(": example.org answered 503")
    assert last.attempt == 2 and last.due > 0


async def test_what_the_server_asks_for_is_the_shortest_wait() -> None:
    patient = Trouble(Reason.SERVER_BUSY, "busy", Remedy.RETRY, after=600)
    last = await Stage(patient).play()
    assert last.due >= claimed().created.timestamp() * 1e6 + 600e6


async def test_a_permanent_trouble_fails_at_once() -> None:
    stage = Stage(Trouble(Reason.NOT_FOUND, "example.org answered 404"))
    last = await stage.play()
    assert (last.phase, last.comment, last.reason) == (Phase.FAILED, "example.org answered 404", Reason.NOT_FOUND)
    assert stage.wiped == [1]


async def test_too_many_failures_without_a_new_byte_give_up() -> None:
    stage = Stage(BUSY, limits=Limits(patience=Patience(retries=2)))
    last = await stage.play(claimed(strikes=2))
    assert last.phase is Phase.FAILED and "given up after 3 attempts" in last.comment


async def test_new_bytes_forgive_earlier_failures() -> None:
    stage = Stage(HALF, BUSY, limits=Limits(patience=Patience(retries=2)))
    last = await stage.play(claimed(strikes=2))
    assert last.phase is Phase.WAITING and last.strikes == 1


async def test_the_same_bytes_again_are_no_progress() -> None:
    stage = Stage(HALF, BUSY, limits=Limits(patience=Patience(retries=2)))
    last = await stage.play(claimed(strikes=2, progress=HALF))
    assert last.phase is Phase.FAILED


async def test_a_file_larger_than_allowed_ends_before_it_is_here() -> None:
    last = await Stage(Progress(0, 11), limits=Limits(max_size=10)).play()
    assert (last.phase, last.reason) == (Phase.FAILED, Reason.TOO_LARGE)


async def test_a_task_out_of_time_expires() -> None:
    stage = Stage(HALF, lambda: None, limits=Limits(time_limit=5))
    last = await stage.play(claimed(spent=5.0))
    assert (last.phase, last.reason) == (Phase.EXPIRED, Reason.TIME_LIMIT)


async def test_a_cancel_frees_the_disk() -> None:
    stage = Stage(HALF, lambda: stage.run.heed(Wish.CANCEL))
    last = await stage.play()
    assert last.phase is Phase.CANCELLED and stage.wiped == [1]


async def test_a_pause_keeps_the_bytes() -> None:
    stage = Stage(HALF, lambda: stage.run.heed(Wish.PAUSE))
    last = await stage.play()
    assert last.phase is Phase.PAUSED and stage.wiped == [] and last.progress.done == 5


async def test_a_pause_that_comes_while_committing_is_not_heeded() -> None:
    stage = Stage(FILE)
    stage.commits = [lambda: stage.run.heed(Wish.PAUSE)]
    last = await stage.play()
    assert last.phase is Phase.DONE


async def test_a_cancel_in_the_middle_of_the_commit_comes_too_late() -> None:
    stage = Stage(FILE)
    stage.commits = [lambda: stage.run.heed(Wish.CANCEL)]
    last = await stage.play()
    assert last.phase is Phase.DONE


async def test_a_stop_gives_the_task_back_ahead_of_others() -> None:
    stage = Stage(HALF, lambda: stage.run.stop())
    last = await stage.play()
    assert (last.phase, last.due, last.attempt) == (Phase.WAITING, -2, 1)


async def test_a_lost_lease_writes_nothing_and_leaves_no_bytes() -> None:
    stage = Stage(HALF, lambda: stage.run.lose())
    await stage.play()
    assert stage.phases == [Phase.FETCHING] and stage.wiped == [1]


async def test_a_failed_commit_keeps_the_bytes() -> None:
    stage = Stage(FILE)
    stage.commits = [Trouble(Reason.COMMIT_FAILED, "the library does not answer", Remedy.RETRY)]
    last = await stage.play()
    assert last.phase is Phase.WAITING and last.fetched is not None and stage.wiped == []


async def test_kept_bytes_are_committed_without_a_fetch() -> None:
    stage = Stage(Trouble(Reason.INTERNAL, "must not be fetched"))
    stage.kept_here = True
    await stage.play(claimed(fetched=FILE.__class__(FILE.files, holder="me")))
    assert stage.phases == [Phase.COMMITTING, Phase.COMMITTING, Phase.DONE]


async def test_bytes_on_another_host_are_fetched_anew() -> None:
    stage = Stage(FILE)
    stage.kept_here = True
    await stage.play(claimed(fetched=FILE.__class__(FILE.files, holder="another")))
    assert stage.phases == [Phase.COMMITTING, Phase.DONE]


async def test_what_has_landed_already_is_done_without_a_fetch() -> None:
    stage = Stage(Trouble(Reason.INTERNAL, "must not be fetched"))
    stage.was_landed = True
    await stage.play(claimed(intent=PLACE))
    assert stage.phases == [Phase.DONE]


async def test_a_taken_name_is_planned_again() -> None:
    stage = Stage(FILE)
    stage.commits = [NameTaken(), None]
    last = await stage.play()
    assert last.phase is Phase.DONE


async def test_a_full_disk_counts_no_attempt_and_pauses_the_host() -> None:
    stage = Stage(HALF, Trouble(Reason.DISK_FULL, "the disk is full", Remedy.HOST))
    last = await stage.play()
    assert (last.phase, last.attempt, len(stage.hosts)) == (Phase.WAITING, 1, 1)
    assert stage.wiped == []
