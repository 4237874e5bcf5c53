"""An outage of the database: told once when it begins, and once when it is over."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Outage:
    """Shared by all lanes of a store: they lose the same database."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self.away = False
        """The database does not serve us; units of work wait for it."""

    def began(self, error: BaseException) -> None:
        if not self.away:
            self.away = True
            log.warning("%s; everything that must be written waits for it", self.sentence(error))

    def over(self) -> None:
        if self.away:
            self.away = False
            log.info("the database %s answers again", self._shown)

    def sentence(self, error: BaseException) -> str:
        """For the operator: what failed, on what."""
        words = str(error.args[-1]) if error.args else type(error).__name__
        return f"the database {self._shown} does not serve us ({words})"
