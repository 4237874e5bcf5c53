"""New rows of our own: both sides in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from odl_daemon.model.lifecycle import SHOWN_AS, Event, advance
from odl_daemon.model.task import Phase, Task
from odl_daemon.ports import Request
from odl_daemon.store.connection import Lanes
from odl_daemon.store.plain import PLAINER, percent_encoded
from odl_daemon.store.rows import SHARED, SharedRow, micros, shared_row, side_values
from odl_daemon.store.schema import TABLE
from odl_daemon.store.session import Fault, Session, SqlValue, Values, number_of


class Adding:
    """Writes requests into the queue."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def add(self, requests: Sequence[Request], at: datetime) -> list[Task]:
        """All or none; their tasks in the same order."""
        return await self._lanes.write(_Addition(requests, at).write) if requests else []


class _Addition:
    """One transaction that may be tried again: it remembers what it wrote, to know it again if only the reply
    to its commit was lost."""

    def __init__(self, requests: Sequence[Request], at: datetime) -> None:
        self._requests = requests
        self._at = at
        self._written: list[Task] = []

    async def write(self, sql: Session) -> list[Task]:
        if not self._written or not await self._stands(sql):
            ids = await self._insert(sql)
            self._written = await self._read_back(sql, ids)
            await sql.put("odl_task", [side_values(task) for task in self._written])
        return self._written

    async def _stands(self, sql: Session) -> bool:
        """Whether the try before was committed after all. The server may have given the same ids to others."""
        wanted = {(task.id, task.mark, micros(task.created)) for task in self._written}
        found = await sql.rows(
            "SELECT odr_id, mark, created FROM odl_task WHERE odr_id IN (:ids)", ids=[task.id for task in self._written]
        )
        return wanted == {(row[0], row[1], row[2]) for row in found}

    async def _insert(self, sql: Session) -> list[int]:
        """The shared rows; where their table cannot spell something, in plainer words."""
        try:
            return await sql.insert(TABLE, [self._shared(request) for request in self._requests])
        except Exception as error:
            if sql.fault(error) is not Fault.DATA:
                raise
            refusal = error
        for plainer in PLAINER[:-1]:
            await sql.roll_back()
            await sql.begin()
            plain = [
                replace(request, url=percent_encoded(request.url), path=plainer(request.path))
                for request in self._requests
            ]
            try:
                return await sql.insert(TABLE, [self._shared(request) for request in plain])
            except Exception as error:
                if sql.fault(error) is not Fault.DATA:
                    raise
                refusal = error
        raise refusal

    def _shared(self, request: Request) -> Values:
        row: dict[str, SqlValue] = {
            "repo_id": request.library,
            "path": request.path,
            "url": request.url,
            "owner": request.owner,
            "timestamp": f"{self._at:%Y-%m-%d %H:%M:%S}",
            "size": 0,
            "status": int(SHOWN_AS[Phase.PAUSED if request.paused else Phase.WAITING]),
            "comment": _PAUSED if request.paused else "",
        }
        return row

    async def _read_back(self, sql: Session, ids: Sequence[int]) -> list[Task]:
        """The tasks as the table holds them: a column may have changed what it was given."""
        found = {number_of(row[0]): shared_row(row) for row in await sql.rows(_WRITTEN, ids=ids)}
        return [self._task(found[number], request) for number, request in zip(ids, self._requests, strict=True)]

    def _task(self, row: SharedRow, request: Request) -> Task:
        task = Task(
            id=row.id,
            owner=row.owner,
            library=row.library,
            path=row.path,
            url=row.url,
            created=self._at,
            changed=self._at,
            kind=request.kind,
            target=request.path,
            name=request.name,
            mark=row.mark,
            mkdir=request.mkdir,
        )
        return advance(task, Event.PAUSED, at=self._at, comment=_PAUSED) if request.paused else task


_PAUSED: Final = str(Event.PAUSED)
_WRITTEN: Final = f"SELECT {SHARED} FROM {TABLE} r WHERE r.odr_id IN (:ids)"
