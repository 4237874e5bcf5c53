"""Who goes next: a pure choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiting task in its user's line."""

    id: int
    owner: str
    due: int
    """As Task.due: negative = interrupted work."""


def fair_turns(lines: Mapping[str, Sequence[Turn]], running: Mapping[str, int], limit: int) -> list[Turn]:
    """Up to `limit` turns out of the users' lines, each of which keeps its order: always one of the user with
    the least running; among equals interrupted work first, then the oldest task."""
    heads = [_place(line[0], running.get(owner, 0), 0) for owner, line in lines.items() if line]
    heapify(heads)
    chosen: list[Turn] = []
    while heads and len(chosen) < limit:
        busy, _, _, owner, position = heappop(heads)
        line = lines[owner]
        chosen.append(line[position])
        if position + 1 < len(line):
            heappush(heads, _place(line[position + 1], busy + 1, position + 1))
    return chosen


def _place(turn: Turn, busy: int, position: int) -> tuple[int, bool, int, str, int]:
    return busy, turn.due >= 0, turn.id, turn.owner, position
