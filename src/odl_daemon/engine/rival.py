"""Somebody else who works on the table: the old worker, forgotten in the server's configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from odl_daemon.model.task import Status
from odl_daemon.ports import Row, Store

log = logging.getLogger(__name__)

ROWS_AT_ONCE: Final = 200
"""Rows of somebody else that are told apart; that there are more changes nothing."""

SILENCE: Final = timedelta(minutes=5)
"""Between two warnings."""

FRESH: Final = timedelta(hours=1)
"""How long a sighting is worth telling."""

ADVICE: Final = (
    "the old offline download worker seems to run, too: switch it off in seafevents.conf ([OFFLINE DOWNLOAD] "
    "enabled = false) and restart seafevents"
)


class Rival:
    """Watches for rows that come to QUEUING or DOWNLOADING and are nobody's of ours; it touches none of them."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._known: frozenset[int] | None = None
        self._sighted: datetime | None = None
        self._warned: datetime | None = None
        self._count = 0
        self._last = ""

    async def look(self, above: int = 0) -> None:
        """Looks at the rows above this id. What the first look finds was left behind by somebody who is gone."""
        rows = await self._store.strangers(above, _AT_WORK, ROWS_AT_ONCE)
        ids = frozenset(row.id for row in rows)
        if self._known is None:
            self._known = ids
            return
        if moved := [row for row in rows if row.id not in self._known]:
            self._sight(moved)
        self._known = ids | frozenset(known for known in self._known if known <= above)

    @property
    def sighting(self) -> str:
        """What was seen of it of late, as a sentence; "" if nothing."""
        if self._sighted is None or self._clock() - self._sighted > FRESH:
            return ""
        return f"somebody else took {self._last} ({self._count} rows since the start): {ADVICE}"

    def _sight(self, rows: Sequence[Row]) -> None:
        now = self._clock()
        self._sighted = now
        self._count += len(rows)
        self._last = f"row {rows[-1].id} to {rows[-1].status.name}"
        if self._warned is None or now - self._warned > SILENCE:
            self._warned = now
            log.warning("%s; its rows are left alone", self.sighting)


_AT_WORK: Final = frozenset({Status.QUEUING, Status.DOWNLOADING})
