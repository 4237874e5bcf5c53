"""The price of the hot paths does not grow with the queue: nothing scans 100,000 waiting rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from odl_daemon.model.task import Phase, Status, Wish
from odl_daemon.ports import Filter
from odl_daemon.store.session import numbers
from odl_daemon.store.sqlite import SqliteSession
from tests.servers.mariadb import MariaDb
from tests.store.conftest import AT, Place, added, mariadb_place, sqlite_place

TABLES = "odl_task|OfflineDownloadRecord|t|r"
OWNERS = 20
ROWS = 100_000

FILL_SHARED = (
    "INSERT INTO OfflineDownloadRecord (repo_id, path, url, owner, timestamp, size, status, comment)"
    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    " SELECT 'lib', '/', 'http://host/x', {owner}, '2025-01-01 00:00:00', 0, 1, '' FROM n"
)


async def filled(place: Place) -> None:
    """100,000 waiting tasks of twenty users, made by copying one of each."""
    mysql = place.url.startswith("mysql")
    owner = "CONCAT('user', i % 20)" if mysql else "'user' || (i % 20)"
    async with place.store() as store:
        fill = FILL_SHARED.format(rows=1000 if mysql else ROWS, owner=owner)
        for _ in range(ROWS // 1000 if mysql else 1):
            await place.run(fill)
        rows = await store.strangers(0, frozenset({Status.WAITING}), OWNERS)
        marks = " ".join(f"WHEN '{row.owner}' THEN '{row.mark}'" for row in rows)
        columns = [row[0] for row in await place.run(_columns(mysql))]
        values = {"odr_id": "r.odr_id", "owner": "r.owner", "phase": "'waiting'", "kind": "'url'", "target": "'/'"}
        numbers = {"epoch", "lease_until", "due", "strikes", "spent", "done", "created", "changed"}
        values |= {"mark": f"CASE r.owner {marks} END", "attempt": "1", "total": "NULL"}
        chosen = [values.get(column, "0" if column in numbers else "''") for column in columns]
        await place.run(
            f"INSERT INTO odl_task ({', '.join(columns)}) SELECT {', '.join(chosen)} FROM OfflineDownloadRecord r"
            " WHERE r.odr_id NOT IN (SELECT odr_id FROM odl_task)"
        )
        if mysql:
            await place.run("ANALYZE TABLE odl_task, OfflineDownloadRecord")


def _columns(mysql: bool) -> str:
    if mysql:
        return (
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'odl_task'"
        )
    return "SELECT name FROM pragma_table_info('odl_task')"


async def test_a_claim_on_mariadb_reads_a_handful_of_rows(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb)
    await filled(place)
    async with place.store() as store:
        before = await rows_read(place)
        tasks = await store.claim("h", 10, {}, AT)
        assert await rows_read(place) - before < 2_000
        assert len(tasks) > 0
        before = await rows_read(place)
        await store.next_due(AT)
        await store.reap(AT)
        await store.wished(100)
        await store.pulse("h", [])
        await store.tasks(Filter(), 50)
        await store.tasks(Filter(phases=frozenset({Phase.FAILED})), 50)
        assert await rows_read(place) - before < 2_000


async def test_the_page_of_a_user_with_few_tasks_reads_few_rows_on_mariadb(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb)
    async with place.store() as store:
        await added(store, 60, owner="few@x")
    await filled(place)
    async with place.store() as store:
        before = await rows_read(place)
        assert len(await store.tasks(Filter(owner="few@x"), 50)) == 50
        assert await store.count_phases("few@x") == {"few@x": {Phase.WAITING: 60}}
        assert (await store.used(["few@x"], AT))["few@x"].queued == 60
        assert await rows_read(place) - before < 2_000


async def rows_read(place: Place) -> int:
    """Rows that the server has read so far, by any key or none."""
    return sum(int(row[1]) for row in await place.run("SHOW GLOBAL STATUS LIKE 'Handler_read%'"))


async def test_no_hot_path_scans_a_table_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = sqlite_place(tmp_path / "odl.db")
    await filled(place)
    asked: list[tuple[str, Any]] = []
    run = SqliteSession.rows

    async def noting(self: SqliteSession, text: str, values: Any = None, ids: Iterable[int] = ()) -> Any:
        asked.append((text.replace(":ids", numbers(ids)), values))
        return await run(self, text, values, ids)

    async with place.store() as store:
        monkeypatch.setattr(SqliteSession, "rows", noting)
        assert len(await store.claim("h", 10, {}, AT)) == 10
        assert len({task.owner for task in await store.claim("h", 30, {}, AT)}) == OWNERS
        await store.next_due(AT)
        await store.reap(AT)
        await store.wished(100)
        assert len(await store.pulse("h", [])) == 40
        await store.wish([1, 2], Wish.CANCEL, frozenset(Phase))
        assert len(await store.tasks(Filter(owner="user7"), 50)) == 50
        assert (await store.count_phases("user7"))["user7"]
        assert (await store.used(["user7"], AT))["user7"].queued
    looked_at = 0
    with sqlite3.connect(tmp_path / "odl.db") as connection:
        for text, values in asked:
            if text.split()[0] in ("SELECT", "UPDATE", "WITH"):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", values or {}).fetchall()
                steps = [row[3] for row in plan if re.match(rf"(SCAN|SEARCH) ({TABLES})\b", row[3])]
                assert not [step for step in steps if step.startswith("SCAN")], text
                if "odr_id IN (" in text:  # not the index of all that waits
                    assert all("PRIMARY KEY" in step or "rowid=" in step for step in steps), (text, steps)
                looked_at += len(steps)
    assert looked_at > 10
    connection.close()
