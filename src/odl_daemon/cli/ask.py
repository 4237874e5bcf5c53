"""`odl pause`, `resume`, `cancel`, `retry`: what a user asks of tasks that there are."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence

from odl_daemon.cli.counter import Counter, Shown, number
from odl_daemon.cli.trouble import OperatorTrouble
from odl_daemon.config import Config

EFFECT_LIMIT = 2.0
"""Seconds that a running daemon gets to do what was granted; after that it is only promised."""

PAUSE = 0.05
"""Seconds between two looks."""


def ask(words: Namespace, config: Config) -> int:
    """A line for each id: what the task is now or will be, or on standard error why not."""
    if words.wish == "retry" and words.failed:
        return _retry_failed(words, config)
    ids = list(dict.fromkeys(words.ids))
    with Counter(config) as counter:
        alone = not counter.daemon_runs()
        granted = _granted(counter.wish(ids, words.wish))
        settled = {} if alone else _settled(counter, list(granted))
    for each, sentence in granted.items():
        print(f"task {each}: {settled[each]['phase']}" if each in settled else f"task {each} {sentence}")
    _tell_alone(alone and bool(granted))
    return 0 if len(granted) == len(ids) else 1


def _granted(answers: Iterable[Shown]) -> dict[int, str]:
    """What was promised of each task; the refusals are told."""
    promised: dict[int, str] = {}
    for answer in answers:
        if answer["granted"]:
            promised[number(answer["id"])] = str(answer["sentence"])
        else:
            print(answer["sentence"], file=sys.stderr)
    return promised


def _settled(counter: Counter, ids: Sequence[int]) -> Mapping[int, Shown]:
    """Those of the tasks that have nothing left to be wished of them, as soon as that is all of them or the time
    is up."""
    settled: dict[int, Shown] = {}
    until = time.monotonic() + EFFECT_LIMIT
    while True:
        try:
            found = counter.by_ids([each for each in ids if each not in settled])
        except OperatorTrouble:  # the wishes stand in the table: what becomes of them cannot be seen now, no more
            return settled
        settled |= {each: task for each, task in found.items() if not task["wish"]}
        if len(settled) == len(ids) or time.monotonic() > until:
            return settled
        time.sleep(PAUSE)


def _retry_failed(words: Namespace, config: Config) -> int:
    with Counter(config) as counter:
        alone = not counter.daemon_runs()
        count = counter.retry_failed(words.owner)
    print(f"{count} {'task' if count == 1 else 'tasks'} will be tried again")
    _tell_alone(alone and count > 0)
    return 0


def _tell_alone(alone: bool) -> None:
    if alone:
        print("the daemon is not running: this will happen when the daemon runs", file=sys.stderr)
