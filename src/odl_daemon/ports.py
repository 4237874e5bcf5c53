"""What the engine asks of the world, and the troubles that it may hear of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from odl_daemon.model.keys import Key, Principal
from odl_daemon.model.shares import NO_LIMITS, Shares, Used
from odl_daemon.model.task import Fetched, Intent, Kind, Phase, Progress, Reason, Status, Task, Wish

# --- troubles ---------------------------------------------------------------------------------------------


class Remedy(Enum):
    """What helps against a trouble."""

    NONE = "give up: the same again would end the same"
    RETRY = "try again later"
    WIPE = "throw the partial bytes away and try again"
    HOST = "something on this host: stop claiming for a while, count no attempt"
    WAIT = "nothing failed: there is no room for it now; try again later, count no attempt"


class Trouble(Exception):
    """An attempt failed: why, in a sentence for the task's user, and what helps."""

    def __init__(
        self, reason: Reason, sentence: str, remedy: Remedy = Remedy.NONE, *, after: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.remedy = remedy
        self.after = after
        """Seconds that the other side asked us to wait, if it did."""


class NameTaken(Exception):
    """Other bytes lie at the intended place: plan again."""


class LeaseLost(Exception):
    """Somebody else holds the task, or its row is gone: touch nothing of it any longer."""


class StoreAway(Exception):
    """The database does not answer and the caller did not want to wait, or it refuses us: a sentence says why."""


# --- the store --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A checked wish for a new task."""

    owner: str
    library: str
    path: str
    """The target folder, absolute, normalised."""
    url: str
    name: str = ""
    kind: Kind = Kind.URL
    mkdir: bool = False
    """Whether the folder may be made."""
    paused: bool = False
    """Whether the task waits for its user's word from the first moment on."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the shared table that we have no task for yet, as it stands there."""

    id: int
    owner: str
    library: str
    path: str
    url: str
    status: Status
    comment: str
    mark: str
    """Fingerprint of (url, owner, timestamp)."""
    before: Task | None = None
    """Our ended task of the same row, if somebody set it back to WAITING."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a holder reports of one running task at each pulse."""

    id: int
    epoch: int
    progress: Progress
    spent: float
    """Seconds in FETCHING so far, all attempts together."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the store says of one task that the asking holder holds."""

    id: int
    epoch: int
    wish: Wish | None
    changed_outside: bool
    """The shared row is gone, or somebody put another request into it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a user has taken since the last time that it was written down."""

    tasks: int = 0
    """Handed over."""
    bytes: int = 0
    """Fetched."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks to list; an empty field asks for all."""

    owner: str = ""
    phases: frozenset[Phase] = frozenset()
    statuses: frozenset[Status] = frozenset()
    ids: tuple[int, ...] = field(default=())
    text: str = ""
    """What the link or the path must have in it; capital and small letters of ASCII are alike."""


class Store(Protocol):
    """The one queue. Every write is durable when the call returns.

    A database that is away is waited for: calls return late rather than fail. They raise StoreAway only
    where the store was opened for a single command.
    """

    # for the doors
    async def add(self, requests: Sequence[Request], at: datetime) -> list[Task]:
        """Writes new rows, all or none, and returns their tasks in the same order."""

    async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
        """The newest first; `before` is the last id of the page before. Rows without a task of ours are read
        by their status alone."""

    async def count(self, which: Filter) -> int: ...

    async def count_phases(self, owner: str = "") -> dict[str, dict[Phase, int]]:
        """How many tasks there are in each phase, by owner; of one owner, or of everybody."""

    async def ahead_of(self, tasks: Sequence[Task], now: datetime) -> list[int]:
        """For each waiting task, how many of the same owner come before it."""

    async def used(self, owners: Sequence[str], at: datetime) -> dict[str, Used]:
        """What these users have taken; without names, everybody who has taken anything."""

    async def charge(self, taken: Mapping[str, Taken], at: datetime) -> None:
        """Writes down what users have taken since the last time."""

    async def wish(self, ids: Sequence[int], wish: Wish, phases: frozenset[Phase]) -> list[int]:
        """Writes a wish on those that are in one of `phases`, and returns their ids."""

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        """Writes a wish on every task that the filter names, and returns how many there are."""

    async def strangers(self, above: int, statuses: frozenset[Status], limit: int) -> list[Row]:
        """Rows in one of `statuses` with an id above `above` that have no task, or an ended one, oldest first."""

    async def adopt(self, tasks: Sequence[Task]) -> list[int]:
        """Makes tasks of rows (by `strangers`), unless another daemon did so meanwhile; returns the ids of those
        that it made."""

    async def forget_deleted(self, limit: int) -> list[int]:
        """Drops our side of rows that are no longer in the shared table and that nobody holds."""

    # for the dispatcher
    async def claim(
        self,
        holder: str,
        limit: int,
        running: Mapping[str, int],
        at: datetime,
        *,
        shares: Shares = NO_LIMITS,
        fresh: bool = True,
    ) -> list[Task]:
        """Takes up to `limit` waiting tasks that are due at `at`: fair over owners (the least running first),
        within an owner interrupted work first, then retries that are due, then the oldest. Of no owner more than
        his share lets begin, all daemons of the table together. Without `fresh` only what was begun once."""

    async def pulse(self, holder: str, beats: Sequence[Beat]) -> list[Held]:
        """Renews the lease of everything that `holder` holds, keeps the beats, and tells what it holds."""

    async def restore(self, holder: str, at: datetime) -> int:
        """Gives back to the queue, ahead of others, what this holder held before it died."""

    async def reap(self, at: datetime) -> int:
        """Gives back to the queue, ahead of others, what dead daemons held."""

    async def wished(self, limit: int) -> list[Task]:
        """Tasks that nobody holds and that somebody wishes something of."""

    async def next_due(self, at: datetime) -> datetime | None:
        """When the next waiting task that is not yet due at `at` will be."""

    async def settle(self, tasks: Sequence[Task]) -> list[int]:
        """Saves tasks that nobody holds, each only if its epoch still stands; raises the epoch; returns the
        ids that were saved."""

    # for the worker
    async def save(self, task: Task) -> None:
        """Saves a task by its holder. Raises LeaseLost if its epoch is no longer the row's."""

    async def lock(self, name: str, task: Task) -> bool:
        """Whether this is now the one task, on whatever daemon, that has the lock of this name. It keeps it as long
        as its holder keeps the lease."""

    async def unlock(self, name: str, task: Task) -> None: ...

    async def reserve(self, task: Task, payer: str, size: int) -> int:
        """Sets so many bytes of a payer's room aside for this task, instead of those before, and returns what all
        living tasks of that payer have set aside, this one included."""


class KeyStore(Protocol):
    """Keeps what is known of keys."""

    async def add(self, key: Key) -> None:
        """Keeps a new key."""

    async def find(self, digest: str) -> Key | None:
        """The key of this digest, even if it has run out."""

    async def all(self) -> list[Key]:
        """All keys, the oldest first."""

    async def drop(self, digests: Sequence[str]) -> list[str]:
        """Forgets these keys; returns the digests of those that there were."""


# --- the downloader ---------------------------------------------------------------------------------------


class Downloader(Protocol):
    """Brings a task's bytes into its scratch folder."""

    def fetch(self, task: Task, folder: str) -> AsyncGenerator[Progress | Fetched, None]:
        """Yields Progress from the moment that the transfer runs (not while it stands in line), and ends
        with Fetched; a transfer that is over in a blink yields that alone. Bytes of an earlier attempt in
        `folder` are continued where that is safe. Raises Trouble. Leaving the generator ends the transfer, but
        only `gone` says that it is over."""

    async def gone(self, task: Task) -> None:
        """Returns when nothing of this task's transfer can touch its folder any longer."""


# --- who asks ---------------------------------------------------------------------------------------------


class Accounts(Protocol):
    """Knows the users of the server whose libraries these are."""

    async def by_token(self, token: str) -> Principal | None:
        """Whose API token this is; None if it is nobody's. Raises AccountsAway."""

    async def by_cookies(self, cookies: Mapping[str, str]) -> Principal | None:
        """Who is signed in there with these cookies. Raises AccountsAway."""


class AccountsAway(Exception):
    """The server could not be asked: a sentence says why."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a link showed."""

    url: str
    """Where its redirects lead to."""
    name: str
    """What the source calls the file; not yet safe for a library."""
    size: int | None
    resumable: bool


class Scout(Protocol):
    """Looks at a link without fetching it."""

    async def look(self, url: str, owner: str) -> Sight:
        """On behalf of this user. Raises Trouble, with the sentence that a download would have ended with."""


# --- messages to other programs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, and to whom."""

    id: str
    url: str
    body: str
    written: datetime
    due: datetime
    """Not to be sent before."""
    tries: int = 0


class Outbox(Protocol):
    """Keeps messages until they are heard."""

    async def put(self, letters: Sequence[Letter]) -> None:
        """Keeps them; one of the same id is replaced."""

    async def take(self, limit: int, at: datetime) -> list[Letter]:
        """Up to `limit` that are due; for a while nobody else gets them."""

    async def drop(self, letter_id: str) -> None: ...


class Messenger(Protocol):
    """Brings a message to its address."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> str:
        """Why it was not taken; "" if it was."""


# --- the scratch ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Space:
    """A disk, in bytes."""

    free: int
    """For us; what is kept for root is not counted."""
    total: int


class Scratch(Protocol):
    """One private folder a task, for bytes on their way."""

    def path(self, task_id: int) -> str:
        """Where the task's folder is, or will be: the downloader makes it with the first byte."""

    async def holds(self, task_id: int, fetched: Fetched) -> bool:
        """Whether all of these files lie there in full."""

    async def wipe(self, task_id: int) -> None:
        """Deletes the folder, if there is one."""

    async def inherit(self, task_id: int, folder: str) -> Progress | None:
        """Makes the task's folder of one that another program left under the same root; how far it had come, or
        None if there is nothing that could be continued."""

    async def folders(self) -> list[int]:
        """The task ids that have a folder."""

    async def space(self) -> Space:
        """How much there is on its disk."""


# --- the library ------------------------------------------------------------------------------------------


Saved = Callable[[int], None]
"""Hears, on the loop, that so many more bytes are in the library."""


def unheard(_: int) -> None:
    """Nobody looks at the progress of a commit."""


class Library(Protocol):
    """Where files end up. A commit is exactly once: plan, remember the intent, commit; after a crash the
    same intent again."""

    usual_pace: float
    """Bytes per second that a commit is taken to write until commits have shown it; infinity if it need not write."""

    async def check(self, task: Task) -> None:
        """Raises Trouble if the target cannot take the task's files; cheap, asked before the download."""

    def lock_of(self, task: Task) -> str:
        """The name of the lock that a plan and its commit need; "" if they need none."""

    def lingers(self, size: int) -> float:
        """Seconds that the library may go on with a commit of so many bytes when who began it is gone; 0 if it ends
        with him."""

    async def payer(self, task: Task) -> str:
        """Whose room the task's bytes take; "" if nobody counts. Raises Trouble."""

    async def fits(self, task: Task, size: int) -> None:
        """Raises Trouble if the payer may not have so many more bytes."""

    async def plan(self, task: Task, folder: str, fetched: Fetched) -> Intent:
        """Chooses safe and free names, and names the bytes. An earlier intent of the task is kept unless
        other bytes took its place meanwhile. Raises Trouble."""

    async def landed(self, task: Task, intent: Intent) -> Intent | None:
        """The intent as it was carried out, if everything that was intended is in the library already."""

    async def commit(self, task: Task, folder: str, intent: Intent, saved: Saved = unheard) -> Intent:
        """Writes what was intended, without ever replacing anything; what is there already with the same
        bytes counts as written. Durable on return. Returns the intent as it was carried out: a library may have
        the last word on names. `saved` hears of bytes that go in piece by piece. Raises NameTaken or Trouble."""
