"""Collects the steps of all tasks and writes many in one transaction, each only if its writer still may."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from odl_daemon.model.task import Task
from odl_daemon.ports import LeaseLost, StoreAway
from odl_daemon.store.connection import Connections
from odl_daemon.store.schema import SIDE
from odl_daemon.store.transaction import Transaction
from odl_daemon.store.writing import lock_rows, some, write

AT_ONCE = 200
"""Steps in one transaction, at most."""


class Journal:
    """Group commit: what comes while a transaction is under way goes out together with the next one."""

    def __init__(self, connections: Connections, lease: int) -> None:
        self._connections = connections
        self._lease = lease
        self._waiting: list[_Step] = []
        self._under_way = False

    async def save(self, task: Task) -> None:
        """Returns when the task is durable. Raises LeaseLost if somebody else has it by now."""
        step = _Step(task)
        self._waiting.append(step)
        if not self._under_way:
            self._order()
        await step.written

    def _order(self) -> None:
        """Orders one transaction for everything that waits when its turn comes."""
        self._under_way = True
        steps: list[_Step] = []

        async def unit(tx: Transaction) -> set[int]:
            if not steps:  # a replay writes the same again
                steps.extend(self._waiting[:AT_ONCE])
                del self._waiting[: len(steps)]
            return await save_some(tx, [step.task for step in steps], self._lease)

        def over(done: asyncio.Future[set[int]]) -> None:
            self._under_way = False
            self._settle(steps, done)
            if self._waiting:
                self._order()

        self._connections.order_write(unit).add_done_callback(over)

    def _settle(self, steps: Sequence[_Step], done: asyncio.Future[set[int]]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and len(steps) > 1 and not isinstance(error, StoreAway):
            self._one_by_one(steps)  # a bad row must not fail its neighbours
            return
        for step in steps:
            if error is not None:
                step.fail(error)
            elif not done.cancelled():
                step.answer(step.task.id in done.result())

    def _one_by_one(self, steps: Sequence[_Step]) -> None:
        for step in steps:
            self._alone(step)

    def _alone(self, step: _Step) -> None:
        async def unit(tx: Transaction) -> set[int]:
            return await save_some(tx, [step.task], self._lease)

        self._connections.order_write(unit).add_done_callback(lambda done: self._settle([step], done))


class _Step:
    """One task to be written, and who waits for it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, saved: bool) -> None:
        if self.written.done():
            return
        if saved:
            self.written.set_result(None)
        else:
            self.written.set_exception(LeaseLost(f"task {self.task.id} is not ours any longer"))

    def fail(self, error: BaseException) -> None:
        if not self.written.done():
            self.written.set_exception(error)


async def save_some(tx: Transaction, tasks: Sequence[Task], lease: int) -> set[int]:
    """Writes those whose epoch still stands and whose shared row still exists; returns their ids.

    A side row without its shared row is deleted: somebody took the request back. Two states of one task in one
    batch: the later one is written, which contains the earlier one.
    """
    newest = {task.id: task for task in tasks}
    rows = await lock_rows(tx, newest)
    gone = [task_id for task_id, row in rows.items() if row["shared_id"] is None]
    if gone:
        await tx.execute(f"DELETE FROM {SIDE} WHERE odr_id IN ({some(gone)})")
    saved = [
        task
        for task_id, task in newest.items()
        if task_id in rows and task_id not in gone and rows[task_id]["epoch"] == task.epoch
    ]
    await write(tx, saved, rows, lease)
    return {task.id for task in saved}


async def settle_some(tx: Transaction, tasks: Sequence[Task]) -> list[int]:
    """Writes tasks that nobody holds, if nobody changed them meanwhile, and raises their epoch."""
    rows = await lock_rows(tx, [task.id for task in tasks])
    settled = [
        replace(task, epoch=task.epoch + 1)
        for task in tasks
        if (row := rows.get(task.id)) is not None
        and row["shared_id"] is not None
        and row["epoch"] == task.epoch
        and row["holder"] == ""
    ]
    await write(tx, settled, rows, 0)
    return [task.id for task in settled]
