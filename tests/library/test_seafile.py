"""What a library on a Seafile server keeps beyond the contract: every refusal has its sentence and leaves nothing
behind, and whatever becomes of a call, there is exactly one file."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.library.seafile import SeafileLibrary
from odl_daemon.library.seafile_rpc import Handover, RpcPosting
from odl_daemon.library.searpc import Searpc, ServerAway, Unanswered
from odl_daemon.model.task import Intent, Reason
from odl_daemon.ports import Remedy, Trouble
from tests.library.shelves import (
    ALICE,
    BOB,
    Failpoint,
    Killed,
    Row,
    SeafileShelf,
    fetched,
    fetched_all,
    id_of,
    put,
    seafile_shelf,
    task_of,
)
from tests.servers.seafile.file_server import UPLOAD
from tests.servers.seafile.web import WEB

EVE = "eve@example.org"
ONE = {"/a.tar.gz": id_of(b"bytes")}
POST = "seafile_post_multi_files"

WAYS = {
    "rpc-8.0": (False, False, "8.0"),
    "rpc-13.0": (False, False, "13.0"),
    "http-8.0": (True, False, "8.0"),
    "http-12.0": (True, False, "12.0"),
    "web-13.0": (True, True, "13.0"),
}
"""By HTTP, by the web site alone, and the version."""

each_way = pytest.mark.parametrize(
    "shelf",
    ["rpc-8.0", *(pytest.param(way, marks=pytest.mark.chaos) for way in WAYS if way != "rpc-8.0")],
    indirect=True,
)
one_way = pytest.mark.parametrize("shelf", ["rpc-13.0"], indirect=True)
by_http = pytest.mark.parametrize("shelf", ["http-8.0", "http-12.0"], indirect=True)
both_ways = pytest.mark.parametrize("shelf", ["rpc-8.0", "http-12.0"], indirect=True)


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeafileShelf]:
    http, web, version = WAYS[request.param]
    async with seafile_shelf(tmp_path, http=http, web=web, version=version) as shelf:
        if web:
            await shelf.let_in(BOB, EVE)
        yield shelf


# --- what is refused

Spoil = Callable[[SeafileShelf], Awaitable[None]]


async def nothing(shelf: SeafileShelf) -> None: ...


async def share_to_read(shelf: SeafileShelf) -> None:
    await shelf.server.share(shelf.id, EVE, "r")


async def make_read_only(shelf: SeafileShelf) -> None:
    await shelf.server.set_status(shelf.id, 1)


async def encrypt(shelf: SeafileShelf) -> None:
    shelf.id = await shelf.server.create_repo(ALICE, encrypted=True)


async def corrupt(shelf: SeafileShelf) -> None:
    await shelf.server.set_corrupted(shelf.id)


async def corrupt_wholly(shelf: SeafileShelf) -> None:
    await shelf.server.set_corrupted(shelf.id, hidden=True)


async def delete_library(shelf: SeafileShelf) -> None:
    await shelf.server.delete_repo(shelf.id)


async def delete_folder(shelf: SeafileShelf) -> None:
    await shelf.delete("/sub")


async def put_a_file_there(shelf: SeafileShelf) -> None:
    await shelf.delete("/sub")
    await shelf.put("/sub", b"")


async def fill(shelf: SeafileShelf) -> None:
    await shelf.server.set_quota(ALICE, 3)


REFUSALS = [
    (nothing, EVE, Reason.NOT_ALLOWED, "you may not write to the folder '/sub' of this library"),
    (share_to_read, EVE, Reason.NOT_ALLOWED, "you may not write to the folder '/sub' of this library"),
    (nothing, "", Reason.NOT_ALLOWED, "you may not write to the folder '/sub' of this library"),
    (make_read_only, ALICE, Reason.LIBRARY_READ_ONLY, "the library is read-only"),
    (encrypt, ALICE, Reason.LIBRARY_ENCRYPTED, "the library is encrypted: the server cannot write into it"),
    (corrupt, ALICE, Reason.LIBRARY_DAMAGED, "the library is damaged: ask the administrator to repair it"),
    (corrupt_wholly, ALICE, Reason.LIBRARY_DAMAGED, "the library is damaged: ask the administrator to repair it"),
    (delete_library, ALICE, Reason.LIBRARY_MISSING, "there is no library '{id}'"),
    (delete_folder, ALICE, Reason.FOLDER_MISSING, "there is no folder '/sub' in the library"),
    (put_a_file_there, ALICE, Reason.BAD_TARGET, "'/sub' is not a folder of the library"),
    (fill, ALICE, Reason.OVER_QUOTA, "the owner of the library has no room left for this file"),
]


def refusals(*, late: bool = False) -> pytest.MarkDecorator:
    """`late`: those that may come after a plan; no library becomes encrypted."""
    cases = [case for case in REFUSALS if not late or case[0] is not encrypt]
    names = [f"{case[0].__name__}-{case[1][:3]}" for case in cases]
    return pytest.mark.parametrize(("spoil", "user", "reason", "sentence"), cases, ids=names)


@both_ways
@refusals()
async def test_each_refusal_has_its_sentence_and_writes_nothing(
    shelf: SeafileShelf, spoil: Spoil, user: str, reason: Reason, sentence: str
) -> None:
    await shelf.make_folder("/sub")
    await spoil(shelf)
    row = Row(task_of(shelf, owner=user, target="/sub"))
    with pytest.raises(Trouble) as caught:
        await row.walk(shelf.open(), shelf, fetched(shelf))
    assert_told(caught.value, reason, sentence.format(id=shelf.id))
    assert POST not in await shelf.server.calls()
    if reason is not Reason.OVER_QUOTA:
        with pytest.raises(Trouble) as early:
            await shelf.open().check(row.task)
        assert early.value.sentence == caught.value.sentence


@both_ways
@refusals(late=True)
async def test_what_changes_after_the_plan_is_refused_by_the_commit(
    shelf: SeafileShelf, spoil: Spoil, user: str, reason: Reason, sentence: str
) -> None:
    await shelf.make_folder("/sub")
    library, task = shelf.open(), task_of(shelf, target="/sub")
    intent = await library.plan(task, str(shelf.scratch), fetched(shelf))
    await spoil(shelf)
    with pytest.raises(Trouble) as caught:
        await library.commit(replace(task, owner=user), str(shelf.scratch), intent)
    assert_told(caught.value, reason, sentence.format(id=shelf.id))
    calls = await shelf.server.calls()
    assert POST not in calls and UPLOAD not in calls


@both_ways
async def test_a_share_that_is_revoked_meanwhile_writes_nothing(shelf: SeafileShelf) -> None:
    await shelf.server.share(shelf.id, EVE, "rw")
    library, task = shelf.open(), task_of(shelf, owner=EVE)
    await library.check(task)
    intent = await library.plan(task, str(shelf.scratch), fetched(shelf))
    await shelf.server.share(shelf.id, EVE, None)
    with pytest.raises(Trouble) as caught:
        await library.commit(task, str(shelf.scratch), intent)
    assert_told(caught.value, Reason.NOT_ALLOWED, "you may not write to the folder '/' of this library")
    assert await shelf.files() == {}


@one_way
@pytest.mark.parametrize("library", ["nonsense", "", "a\0b", "\ud800", "../..", "0" * 5000])
async def test_what_is_no_librarys_id_is_told_without_a_call(shelf: SeafileShelf, library: str) -> None:
    with pytest.raises(Trouble) as caught:
        await shelf.open().check(task_of(shelf, library=library))
    assert_told(caught.value, Reason.LIBRARY_MISSING, f"there is no library {library[:40]!r}")
    assert await shelf.server.calls() == {}


@one_way
async def test_an_unknown_library_is_told(shelf: SeafileShelf) -> None:
    library = str(uuid.uuid4())
    with pytest.raises(Trouble) as caught:
        await shelf.open().check(task_of(shelf, library=library))
    assert_told(caught.value, Reason.LIBRARY_MISSING, f"there is no library {library!r}")


@both_ways
async def test_a_user_with_a_share_writes_in_their_own_name(shelf: SeafileShelf) -> None:
    await shelf.server.share(shelf.id, EVE, "rw")
    await put(shelf, task_of(shelf, owner=EVE), fetched(shelf))
    assert (await shelf.server.files(shelf.id))["/a.tar.gz"].modifier == EVE


@one_way
async def test_the_owner_pays_whoever_writes(shelf: SeafileShelf) -> None:
    await shelf.server.share(shelf.id, EVE, "rw")
    await shelf.server.set_quota(ALICE, 100)
    library, task = shelf.open(), task_of(shelf, owner=EVE)
    assert await library.payer(task) == ALICE
    await library.fits(task, 99)
    with pytest.raises(Trouble) as caught:
        await library.fits(task, 100)
    assert_told(caught.value, Reason.OVER_QUOTA, "the owner of the library has no room left for this file")


@one_way
async def test_one_library_has_one_lock(shelf: SeafileShelf) -> None:
    library = shelf.open()
    assert library.lock_of(task_of(shelf, 1)) == library.lock_of(task_of(shelf, 2, target="/x")) != ""
    assert library.lock_of(task_of(shelf, library="other")) != library.lock_of(task_of(shelf))


# --- what the server itself refuses


@by_http
@pytest.mark.parametrize(
    ("status", "reason", "remedy"),
    [
        (400, Reason.COMMIT_FAILED, Remedy.RETRY),
        (403, Reason.COMMIT_FAILED, Remedy.RETRY),
        (409, Reason.COMMIT_FAILED, Remedy.RETRY),
        (440, Reason.BAD_NAME, Remedy.NONE),
        (441, Reason.COMMIT_FAILED, Remedy.RETRY),
        (442, Reason.TOO_LARGE, Remedy.NONE),
        (443, Reason.OVER_QUOTA, Remedy.NONE),
        (500, Reason.COMMIT_FAILED, Remedy.RETRY),
    ],
)
async def test_a_refusal_of_the_file_server_is_understood(
    shelf: SeafileShelf, status: int, reason: Reason, remedy: Remedy
) -> None:
    await shelf.server.fail("refuse", UPLOAD, code=status)
    row = Row(task_of(shelf))
    with pytest.raises(Trouble) as caught:
        await row.walk(shelf.open(), shelf, fetched(shelf))
    assert (caught.value.reason, caught.value.remedy) == (reason, remedy)
    await assert_one_file_after(shelf, row)


@by_http
async def test_a_file_that_is_larger_than_the_server_takes_is_told(shelf: SeafileShelf) -> None:
    await shelf.server.set_max_upload(4)
    with pytest.raises(Trouble) as caught:
        await put(shelf, task_of(shelf), fetched(shelf))
    assert_told(caught.value, Reason.TOO_LARGE, "the file is larger than the Seafile server takes")
    assert await shelf.files() == {}


@by_http
async def test_the_file_server_holds_the_declared_length_against_the_quota(shelf: SeafileShelf) -> None:
    await shelf.server.set_quota(ALICE, 100)  # the form around the bytes is longer than that
    with pytest.raises(Trouble) as caught:
        await put(shelf, task_of(shelf), fetched(shelf))
    assert caught.value.reason is Reason.OVER_QUOTA
    assert await shelf.files() == {}


@pytest.mark.parametrize("shelf", ["rpc-8.0", "rpc-13.0"], indirect=True)
@pytest.mark.parametrize(
    ("code", "message", "reason", "remedy"),
    [
        (500, "Failed to put file", Reason.COMMIT_FAILED, Remedy.RETRY),
        (500, "Passwd is not set", Reason.LIBRARY_ENCRYPTED, Remedy.NONE),
        (503, "Invalid repo", Reason.LIBRARY_MISSING, Remedy.NONE),
        (503, "Invalid input file", Reason.HOST_TROUBLE, Remedy.HOST),
        (500, "Failed to index blocks", Reason.COMMIT_FAILED, Remedy.RETRY),
        (516, "Path does not exist", Reason.FOLDER_MISSING, Remedy.NONE),
        (517, "a.tar.gz", Reason.BAD_NAME, Remedy.NONE),
        (519, "Out of quota", Reason.OVER_QUOTA, Remedy.NONE),
        (521, "Too many files with same name", Reason.COMMIT_FAILED, Remedy.RETRY),
        (522, "GC Conflict", Reason.COMMIT_FAILED, Remedy.RETRY),
    ],
)
async def test_a_refusal_of_the_commit_is_understood(
    shelf: SeafileShelf, code: int, message: str, reason: Reason, remedy: Remedy
) -> None:
    await shelf.server.fail("refuse", POST, code=code, message=message)
    row = Row(task_of(shelf))
    with pytest.raises(Trouble) as caught:
        await row.walk(shelf.open(), shelf, fetched(shelf))
    assert (caught.value.reason, caught.value.remedy) == (reason, remedy)
    await assert_one_file_after(shelf, row)


@one_way
async def test_a_path_through_a_missing_folder_is_no_refusal(shelf: SeafileShelf) -> None:
    await shelf.server.fail("refuse", "seafile_get_dirent_by_path", code=516, message="Path does not exist")
    row = Row(task_of(shelf))
    await row.walk(shelf.open(), shelf, fetched(shelf))
    assert await shelf.files() == ONE


# --- a server that is away, or silent


@both_ways
async def test_a_server_that_is_down_is_the_hosts_trouble(shelf: SeafileShelf) -> None:
    row = Row(task_of(shelf))
    bytes_ = fetched(shelf)
    await shelf.server.die()
    for attempt in (
        lambda: shelf.open().check(row.task),
        lambda: shelf.open().payer(row.task),
        lambda: shelf.open().fits(row.task, 1),
        lambda: row.walk(shelf.open(), shelf, bytes_),
    ):
        with pytest.raises(Trouble) as caught:
            await attempt()
        assert_told(caught.value, Reason.LIBRARY_AWAY, "the Seafile server does not answer", Remedy.HOST)
    await shelf.server.start()
    await assert_one_file_after(shelf, row)


@by_http
async def test_a_file_server_that_is_down_is_the_hosts_trouble(shelf: SeafileShelf) -> None:
    row = Row(task_of(shelf))
    library = shelf.open(file_server="http://127.0.0.1:1")
    with pytest.raises(Trouble) as caught:
        await row.walk(library, shelf, fetched(shelf))
    assert_told(caught.value, Reason.LIBRARY_AWAY, "the Seafile server does not answer", Remedy.HOST)
    await assert_one_file_after(shelf, row)


@both_ways
@pytest.mark.parametrize("function", ["seafile_get_repo", "check_permission_by_path", "seafile_get_dir_id_by_path"])
async def test_a_server_that_does_not_answer_a_question_is_the_hosts_trouble(
    shelf: SeafileShelf, function: str
) -> None:
    await shelf.server.fail("ignore", function)
    with pytest.raises(Trouble) as caught:
        await shelf.open(limit=0.3).check(task_of(shelf))
    assert_told(caught.value, Reason.LIBRARY_AWAY, "the Seafile server does not answer", Remedy.HOST)


@by_http
async def test_a_token_that_is_not_given_wrote_nothing(shelf: SeafileShelf) -> None:
    await shelf.server.fail("drop", "seafile_web_get_access_token")
    row = Row(task_of(shelf))
    with pytest.raises(Trouble) as caught:
        await row.walk(shelf.open(), shelf, fetched(shelf))
    assert_told(caught.value, Reason.LIBRARY_AWAY, "the Seafile server does not answer", Remedy.HOST)
    await assert_one_file_after(shelf, row)


@each_way
@pytest.mark.parametrize("how", ["drop", "mute"])
async def test_an_answer_that_is_lost_after_the_commit_is_one_file_found_by_its_id(
    shelf: SeafileShelf, how: Literal["drop", "mute"]
) -> None:
    await shelf.server.fail(how, commit_of(shelf))
    row = Row(task_of(shelf))
    await row.walk(shelf.open(limit=0.5), shelf, fetched(shelf))
    assert await shelf.files() == row.shown == ONE


@each_way
async def test_a_server_that_takes_a_commit_and_does_nothing_is_told(shelf: SeafileShelf) -> None:
    await shelf.server.fail("ignore", commit_of(shelf))
    row = Row(task_of(shelf))
    with pytest.raises(Trouble) as caught:
        await row.walk(shelf.open(limit=0.5), shelf, fetched(shelf))
    sentence = "the Seafile server did not say whether it took the file: it is looked for"
    assert_told(caught.value, Reason.LIBRARY_AWAY, sentence, Remedy.RETRY)
    assert await shelf.files() == {}
    await assert_one_file_after(shelf, row)


@by_http
async def test_a_file_server_that_stops_reading_is_not_waited_for_forever(shelf: SeafileShelf) -> None:
    await shelf.server.fail("ignore", UPLOAD)
    content = bytes(32 << 20)  # more than the sockets on the way hold
    with pytest.raises(Trouble) as caught:
        await put(shelf, task_of(shelf), fetched(shelf, content=content), shelf.open(limit=0.5))
    assert (caught.value.reason, caught.value.remedy) == (Reason.LIBRARY_AWAY, Remedy.RETRY)
    assert await shelf.files() == {}


@each_way
async def test_a_commit_that_is_carried_out_after_we_left_is_found(shelf: SeafileShelf) -> None:
    await shelf.server.fail("hold", commit_of(shelf))
    row = Row(task_of(shelf))
    with pytest.raises(Trouble):
        await row.walk(shelf.open(limit=0.5), shelf, fetched(shelf))
    assert await shelf.files() == {}
    await shelf.server.holding()
    await shelf.server.release()
    await shelf.server.carried_out(commit_of(shelf))
    await assert_one_file_after(shelf, row)


@each_way
async def test_a_daemon_that_dies_while_the_server_is_at_it_leaves_one_file(shelf: SeafileShelf) -> None:
    await shelf.server.fail("hold", commit_of(shelf))
    row = Row(task_of(shelf))
    async with asyncio.TaskGroup() as group:
        walk = group.create_task(row.walk(shelf.open(), shelf, fetched(shelf)), name="the walk")
        await shelf.server.holding()
        walk.cancel()
    await shelf.server.release()
    await shelf.server.carried_out(commit_of(shelf))
    assert await shelf.open().landed(row.task, row.task.intent or Intent("", ()))
    await assert_one_file_after(shelf, row)


@each_way
async def test_a_commit_that_is_carried_out_while_we_look_is_found(shelf: SeafileShelf) -> None:
    await shelf.server.fail("hold", commit_of(shelf))
    row = Row(task_of(shelf))
    shelf.looks = (0.05,) * 200
    async with asyncio.TaskGroup() as group:
        group.create_task(row.walk(shelf.open(limit=0.5), shelf, fetched(shelf)), name="the walk")
        await shelf.server.holding()
        looks = (await shelf.server.calls())[look_of(shelf)]
        await shelf.server.called(look_of(shelf), looks + 1)  # so we have left
        await shelf.server.release()
    assert await shelf.files() == row.shown == ONE


@each_way
async def test_a_restart_in_the_middle_of_a_commit_leaves_one_file(shelf: SeafileShelf) -> None:
    await shelf.server.fail("hold", commit_of(shelf))
    row = Row(task_of(shelf))

    async def attempt() -> None:
        with pytest.raises(Trouble) as caught:
            await row.walk(shelf.open(), shelf, fetched(shelf))
        assert caught.value.remedy is Remedy.RETRY

    async with asyncio.TaskGroup() as group:
        group.create_task(attempt(), name="the walk")
        await shelf.server.holding()
        await shelf.server.restart()
    assert await shelf.files() == {}
    await assert_one_file_after(shelf, row)


# --- exactly once


FAILURES: dict[str, tuple[Callable[[], BaseException], bool]] = {
    "killed before": (Killed, False),
    "killed after": (Killed, True),
    "away": (ServerAway, False),
    "dropped before": (Unanswered, False),
    "dropped after": (Unanswered, True),
}


@each_way
@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize("several", [False, True], ids=["one file", "several files"])
async def test_a_failure_between_any_two_calls_leaves_exactly_one_file(
    shelf: SeafileShelf, failure: str, several: bool
) -> None:
    contents = {"site/a": b"1", "site/sub/b": b"22"} if several else {"a.tar.gz": b"bytes"}
    names = {"/new/site/a": b"1", "/new/site/sub/b": b"22"} if several else {"/new/a.tar.gz": b"bytes"}
    what, after = FAILURES[failure]
    bytes_ = fetched_all(shelf, contents)
    at, fired = 0, True
    while fired:
        at += 1
        shelf.id = await shelf.server.create_repo(ALICE)
        shelf.looks = ()
        failpoint = Failpoint(at, what(), after=after)
        row = Row(task_of(shelf, target="/new", mkdir=True))
        ended = await ends(row.walk(shelf.open(failpoint), shelf, bytes_))
        fired = failpoint.fired
        if not ended:
            await row.walk(shelf.open(), shelf, bytes_)
        expected = {path: id_of(content) for path, content in names.items()}
        assert await shelf.files() == row.shown == expected, f"call {at}"
    assert at > 10


async def ends(walk: Awaitable[None]) -> bool:
    """Whether the task came to its end."""
    try:
        await walk
    except (Trouble, Killed):
        return False
    return True


@each_way
async def test_a_file_that_the_server_numbered_is_found_wherever_one_looks(shelf: SeafileShelf) -> None:
    """The name was taken between our look and the server's."""
    library, task, bytes_ = shelf.open(), task_of(shelf), fetched(shelf)
    intent = await library.plan(task, str(shelf.scratch), bytes_)
    await library.commit(task, str(shelf.scratch), intent)
    await shelf.server.put(shelf.id, "/a.tar (1).gz", b"bytes", user=ALICE)
    await shelf.put("/a.tar.gz", b"theirs")

    assert await library.landed(task, intent)
    done = await library.commit(task, str(shelf.scratch), intent)
    assert done.path == done.files[0].path == "/a.tar (1).gz"
    assert await shelf.open().plan(replace(task, intent=intent), str(shelf.scratch), bytes_) == done
    assert sorted(await shelf.files()) == ["/a.tar (1).gz", "/a.tar.gz"]


@one_way
@pytest.mark.parametrize(
    ("name", "numbered"), [(".bashrc", " (1).bashrc"), ("README", "README (12)"), ("a[1].x", "a[1] (3).x")]
)
async def test_the_servers_own_numbers_are_known(shelf: SeafileShelf, name: str, numbered: str) -> None:
    task = task_of(shelf)
    intent = await shelf.open().plan(task, str(shelf.scratch), fetched(shelf, name))
    await shelf.server.put(shelf.id, f"/{numbered}", b"bytes", user=ALICE)
    assert await shelf.open().landed(task, intent)


@one_way
@pytest.mark.parametrize(
    ("path", "content", "user"),
    [
        ("/a.tar (1).gz", b"bytes", BOB),
        ("/a.tar (1).gz", b"other", ALICE),
        ("/a.tar (x).gz", b"bytes", ALICE),
        ("/a.tar.gz (1)", b"bytes", ALICE),
        ("/b.tar (1).gz", b"bytes", ALICE),
    ],
)
async def test_somebody_elses_file_is_not_taken_for_ours(
    shelf: SeafileShelf, path: str, content: bytes, user: str
) -> None:
    task = task_of(shelf)
    intent = await shelf.open().plan(task, str(shelf.scratch), fetched(shelf))
    await shelf.server.put(shelf.id, path, content, user=user)
    assert not await shelf.open().landed(task, intent)


@both_ways
async def test_a_second_wish_for_the_same_bytes_is_not_taken_for_the_first(shelf: SeafileShelf) -> None:
    """The user deletes the first of two copies and asks again: the second copy is not the new file."""
    for number in range(2):
        await put(shelf, task_of(shelf, number), fetched(shelf))
    await shelf.delete("/a.tar.gz")
    row = Row(task_of(shelf, 3))
    await row.walk(shelf.open(), shelf, fetched(shelf))
    assert sorted(await shelf.files()) == ["/a.tar (1).gz", "/a.tar (2).gz"]
    assert list(row.shown) == ["/a.tar (2).gz"]


@both_ways
async def test_a_file_of_the_task_is_not_taken_for_another_of_it(shelf: SeafileShelf) -> None:
    bytes_ = fetched_all(shelf, {"site/a": b"1", "site/a (1)": b"1"})
    intent = await shelf.open().plan(task_of(shelf), str(shelf.scratch), bytes_)
    await shelf.make_folder("/site")
    await shelf.server.put(shelf.id, "/site/a (1)", b"1", user=ALICE)
    assert not await shelf.open().landed(task_of(shelf), intent)
    row = Row(task_of(shelf, intent=intent))
    await row.walk(shelf.open(), shelf, bytes_)
    assert await shelf.files() == row.shown == {"/site/a": id_of(b"1"), "/site/a (1)": id_of(b"1")}


@pytest.mark.parametrize("path", ["/site", "/site/sub"])
@one_way
async def test_a_file_in_the_place_of_a_folder_of_several_is_not_replaced(shelf: SeafileShelf, path: str) -> None:
    bytes_ = fetched_all(shelf, {"site/a": b"1", "site/sub/b": b"2"})
    intent = await shelf.open().plan(task_of(shelf), str(shelf.scratch), bytes_)
    if path != "/site":
        await shelf.make_folder("/site")
    await shelf.put(path, b"theirs")
    row = Row(task_of(shelf, intent=intent))
    await row.walk(shelf.open(), shelf, bytes_)
    assert list(row.shown) == ["/site (1)/a", "/site (1)/sub/b"]
    assert await shelf.files() == row.shown | {path: id_of(b"theirs")}


@each_way
@pytest.mark.parametrize("same", [False, True], ids=["other bytes", "the same bytes"])
async def test_two_daemons_that_race_without_a_lock_write_one_file_for_each_task(
    shelf: SeafileShelf, tmp_path: Path, same: bool
) -> None:
    shelves = [SeafileShelf(tmp_path / str(n), shelf.server, shelf.id, http=shelf.http) for n in range(2)]
    contents = [b"0", b"0" if same else b"1"]
    bytes_ = [fetched(each, content=content) for each, content in zip(shelves, contents, strict=True)]
    rows = [Row(task_of(each, number)) for number, each in enumerate(shelves)]
    await shelf.server.gather(2)
    async with asyncio.TaskGroup() as group:
        for row, each, its in zip(rows, shelves, bytes_, strict=True):
            group.create_task(row.walk(each.open(), each, its), name="a daemon")
    found = await shelf.files()
    for row in rows:
        assert row.shown.items() <= found.items()
    merged = same and shelf.server.version == "8.0"
    assert sorted(found.values()) == sorted(map(id_of, contents[:1] if merged else contents))


@each_way
async def test_a_server_that_cuts_other_blocks_gets_one_file_all_the_same(
    shelf: SeafileShelf, caplog: pytest.LogCaptureFixture
) -> None:
    library = shelf.open(block=1 << 20)
    row = Row(task_of(shelf))
    await row.walk(library, shelf, fetched(shelf, content=bytes(2 << 20)))
    assert await shelf.files() == row.shown == {"/a.tar.gz": id_of(bytes(2 << 20))}
    assert "fixed_block_size" in caplog.text


# --- paths of two sides


@one_way
async def test_a_server_in_a_container_is_told_its_own_paths(shelf: SeafileShelf, tmp_path: Path) -> None:
    ours = shelf.scratch.parent
    (tmp_path / "inside").symlink_to(ours)
    server = SeafServer(Searpc(shelf.server.socket))
    posting = RpcPosting(server, Handover(ours / ".handover"), (ours, tmp_path / "inside"))
    await put(shelf, task_of(shelf), fetched(shelf), SeafileLibrary(server, posting))
    assert await shelf.files() == ONE


# --- helpers


def assert_told(trouble: Trouble, reason: Reason, sentence: str, remedy: Remedy = Remedy.NONE) -> None:
    assert (trouble.reason, trouble.sentence, trouble.remedy) == (reason, sentence, remedy)


async def assert_one_file_after(shelf: SeafileShelf, row: Row) -> None:
    """The next attempt ends with the one file."""
    await row.walk(shelf.open(), shelf, fetched(shelf))
    assert await shelf.files() == row.shown == ONE


def look_of(shelf: SeafileShelf) -> str:
    return WEB if shelf.web else "seafile_get_dirent_by_path"


def commit_of(shelf: SeafileShelf) -> str:
    """What the double calls the call that commits."""
    return UPLOAD if shelf.http else POST
