"""Who answers the command line: the running daemon, and without one the table itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from odl_daemon.cli.socket_line import LineDead, SocketLine, line_to_daemon
from odl_daemon.cli.trouble import OperatorTrouble, Refused
from odl_daemon.config import Config

if TYPE_CHECKING:
    from odl_daemon.cli.own_desk import OwnDesk

AT_ONCE = 1000
"""Requests, ids or tasks in one message."""

SILENCE = 2
"""Seconds until one looks although the daemon tells of nothing."""

BREATH, PAUSE = 0.1, 0.5
"""Seconds between two looks at least: while a daemon tells of every move, and without one."""

Shown = dict[str, object]
"""A task, as JSON shows it."""


class Counter:
    """Asks the daemon, or does by itself what the daemon would do. Use it as a context.

    All methods raise Refused, and OperatorTrouble if nobody can answer.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._line: SocketLine | None = None
        self._desk: OwnDesk | None = None
        self._moves = 0
        """What the daemon had told of when we looked last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()
        if self._desk is not None:
            self._desk.close()

    def daemon_runs(self) -> bool:
        """Whether a daemon answers."""
        if self._line is None:
            self._line = line_to_daemon(self._config.daemon.state_dir)
        return self._line is not None

    def add(self, requests: Sequence[dict[str, object]]) -> list[Shown]:
        """Writes up to AT_ONCE requests; for each, in this order, its task, or `refused` with the sentence why."""
        return _list(self._ask({"do": "add", "requests": list(requests)}))

    def tasks(self, limit: int, which: Mapping[str, object]) -> Iterator[Shown]:
        """The newest first. `which` may name owner, phases, statuses."""
        before: int | None = None
        while limit > 0:
            asked = min(limit, AT_ONCE)
            page = _list(self._look({"do": "tasks", "limit": asked, "before": before, **which}))
            yield from page
            if len(page) < asked:
                return
            limit -= asked
            before = number(page[-1]["id"])

    def by_ids(self, ids: Sequence[int]) -> dict[int, Shown]:
        """Those of these tasks that there are."""
        found: dict[int, Shown] = {}
        for part in _parts(ids):
            page = _list(self._look({"do": "tasks", "ids": part, "limit": len(part)}))
            found |= {number(task["id"]): task for task in page}
        return {each: found[each] for each in ids if each in found}

    def wish(self, ids: Sequence[int], wish: str) -> Iterator[Shown]:
        """An answer for each id: id, granted, sentence."""
        for part in _parts(ids):
            yield from _list(self._ask({"do": "wish", "ids": part, "wish": wish}))

    def retry_failed(self, owner: str) -> int:
        return number(self._ask({"do": "retry_failed", "owner": owner}))

    def why(self, task_id: int) -> str:
        return str(self._look({"do": "why", "id": task_id}))

    def wait(self) -> None:
        """Returns once something has moved, as far as the daemon knows, and then and now besides: other daemons of the
        table, and nobody at all, tell nothing."""
        if self.daemon_runs():
            self._moves = number(self._look({"do": "wait", "since": self._moves, "seconds": SILENCE}))
            time.sleep(BREATH)
        else:
            time.sleep(PAUSE)

    def limits(self, owner: str) -> list[Shown]:
        """What this user may take, has taken, and may still; without a name, everybody of whom anything is known."""
        return _list(self._look({"do": "limits", "owner": owner}))

    def make_token(self, **asked: object) -> Shown:
        """A new key, in `token`, with what is kept of it."""
        made = self._ask({"do": "token_make", **asked})
        assert isinstance(made, dict), "the door gives an object"
        return made

    def tokens(self) -> list[Shown]:
        return _list(self._look({"do": "tokens"}))

    def revoke_tokens(self, ids: Sequence[str], owner: str) -> Sequence[object]:
        """Takes keys back, those with these ids and all of this owner; returns the ids of those that there were."""
        return _list(self._ask({"do": "token_revoke", "ids": list(ids), "owner": owner}))

    def rival(self) -> str:
        """Who else works on the table, as the daemon has seen it; "" for nobody."""
        return str(self._look({"do": "rival"}))

    # --- asking

    def _look(self, message: dict[str, object]) -> object:
        """Asks for something that changes nothing: it can be asked again elsewhere."""
        try:
            return self._ask(message)
        except _Lost:
            return self._ask(message)

    def _ask(self, message: dict[str, object]) -> object:
        if not self.daemon_runs() or self._line is None:
            return _granted(self._ask_own_desk(message))
        try:
            return _granted(self._line.ask(message))
        except LineDead as error:
            self._hang_up()
            raise _Lost(f"{error}: see with `odl list` whether it was done, and ask again if not") from error

    def _ask_own_desk(self, message: dict[str, object]) -> dict[str, object]:
        if self._desk is None:
            from odl_daemon.cli.own_desk import OwnDesk  # slow to import: only where no daemon runs

            self._desk = OwnDesk(self._config)
        try:
            return self._desk.ask(message)
        except OperatorTrouble:
            self._desk = None
            raise

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class _Lost(OperatorTrouble):
    """The daemon went away in the middle."""


def _granted(answer: dict[str, object]) -> object:
    if "error" not in answer:
        return answer.get("ok")
    sentence = str(answer["error"])
    if answer.get("kind") in ("refused", "unknown"):
        raise Refused(sentence)
    raise OperatorTrouble(sentence)


def _parts(ids: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), AT_ONCE):
        yield list(ids[start : start + AT_ONCE])


def _list(answer: object) -> list[Shown]:
    if not isinstance(answer, list):
        raise OperatorTrouble("the daemon answers in another way: are odl and the daemon of one version?")
    return answer


def number(value: object) -> int:
    """The number that a task's JSON holds here; 0 for null."""
    return value if isinstance(value, int) else 0
