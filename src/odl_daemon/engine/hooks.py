"""Tells other programs which tasks have ended: one signed message for a batch, again and again until it is heard."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

from odl_daemon.engine.news import News
from odl_daemon.model.shown import as_json, moment_as_json
from odl_daemon.model.task import Task
from odl_daemon.ports import Letter, Messenger, Outbox

log = logging.getLogger(__name__)

MOST: Final = 500
"""Tasks in one message."""

FIRST_WAIT: Final = timedelta(seconds=10)
LONGEST_WAIT: Final = timedelta(hours=1)
"""Between two tries of a message; each wait is twice the one before."""

GIVEN_UP: Final = timedelta(days=3)
"""After so long a message that nobody hears is dropped."""

AT_ONCE: Final = 8
"""Messages that are under way at a time."""

LOOK: Final = 5.0
"""Seconds between two looks for messages that are due."""


class Hooks:
    """`run` must be running. A task that ends in the second before a crash may be told of by nobody; what is in the
    outbox is told at least once."""

    def __init__(
        self,
        *,
        news: News,
        outbox: Outbox,
        messenger: Messenger,
        urls: Sequence[str],
        secret: str,
        every: float,
        clock: Callable[[], datetime],
        rng: Random,
    ) -> None:
        """`every`: seconds for which ended tasks are gathered into one message."""
        self._news = news
        self._outbox = outbox
        self._messenger = messenger
        self._urls = urls
        self._secret = secret.encode()
        self._every = every
        self._clock = clock
        self._rng = rng
        self._ended: dict[int, Task] = {}
        self._any = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        with self._news.listening(self._heard):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._gather(), name="gathers for web hooks")
                group.create_task(self._deliver(), name="delivers to web hooks")

    def _heard(self, task: Task) -> None:
        if task.final:
            self._ended[task.id] = task
            self._any.set()

    # --- into the outbox

    async def _gather(self) -> None:
        while True:
            await self._any.wait()
            await asyncio.sleep(self._every)
            await self.flush()

    async def flush(self) -> None:
        """Puts what has ended into the outbox now."""
        self._any.clear()
        ended, self._ended = list(self._ended.values()), {}
        for start in range(0, len(ended), MOST):
            await self._outbox.put(self._letters(ended[start : start + MOST]))

    def _letters(self, tasks: Sequence[Task]) -> list[Letter]:
        """The same message for every hook."""
        now, delivery = self._clock(), secrets.token_hex(8)
        message = {"delivery": delivery, "at": moment_as_json(now), "tasks": [as_json(task) for task in tasks]}
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        return [Letter(f"{delivery}-{number}", url, body, now, now) for number, url in enumerate(self._urls)]

    # --- out of it

    async def _deliver(self) -> None:
        while True:
            due = await self._outbox.take(AT_ONCE, self._clock())
            async with asyncio.TaskGroup() as group:
                for letter in due:
                    group.create_task(self._send(letter), name=f"message {letter.id}")
            if len(due) < AT_ONCE:
                await asyncio.sleep(min(self._every, LOOK))

    async def _send(self, letter: Letter) -> None:
        why = await self._messenger.post(letter.url, self._signed(letter), letter.body.encode(errors="replace"))
        now = self._clock()
        if not why:
            await self._outbox.drop(letter.id)
        elif now - letter.written > GIVEN_UP:
            log.error("a web hook was not told of some tasks, after %d days: %s", GIVEN_UP.days, why)
            await self._outbox.drop(letter.id)
        else:
            log.warning("a web hook did not take message %s, it will be told again: %s", letter.id, why)
            await self._outbox.put([self._later(letter, now)])

    def _signed(self, letter: Letter) -> dict[str, str]:
        """The signature holds for the time, too: who keeps a message cannot send it once more tomorrow."""
        at = str(int(self._clock().timestamp()))
        mac = hmac.new(self._secret, f"{at}.{letter.body}".encode(errors="replace"), hashlib.sha256).hexdigest()
        return {"X-Odl-Delivery": letter.id.rpartition("-")[0], "X-Odl-Signature": f"t={at},v1={mac}"}

    def _later(self, letter: Letter, now: datetime) -> Letter:
        waited = min(FIRST_WAIT * 2.0 ** min(letter.tries, 20), LONGEST_WAIT)
        due = now + waited * self._rng.uniform(0.9, 1.1)
        return Letter(letter.id, letter.url, letter.body, letter.written, due, letter.tries + 1)
