"""The scratch folders on a real disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from odl_daemon.download.leftovers import look
from odl_daemon.download.scratch import ScratchFolders, empty
from odl_daemon.model.task import Fetched, FetchedFile


@pytest.fixture
def scratch(tmp_path: Path) -> ScratchFolders:
    return ScratchFolders(root=tmp_path / "scratch")


def begun(scratch: ScratchFolders, task_id: int) -> None:
    """The folder of a task, as the first byte makes it."""
    Path(scratch.path(task_id)).mkdir(mode=0o700, parents=True)


async def test_only_plain_numbers_are_tasks(scratch: ScratchFolders, tmp_path: Path) -> None:
    assert await scratch.folders() == []
    for task_id in (10, 9):
        begun(scratch, task_id)
    for name in ("lost+found", "007", "-1", "x", "٣"):
        (tmp_path / "scratch" / name).mkdir()
    (tmp_path / "scratch" / "11").touch()
    (tmp_path / "scratch" / "12").symlink_to(tmp_path)
    assert await scratch.folders() == [9, 10]


async def test_wiping_nothing_is_fine(scratch: ScratchFolders) -> None:
    await scratch.wipe(5)


async def test_wiping_never_follows_a_link(scratch: ScratchFolders, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    begun(scratch, 1)
    folder = tmp_path / "scratch" / "1"
    (folder / "inner").mkdir()
    (folder / "inner" / "link").symlink_to(kept)
    (folder / "link").symlink_to(kept / "file")
    await scratch.wipe(1)
    assert not folder.exists()
    assert (kept / "file").read_text() == "mine"


async def test_a_tree_deeper_than_any_path_is_wiped(scratch: ScratchFolders, tmp_path: Path) -> None:
    begun(scratch, 1)
    folder = tmp_path / "scratch" / "1"
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    await scratch.wipe(1)
    assert not folder.exists()


async def test_names_of_our_own_making_in_a_tree_do_not_confuse_the_wiping(
    scratch: ScratchFolders, tmp_path: Path
) -> None:
    begun(scratch, 1)
    folder = tmp_path / "scratch" / "1"
    (folder / ".lifted-1").mkdir()
    (folder / ".lifted-1" / "full").write_text("x")
    (folder / ".lifted-2").write_text("a file")
    (folder / "a" / "b" / "c").mkdir(parents=True)
    empty(folder)
    assert list(folder.iterdir()) == []


async def test_it_holds_what_lies_there_in_full(scratch: ScratchFolders, tmp_path: Path) -> None:
    begun(scratch, 1)
    folder = tmp_path / "scratch" / "1"
    (folder / "a").write_bytes(b"12345")
    (folder / "link").symlink_to(folder / "a")
    assert await scratch.holds(1, Fetched(files=(FetchedFile("a", 5),)))
    assert not await scratch.holds(1, Fetched(files=(FetchedFile("a", 6),)))
    assert not await scratch.holds(1, Fetched(files=(FetchedFile("b", 5),)))
    assert not await scratch.holds(1, Fetched(files=(FetchedFile("link", 5),)))


async def test_it_knows_the_free_space(scratch: ScratchFolders) -> None:
    begun(scratch, 1)
    assert (await scratch.space()).free > 0


def test_a_begun_file_is_one_file_with_its_control_file(tmp_path: Path) -> None:
    assert look(str(tmp_path / "missing")).clean
    assert look(str(tmp_path)).clean
    (tmp_path / "f").write_bytes(b"123")
    assert look(str(tmp_path)).begun == ""
    (tmp_path / "f.aria2").touch()
    found = look(str(tmp_path))
    assert found.begun == "f"
    assert found.files == (FetchedFile("f", 3),)
    (tmp_path / "g").touch()
    assert look(str(tmp_path)).begun == ""
