"""Bytes that the old worker has left are continued where that is safe, and nothing else is touched."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from odl_daemon.download.inheritance import Inherited, inherit
from odl_daemon.download.probe import Answer
from odl_daemon.model.task import Progress

LENGTH, PIECE = 10_000, 1024


def control(length: int = LENGTH, piece: int = PIECE, bits: bytes = b"\xf0\x00", version: int = 1) -> bytes:
    """A control file as aria2 writes it, without pieces in flight."""
    return struct.pack(">HIIIQQI", version, 0, 0, piece, length, 0, len(bits)) + bits + struct.pack(">I", 0)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "scratch"
    root.mkdir()
    return root


@pytest.fixture
def left(root: Path) -> Path:
    """What the old worker left: 4 of 10 pieces."""
    folder = root / "tmp_4x9"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"x" * 5000)
    (folder / "a.bin.aria2").write_bytes(control())
    return folder


def test_a_begun_file_moves_into_the_tasks_folder(root: Path, left: Path) -> None:
    os.utime(left / "a.bin", (1000, 5000))
    os.utime(left / "a.bin.aria2", (5000, 5000))
    assert inherit(root, str(left), root / "7") == Progress(4 * PIECE, LENGTH, 0, f"inherited|1000|{LENGTH}")
    assert names_in(root / "7") == ["a.bin", "a.bin.aria2"]
    assert (root / "7").stat().st_mode & 0o777 == 0o700
    assert not left.exists()


def test_it_is_done_once(root: Path, left: Path) -> None:
    assert inherit(root, str(left), root / "7")
    assert inherit(root, str(left), root / "7") is None


@pytest.mark.parametrize(
    "named",
    [
        "",
        "tmp_4x9",
        "/etc",
        "{root}",
        "{root}/..",
        "{root}/nothing",
        "{root}/12",
        "{root}/12/in",
        "{root}/link",
        "a\0b",
    ],
)
def test_other_folders_are_left_alone(root: Path, left: Path, named: str, tmp_path: Path) -> None:
    for folder in (root / "12" / "in", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(b"x")
        (folder / "a.aria2").write_bytes(control())
    (root / "link").symlink_to(tmp_path / "elsewhere")
    assert inherit(root, named.format(root=root), root / "7") is None
    assert not (root / "7").exists()
    assert names_in(tmp_path / "elsewhere") == ["a", "a.aria2"]
    assert names_in(left) == ["a.bin", "a.bin.aria2"]


def test_a_folder_further_below_will_do(root: Path, left: Path) -> None:
    (root / "old").mkdir()
    assert inherit(root, str(left.rename(root / "old" / "tmp_1")), root / "7")


@pytest.mark.parametrize(
    "words",
    [
        b"",
        control()[:20],
        control(version=0),
        control(piece=0),
        control(length=0),
        control(length=4000),  # shorter than what is there
        control(bits=b""),
        control(bits=b"\xff"),  # too few pieces for the length
    ],
)
def test_a_control_file_that_tells_nothing_is_not_believed(root: Path, left: Path, words: bytes) -> None:
    (left / "a.bin.aria2").write_bytes(words)
    assert inherit(root, str(left), root / "7") is None
    assert names_in(left) == ["a.bin", "a.bin.aria2"]


def test_a_file_with_a_second_name_is_not_taken(root: Path, left: Path, tmp_path: Path) -> None:
    os.link(left / "a.bin", tmp_path / "second")
    assert inherit(root, str(left), root / "7") is None


def test_links_are_not_followed(root: Path, left: Path, tmp_path: Path) -> None:
    (left / "a.bin").rename(tmp_path / "elsewhere")
    (left / "a.bin").symlink_to(tmp_path / "elsewhere")
    assert inherit(root, str(left), root / "7") is None


def test_a_whole_file_without_a_control_file_is_not_taken(root: Path, left: Path) -> None:
    (left / "a.bin.aria2").unlink()
    assert inherit(root, str(left), root / "7") is None


# --- the source


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        (Answer(200, length=10), True),
        (Answer(200, length=10, modified=999.0), True),
        (Answer(200, length=10, modified=1000.0), True),
        (Answer(200, length=10, modified=1001.0), False),
        (Answer(200, length=11, modified=1.0), False),
        (Answer(200, length=None), False),
    ],
)
def test_a_source_is_the_one_that_was_begun_unless_it_tells_otherwise(answer: Answer, fits: bool) -> None:
    assert Inherited(10, 1000).fits(answer) is fits


def test_what_is_known_is_kept_in_the_row() -> None:
    assert Inherited.read(str(Inherited(10, 1000))) == Inherited(10, 1000)


@pytest.mark.parametrize(
    "validator", ["", '"etag"|Thu, 01 Jan 1970|10', "inherited|1", "inherited|a|1", '"inherited"|1|2']
)
def test_another_validator_is_none_of_these(validator: str) -> None:
    assert Inherited.read(validator) is None
