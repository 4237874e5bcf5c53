"""The simulation can fail: each of these breaks one thing, and must be caught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from odl_daemon.engine.dispatcher import Dispatcher
from odl_daemon.engine.janitor import Janitor
from odl_daemon.engine.run import Run
from odl_daemon.engine.worker import Worker
from odl_daemon.model.task import Task, Wish
from tests.simulation.daemon import Parts
from tests.simulation.memory_table import Table
from tests.simulation.play import Failure, check

MOST = 3000
"""Seeds that are tried; the first that breaks a law ends the search."""


class SavesWithoutTheLease(Table):
    def may_save(self, before: Task, after: Task) -> bool:
        return True


class ForgetsTheTimeSpent(Table):
    def save(self, task: Task) -> None:
        side = self.sides.get(task.id)
        super().save(replace(task, spent=side.task.spent if side else 0.0))

    def kept_spent(self, before: Task, spent: float) -> float:
        return before.spent


class LosesLateWishes(Table):
    def kept_wish(self, before: Task, after: Task) -> Wish | None:
        return before.wish if after.holder else None


class SettlesWhatHasChanged(Table):
    def settle(self, tasks: Sequence[Task]) -> list[int]:
        known = [replace(task, epoch=self.sides[task.id].task.epoch) for task in tasks if task.id in self.sides]
        return super().settle(known)


class WipesBeforeItIsGone(Worker):
    async def _wipe_soon(self, task: Task) -> bool:
        await self._scratch.wipe(task.id)
        return True


class ChoosesTheNameAgain(Worker):
    async def _landed(self, run: Run) -> bool:
        run.task = replace(run.task, intent=None)
        return await super()._landed(run)


class LeavesBytes(Worker):
    async def _drop_bytes(self, task: Task) -> None:
        return

    async def _wipe_soon(self, task: Task) -> bool:
        return True


class NeverReaps(Dispatcher):
    async def _reap(self) -> None:
        return


class HearsNoWishes(Dispatcher):
    async def _grant_wishes(self) -> None:
        return


class NeverSweeps(Janitor):
    async def sweep(self, in_hand: object) -> None:
        return


BROKEN = {
    "saves without the lease": (Parts(table=SavesWithoutTheLease), "was overwritten by|went from"),
    "forgets the time spent": (Parts(table=ForgetsTheTimeSpent), "was fetched for"),
    "loses late wishes": (Parts(table=LosesLateWishes), "claimed although somebody was told"),
    "settles what has changed": (Parts(table=SettlesWhatHasChanged), "lost|claimed although|went from"),
    "wipes before it is gone": (Parts(worker=WipesBeforeItIsGone), "while a transfer lives"),
    "chooses the name again": (Parts(worker=ChoosesTheNameAgain), "two files in the library"),
    "leaves bytes behind": (Parts(worker=LeavesBytes, janitor=NeverSweeps), "folders of ended tasks"),
    "never reaps": (Parts(dispatcher=NeverReaps), "is lost"),
    "hears no wishes": (Parts(dispatcher=HearsNoWishes), "is lost|was lost"),
    "never sweeps": (Parts(janitor=NeverSweeps), "folders of ended tasks"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_engine_is_caught(broken: str) -> None:
    parts, law = BROKEN[broken]
    with pytest.raises(Failure, match=rf"BROKEN .*({law})"):
        for seed in range(MOST):
            check(seed, parts)
