"""`odl watch`: tasks as they move, as live bars in a terminal and as a line per change elsewhere."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from odl_daemon.cli import human
from odl_daemon.cli.counter import Counter, Shown, number
from odl_daemon.cli.look import progress, state, tell_missing
from odl_daemon.cli.screen import Screen
from odl_daemon.config import Config
from odl_daemon.model.task import Phase

MOST_AT_WORK, MOST_WAITING = 256, 50
"""Tasks that are looked at when no ids are given."""

AT_WORK = [phase.value for phase in Phase if phase.held]
WAITING = [Phase.WAITING.value, Phase.PAUSED.value]
ORDER = [Phase.COMMITTING, Phase.FETCHING, Phase.QUEUED, Phase.PAUSED, Phase.WAITING]


def watch(words: Namespace, config: Config) -> int:
    """With ids until all have ended: exit code 0 only if all are OK. Without ids until Ctrl-C."""
    ids: Sequence[int] = list(dict.fromkeys(words.ids))
    with Counter(config) as counter:
        if not counter.daemon_runs():
            print("the daemon is not running: nothing moves until it does", file=sys.stderr)
        seen = _Seen(Screen())
        if ids:
            return _until_ended(counter, seen, ids)
        try:
            while True:
                seen.now(_moving(counter, seen.living))
                counter.wait()
        except KeyboardInterrupt:
            return 0


def _until_ended(counter: Counter, seen: _Seen, ids: Sequence[int]) -> int:
    found = counter.by_ids(ids)
    code = tell_missing(ids, found)
    watched = list(found)
    while True:
        seen.now(found)
        if not seen.living:
            break
        counter.wait()
        found = counter.by_ids(seen.living)
        for gone in set(seen.living) - set(found):
            seen.gone(gone)
            code = 1
    return code if all(seen.ended.get(each) == Phase.DONE for each in watched) else 1


def _moving(counter: Counter, living: Sequence[int]) -> dict[int, Shown]:
    """What moves, or moved at the last look, and the first few that wait."""
    tasks = [
        *counter.tasks(MOST_AT_WORK, {"phases": AT_WORK}),
        *counter.tasks(MOST_WAITING, {"phases": WAITING}),
    ]
    found = {number(task["id"]): task for task in tasks}
    return found | counter.by_ids([each for each in living if each not in found])


class _Seen:
    """What was told of which task already."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._told: dict[int, str] = {}
        self.living: list[int] = []
        """Tasks that have not ended, as of the last look."""
        self.ended: dict[int, object] = {}
        """The phases of those that have ended while we looked."""

    def now(self, found: dict[int, Shown]) -> None:
        """Tells what changed since the last look."""
        living = {each: task for each, task in found.items() if not _final(task)}
        lines: list[str] = []
        for each, task in found.items():
            line = f"task {each}: {_told(task)}"
            if (each not in living or not self._screen.live) and self._told.get(each) != line:
                lines.append(line)
                self._told[each] = line
            if each not in living:
                self.ended[each] = task["phase"]
        for each in set(self._told) - set(found):
            del self._told[each]
        self.living = list(living)
        self._screen.show(lines, [*map(_bar, sorted(living.values(), key=_place))])

    def gone(self, task_id: int) -> None:
        """Somebody deleted its row."""
        self._screen.show([f"task {task_id}: its row was deleted"], [])


def _final(task: Shown) -> bool:
    phase = _phase(task)
    return phase.final or phase is Phase.UNKNOWN


def _phase(task: Shown) -> Phase:
    return Phase(str(task["phase"]))


def _place(task: Shown) -> tuple[int, int]:
    return ORDER.index(_phase(task)), number(task["id"])


def _told(task: Shown) -> str:
    """One line that changes only when something happens to the task."""
    if task["phase"] == Phase.DONE:
        return f"done, {human.plain(task['path'])} in library {human.plain(task['library'])}, {_size(task)}"
    words = [state(task), human.plain(task["comment"]) or human.link(task["url"])]
    return ", ".join(words)


def _bar(task: Shown) -> str:
    total = task["total"]
    if task["phase"] in (Phase.FETCHING, Phase.COMMITTING) and isinstance(total, int):
        figure = f"{human.bar(_part(task), 22)} {progress(task) or '0%':>4} of {human.size(total)}"
    else:
        figure = f"{state(task):<22} {progress(task)}"
    parts = [f"{task['id']:>5}", figure, _speed(task), human.plain(task["comment"]) or human.link(task["url"])]
    return "  ".join(part for part in parts if part)


def _part(task: Shown) -> float:
    part = task.get("progress")
    return part if isinstance(part, int | float) else 0.0


def _speed(task: Shown) -> str:
    speed, left = number(task["speed"]), task.get("eta")
    saving = "saving" if task["phase"] == Phase.COMMITTING else ""
    pace = f"{human.size(speed)}/s" if speed else ""
    clock = human.clock(left) if isinstance(left, int) else ""
    return "  ".join(word for word in (saving, pace, clock) if word)


def _size(task: Shown) -> str:
    return human.size(number(task["size"]))
