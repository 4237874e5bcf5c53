"""What every library keeps: exactly once, nothing replaced, and the truth about where a file is."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from odl_daemon.model.task import Fetched, FetchedFile, Reason
from odl_daemon.ports import NameTaken, Remedy, Trouble
from tests.library.shelves import FolderShelf, Row, Shelf, fetched, fetched_all, id_of, put, seafile_shelf, task_of

BLOCK = 8 << 20


@pytest.fixture(params=["folder", "seafile-rpc", "seafile-http", pytest.param("seafile-web", marks=pytest.mark.chaos)])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    match request.param:
        case "folder":
            yield FolderShelf(tmp_path)
        case "seafile-rpc":
            async with seafile_shelf(tmp_path, http=False, version="8.0") as shelf:
                yield shelf
        case "seafile-http":
            async with seafile_shelf(tmp_path, http=True, version="13.0") as shelf:
                yield shelf
        case "seafile-web":
            async with seafile_shelf(tmp_path, http=True, web=True, version="12.0") as shelf:
                yield shelf


# --- the place


async def test_a_file_comes_to_its_place(shelf: Shelf) -> None:
    await shelf.make_folder("/sub/folder")
    intent = await put(shelf, task_of(shelf, target="/sub/folder"), fetched(shelf))
    assert intent.path == "/sub/folder/a.tar.gz"
    assert await shelf.files() == {"/sub/folder/a.tar.gz": id_of(b"bytes")}


async def test_a_folder_is_made_where_that_is_wished(shelf: Shelf) -> None:
    task = task_of(shelf, target="/not/there", mkdir=True)
    await shelf.open().check(task)
    assert (await put(shelf, task, fetched(shelf))).path == "/not/there/a.tar.gz"
    assert await shelf.files() == {"/not/there/a.tar.gz": id_of(b"bytes")}


@pytest.mark.parametrize("mkdir", [False, True])
@pytest.mark.parametrize("target", ["/sub", "/sub/folder"])
async def test_a_file_where_a_folder_should_be_is_told(shelf: Shelf, target: str, mkdir: bool) -> None:
    await shelf.put("/sub", b"")
    with pytest.raises(Trouble) as caught:
        await put(shelf, task_of(shelf, target=target, mkdir=mkdir), fetched(shelf))
    assert (caught.value.reason, caught.value.remedy) == (Reason.BAD_TARGET, Remedy.NONE)
    assert caught.value.sentence == f"{target!r} is not a folder of the library"
    assert await shelf.files() == {"/sub": id_of(b"")}


@pytest.mark.parametrize("name", ["😀.txt", "naïve résumé.txt", "a;b=c%20d'e.txt", "-rf", "x" * 196 + ".txt"])
async def test_a_name_arrives_as_it_is(shelf: Shelf, name: str) -> None:
    decomposed = unicodedata.normalize("NFD", name)[:180]
    wanted = unicodedata.normalize("NFC", decomposed)
    task = task_of(shelf, name=decomposed)
    assert (await put(shelf, task, fetched(shelf))).path == f"/{wanted}"
    assert await shelf.files() == {f"/{wanted}": id_of(b"bytes")}


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1])
async def test_every_byte_arrives(shelf: Shelf, size: int) -> None:
    content = os.urandom(size)
    intent = await put(shelf, task_of(shelf), fetched(shelf, content=content))
    assert await shelf.files() == {"/a.tar.gz": id_of(content)}
    assert intent.size == size


# --- names that are taken


@pytest.mark.parametrize(
    ("name", "numbered"),
    [
        ("a.tar.gz", ["a.tar (1).gz", "a.tar (2).gz"]),
        (".bashrc", [".bashrc (1)", ".bashrc (2)"]),
        ("README", ["README (1)", "README (2)"]),
    ],
)
async def test_a_taken_name_is_numbered(shelf: Shelf, name: str, numbered: list[str]) -> None:
    for number in range(3):
        await put(shelf, task_of(shelf, number), fetched(shelf, name, bytes([number])))
    paths = [f"/{each}" for each in (name, *numbered)]
    assert await shelf.files() == {path: id_of(bytes([number])) for number, path in enumerate(paths)}


async def test_a_folder_takes_a_name_too(shelf: Shelf) -> None:
    await shelf.make_folder("/a.tar.gz")
    assert (await put(shelf, task_of(shelf), fetched(shelf))).path == "/a.tar (1).gz"


async def test_two_plans_at_once_choose_two_names(shelf: Shelf) -> None:
    bytes_, library = fetched(shelf), shelf.open()
    plans = await asyncio.gather(*(library.plan(task_of(shelf, n), str(shelf.scratch), bytes_) for n in range(5)))
    assert len({plan.path for plan in plans}) == 5


async def test_two_tasks_with_the_same_bytes_are_two_files(shelf: Shelf) -> None:
    rows = [Row(task_of(shelf, number)) for number in range(2)]
    for row in rows:
        await row.walk(shelf.open(), shelf, fetched(shelf))
    assert sorted(await shelf.files()) == ["/a.tar (1).gz", "/a.tar.gz"]
    assert [row.task.intent and row.task.intent.path for row in rows] == ["/a.tar.gz", "/a.tar (1).gz"]


async def test_other_bytes_in_the_place_are_never_replaced(shelf: Shelf) -> None:
    library, task, bytes_ = shelf.open(), task_of(shelf), fetched(shelf)
    intent = await library.plan(task, str(shelf.scratch), bytes_)
    await shelf.put("/a.tar.gz", b"theirs")
    assert not await library.landed(task, intent)
    with pytest.raises(NameTaken):
        await library.commit(task, str(shelf.scratch), intent)

    row = Row(replace(task, intent=intent))
    await row.walk(library, shelf, bytes_)

    assert await shelf.files() == {"/a.tar.gz": id_of(b"theirs"), "/a.tar (1).gz": id_of(b"bytes")}
    assert row.task.intent is not None and row.task.intent.path == "/a.tar (1).gz"


# --- once


async def test_the_same_intent_again_is_the_same_file(shelf: Shelf) -> None:
    library, task = shelf.open(), task_of(shelf)
    intent = await put(shelf, task, fetched(shelf), library)
    for again in (library, shelf.open()):
        assert await again.landed(task, intent)
        assert await again.commit(task, str(shelf.scratch), intent) == intent
        assert await put(shelf, replace(task, intent=intent), fetched(shelf), again) == intent
    assert await shelf.files() == {"/a.tar.gz": id_of(b"bytes")}


async def test_a_crash_before_the_commit_keeps_the_intent(shelf: Shelf) -> None:
    bytes_ = fetched(shelf)
    intent = await shelf.open().plan(task_of(shelf), str(shelf.scratch), bytes_)
    row = Row(task_of(shelf, intent=intent))
    await row.walk(shelf.open(), shelf, bytes_)
    assert row.task.intent == intent
    assert await shelf.files() == {"/a.tar.gz": id_of(b"bytes")}


async def test_a_crash_after_the_commit_needs_no_bytes_any_longer(shelf: Shelf) -> None:
    intent = await put(shelf, task_of(shelf), fetched(shelf))
    (shelf.scratch / "a.tar.gz").unlink(missing_ok=True)
    task, library = task_of(shelf, intent=intent), shelf.open()
    assert await library.landed(task, intent)
    assert await library.commit(task, str(shelf.scratch), intent) == intent


async def test_what_an_earlier_holder_has_written_late_counts_as_done(shelf: Shelf) -> None:
    old = fetched(shelf, content=b"old")
    earlier = await shelf.open().plan(task_of(shelf), str(shelf.scratch), old)
    await shelf.put("/a.tar.gz", b"old")
    intent = await put(shelf, task_of(shelf, intent=earlier, epoch=2), fetched(shelf, content=b"new!!"))
    assert intent == earlier
    assert await shelf.files() == {"/a.tar.gz": id_of(b"old")}


async def test_changed_bytes_keep_a_place_that_is_free(shelf: Shelf) -> None:
    old = fetched(shelf, content=b"old")
    earlier = await shelf.open().plan(task_of(shelf), str(shelf.scratch), old)
    intent = await put(shelf, task_of(shelf, intent=earlier), fetched(shelf, content=b"new!!"))
    assert intent.path == earlier.path
    assert await shelf.files() == {"/a.tar.gz": id_of(b"new!!")}


async def test_nothing_has_landed_before_the_commit(shelf: Shelf) -> None:
    intent = await shelf.open().plan(task_of(shelf), str(shelf.scratch), fetched(shelf))
    assert not await shelf.open().landed(task_of(shelf), intent)


# --- several files

SITE = {"site/a": b"1", "site/sub/a": b"2", "site/sub/b:c": b"3"}


async def test_several_files_come_as_one_folder(shelf: Shelf) -> None:
    row = Row(task_of(shelf))
    await row.walk(shelf.open(), shelf, fetched_all(shelf, SITE))
    assert row.task.intent is not None and row.task.intent.path == "/site"
    assert await shelf.files() == {"/site/a": id_of(b"1"), "/site/sub/a": id_of(b"2"), "/site/sub/b_c": id_of(b"3")}
    assert await shelf.open().landed(row.task, row.task.intent)


async def test_a_folder_of_several_files_is_numbered_as_one(shelf: Shelf) -> None:
    await shelf.make_folder("/site")
    intent = await put(shelf, task_of(shelf), fetched_all(shelf, SITE))
    assert intent.path == "/site (1)"
    assert sorted(await shelf.files()) == ["/site (1)/a", "/site (1)/sub/a", "/site (1)/sub/b_c"]


async def test_of_several_files_only_the_missing_ones_are_written(shelf: Shelf) -> None:
    bytes_ = fetched_all(shelf, SITE)
    intent = await shelf.open().plan(task_of(shelf), str(shelf.scratch), bytes_)
    await shelf.make_folder("/site/sub")
    await shelf.put("/site/sub/a", b"2")
    row = Row(task_of(shelf, intent=intent))
    assert not await shelf.open().landed(row.task, intent)
    await row.walk(shelf.open(), shelf, bytes_)
    assert row.task.intent == intent
    assert await shelf.files() == {file.path: id_of(SITE[file.source]) for file in intent.files}


# --- what is no file of ours


@pytest.mark.parametrize("kind", ["link", "link on the way", "pipe", "second name", "folder", "nothing", "other size"])
async def test_what_is_no_plain_file_of_ours_is_refused(shelf: Shelf, tmp_path: Path, kind: str) -> None:
    name = "way/a" if kind == "link on the way" else "a"
    make_strange(shelf.scratch, tmp_path, kind)
    with pytest.raises(Trouble) as caught:
        await put(shelf, task_of(shelf), Fetched((FetchedFile(name, 5),)))
    assert (caught.value.reason, caught.value.remedy) == (Reason.INTERRUPTED, Remedy.WIPE)
    assert await shelf.files() == {}


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing", "other size"])
async def test_what_is_put_in_the_files_place_after_the_plan_is_refused(
    shelf: Shelf, tmp_path: Path, kind: str
) -> None:
    """Cloudreve GHSA-w8j7-39hp-8x59: the path that the downloader told was believed."""
    library, task = shelf.open(), task_of(shelf)
    intent = await library.plan(task, str(shelf.scratch), fetched(shelf, "a"))
    (shelf.scratch / "a").unlink()
    make_strange(shelf.scratch, tmp_path, kind)
    with pytest.raises(Trouble):
        await library.commit(task, str(shelf.scratch), intent)
    assert await shelf.files() == {}


def make_strange(scratch: Path, outside: Path, kind: str) -> None:
    """`a`, or `way/a`, which is not the file of five bytes that was fetched."""
    secret = outside / "secret"
    secret.mkdir()
    (secret / "a").write_bytes(b"12345")
    match kind:
        case "link":
            (scratch / "a").symlink_to(secret / "a")
        case "link on the way":
            (scratch / "way").symlink_to(secret)
        case "pipe":
            os.mkfifo(scratch / "a")
        case "second name":
            (scratch / "a").hardlink_to(secret / "a")
        case "folder":
            (scratch / "a").mkdir()
        case "other size":
            (scratch / "a").write_bytes(b"123456")
