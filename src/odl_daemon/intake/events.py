"""The door at Seafile's message channel: what programs beside the server publish there becomes tasks.

A channel is a queue in the memory of seaf-server, without acknowledgement: who pops a message has the only copy, and
what waits there is lost when the server restarts. A request is a message in one of two forms:

    offline-file-upload <tab> repo_id <tab> path <tab> user <tab> url        exactly five fields, nothing is escaped
    {"msg_type": "offline-file-upload", "repo_id", "path", "user_name", "url"}        JSON; "user" and "email" will do
                                                                                      for "user_name"

`path` is the target folder, "" the root of the library. Further keys of the JSON form are passed over. What is wrong
with a message stands in the log alone: nobody waits for an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from contextlib import suppress
from hashlib import blake2b
from typing import Final, Protocol

from odl_daemon.engine.desk import Desk, Refusal
from odl_daemon.intake.spoken import LONGEST_LIBRARY, LONGEST_OWNER
from odl_daemon.model import names, source
from odl_daemon.model.task import Task
from odl_daemon.ports import Request, StoreAway

log = logging.getLogger(__name__)

TYPE: Final = "offline-file-upload"
"""The messages that are for us."""

USER_KEYS: Final = ("user_name", "user", "email")
"""How the JSON form may call the user; the first that is there counts."""

PAUSE: Final = 0.5
"""Seconds until the next look into an empty channel."""

LONGEST_WAIT: Final = 10.0
"""Seconds between two tries, at most, while the server or the database is away."""

REST: Final = 2.0
"""Seconds that others get to take the messages that were put back for them: seafevents looks every half second."""

MOST_PUT_BACK: Final = 10_000
"""Messages in one round; a channel where more of them wait has nobody else who reads it."""

LAST_WAIT: Final = 5.0
"""Seconds that a message in hand gets to become a task when the door closes, and then again to be put back."""


class ChannelTrouble(Exception):
    """A call did not succeed; the message is a sentence for the operator."""

    def __init__(self, sentence: str, *, again: bool) -> None:
        super().__init__(sentence)
        self.again = again
        """The call was surely not carried out, and the same again later may be. Otherwise nobody knows, or the server
        will not have it."""


class Channel(Protocol):
    """One channel of a server. Raises ChannelTrouble and nothing else."""

    async def pop(self) -> str | None:
        """The oldest message, which is gone from the channel then; None if there is none."""

    async def publish(self, content: str) -> None: ...


class EventsDoor:
    """Takes a channel's requests to the desk. A message leaves its hands as a task, as a line in the log, or back into
    the channel; only a process that is killed, or a server that gives no answer, loses one.

    Which messages are put back: when `shared` those that are not for us, and in any case one that could not become
    a task before the door closed. Where it is unsure whether the database has that one after all, it is put back: a
    task too many is better than one too few.

    Sharing has its limits. Messages that are put back go to the end of the queue. If nobody else takes one for `rest`
    seconds it is dropped when it comes by again, or else whoever comes there would wait behind all that ever was
    published. So in a round through the channel each is put back once, and the first of them a second time, by which
    the end of the round is known. Messages with the same words cannot be told apart: they may be put back more often.
    And beyond MOST_PUT_BACK of a round they are dropped at first sight.
    """

    def __init__(
        self,
        desk: Desk,
        channel: Channel,
        name: str,
        *,
        shared: bool = False,
        pause: float = PAUSE,
        longest_wait: float = LONGEST_WAIT,
        rest: float = REST,
        last_wait: float = LAST_WAIT,
    ) -> None:
        """`name` is the channel's, for the log; the times are in seconds: see PAUSE, LONGEST_WAIT, REST, LAST_WAIT."""
        self._desk = desk
        self._channel = channel
        self._name = name
        self._pause = pause
        self._rest = rest
        self._last_wait = last_wait
        self._server = _Absence(f"the channel {name} of the Seafile server", pause, longest_wait)
        self._database = _Absence(f"the database that the messages of {name} shall go to", pause, longest_wait)
        self._round = _Round() if shared else None
        self._closing = asyncio.Event()

    async def serve(self) -> None:
        """For ever. Leaving it takes up to twice `last_wait` while the server or the database is away."""
        self._closing.clear()
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(self._take_all(), name="messages of the channel")
            try:
                await asyncio.wait({taking})
            finally:
                self._closing.set()
                await asyncio.wait({taking}, timeout=self._last_wait)  # then the group ends it

    async def _take_all(self) -> None:
        while not self._closing.is_set():
            try:
                content = await self._channel.pop()
            except ChannelTrouble as trouble:
                await self._idle(self._server.goes_on(trouble, lost=not trouble.again))
                continue
            self._server.ends()
            if content is None:
                if self._round is not None:
                    self._round.clear()
                await self._idle(self._pause)
            else:
                await self._take(content)

    async def _take(self, content: str) -> None:
        """One message, which nobody else has now."""
        try:
            if _type(content) == TYPE:
                await self._submit(content)
            elif self._round is not None:
                await self._put_back(content, self._round)
            else:
                log.warning("the channel %s: dropped what is none of our messages: %s", self._name, _shown(content))
        except asyncio.CancelledError:
            await self._give_up(content)
            raise

    async def _idle(self, seconds: float) -> None:
        """A pause that ends early when the door closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    # --- messages for us

    async def _submit(self, content: str) -> None:
        try:
            request = _request(content)
        except ValueError as error:
            log.warning("the channel %s: dropped a bad message: %s", self._name, error)
            return
        while True:
            try:
                [answer] = await self._desk.submit([request])
            except StoreAway as away:
                await asyncio.sleep(self._database.goes_on(away))
            except Exception:  # one message that breaks must not end the daemon
                log.exception("the channel %s: a message broke, dropped: %s", self._name, _shown(content))
                return
            else:
                self._database.ends()
                self._tell(answer, request.owner)
                return

    def _tell(self, answer: Task | Refusal, owner: str) -> None:
        if isinstance(answer, Refusal):
            log.warning("the channel %s: a message of %s was refused: %s", self._name, owner, answer.sentence)
        else:
            log.info("task %d: %s asked for it through the channel %s", answer.id, owner, self._name)

    async def _give_up(self, content: str) -> None:
        """The last that can be done for a message in hand."""
        try:
            async with asyncio.timeout(self._last_wait):
                await self._channel.publish(content)
        except (ChannelTrouble, TimeoutError) as error:
            why = str(error) or "no answer in time"
            log.error("the channel %s: a message cannot be put back (%s): %s", self._name, why, _shown(content))
        else:
            log.warning("the channel %s: put back a message that found no taker: %s", self._name, _shown(content))

    # --- messages for others

    async def _put_back(self, content: str, round_: _Round) -> None:
        if round_.unwanted(content):
            log.info("the channel %s: dropped what nobody takes: %s", self._name, _shown(content))
            return
        await self._publish(content)
        if round_.ends_with(content):
            await self._idle(self._rest)

    async def _publish(self, content: str) -> None:
        while True:
            try:
                await self._channel.publish(content)
            except ChannelTrouble as trouble:
                if not trouble.again:
                    log.warning("the channel %s: perhaps a message was not put back (%s)", self._name, trouble)
                    return
                await asyncio.sleep(self._server.goes_on(trouble))
            else:
                self._server.ends()
                return


class _Round:
    """What was put back on this way through the channel, and on the one before."""

    def __init__(self) -> None:
        self._now: Counter[bytes] = Counter()
        self._before: Counter[bytes] = Counter()

    def unwanted(self, content: str) -> bool:
        """Whether nobody else wants it: it has lain there for a rest, or behind too many others."""
        mark = _mark(content)
        if self._before[mark]:
            self._before[mark] -= 1
            return True
        return mark not in self._now and len(self._now) >= MOST_PUT_BACK

    def ends_with(self, content: str) -> bool:
        """Takes down that it was put back. If it was so before in this round, the round is over: the queue is in order,
        so what is left of the round before was taken by others."""
        mark = _mark(content)
        if mark in self._now:
            self._before, self._now = self._now, Counter()
            return True
        self._now[mark] += 1
        return False

    def clear(self) -> None:
        """The channel is empty: everything was taken."""
        self._before.clear()
        self._now.clear()


class _Absence:
    """One that must be there and may be away: told once when that begins, and once when it is over."""

    def __init__(self, whose: str, shortest: float, longest: float) -> None:
        self._whose = whose
        self._shortest = shortest
        self._longest = longest
        self._wait = 0.0
        self._lost = 0

    def goes_on(self, trouble: Exception, *, lost: bool = False) -> float:
        """Seconds until the next try. `lost`: whether a message may be lost by this trouble."""
        if not self._wait:
            log.warning("%s is away (%s): it is asked until it is back", self._whose, trouble)
        self._lost += lost
        self._wait = min(self._wait * 2 or self._shortest, self._longest)
        return self._wait

    def ends(self) -> None:
        if not self._wait:
            return
        log.info("%s is back", self._whose)
        if self._lost:
            log.warning("%s: %d calls failed that may each have taken a message along", self._whose, self._lost)
        self._wait, self._lost = 0.0, 0


# --- the words of a message -------------------------------------------------------------------------------


def _request(content: str) -> Request:
    """Checked as at the other doors. Raises ValueError with a sentence for the operator."""
    library, path, user, url = _words(content)
    link = source.parse(url)
    if not user or not library:
        raise ValueError("a request needs a user and a library")
    if not user.isprintable() or not library.isprintable():
        raise ValueError("the user or the library has characters that cannot be printed")
    if len(user) > LONGEST_OWNER or len(library) > LONGEST_LIBRARY:
        raise ValueError(f"a user has {LONGEST_OWNER} characters at most, a library {LONGEST_LIBRARY}")
    return Request(user, library, names.folder_path(path), link.url, kind=link.kind)


def _words(content: str) -> tuple[str, str, str, str]:
    """Library, path, user and URL, in either form. Raises ValueError."""
    spoken = _json(content)
    if spoken is not None:
        user_key = next((key for key in USER_KEYS if spoken.get(key)), USER_KEYS[0])
        return _text(spoken, "repo_id"), _text(spoken, "path"), _text(spoken, user_key), _text(spoken, "url")
    fields = content.split("\t")
    if len(fields) != 5:
        raise ValueError(f"5 fields with tabs between them are expected, not {len(fields)}")
    _, library, path, user, url = fields
    return library, path, user, url


def _text(spoken: dict[str, object], key: str) -> str:
    word = spoken.get(key)
    if not isinstance(word, str):
        raise ValueError(f"{key}: expected a text")
    return word


def _type(content: str) -> str:
    spoken = _json(content)
    return content.partition("\t")[0] if spoken is None else str(spoken.get("msg_type"))


def _json(content: str) -> dict[str, object] | None:
    """The JSON form; None if this is not it."""
    if not content.startswith("{"):
        return None
    try:
        spoken = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return spoken if isinstance(spoken, dict) else None


def _shown(content: str) -> str:
    """For the log: whose request for what, without the secrets of its link; of other messages no more than the type."""
    kind = _type(content)
    if kind != TYPE:
        return kind if _PLAIN.fullmatch(kind) else f"{len(content)} characters without a type"
    request = _request(content)
    return f"{request.owner} asks for {source.shown(request.url)}, to {request.path} in {request.library}"


def _mark(content: str) -> bytes:
    """Names the words of a message, however long they are."""
    return blake2b(content.encode(errors="surrogatepass"), digest_size=16).digest()


_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
