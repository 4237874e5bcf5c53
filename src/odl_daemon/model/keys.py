"""Who asks, and the keys by which a door knows him."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has shown who he is; nothing else tells a door whose task something is."""

    owner: str
    """The user, as the table names him."""
    admin: bool = False
    """Whether he may see and steer everybody's tasks."""


class KeyKind(StrEnum):
    """What a key is good for."""

    TOKEN = "token"
    """Programs show it with every request, until it is revoked or runs out."""
    ONCE = "once"
    """Signs one browser in, and is gone then."""
    SESSION = "session"
    """A browser that is signed in shows it as its cookie."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key: enough to know it again, and nothing by which anybody could use it."""

    digest: str
    """SHA-256 of the key, as hex."""
    kind: KeyKind
    principal: Principal
    name: str
    """What its owner calls it."""
    created: datetime
    expires: datetime | None = None

    @property
    def id(self) -> str:
        """By which it is named in lists."""
        return self.digest[:12]
