"""What a unit of work says to a database, and what a database may answer: the same for every dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol, TypeAlias, TypeVar

SqlValue = str | int | float | bytes | None
SqlRow = Sequence[SqlValue]
Values = Mapping[str, SqlValue]

T = TypeVar("T")


class Fault(Enum):
    """What an error of the database means for the unit of work that met it."""

    MOMENTARY = "two units got into each other's way: the same again at once"
    AWAY = "the database cannot serve us now: wait, then the same again"
    DENIED = "only the operator can mend it: a password, a name, a right"
    DATA = "one of the values cannot be kept like this"
    OTHER = "a mistake of ours"


Work: TypeAlias = "Callable[[Session], Awaitable[T]]"
"""A unit of work. It waits for nothing but the methods of its session, and may run outside the event loop's thread."""


class Session(Protocol):
    """One connection while a unit of work has it. SQL is text with `:name` parameters; `(:ids)` in it takes
    the list of numbers `ids`."""

    now: str
    """SQL: microseconds since 1970 on the database's own clock."""
    locking: str
    """Ends a SELECT whose rows nobody else may change before the unit is over."""
    skipping: str
    """Like `locking`, but passes over rows that others have locked, where the server can do that."""
    waiting_owners: str
    """SQL: the owners of all waiting tasks, by steps through the index: one step an owner."""
    next_dues: str
    """SQL: for each owner the first due of a waiting task that is above `:at`, by the same steps."""

    async def carry(self, work: Work[T]) -> T:
        """Runs a unit of work where the connection lives: the other methods are for the unit alone."""

    async def rows(self, text: str, values: Values | None = None, ids: Iterable[int] = ()) -> list[SqlRow]:
        """The rows that a SELECT finds."""

    async def run(self, text: str, values: Values | None = None, ids: Iterable[int] = ()) -> None:
        """Runs a statement that changes something."""

    async def insert(self, table: str, rows: Sequence[Values]) -> list[int]:
        """Inserts rows into a table with a counted key, and returns their ids in the same order."""

    async def put(self, table: str, rows: Sequence[Values]) -> None:
        """Writes whole rows, over the ones that have the same odr_id."""

    async def update(self, table: str, rows: Sequence[Values], where: str = "") -> None:
        """Changes columns of rows named by their odr_id, each of which occurs once; all rows name the same
        columns. `where` is a further condition."""

    def unless_there(self, column: str) -> str:
        """SQL: ends an INSERT that leaves a row alone whose key, with this column in it, is there already."""

    def exactly(self, column: str) -> str:
        """SQL: a column of the shared table, to be compared letter by letter, whatever its collation."""

    async def has_index(self, table: str, column: str) -> bool:
        """Whether an index of this table begins with this column."""

    async def described(self, table: str, column: str) -> tuple[str, str]:
        """The database's program with its version, and the character set of a column."""

    async def lock_schema(self) -> None:
        """Keeps other daemons from changing tables until `unlock_schema`, or until the connection ends."""

    async def unlock_schema(self) -> None: ...

    async def begin(self) -> None:
        """Begins a transaction that will write."""

    async def commit(self) -> None: ...

    async def roll_back(self) -> None: ...

    def close(self) -> None:
        """Cuts the connection at once, whatever state it is in."""

    def fault(self, error: BaseException) -> Fault: ...

    def missing_table(self, error: BaseException) -> bool:
        """Whether a statement failed because its table does not exist."""

    def refused(self, error: BaseException) -> bool:
        """Whether a statement failed because the admin does not allow it, or because another daemon was first."""


def quoted(words: Iterable[str]) -> str:
    """Words of our own as a list of SQL literals."""
    return ", ".join(f"'{word}'" for word in sorted(words))


def numbers(ids: Iterable[int]) -> str:
    """Ids as a list of SQL literals; an empty list matches nothing."""
    return ",".join([str(int(number)) for number in ids]) or "NULL"


def text_of(value: SqlValue) -> str:
    """A text column, whatever a stranger or a driver put there."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number_of(value: SqlValue) -> int:
    """A number column; what is no number counts as 0."""
    if isinstance(value, int):
        return value
    try:
        return int(value or 0)
    except (ValueError, OverflowError):
        return 0
