"""A server by its web site: who may not is told so, a busy one is waited for, and no token is ever told."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from odl_daemon.model.task import Reason, Task
from odl_daemon.ports import Remedy, Trouble
from tests.library.shelves import ALICE, BOB, SeafileShelf, fetched, id_of, put, seafile_shelf, task_of
from tests.servers.seafile.web import WEB

NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[SeafileShelf]:
    async with seafile_shelf(tmp_path, http=True, web=True, version="13.0") as shelf:
        yield shelf


async def refused(shelf: SeafileShelf, task: Task | None = None) -> Trouble:
    with pytest.raises(Trouble) as caught:
        await put(shelf, task or task_of(shelf), fetched(shelf))
    assert await shelf.files() == {}
    return caught.value


async def test_a_user_without_a_token_is_told_whom_to_ask(shelf: SeafileShelf) -> None:
    trouble = await refused(shelf, task_of(shelf, owner=BOB))
    assert (trouble.reason, trouble.remedy) == (Reason.NOT_ALLOWED, Remedy.NONE)
    assert trouble.sentence.startswith("there is no API token of yours")


async def test_a_token_that_is_not_taken_any_longer_is_told(shelf: SeafileShelf) -> None:
    shelf.tokens.write_text(f"{ALICE} = 0123456789")
    trouble = await refused(shelf)
    assert (trouble.reason, trouble.remedy) == (Reason.NOT_ALLOWED, Remedy.NONE)
    assert "does not take your API token" in trouble.sentence


async def test_a_file_of_tokens_that_cannot_be_read_is_the_operators_to_mend(shelf: SeafileShelf) -> None:
    library = shelf.open()
    shelf.tokens.chmod(0o644)
    with pytest.raises(Trouble) as caught:
        await library.check(task_of(shelf))
    assert (caught.value.reason, caught.value.remedy) == (Reason.HOST_TROUBLE, Remedy.HOST)


@pytest.mark.parametrize("share", [None, "r"])
async def test_a_stranger_and_a_reader_may_not(shelf: SeafileShelf, share: str | None) -> None:
    await shelf.let_in(BOB)
    await shelf.server.share(shelf.id, BOB, share)
    trouble = await refused(shelf, task_of(shelf, owner=BOB))
    assert (trouble.reason, trouble.remedy) == (Reason.NOT_ALLOWED, Remedy.NONE)


async def test_a_writer_may_and_is_the_one_who_wrote_it(shelf: SeafileShelf) -> None:
    await shelf.let_in(BOB)
    await shelf.server.share(shelf.id, BOB, "rw")
    await put(shelf, task_of(shelf, owner=BOB, target="/made/for him", mkdir=True), fetched(shelf))
    found = await shelf.server.files(shelf.id)
    assert {path: file.modifier for path, file in found.items()} == {"/made/for him/a.tar.gz": BOB}


async def test_a_library_that_takes_nothing_says_why(shelf: SeafileShelf) -> None:
    secret = await shelf.server.create_repo(ALICE, encrypted=True)
    assert (await refused(shelf, task_of(shelf, library=secret))).reason is Reason.LIBRARY_ENCRYPTED
    assert (await refused(shelf, task_of(shelf, library=NOBODYS))).reason is Reason.LIBRARY_MISSING
    await shelf.server.set_status(shelf.id, 1)
    assert (await refused(shelf)).reason is Reason.LIBRARY_READ_ONLY


async def test_a_full_account_is_told_before_and_at_the_upload(shelf: SeafileShelf) -> None:
    await shelf.server.set_quota(ALICE, 4)
    with pytest.raises(Trouble) as caught:
        await shelf.open().fits(task_of(shelf), 5)
    assert caught.value.reason is Reason.OVER_QUOTA
    assert (await refused(shelf)).reason is Reason.OVER_QUOTA


async def test_the_room_of_somebody_else_is_known_when_the_upload_is_refused(shelf: SeafileShelf) -> None:
    await shelf.let_in(BOB)
    await shelf.server.share(shelf.id, BOB, "rw")
    await shelf.server.set_quota(ALICE, 4)
    await shelf.open().fits(task_of(shelf, owner=BOB), 5)
    assert (await refused(shelf, task_of(shelf, owner=BOB))).reason is Reason.OVER_QUOTA


@pytest.mark.parametrize("name", ["a&b=c?.txt", "100%#+ .txt", "日本語 😀.txt", "o'br\"ien.txt", "e\u0301.txt"])
async def test_names_arrive_as_they_are(shelf: SeafileShelf, name: str) -> None:
    folder = unicodedata.normalize("NFC", f"/{name.removesuffix('.txt')}+")
    await shelf.make_folder(folder)
    intent = await put(shelf, task_of(shelf, target=folder, name=name), fetched(shelf))
    assert await shelf.open().landed(task_of(shelf, target=folder), intent) is not None
    assert list((await shelf.files()).values()) == [id_of(b"bytes")]


async def test_a_server_that_counts_requests_is_given_its_pause(shelf: SeafileShelf) -> None:
    await shelf.server.fail("refuse", WEB, code=429)
    await shelf.open().check(task_of(shelf))


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_server_that_is_just_not_there_is_waited_for(shelf: SeafileShelf, status: int) -> None:
    await shelf.server.fail("refuse", WEB, code=status)
    with pytest.raises(Trouble) as caught:
        await shelf.open().check(task_of(shelf))
    assert (caught.value.reason, caught.value.remedy) == (Reason.LIBRARY_AWAY, Remedy.HOST)
    await shelf.server.die()
    with pytest.raises(Trouble) as caught:
        await shelf.open().check(task_of(shelf))
    assert (caught.value.reason, caught.value.remedy) == (Reason.LIBRARY_AWAY, Remedy.HOST)


async def test_no_token_is_told(shelf: SeafileShelf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = shelf.tokens.read_text().split('"')[1]
    library = shelf.open()
    await library.check(task_of(shelf))
    await shelf.server.die()
    with pytest.raises(Trouble) as caught:
        await library.check(task_of(shelf))
    shelf.tokens.write_text(f"{ALICE} = '{token}")
    with pytest.raises(Trouble):
        await library.check(task_of(shelf))
    assert token not in caplog.text + repr(caught.value) + repr(caught.value.__cause__) + repr(vars(library))
