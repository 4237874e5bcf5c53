"""What users have taken: tasks in every phase, and by the hour what they handed over and fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from odl_daemon.model.shares import DAY, Used, hour_of
from odl_daemon.model.task import Phase
from odl_daemon.ports import Taken
from odl_daemon.store.connection import Lanes
from odl_daemon.store.counting import in_phases
from odl_daemon.store.session import Session, SqlRow, SqlValue, number_of, quoted, text_of

OWNERS_AT_ONCE: Final = 200


class Usage:
    """Counts by the hour, so that a day can be the last 24 of them; what is older goes."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def charge(self, taken: Mapping[str, Taken], at: datetime) -> None:
        """Adds to what these users have taken in this hour."""

        async def write(sql: Session) -> None:
            for owner in sorted(taken):  # in one order everywhere: two daemons then wait rather than lock each other
                values: dict[str, SqlValue] = {
                    "owner": owner,
                    "hour": hour_of(at),
                    "tasks": taken[owner].tasks,
                    "bytes": taken[owner].bytes,
                }
                await sql.run(_NEW_HOUR + sql.unless_there("hour"), values)
                await sql.run(_ADD, values)
            await sql.run("DELETE FROM odl_used WHERE hour <= :over", {"over": hour_of(at) - DAY})

        if taken:
            await self._lanes.write(write)

    async def used(self, owners: Sequence[str], at: datetime) -> dict[str, Used]:
        """What these users have taken; without names, everybody who has taken anything."""

        async def look(sql: Session) -> dict[str, Used]:
            found: dict[str, Used] = {}
            for part in _parts(owners):
                found |= await _used(sql, part, at)
            return found

        return await self._lanes.read(look)


async def bytes_of_the_day(sql: Session, at: datetime) -> dict[str, int]:
    """What each user has fetched in the last 24 hours."""
    rows = await sql.rows(_BYTES, {"since": hour_of(at) - DAY})
    return {text_of(owner): number_of(count) for owner, count in rows}


async def running(sql: Session) -> dict[str, int]:
    """How many tasks of each user are in daemons' hands."""
    rows = await sql.rows(f"SELECT owner, COUNT(*) FROM odl_task WHERE phase IN ({HELD}) GROUP BY owner")
    return {text_of(owner): number_of(count) for owner, count in rows}


async def _used(sql: Session, owners: Sequence[str], at: datetime) -> dict[str, Used]:
    among, values = _among(owners)
    phases = await in_phases(sql, _LIVING, owners)
    hours = await sql.rows(_HOURS.format(among=among), values | {"since": hour_of(at) - DAY})
    by_phase, by_hour = _by_owner(phases), _by_owner(hours)
    names = dict.fromkeys([*owners, *by_phase, *by_hour])
    return {owner: _sum(by_phase.get(owner, ()), by_hour.get(owner, ())) for owner in names}


def _by_owner(rows: Sequence[SqlRow]) -> dict[str, list[SqlRow]]:
    found: dict[str, list[SqlRow]] = {}
    for row in rows:
        found.setdefault(text_of(row[0]), []).append(row)
    return found


def _sum(phases: Sequence[SqlRow], hours: Sequence[SqlRow]) -> Used:
    counts = {text_of(phase): number_of(count) for _, phase, count in phases}
    return Used(
        running=sum(count for phase, count in counts.items() if Phase(phase).held),
        queued=counts.get(Phase.WAITING, 0) + counts.get(Phase.PAUSED, 0),
        tasks=sum(number_of(tasks) for _, _, tasks, _ in hours),
        hours=tuple((number_of(hour), number_of(count)) for _, hour, _, count in hours if number_of(count)),
    )


def _among(owners: Sequence[str]) -> tuple[str, dict[str, SqlValue]]:
    """A condition on `owner`, with its values; nothing for everybody."""
    if not owners:
        return "", {}
    values: dict[str, SqlValue] = {f"owner{number}": owner for number, owner in enumerate(owners)}
    return f" AND owner IN ({', '.join(f':{name}' for name in values)})", values


def _parts(owners: Sequence[str]) -> Iterator[Sequence[str]]:
    if not owners:
        yield ()
    for start in range(0, len(owners), OWNERS_AT_ONCE):
        yield owners[start : start + OWNERS_AT_ONCE]


HELD: Final = quoted(phase for phase in Phase if phase.held)
_LIVING: Final = [phase for phase in Phase if not phase.final and phase is not Phase.UNKNOWN]

_NEW_HOUR: Final = "INSERT INTO odl_used (owner, hour, tasks, bytes) VALUES (:owner, :hour, 0, 0)"
_ADD: Final = "UPDATE odl_used SET tasks = tasks + :tasks, bytes = bytes + :bytes WHERE owner = :owner AND hour = :hour"
_BYTES: Final = "SELECT owner, SUM(bytes) FROM odl_used WHERE hour > :since GROUP BY owner"
_HOURS: Final = "SELECT owner, hour, tasks, bytes FROM odl_used WHERE hour > :since{among} ORDER BY owner, hour"
