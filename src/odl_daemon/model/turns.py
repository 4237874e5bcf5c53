"""Who goes next: fair turns over users, a pure choice."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def fair_turns(waiting: Mapping[str, Sequence[T]], running: Mapping[str, int], limit: int) -> list[T]:
    """Up to `limit` of what waits, in turns: always the first of the owner who has the least running, counting
    what was just chosen; among equals the owner whose name comes first.

    `waiting` holds each owner's tasks in the order in which they shall go.
    """
    line = [(running.get(owner, 0), owner, 0) for owner, tasks in waiting.items() if tasks]
    heapq.heapify(line)
    chosen: list[T] = []
    while line and len(chosen) < limit:
        count, owner, position = heapq.heappop(line)
        chosen.append(waiting[owner][position])
        if position + 1 < len(waiting[owner]):
            heapq.heappush(line, (count + 1, owner, position + 1))
    return chosen
