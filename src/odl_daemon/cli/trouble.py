"""What ends a command early, and what the user is told then."""

from __future__ import annotations


class OperatorTrouble(Exception):
    """Only who runs the daemon can mend it: one sentence with what to do; exit code 2."""


class Refused(Exception):
    """This request was refused: the sentence why; exit code 1."""


def innermost(error: BaseException) -> BaseException:
    """What really happened, out of the groups that tasks wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
