"""How tasks are sorted for people: a tab shows some phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from odl_daemon.model.task import Phase

TABS: Final[Mapping[str, frozenset[Phase]]] = {
    "all": frozenset(),
    "active": frozenset({Phase.QUEUED, Phase.FETCHING, Phase.COMMITTING}),
    "waiting": frozenset({Phase.WAITING, Phase.PAUSED}),
    "done": frozenset({Phase.DONE}),
    "failed": frozenset({Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED}),
}
"""The phases of each tab; none stands for every phase there is."""


def tab_counts(phases: Mapping[Phase, int]) -> dict[str, int]:
    """How many tasks each tab has."""
    return {
        tab: sum(count for phase, count in phases.items() if phase in shown or not shown) for tab, shown in TABS.items()
    }
