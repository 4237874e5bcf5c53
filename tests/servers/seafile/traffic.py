"""What goes on at the server's socket, and what shall go wrong there."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

How = Literal["ignore", "hold", "mute", "drop", "refuse"]
"""ignore: not carried out, never answered · hold: carried out and answered after `release` · mute: carried out, never
answered · drop: carried out, then the connection is closed · refuse: answered with an error."""


@dataclass(slots=True)
class Fault:
    """What happens to the next calls."""

    how: How
    function: str
    """Its name; an empty one means any."""
    times: int
    code: int = 0
    message: str = ""


class Traffic:
    """Counts connections and calls; all methods may be called from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._faults: list[Fault] = []
        self.held = 0
        """Calls that wait for a `release`."""
        self._released = 0
        self._gathering: threading.Barrier | None = None
        self.connections = 0
        self.most_connections = 0
        self.arrived: Counter[str] = Counter()
        """Calls that were read in full, by function."""
        self.done: Counter[str] = Counter()
        """Calls that were carried out, or refused, by function."""

    def came(self) -> None:
        with self._changed:
            self.connections += 1
            self.most_connections = max(self.most_connections, self.connections)
            self._changed.notify_all()

    def left(self) -> None:
        with self._changed:
            self.connections -= 1
            self._changed.notify_all()

    def asked(self, function: str) -> Fault | None:
        """A call has arrived; what shall go wrong with it."""
        with self._changed:
            self.arrived[function] += 1
            self._changed.notify_all()
            for fault in self._faults:
                if fault.function in ("", function):
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                    return fault
            return None

    def carried_out(self, function: str) -> None:
        with self._changed:
            self.done[function] += 1
            self._changed.notify_all()

    def wait(self, predicate: Callable[[], bool]) -> None:
        """Until it holds; it may look at the counters."""
        with self._changed:
            self._changed.wait_for(predicate)

    # --- faults

    def add(self, fault: Fault) -> None:
        with self._changed:
            self._faults.append(fault)

    def hold(self) -> None:
        """Until the next `release`."""
        with self._changed:
            seen = self._released
            self.held += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._released > seen)
            self.held -= 1

    def release(self) -> None:
        """Lets all calls go on that are held."""
        with self._changed:
            self._released += 1
            self._changed.notify_all()

    def gather(self, count: int) -> None:
        """The next so many commits all look at their library before the first of them changes it."""
        self._gathering = threading.Barrier(count, action=self._scatter)

    def meet(self) -> None:
        """A commit has looked."""
        gathering = self._gathering
        if gathering is not None:
            gathering.wait()

    def _scatter(self) -> None:
        self._gathering = None
