"""Waits for what another process does, where nothing rings when it has done it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

STEP = 0.03
"""Seconds between two looks."""


@overload
async def until(look: Callable[[], Awaitable[T]], *, within: float = ..., what: str = ...) -> T: ...
@overload
async def until(look: Callable[[], T], *, within: float = ..., what: str = ...) -> T: ...
async def until(look: Callable[[], Any], *, within: float = 30.0, what: str = "") -> Any:
    """Looks until it sees something true, and returns that. Raises AssertionError after `within` seconds, with what was
    seen last: a bound against a test that hangs, not a promise of speed."""
    seen: Any = None
    try:
        async with asyncio.timeout(within):
            while True:
                found = look()
                seen = await found if inspect.isawaitable(found) else found
                if seen:
                    return seen
                await asyncio.sleep(STEP)
    except TimeoutError:
        raise AssertionError(
            f"{what or 'what was waited for'} did not happen within {within:g} s; at last: {seen!r}"
        ) from None
