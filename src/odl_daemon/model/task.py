"""The task: a passive value that the whole house passes around."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class Status(IntEnum):
    """The number that the shared table shows; other programs read it, so none is ever added."""

    UNKNOWN = 0
    WAITING = 1
    QUEUING = 2
    DOWNLOADING = 3
    OK = 4
    ERROR = 5
    TLE = 6
    """Time limit exceeded."""


class Phase(StrEnum):
    """Where a task stands in its life, in our own words."""

    WAITING = "waiting"
    """Nobody holds it; it will be claimed when its turn comes."""
    QUEUED = "queued"
    """Claimed; not a byte has come yet."""
    PAUSED = "paused"
    """Set aside by its user; the bytes that came are kept."""
    FETCHING = "fetching"
    """Its bytes come from the internet."""
    COMMITTING = "committing"
    """All bytes are here; they are being put into the library."""
    DONE = "done"
    """The file is in the library."""
    FAILED = "failed"
    """It ended without a file; the comment says why."""
    CANCELLED = "cancelled"
    """Its user did not want it any longer."""
    EXPIRED = "expired"
    """It used up its time limit."""
    UNKNOWN = "unknown"
    """A status that we do not know stands in the shared row; it is left alone."""

    @property
    def final(self) -> bool:
        return self in _FINAL

    @property
    def held(self) -> bool:
        """A daemon has the lease of a task in this phase."""
        return self in _HELD


_FINAL = frozenset({Phase.DONE, Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED})
_HELD = frozenset({Phase.QUEUED, Phase.FETCHING, Phase.COMMITTING})


class Wish(StrEnum):
    """What a user asks of a task; whoever holds the task carries it out."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"


class Kind(StrEnum):
    """What sort of source a task fetches."""

    URL = "url"


class Reason(StrEnum):
    """Why a task failed, or why it waits: a closed list for programs (see docs/reasons.md)."""

    NONE = ""
    BAD_URL = "bad_url"
    BAD_TARGET = "bad_target"
    LIBRARY_MISSING = "library_missing"
    LIBRARY_DAMAGED = "library_damaged"
    LIBRARY_ENCRYPTED = "library_encrypted"
    LIBRARY_READ_ONLY = "library_read_only"
    LIBRARY_AWAY = "library_away"
    NOT_ALLOWED = "not_allowed"
    FOLDER_MISSING = "folder_missing"
    OVER_QUOTA = "over_quota"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    LOGIN_NEEDED = "login_needed"
    HTTP_ERROR = "http_error"
    SERVER_ERROR = "server_error"
    SERVER_BUSY = "server_busy"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    INTERRUPTED = "interrupted"
    REDIRECT_LOOP = "redirect_loop"
    TOO_LARGE = "too_large"
    OVER_LIMIT = "over_limit"
    CHANGED = "changed"
    BAD_NAME = "bad_name"
    PROTOCOL_ERROR = "protocol_error"
    DISK_FULL = "disk_full"
    HOST_TROUBLE = "host_trouble"
    COMMIT_FAILED = "commit_failed"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """One file that lies complete in a task's scratch folder."""

    name: str
    """Its path inside the scratch folder, as the source named it: not yet safe for a library."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought, and where it lies; kept in the row so that a failed commit needs no new fetch."""

    files: tuple[FetchedFile, ...]
    holder: str = ""
    """The daemon on whose disk the files lie; another daemon must fetch anew."""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Placement:
    """One file's way from the scratch folder into the library."""

    source: str
    """Path inside the scratch folder."""
    path: str
    """Full path inside the library, from "/"."""
    size: int
    """Bytes."""
    sha256: str
    """Of the whole file, as lower-case hex."""
    object_id: str = ""
    """The library's own name for these bytes, where it has one."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a commit is about to write; durable before the first byte is written, reused after a crash."""

    path: str
    """Full path in the library that the row will show: the file, or the folder of several files."""
    files: tuple[Placement, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is."""

    done: int = 0
    """Bytes that are here."""
    total: int | None = None
    """Bytes in all; None while the source has not said."""
    speed: int = 0
    """Bytes per second, on the way to us or, after that, into the library."""
    validator: str = ""
    """What names this version of the source (ETag, Last-Modified, length); "" while not known."""
    saved: int = 0
    """Bytes that are in the library already; it tells only of what it takes piece by piece."""
    saving: float = 0.0
    """Bytes per second that the library is expected to take; 0 while not known."""


@dataclass(frozen=True, slots=True)
class Task:
    """One request of one user, with everything that is known of it.

    A Task never changes: `lifecycle.advance` makes the next one, and the store keeps it.
    """

    id: int
    """The shared table's odr_id."""
    owner: str
    library: str
    path: str
    """As the row shows it: the target folder until it is done, then the file's full path."""
    url: str
    created: datetime
    changed: datetime
    """When the phase changed last."""
    phase: Phase = Phase.WAITING
    wish: Wish | None = None
    kind: Kind = Kind.URL
    target: str = "/"
    """The folder inside the library that was asked for."""
    name: str = ""
    """The file name that was asked for; "" takes the source's."""
    size: int = 0
    """Bytes in the library once it is done, else 0."""
    sha256: str = ""
    comment: str = ""
    """One sentence for the user, or empty."""
    reason: Reason = Reason.NONE
    holder: str = ""
    """The daemon that has the lease, or ""."""
    epoch: int = 0
    """Raised by every claim and by every change that a non-holder makes: who knows the number may write."""
    due: int = 0
    """Its place among the waiting: negative = interrupted work, first; 0 = fresh; above = not before this
    time (microseconds since 1970, UTC)."""
    attempt: int = 1
    """Counts from 1; raised by every retry."""
    strikes: int = 0
    """Failures in a row that brought no new byte."""
    spent: float = 0.0
    """Seconds in FETCHING, summed over attempts, pauses and restarts."""
    progress: Progress = Progress()
    fetched: Fetched | None = None
    intent: Intent | None = None
    mark: str = ""
    """Fingerprint of the shared row that this task was made from."""
    mkdir: bool = False
    """Whether a target folder that is not there may be made."""

    @property
    def final(self) -> bool:
        return self.phase.final
