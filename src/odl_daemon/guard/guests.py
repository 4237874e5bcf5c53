"""On whose behalf we connect: the proxy knows its clients by addresses alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

NO_TASK = 0
"""Stands for a look at a link that is no task yet."""


class Guest(NamedTuple):
    """Whom a connection is for."""

    owner: str
    task: int | None
    """None if several could have asked for it."""


class Guests:
    """The tasks that connections are made for just now."""

    def __init__(self) -> None:
        self._here: dict[str, dict[int, tuple[str, str]]] = {}

    @contextmanager
    def present(self, who: str, *, owner: str, task: int, host: str) -> Iterator[None]:
        """Inside the block this task may connect as `who`; `host` is the one that its link names."""
        tasks = self._here.setdefault(who, {})
        tasks[task] = (owner, host.lower())
        try:
            yield
        finally:
            tasks.pop(task, None)
            if not tasks:
                self._here.pop(who, None)

    def guess(self, who: str, host: str) -> Guest:
        """Who asks for this host as `who`: the one whose link names it, or the only one there is. A redirect of one of
        several tasks of a user is the user's, and nobody knows whose else."""
        tasks = self._here.get(who, {})
        asking = [task for task, (_, named) in tasks.items() if named == host.lower()] or list(tasks)
        owners = {owner for owner, _ in tasks.values()}
        return Guest(", ".join(sorted(owners)), (asking[0] or None) if len(asking) == 1 else None)


def address_of(owner: str) -> str:
    """The loopback address, inside the sandbox, by which the proxy knows on whose behalf aria2 connects; aria2
    never shares a connection between two of them."""
    second, third, fourth = hashlib.blake2b(owner.encode(), digest_size=3).digest()
    return f"127.{second}.{third}.{fourth}" if (second, third) != (0, 0) else f"127.1.0.{fourth}"
