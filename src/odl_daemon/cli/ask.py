"""`odl pause`, `resume`, `cancel`, `retry`: what a user asks of tasks that there are."""

from __future__ import annotations

import sys
from argparse import Namespace

from odl_daemon.cli.counter import Counter
from odl_daemon.config import Config


def ask(words: Namespace, config: Config) -> int:
    """A line for each id: what will happen, or on standard error why not."""
    if words.wish == "retry" and words.failed:
        return _retry_failed(words, config)
    refused = granted = 0
    with Counter(config) as counter:
        alone = not counter.daemon_runs()
        for answer in counter.wish(words.ids, words.wish):
            if answer["granted"]:
                granted += 1
                print(f"task {answer['id']}: {answer['sentence']}")
            else:
                refused += 1
                print(answer["sentence"], file=sys.stderr)
    _tell_alone(alone and granted > 0)
    return 1 if refused else 0


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
