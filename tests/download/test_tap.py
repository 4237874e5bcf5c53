"""What comes from the internet stops before the disk is full, and goes on when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.acceptance.until import until

from odl_daemon.download import tap as tap_module
from odl_daemon.download.tap import Tap


class Reader:
    """Somebody who reads what the tap lets through."""

    def __init__(self) -> None:
        self.went_on = asyncio.Event()

    def go_on(self) -> None:
        self.went_on.set()


class Disk:
    def __init__(self, room: int) -> None:
        self.room = room

    async def look(self) -> int:
        return self.room


@asynccontextmanager
async def running(tap: Tap, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(tap_module, "LOOK", 0.01)
    async with asyncio.TaskGroup() as group:
        life = group.create_task(tap.run(), name="tap")
        yield
        life.cancel()


async def test_it_closes_with_the_last_byte_that_has_room_however_fast_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tap = Tap(Disk(1000).look)
    async with running(tap, monkeypatch):
        tap.flow(1)
        await until(lambda: tap._left <= 1000)
        tap.flow(999)
        assert not tap.closed
        tap.flow(1)
        assert tap.closed  # no look at the disk was needed for that


async def test_who_was_held_goes_on_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, reader = Disk(0), Reader()
    tap = Tap(disk.look)
    async with running(tap, monkeypatch):
        tap.flow(1)
        await until(lambda: tap.closed)
        tap.hold(reader)
        disk.room = 500
        async with asyncio.timeout(10):
            await reader.went_on.wait()
        assert not tap.closed


async def test_who_has_left_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, gone, here = Disk(0), Reader(), Reader()
    tap = Tap(disk.look)
    async with running(tap, monkeypatch):
        tap.flow(1)
        await until(lambda: tap.closed)
        tap.hold(gone)
        tap.hold(here)
        tap.release(gone)
        disk.room = 500
        async with asyncio.timeout(10):
            await here.went_on.wait()
        assert not gone.went_on.is_set()
