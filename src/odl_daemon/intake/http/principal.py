"""Who asks: whatever a door believes about a user is in here, and comes from nowhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has shown who he is."""

    owner: str
    """The user, as the table names him."""
    admin: bool = False
    """Whether he may see and steer everybody's tasks."""


Recognise = Callable[[str], Awaitable[Principal | None]]
"""Tells whose token this is; None if it is nobody's."""
