"""What the folder library keeps beyond the contract: nothing outside, any disk, a kill at any system call."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odl_daemon.library.folder import FolderLibrary
from odl_daemon.model.names import safe_name
from odl_daemon.model.task import Fetched, FetchedFile, Intent, Phase, Reason, Task
from odl_daemon.ports import Remedy, Trouble

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class House:
    """A library with one directory, and a scratch folder beside it."""

    def __init__(self, root: Path, scratch: Path | None = None) -> None:
        self.root = root / "library"
        (self.root / "default").mkdir(parents=True)
        self.scratch = scratch or root / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.library = FolderLibrary(self.root, create=False)

    def task(self, task_id: int = 1, **changes: object) -> Task:
        task = Task(task_id, "local", "default", "/", "http://h/a", NOW, NOW, phase=Phase.COMMITTING, epoch=1)
        return replace(task, **changes)  # type: ignore[arg-type]  # single fields by name

    def fetched(self, name: str = "a.tar.gz", content: bytes = b"bytes") -> Fetched:
        (self.scratch / name).write_bytes(content)
        return Fetched((FetchedFile(name, len(content)),))

    async def put(self, task: Task, fetched: Fetched) -> Intent:
        intent = await self.library.plan(task, str(self.scratch), fetched)
        await self.library.commit(task, str(self.scratch), intent)
        return intent

    def files(self) -> dict[str, bytes]:
        top = self.root / "default"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_a_file_comes_to_its_place(house: House) -> None:
    intent = await house.put(house.task(target="/sub/folder"), house.fetched())
    assert intent.path == "/sub/folder/a.tar.gz"
    assert house.files() == {"sub/folder/a.tar.gz": b"bytes"}
    assert list(house.scratch.iterdir()) == []


async def test_an_unknown_library_is_told(house: House) -> None:
    for name, reason in (("other", Reason.LIBRARY_MISSING), ("../x", Reason.BAD_TARGET), ("", Reason.BAD_TARGET)):
        with pytest.raises(Trouble) as caught:
            await house.library.check(house.task(library=name))
        assert caught.value.reason is reason and caught.value.remedy is Remedy.NONE


async def test_a_library_is_made_where_that_is_allowed(house: House) -> None:
    await FolderLibrary(house.root, create=True).check(house.task(library="other"))
    assert (house.root / "other").is_dir()


async def test_a_link_in_the_library_leads_nowhere(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (house.root / "default" / "way").symlink_to(outside)
    with pytest.raises(Trouble) as caught:
        await house.put(house.task(target="/way"), house.fetched())
    assert caught.value.reason is Reason.BAD_TARGET and list(outside.iterdir()) == []


async def test_another_file_system_is_copied_to(tmp_path: Path) -> None:
    shared = Path(f"/dev/shm/odl-test-{os.getpid()}")
    house = House(tmp_path, scratch=shared)
    try:
        await house.put(house.task(), house.fetched(content=b"x" * 3_000_000))
        assert house.files() == {"a.tar.gz": b"x" * 3_000_000}
    finally:
        for path in shared.iterdir():
            path.unlink()
        shared.rmdir()


async def test_what_is_written_has_the_folders_permissions(house: House) -> None:
    (house.root / "default").chmod(0o750)
    await house.put(house.task(target="/sub"), house.fetched())
    assert (house.root / "default" / "sub").stat().st_mode & 0o777 == 0o750
    assert (house.root / "default" / "sub" / "a.tar.gz").stat().st_mode & 0o777 == 0o640


_CHILD = """
import asyncio, os, sys
from pathlib import Path
from odl_daemon.library import placing
from tests.library.test_folder import House, Fetched, FetchedFile, replace
left = int(sys.argv[2])
def counted(call):
    def wrapper(*args, **keys):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return call(*args, **keys)
    return wrapper
for name in ("fsync", "open", "fchmod", "link", "unlink", "mkdir"):
    setattr(placing.os, name, counted(getattr(os, name)))
placing._move = counted(placing._move)
house = House.__new__(House)
root = Path(sys.argv[1])
house.root, house.scratch = root / "library", root / "scratch"
from odl_daemon.library.folder import FolderLibrary
house.library = FolderLibrary(house.root, create=False)
fetched = Fetched((FetchedFile("a.tar.gz", 5),))
task = house.task(target="/sub")
async def main():
    planned = await house.library.plan(task, str(house.scratch), fetched)
    await house.library.commit(replace(task, intent=planned), str(house.scratch), planned)
asyncio.run(main())
"""


async def test_a_kill_between_any_two_steps_leaves_exactly_one_file(tmp_path: Path) -> None:
    survived = 0
    for point in range(1, 60):
        root = tmp_path / str(point)
        root.mkdir()
        house = House(root)
        fetched = house.fetched()
        before = await house.library.plan(house.task(target="/sub"), str(house.scratch), fetched)
        argv = [sys.executable, "-c", textwrap.dedent(_CHILD), str(root), str(point)]
        code = (await asyncio.to_thread(subprocess.run, argv, check=False)).returncode
        task = house.task(target="/sub", intent=before, epoch=2)
        library = FolderLibrary(house.root, create=False)
        if not await library.landed(task, before):
            intent = await library.plan(task, str(house.scratch), fetched)
            await library.commit(task, str(house.scratch), intent)
        assert house.files() == {"sub/a.tar.gz": b"bytes"}, point
        if code == 0:
            survived += 1
            break
    assert survived == 1


@given(st.text(max_size=300))
def test_any_name_that_is_sent_becomes_one_safe_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert name and "/" not in name and name not in (".", "..") and "\0" not in name
    assert len(name.encode()) <= 200
    assert safe_name(name) == name


async def test_where_a_copy_needs_a_name_an_earlier_holders_half_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, flags: int, *rest: object, **more: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "this file system has no files without a name")
        return plain(path, flags, *rest, **more)  # type: ignore[arg-type]  # as it was called

    plain = os.open
    shared = Path(f"/dev/shm/odl-test-{os.getpid()}")
    house = House(tmp_path, scratch=shared)
    monkeypatch.setattr("odl_daemon.library.placing.os.open", refuse)
    try:
        (house.root / "default" / ".odl-1-0-1").write_bytes(b"half of an earlier copy")
        (house.root / "default" / ".odl-1-0-3").write_bytes(b"a newer holder's")
        await house.put(house.task(epoch=2), house.fetched(content=b"x" * 3_000_000))
        assert house.files() == {"a.tar.gz": b"x" * 3_000_000, ".odl-1-0-3": b"a newer holder's"}
    finally:
        for path in shared.iterdir():
            path.unlink()
        shared.rmdir()
