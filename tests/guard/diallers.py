"""A dialler that refuses nothing and tells its troubles at once, for tests of other things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from odl_daemon.guard.dial import CONNECT_LIMIT, RESOLVE_LIMIT, Dialler, Judge
from odl_daemon.guard.resolver import Resolver
from odl_daemon.guard.rules import Address


def admit_all(host: str, port: int, addresses: Sequence[Address]) -> Sequence[Address]:
    return addresses


class OpenDialler(Dialler):
    """Use it as a context, or not."""

    def __init__(
        self,
        *,
        judge: Judge = admit_all,
        connect_limit: float = CONNECT_LIMIT,
        resolve_limit: float = RESOLVE_LIMIT,
    ) -> None:
        self._asks = Resolver()
        super().__init__(
            resolver=self._asks,
            judge=judge,
            connect_limit=connect_limit,
            resolve_limit=resolve_limit,
            told_after=0.0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._asks.__exit__()
