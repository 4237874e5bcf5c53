"""The clock of the simulation itself."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.simulation.process import Process
from tests.simulation.virtual_loop import Deadlock
from tests.simulation.world import BEGIN, World


def test_hours_pass_in_no_time() -> None:
    world = World(Random(1))
    process = Process(world, "one", None)
    task = process.loop.create_task(asyncio.sleep(7200.0), name="sleeper")
    world.run(BEGIN + 7199.0)
    assert not task.done()
    world.run(BEGIN + 7201.0)
    assert task.done()
    process.die()


def test_who_waits_for_ever_is_named() -> None:
    world = World(Random(1))
    process = Process(world, "one", None)
    process.loop.create_task(asyncio.Event().wait(), name="waits for Godot")
    with pytest.raises(Deadlock, match="waits for Godot"):
        world.run(BEGIN + 10.0)
    process.die()


def test_a_frozen_process_wakes_up_late() -> None:
    world = World(Random(1))
    process = Process(world, "one", None)

    async def sleep() -> float:
        await asyncio.sleep(1.0)
        return process.loop.time()

    task = process.loop.create_task(sleep(), name="sleeper")
    world.after(0.5, process.freeze)
    world.after(5.0, process.thaw)
    world.run(BEGIN + 6.0)
    assert task.result() == BEGIN + 5.0
    process.die()


def test_a_dead_process_ends_its_tasks_wherever_they_are() -> None:
    world = World(Random(1))
    process = Process(world, "one", None)

    async def stubborn() -> None:
        try:
            await asyncio.sleep(10.0)
        finally:
            await asyncio.sleep(10.0)

    task = process.loop.create_task(stubborn(), name="stubborn")
    world.run(BEGIN + 1.0)
    process.die()
    assert task.cancelled()
