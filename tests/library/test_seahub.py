"""A server by its web site: who may not is told so, a busy one is waited for, and no token is ever told."""

from __future__ import annotations

import json
import logging
import ssl
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from odl_daemon.library import seahub
from odl_daemon.library.seahub import Seahub
from odl_daemon.library.searpc import Refused, ServerAway, Unanswered
from odl_daemon.library.tokens import Tokens
from odl_daemon.model.task import Reason, Task
from odl_daemon.ports import Remedy, Trouble
from tests.library.shelves import ALICE, BOB, SeafileShelf, fetched, id_of, put, seafile_shelf, task_of
from tests.servers.ports import listening, port_of
from tests.servers.seafile.file_server import UPLOAD
from tests.servers.seafile.traffic import How
from tests.servers.seafile.web import PAGE, WEB, WEB_WRITE

NOBODYS = "00000000-0000-4000-8000-000000000000"


def also(*values: object) -> list[object]:
    """Further values, for the long tests."""
    return [pytest.param(value, marks=pytest.mark.chaos) for value in values]


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[SeafileShelf]:
    async with seafile_shelf(tmp_path, http=True, web=True, version="13.0") as shelf:
        yield shelf


@pytest.fixture
def site(shelf: SeafileShelf) -> Seahub:
    """The web site itself, which does not wait long."""
    return Seahub(shelf.server.seahub, Tokens(shelf.tokens), answer_limit=0.3)


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


@pytest.mark.parametrize(
    "name", ["100%#+ &b=c?.txt", "e\u0301.txt", *also("a&b=c?.txt", "日本語 😀.txt", "o'br\"ien.txt")]
)
async def test_names_arrive_as_they_are(shelf: SeafileShelf, name: str) -> None:
    folder = unicodedata.normalize("NFC", f"/{name.removesuffix('.txt')}+")
    await shelf.make_folder(folder)
    intent = await put(shelf, task_of(shelf, target=folder, name=name), fetched(shelf))
    assert await shelf.open().landed(task_of(shelf, target=folder), intent) is not None
    assert list((await shelf.files()).values()) == [id_of(b"bytes")]


async def test_a_server_that_counts_requests_is_given_its_pause(shelf: SeafileShelf) -> None:
    await shelf.server.fail("refuse", WEB, code=429)
    await shelf.open().check(task_of(shelf))


@pytest.mark.parametrize("status", [502, *also(503, 504)])
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


# --- who asks, and for what


async def test_a_closed_account_is_told_as_a_token_that_is_not_taken(shelf: SeafileShelf) -> None:
    await shelf.server.deactivate(ALICE)
    trouble = await refused(shelf)
    assert (trouble.reason, trouble.remedy) == (Reason.NOT_ALLOWED, Remedy.NONE)
    assert "does not take your API token" in trouble.sentence


async def test_a_library_is_found_by_an_id_in_capitals(shelf: SeafileShelf) -> None:
    await put(shelf, task_of(shelf, library=shelf.id.upper(), target="/made", mkdir=True), fetched(shelf))
    assert await shelf.files() == {"/made/a.tar.gz": id_of(b"bytes")}


@pytest.mark.parametrize("target", ["/no/such/folder", *also("/no", "/no/such", "/sub/no/folder")])
async def test_a_folder_is_missing_however_much_above_it_is(shelf: SeafileShelf, target: str) -> None:
    await shelf.make_folder("/sub")
    trouble = await refused(shelf, task_of(shelf, target=target))
    assert (trouble.reason, trouble.remedy) == (Reason.FOLDER_MISSING, Remedy.NONE)
    intent = await put(shelf, task_of(shelf, target=target, mkdir=True), fetched(shelf))
    assert intent.path == f"{target}/a.tar.gz"


async def test_an_error_of_the_site_is_no_missing_folder(shelf: SeafileShelf, site: Seahub) -> None:
    await shelf.make_folder("/sub")
    for folder in ("/", "/new"):
        await shelf.server.fail("refuse", WEB, code=500)
        with pytest.raises(Refused):
            await site.folder_id(task_of(shelf), folder)
    await shelf.server.fail("refuse", WEB, code=500)
    with pytest.raises(Refused):
        await site.folder_id(task_of(shelf), "/sub/new")


async def test_a_user_who_sees_only_a_part_of_a_library_is_not_told_that_it_is_full(shelf: SeafileShelf) -> None:
    await shelf.let_in(BOB)
    await shelf.open().fits(task_of(shelf, owner=BOB), 1 << 40)


# --- what is there instead of the site


@pytest.mark.parametrize("status", [302, 404, *also(301, 401)])
async def test_a_page_of_something_else_ends_no_task(
    shelf: SeafileShelf, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    await shelf.server.fail("refuse", WEB, code=status, message=PAGE)
    with pytest.raises(Trouble) as caught:
        await shelf.open().check(task_of(shelf))
    assert (caught.value.reason, caught.value.remedy) == (Reason.LIBRARY_AWAY, Remedy.HOST)
    assert (
        f"{shelf.server.seahub} answered {status} as no Seafile web site does: see [library] seahub_url" in caplog.text
    )


async def test_a_filter_that_forbids_a_path_does_not_stop_everybody(shelf: SeafileShelf) -> None:
    await shelf.server.fail("refuse", WEB, code=403, message=PAGE)
    with pytest.raises(Trouble) as caught:
        await shelf.open().check(task_of(shelf))
    assert (caught.value.reason, caught.value.remedy) == (Reason.COMMIT_FAILED, Remedy.RETRY)


@asynccontextmanager
async def another_site(answer: web.Response, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of one that gives the same answer to everything."""

    async def told(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told)
    runner = web.AppRunner(app)
    await runner.setup()
    sock = listening()
    await web.SockSite(runner, sock, ssl_context=tls).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port_of(sock)}"
    finally:
        await runner.cleanup()


async def test_a_certificate_that_nobody_vouches_for_is_told_to_the_operator(
    shelf: SeafileShelf, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with another_site(web.json_response({}), tls) as url:
        with pytest.raises(ServerAway):
            await Seahub(url, Tokens(shelf.tokens)).repo(task_of(shelf))
    assert url in caplog.text
    assert "certificate verify failed" in caplog.text.lower()


@pytest.mark.parametrize("words", ["/seafhttp/upload-api/key", *also("", None)])
async def test_what_is_no_link_is_not_posted_to(shelf: SeafileShelf, words: object) -> None:
    async with another_site(web.json_response(words)) as url:
        with pytest.raises(Refused, match="gave no link") as caught:
            await Seahub(url, Tokens(shelf.tokens)).upload_link(task_of(shelf), "/")
    assert "key" not in str(caught.value)


async def test_an_answer_without_an_end_is_left(shelf: SeafileShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seahub, "LONGEST_ANSWER", 1 << 20)
    many = [{"name": str(number), "type": "file"} for number in range(1 << 16)]
    async with another_site(web.json_response(text=json.dumps(many))) as url:
        with pytest.raises(Refused, match="too long"):
            await Seahub(url, Tokens(shelf.tokens)).entries(task_of(shelf), "/")


# --- silence


async def test_a_look_that_is_not_answered_has_done_nothing(shelf: SeafileShelf, site: Seahub) -> None:
    await shelf.server.fail("ignore", WEB)
    with pytest.raises(ServerAway):
        await site.repo(task_of(shelf))


@pytest.mark.parametrize("how", ["mute", *also("drop")])
async def test_a_folder_may_have_been_made_in_silence_and_is_made_once(
    shelf: SeafileShelf, site: Seahub, how: How
) -> None:
    await shelf.server.fail(how, WEB_WRITE)
    with pytest.raises(Unanswered):
        await site.make_folder(task_of(shelf), "/new/folder")
    await site.make_folder(task_of(shelf), "/new/folder")
    assert [entry.name for entry in await site.entries(task_of(shelf), "/")] == ["new"]
    assert [entry.name for entry in await site.entries(task_of(shelf), "/new")] == ["folder"]


# --- a proxy before the file server


async def test_a_proxy_that_takes_no_such_length_says_too_large(
    shelf: SeafileShelf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = "<p>/seafhttp/upload-api/secret-key?ret-json=1 is too large</p>"
    await shelf.server.fail("refuse", UPLOAD, code=413, message=page)
    assert (await refused(shelf)).reason is Reason.TOO_LARGE
    assert "/upload-api/..." in caplog.text
    assert "secret-key" not in caplog.text


@pytest.mark.parametrize("status", [502, *also(503, 504)])
async def test_a_proxy_that_lost_the_file_server_leaves_it_open_what_came_of_it(
    shelf: SeafileShelf, status: int
) -> None:
    await shelf.server.fail("refuse", UPLOAD, code=status)
    trouble = await refused(shelf)
    assert (trouble.reason, trouble.remedy) == (Reason.LIBRARY_AWAY, Remedy.RETRY)
