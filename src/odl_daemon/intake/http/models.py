"""What goes in and out of the API: these models validate requests, and the OpenAPI document is made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from odl_daemon.model.remedies import Action
from odl_daemon.model.task import Kind, Phase, Reason, Wish
from odl_daemon.model.waiting import Rule

URLS_AT_ONCE = 100
IDS_AT_ONCE = 1000
PAGE = 200


def _sayable(text: str) -> str:
    """Raises ValueError for what no table and no terminal can hold."""
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF or ord(letter) == 127 for letter in text):
        raise ValueError("control characters cannot be used here")
    return text


def _lines(text: str) -> str:
    """The same, with line ends and tabs."""
    _sayable(text.translate({9: 32, 10: 32, 13: 32}))
    return text


Line = Annotated[str, AfterValidator(_sayable)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- errors


class Error(Model):
    """Why something was not done."""

    reason: str = Field(description="A word for programs.")
    sentence: str = Field(description="For the user.")
    action: str | None = Field(default=None, description="The one thing that helps, if one does.")


class ErrorAnswer(Model):
    error: Error


# --- tasks


class WaitsFor(Model):
    """Why a task does not move."""

    rule: Rule
    place: int | None = Field(description="Its place in its user's line, from 1.")
    until: datetime | None = Field(description="When it goes on at the earliest, if that is known.")
    sentence: str


class Task(Model):
    """A task. Sizes are bytes, speeds bytes per second, times UTC."""

    id: int
    owner: str
    library: str
    path: str = Field(description="The target folder; once it is done, the file.")
    url: str
    name: str = Field(description="What its file is called, as far as that is known.")
    host: str = Field(description="The server of the link.")
    kind: Kind
    status: int = Field(description="The number in the shared table, 0 to 6.")
    status_name: Literal["UNKNOWN", "WAITING", "QUEUING", "DOWNLOADING", "OK", "ERROR", "TLE"]
    phase: Phase
    wish: Wish | None
    size: int = Field(description="In the library, once it is done.")
    done: int = Field(description="Bytes that are here.")
    total: int | None
    speed: int
    saved: int = Field(description="Bytes that are in the library already, where that is told piece by piece.")
    progress: float | None = Field(description="0 to 1, over download and save.")
    eta: int | None = Field(description="Seconds until it is done.")
    waits_for: WaitsFor | None
    attempt: int
    reason: Reason | None
    comment: str
    action: Action | None = Field(description="What its user can do about its failure.")
    created: datetime
    changed: datetime
    sha256: str | None


class Counts(Model):
    """How many tasks there are in each tab of the page."""

    all: int
    active: int
    waiting: int
    done: int
    failed: int


Tab = Literal["all", "active", "waiting", "done", "failed"]


class ListQuery(Model):
    tab: Tab = "all"
    phase: list[Phase] = Field(default_factory=list, max_length=len(Phase))
    status: list[Annotated[int, Field(ge=0, le=6)]] = Field(default_factory=list, max_length=7)
    q: Line = Field(default="", max_length=200, description="Only tasks whose link or path has this text in it.")
    owner: Line = Field(default="", max_length=255, description='Admins only: another user, or "*" for everybody.')
    limit: int = Field(default=50, ge=1, le=PAGE)
    cursor: Id | None = Field(default=None, description="`next` of the page before.")


class Listed(Model):
    tasks: list[Task]
    next: int | None = Field(description="The cursor of the next page; null on the last one.")
    counts: Counts


class Submission(Model):
    """One link or many: as a list, or as text with a link a line."""

    urls: list[Annotated[str, AfterValidator(_lines)]] = Field(default_factory=list, max_length=URLS_AT_ONCE)
    text: Annotated[str, AfterValidator(_lines)] = Field(default="", max_length=512 * 1024)
    library: Line = Field(default="default", min_length=1, max_length=36)
    path: Line = Field(default="/", max_length=4096)
    name: Line = Field(default="", max_length=255, description="The file's name, for a single link.")
    mkdir: bool = Field(default=False, description="Make the folder if the library does not have it.")
    owner: Line = Field(default="", max_length=255, description="Admins only: for whom.")


class Result(Model):
    """What became of one link."""

    line: int
    url: str
    task: Task | None = None
    error: Error | None = None


class Results(Model):
    results: list[Result]


class One(Model):
    task: Task


class Why(Model):
    sentence: str
    waits_for: WaitsFor | None


class Answer(Model):
    """What became of a wish."""

    id: int
    granted: bool
    sentence: str


class Bulk(Model):
    """A wish for many tasks: by their ids, or for all of a tab that have a text in their link or path."""

    wish: Wish
    ids: list[Id] = Field(default_factory=list, max_length=IDS_AT_ONCE)
    tab: Tab | None = None
    q: Line = Field(default="", max_length=200)
    owner: Line = Field(default="", max_length=255, description='Admins only: another user, or "*" for everybody.')


class Answers(Model):
    results: list[Answer]
    count: int = Field(description="How many tasks the wish reached.")


# --- looking before


class Look(Model):
    url: Annotated[str, AfterValidator(_lines)]
    library: Line = Field(default="default", min_length=1, max_length=36)
    path: Line = Field(default="/", max_length=4096)


class Verdict(Model):
    """One thing that was looked at."""

    what: Literal["link", "size", "quota", "disk", "target"]
    ok: bool
    sentence: str


class Preflight(Model):
    """What a link leads to, before it is handed over."""

    url: str
    final_url: str
    name: str
    size: int | None
    resumable: bool
    verdicts: list[Verdict]


# --- users


class Amounts(Model):
    running: int | None
    queued: int | None
    bytes_per_day: int | None
    tasks_per_day: int | None


class Most(Amounts):
    max_size: int | None


class Limits(Model):
    """What a user may take, has taken, and may still; null sets no limit."""

    owner: str
    group: str | None
    limits: Most
    used: Amounts
    left: Amounts


class Me(Model):
    owner: str
    admin: bool
    version: str
    local: bool = Field(description="Whether this is the one user of a daemon with libraries of its own.")
    libraries: list[str] | None = Field(description="Libraries to choose from; null for any id.")
    limits: Limits


class SignIn(Model):
    token: Line = Field(min_length=1, max_length=500)


class Nothing(Model):
    """Done."""


class OwnerQuery(Model):
    owner: Line = Field(default="", max_length=255)


class BlocksQuery(OwnerQuery):
    limit: int = Field(default=100, ge=1, le=1000)


class AllLimits(Model):
    users: list[Limits]


class Block(Model):
    """A connection that was refused."""

    at: str
    task: int | None
    owner: str
    host: str
    port: int
    address: str
    reason: str


class Blocks(Model):
    blocks: list[Block]


class UserCounts(Model):
    owner: str
    counts: Counts


class Users(Model):
    users: list[UserCounts]


class Health(Model):
    ok: bool
    troubles: list[str] = Field(default_factory=list)


AnyJson = dict[str, Any]
