"""Small questions that are asked in the same moment, answered together: one thread's work for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Collects questions while earlier ones are being answered, then answers all of them in one thread call.

    A thread call costs more than looking into a folder does, so a thousand small files a second need this.
    `answer` must not raise: whatever can go wrong with one question is part of its answer.
    """

    def __init__(self, answer: Callable[[Q], A]) -> None:
        self._answer = answer
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._bell = asyncio.Event()

    async def ask(self, question: Q) -> A:
        """Waits for the answer; `run` must be running."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._asked.append((question, answer))
        self._bell.set()
        return await answer

    async def run(self) -> None:
        """Answers for ever."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            asked, self._asked = self._asked, []
            answers = await asyncio.to_thread(self._answer_all, [question for question, _ in asked])
            for (_, future), answer in zip(asked, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _answer_all(self, questions: Sequence[Q]) -> list[A]:
        return [self._answer(question) for question in questions]
