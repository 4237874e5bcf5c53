"""Messages that other programs have yet to hear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from odl_daemon.ports import Letter
from odl_daemon.store.connection import Lanes
from odl_daemon.store.rows import micros, moment
from odl_daemon.store.session import Session, SqlRow, number_of, text_of

UNDER_WAY: Final = timedelta(minutes=2)
"""How long a message that somebody delivers is nobody else's; then he is taken for dead."""


class SqlOutbox:
    """ports.Outbox."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def put(self, letters: Sequence[Letter]) -> None:
        async def write(sql: Session) -> None:
            for letter in letters:
                await sql.run("DELETE FROM odl_outbox WHERE id = :id", {"id": letter.id})
                await sql.run(
                    f"INSERT INTO odl_outbox ({_COLUMNS}) VALUES (:id, :url, :body, :written, :due, :tries)",
                    {
                        "id": letter.id,
                        "url": letter.url,
                        "body": letter.body,
                        "written": micros(letter.written),
                        "due": micros(letter.due),
                        "tries": letter.tries,
                    },
                )

        await self._lanes.write(write)

    async def take(self, limit: int, at: datetime) -> list[Letter]:
        async def look(sql: Session) -> list[SqlRow]:
            return await sql.rows("SELECT id FROM odl_outbox WHERE due <= :at LIMIT 1", {"at": micros(at)})

        async def write(sql: Session) -> list[SqlRow]:
            rows = await sql.rows(
                f"SELECT {_COLUMNS} FROM odl_outbox WHERE due <= :at ORDER BY due LIMIT :limit{sql.skipping}",
                {"at": micros(at), "limit": limit},
            )
            for row in rows:
                values = {"id": row[0], "due": micros(at + UNDER_WAY)}
                await sql.run("UPDATE odl_outbox SET due = :due WHERE id = :id", values)
            return rows

        if not await self._lanes.read(look):
            return []
        return [_letter(row) for row in await self._lanes.write(write)]

    async def drop(self, letter_id: str) -> None:
        async def write(sql: Session) -> None:
            await sql.run("DELETE FROM odl_outbox WHERE id = :id", {"id": letter_id})

        await self._lanes.write(write)


_COLUMNS: Final = "id, url, body, written, due, tries"


def _letter(row: SqlRow) -> Letter:
    letter_id, url, body, written, due, tries = row
    return Letter(
        text_of(letter_id),
        text_of(url),
        text_of(body),
        moment(number_of(written)),
        moment(number_of(due)),
        number_of(tries),
    )
