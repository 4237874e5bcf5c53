"""Texts for columns that do not have all characters: the shared table often knows three bytes of UTF-8 only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from odl_daemon.store.session import Fault, Session, T

Spelling = Callable[[str], str]


async def in_plainer_words(sql: Session, write: Callable[[Spelling], Awaitable[T]]) -> tuple[T, bool]:
    """Runs `write` in a transaction of its own until the columns take what it writes; the spelling that it is
    given becomes plainer each time. Returns its result, and whether something was lost. Raises the last refusal."""
    refusal: Exception | None = None
    for spelling in (as_it_is, *PLAINER):
        await sql.begin()
        try:
            result = await write(spelling)
        except Exception as error:
            if sql.fault(error) is not Fault.DATA:
                raise
            refusal = error
            await sql.roll_back()
        else:
            await sql.commit()
            return result, spelling is not as_it_is
    assert refusal is not None
    raise refusal


def as_it_is(text: str) -> str:
    return text


_BEYOND_THREE_BYTES: Final = re.compile(r"[^\u0000-\uffff]")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def without_emoji(text: str) -> str:
    """For utf8mb3."""
    return _BEYOND_THREE_BYTES.sub("?", text)


def ascii_only(text: str) -> str:
    """For charsets that are older still."""
    return _BEYOND_ASCII.sub("?", text)


def nothing(text: str) -> str:
    """For a column that refuses even that."""
    return text[:0]


PLAINER: Final[tuple[Spelling, ...]] = (without_emoji, ascii_only, nothing)
"""Tried in this order until the column takes the text."""


def percent_encoded(url: str) -> str:
    """The same URL in characters that every column has."""
    return _BEYOND_ASCII.sub(lambda found: quote(found[0], errors="replace"), url)
