"""The scratch disk is shared out: nobody begins what cannot end."""

from __future__ import annotations

from typing import Any, cast

import pytest

from odl_daemon.engine.disk import FLOOR, PART, UNWRITTEN, Disk
from odl_daemon.model.task import Progress, Reason
from odl_daemon.ports import Remedy, Scratch, Space, Trouble

GIB = 1 << 30


class Paper:
    """As much of a scratch as a ledger asks for."""

    def __init__(self, free: int, total: int = 1000 * GIB) -> None:
        self.free = free
        self.total = total

    async def space(self) -> Space:
        return Space(self.free, self.total)


def disk_of(paper: Paper, **settings: Any) -> Disk:
    return Disk(cast(Scratch, paper), **settings)


async def refused(disk: Disk, task_id: int, progress: Progress) -> Remedy | None:
    try:
        await disk.check(task_id, progress)
    except Trouble as trouble:
        assert trouble.reason is Reason.DISK_FULL
        return trouble.remedy
    return None


async def test_two_files_do_not_count_on_the_same_room() -> None:
    disk = disk_of(Paper(10 * GIB), floor=0)
    assert await refused(disk, 1, Progress(0, 6 * GIB)) is None
    assert await refused(disk, 2, Progress(0, 6 * GIB)) is Remedy.WAIT
    disk.leave(1)
    assert await refused(disk, 2, Progress(0, 6 * GIB)) is None


async def test_what_has_come_needs_no_room_any_longer() -> None:
    paper = Paper(10 * GIB)
    disk = disk_of(paper, floor=0)
    await disk.check(1, Progress(0, 6 * GIB))
    paper.free -= 5 * GIB
    await disk.check(1, Progress(5 * GIB, 6 * GIB))
    assert await refused(disk, 2, Progress(0, 3 * GIB)) is None


async def test_the_floor_is_kept_from_everybody() -> None:
    disk = disk_of(Paper(10 * GIB), floor=8 * GIB)
    assert await refused(disk, 1, Progress(0, 3 * GIB)) is Remedy.WAIT
    assert await refused(disk, 1, Progress(0, GIB)) is None


async def test_what_tells_no_size_asks_piece_by_piece_and_loses_its_bytes_when_there_is_no_more() -> None:
    paper = Paper(GIB + UNWRITTEN)
    disk = disk_of(paper, floor=0, reserve=400 << 20)
    await disk.check(1, Progress(0, None))
    paper.free -= 500 << 20
    await disk.check(1, Progress(500 << 20, None))
    paper.free -= 500 << 20
    assert await refused(disk, 1, Progress(1000 << 20, None)) is Remedy.WIPE


async def test_a_disk_that_others_fill_stops_what_runs() -> None:
    paper = Paper(10 * GIB)
    disk = disk_of(paper, floor=GIB)
    await disk.check(1, Progress(0, 6 * GIB))
    paper.free = GIB
    await disk.room()  # somebody looked
    assert await disk.is_low()
    assert await refused(disk, 1, Progress(1, 6 * GIB)) is Remedy.WAIT


@pytest.mark.parametrize(
    ("total", "floor"),
    [(1000 * GIB, FLOOR), (20 * GIB, FLOOR), (10 * GIB, 10 * GIB // PART), (8 << 20, (8 << 20) // PART)],
)
def test_the_floor_that_nobody_set_fits_the_disk(total: int, floor: int) -> None:
    assert disk_of(Paper(0)).floor(Space(0, total)) == floor
