"""The tables: the shared one as others know it, ours beside it, and how they come to be."""

from __future__ import annotations

import logging

from odl_daemon.store.connection import Connections
from odl_daemon.store.dialect import Passing
from odl_daemon.store.transaction import Transaction

log = logging.getLogger(__name__)

SHARED = "OfflineDownloadRecord"
SIDE = "odl_task"

SIDE_COLUMNS = (
    *("odr_id", "owner", "phase", "wish", "holder", "epoch", "lease_until", "due", "attempt", "strikes", "spent"),
    *("reason", "kind", "name", "target", "path_done", "done", "total", "validator", "sha256", "fetched", "intent"),
    *("mark", "ticket", "created", "changed"),
)
"""All columns of our side table, in the order in which a row is written."""

_SHARED_MYSQL = f"""
CREATE TABLE IF NOT EXISTS {SHARED} (
    odr_id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    repo_id VARCHAR(36) NOT NULL,
    path TEXT NOT NULL,
    url TEXT NOT NULL,
    owner VARCHAR(255) NOT NULL,
    timestamp DATETIME NOT NULL,
    size BIGINT NOT NULL,
    status SMALLINT NOT NULL,
    comment TEXT NOT NULL
) ENGINE = InnoDB"""

_SHARED_SQLITE = f"""
CREATE TABLE IF NOT EXISTS {SHARED} (
    odr_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    repo_id VARCHAR(36) NOT NULL,
    path TEXT NOT NULL,
    url TEXT NOT NULL,
    owner VARCHAR(255) NOT NULL,
    timestamp DATETIME NOT NULL,
    size BIGINT NOT NULL,
    status SMALLINT NOT NULL,
    comment TEXT NOT NULL
)"""

_SIDE = f"""
CREATE TABLE IF NOT EXISTS {SIDE} (
    odr_id INTEGER NOT NULL PRIMARY KEY,
    owner VARCHAR(255) NOT NULL,
    phase VARCHAR(16) NOT NULL,
    wish VARCHAR(16) NOT NULL,
    holder VARCHAR(128) NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    due BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    spent DOUBLE PRECISION NOT NULL,
    reason VARCHAR(32) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    path_done TEXT NOT NULL,
    done BIGINT NOT NULL,
    total BIGINT,
    validator TEXT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    fetched MEDIUMTEXT NOT NULL,
    intent MEDIUMTEXT NOT NULL,
    mark VARCHAR(40) NOT NULL,
    ticket VARCHAR(32) NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
)"""

_SIDE_INDEXES = {
    "odl_task_turn": f"CREATE INDEX odl_task_turn ON {SIDE} (phase, owner, due, odr_id)",
    "odl_task_due": f"CREATE INDEX odl_task_due ON {SIDE} (phase, due)",
    "odl_task_holder": f"CREATE INDEX odl_task_holder ON {SIDE} (holder)",
    "odl_task_wish": f"CREATE INDEX odl_task_wish ON {SIDE} (wish)",
    "odl_task_ticket": f"CREATE INDEX odl_task_ticket ON {SIDE} (ticket)",
}

_STATUS_INDEX = "odl_status"
"""On the shared table; an administrator may refuse it."""

_VERSION = 1


async def ensure(connections: Connections) -> None:
    """Creates what is not there. Safe while other daemons do the same, and after a crash in the middle."""
    if connections.mysql:
        await connections.read(_ensure_mysql)
        connections.know_the_shared_charset(await connections.read(_shared_charset))
    else:
        await connections.write(_ensure_sqlite)


async def _ensure_sqlite(tx: Transaction) -> None:
    await tx.execute(_SHARED_SQLITE)
    await tx.execute(_SIDE)
    for sql in _SIDE_INDEXES.values():
        await tx.execute(sql.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"))
    await tx.execute(f"CREATE INDEX IF NOT EXISTS {_STATUS_INDEX} ON {SHARED} (status)")
    await _note_version(tx)


async def _ensure_mysql(tx: Transaction) -> None:
    """DDL commits by itself on MySQL, so every step looks first; one daemon at a time does them."""
    if (await tx.fetch("SELECT GET_LOCK('odl_schema', 60) AS got"))[0]["got"] != 1:
        raise TimeoutError("another daemon has been creating the tables for a minute")
    try:
        if not await _exists(tx, SHARED):
            await tx.execute(_SHARED_MYSQL)
        if not await _exists(tx, SIDE):
            await tx.execute(
                f"{_SIDE} ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
            )
        for name, sql in _SIDE_INDEXES.items():
            if not await _has_index(tx, SIDE, name):
                await tx.execute(sql)
        await _index_the_status(tx)
        await _note_version(tx)
    finally:
        await tx.fetch("SELECT RELEASE_LOCK('odl_schema') AS released")


async def _index_the_status(tx: Transaction) -> None:
    if await _has_index(tx, SHARED, _STATUS_INDEX):
        return
    try:
        await tx.execute(f"CREATE INDEX {_STATUS_INDEX} ON {SHARED} (status)")
    except Exception as error:  # no right to alter the table: that is the administrator's choice
        if tx.dialect.passing(error) is not Passing.NO:
            raise
        log.info("no index on the status of %s (%s): looks at the whole table take longer", SHARED, error)


async def _note_version(tx: Transaction) -> None:
    if tx.dialect.mysql and not await _exists(tx, "odl_schema"):
        await tx.execute(
            "CREATE TABLE odl_schema (version INTEGER NOT NULL PRIMARY KEY, at BIGINT NOT NULL) ENGINE = InnoDB"
        )
    elif not tx.dialect.mysql:
        await tx.execute(
            "CREATE TABLE IF NOT EXISTS odl_schema (version INTEGER NOT NULL PRIMARY KEY, at BIGINT NOT NULL)"
        )
    found = await tx.fetch("SELECT MAX(version) AS version FROM odl_schema")
    if (found[0]["version"] or 0) < _VERSION:
        await tx.execute(f"INSERT INTO odl_schema (version, at) VALUES ({_VERSION}, {tx.dialect.now})")


async def _exists(tx: Transaction, table: str) -> bool:
    return bool(
        await tx.fetch(
            "SELECT 1 AS one FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :table",
            {"table": table},
        )
    )


async def _has_index(tx: Transaction, table: str, name: str) -> bool:
    return bool(
        await tx.fetch(
            "SELECT 1 AS one FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() "
            "AND TABLE_NAME = :table AND INDEX_NAME = :name LIMIT 1",
            {"table": table, "name": name},
        )
    )


async def _shared_charset(tx: Transaction) -> str:
    found = await tx.fetch(
        "SELECT CHARACTER_SET_NAME AS charset FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
        "AND TABLE_NAME = :table AND COLUMN_NAME = 'comment'",
        {"table": SHARED},
    )
    charset = str(found[0]["charset"] or "") if found else ""
    return "" if charset == "utf8mb4" else charset
