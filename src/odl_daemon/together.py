"""Small jobs that are asked for in the same moment, done together: one thread call for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 64
"""Jobs in one thread call, at most."""


class Together(Generic[Q, A]):
    """Collects questions while earlier ones are being answered, then answers all of them in one thread call.

    A thread call costs more than most looks at a disk do, so a thousand small files a second need this. With
    `calls` above one, as many thread calls go on side by side.
    """

    def __init__(self, answer: Callable[[Q], A], *, calls: int = 1) -> None:
        self._answer = answer
        self._calls = calls
        self._under_way = 0
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []

    async def ask(self, question: Q) -> A:
        """Waits for the answer; raises what `answer` raised for this question. Leaving does not undo the job."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked.append((question, answer))
        if self._under_way < self._calls:
            self._begin()
        return await answer

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        asked, self._asked = self._asked[:MOST], self._asked[MOST:]
        self._under_way += 1

        def over(done: asyncio.Future[list[A | Exception]]) -> None:
            self._under_way -= 1
            if not done.cancelled():
                _give([future for _, future in asked], done.result())
            if self._asked and not loop.is_closed():
                self._begin()

        loop.run_in_executor(None, self._answer_all, [question for question, _ in asked]).add_done_callback(over)

    def _answer_all(self, questions: Sequence[Q]) -> list[A | Exception]:
        return [self._answered(question) for question in questions]

    def _answered(self, question: Q) -> A | Exception:
        try:
            return self._answer(question)
        except Exception as error:  # noqa: BLE001  it is raised where the question was asked
            return error


def _give(futures: Sequence[asyncio.Future[A]], answers: Sequence[A | Exception]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
