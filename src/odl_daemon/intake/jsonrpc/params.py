"""The parameters of a call, read by their place, with aria2's own sentences for what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from odl_daemon.intake.jsonrpc.protocol import FAILED, Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Params:
    """Counted from 0, the token left out. Every method raises Fault."""

    values: Sequence[object]

    def text(self, at: int) -> str:
        return self._of_type(at, str)

    def texts(self, at: int) -> list[str]:
        """The texts of a list; what else is in it is passed over, as aria2 does."""
        return [each for each in self._of_type(at, list) if isinstance(each, str)]

    def structs(self, at: int) -> list[object]:
        return self._of_type(at, list)

    def struct(self, at: int) -> dict[str, object]:
        return self._of_type(at, dict)

    def optional_struct(self, at: int) -> dict[str, object]:
        return self.struct(at) if self._has(at) else {}

    def whole(self, at: int) -> int:
        value = self._of_type(at, int)
        if isinstance(value, bool):
            raise _wrong_type(at)
        return value

    def amount(self, at: int) -> int:
        value = self.whole(at)
        if value < 0:
            raise Fault(
                FAILED,
                f"The integer parameter at {at} has invalid value: the value must be greater than or equal to 0.",
            )
        return value

    def keys(self, at: int) -> frozenset[str]:
        """The names of what is asked for; none asks for everything."""
        return frozenset(self.texts(at)) if self._has(at) else frozenset()

    def check_position(self, at: int) -> None:
        """A place in the line, which only has to make sense."""
        if self._has(at) and self.whole(at) < 0:
            raise Fault(FAILED, "Position must be greater than or equal to 0.")

    def _has(self, at: int) -> bool:
        return at < len(self.values)

    def _of_type(self, at: int, wanted: type[T]) -> T:
        if not self._has(at):
            raise Fault(FAILED, f"The parameter at {at} is required but missing.")
        value = self.values[at]
        if not isinstance(value, wanted):
            raise _wrong_type(at)
        return value


def _wrong_type(at: int) -> Fault:
    return Fault(FAILED, f"The parameter at {at} has wrong type.")
