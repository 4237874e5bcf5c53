"""The API of people: who they are, what they may take, how a browser signs in; and what admins see of all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from odl_daemon import __version__
from odl_daemon.engine.desk import Desk
from odl_daemon.intake.http import models
from odl_daemon.intake.http.endpoint import Asked, Endpoint, Role
from odl_daemon.intake.spoken import limit_as_json
from odl_daemon.model.keys import Principal
from odl_daemon.model.tabs import tab_counts

LOCAL: Final = "local"
"""The one user of a daemon that nobody but its owner uses: whose tasks `odl add` makes unless another is named."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a page must know of where it is."""

    local: bool
    """Libraries are folders of this host."""
    libraries: Callable[[], list[str] | None]
    """Those to choose from; None for any id."""
    blocks: Callable[[], Iterable[Mapping[str, object]]]
    """What the guard refused, the newest first."""


class PeopleApi:
    """Everything about users."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        self._place = place

    def endpoints(self) -> list[Endpoint]:
        admin = Role.ADMIN
        return [
            Endpoint("GET", "/api/v1/me", "Who asks", self.me, models.Me),
            Endpoint("GET", "/api/v1/limits", "What the user may take, and what is left", self.limits, models.Limits),
            Endpoint(
                "GET", "/api/v1/admin/limits", "Everybody's limits", self.all_limits, models.AllLimits, role=admin
            ),
            Endpoint("GET", "/api/v1/admin/users", "Who has tasks", self.users, models.Users, role=admin),
            Endpoint(
                "GET",
                "/api/v1/admin/blocks",
                "What links were kept from",
                self.blocks,
                models.Blocks,
                query=models.BlocksQuery,
                role=admin,
            ),
        ]

    async def me(self, asked: Asked) -> object:
        return await self.shown(asked.principal)

    async def shown(self, principal: Principal) -> dict[str, object]:
        (limit,) = await self._desk.limits(principal.owner)
        return {
            "owner": principal.owner,
            "admin": principal.admin,
            "version": __version__,
            "local": self._place.local and principal.owner == LOCAL,
            "libraries": await asyncio.to_thread(self._place.libraries),
            "limits": limit_as_json(limit),
        }

    async def limits(self, asked: Asked) -> object:
        (limit,) = await self._desk.limits(asked.principal.owner)
        return limit_as_json(limit)

    # --- admins

    async def all_limits(self, asked: Asked) -> object:
        return {"users": [limit_as_json(limit) for limit in await self._desk.limits()]}

    async def users(self, asked: Asked) -> object:
        counts = await self._desk.counts()
        return {"users": [{"owner": owner, "counts": tab_counts(counts[owner])} for owner in sorted(counts)]}

    async def blocks(self, asked: Asked) -> object:
        query = asked.query_as(models.BlocksQuery)
        every = await asyncio.to_thread(self._place.blocks)
        found = (block for block in every if query.owner in ("", block["owner"]))
        return {"blocks": list(islice(found, query.limit))}
