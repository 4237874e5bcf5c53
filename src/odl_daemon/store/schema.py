"""The tables, and how they come to be: steps that several daemons may take at once and that a crash may cut."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from odl_daemon.ports import StoreAway
from odl_daemon.store.connection import Lanes
from odl_daemon.store.session import Fault, Session, number_of

log = logging.getLogger(__name__)

TABLE: Final = "OfflineDownloadRecord"


async def prepare(lanes: Lanes, dialect: str, *, index: bool) -> None:
    """Makes what is missing of the tables. Raises StoreAway if only the operator can help."""
    if await lanes.write(_is_current) is not True:
        await lanes.write(lambda sql: _migrate(sql, dialect), limit=None)
    if index:
        await lanes.write(_index_shared, limit=None)


async def _is_current(sql: Session) -> bool:
    if not await _exists(sql, TABLE) or not await _exists(sql, "odl_schema"):
        return False
    return await _version(sql) == len(STEPS)


async def _migrate(sql: Session, dialect: str) -> None:
    await sql.lock_schema()
    try:
        await _make_shared(sql, dialect)
        await _make(sql, "odl_schema", _SCHEMA[dialect])
        version = await _version(sql)
        if version > len(STEPS):
            raise StoreAway(
                f"the tables were made by a newer odl-daemon (version {version}, this one knows {len(STEPS)}):"
                " install that one"
            )
        for number, step in enumerate(STEPS[version:], start=version + 1):
            log.info("the tables come to version %d", number)
            await step(sql, dialect)
            # another daemon may have come as far, and not have committed when the lock was free
            await sql.run(f"REPLACE INTO odl_schema (version, at) VALUES (:version, {sql.now})", {"version": number})
    finally:
        await sql.unlock_schema()


async def _version(sql: Session) -> int:
    found = await sql.rows("SELECT COALESCE(MAX(version), 0) FROM odl_schema")
    return number_of(found[0][0])


async def _make_shared(sql: Session, dialect: str) -> None:
    """The table of the web interface: made only where nobody made it."""
    await _make(sql, TABLE, _SHARED[dialect])


async def _make(sql: Session, table: str, columns: str) -> None:
    if await _exists(sql, table):
        return
    try:
        await sql.run(f"CREATE TABLE IF NOT EXISTS {table} {columns}")
    except Exception as error:
        if not sql.refused(error):
            raise
        raise StoreAway(
            f"the table {table} cannot be created ({error.args[-1]}): give the daemon's database user the right"
            " CREATE on its database, once"
        ) from error


async def _exists(sql: Session, table: str) -> bool:
    try:
        await sql.rows(f"SELECT 1 FROM {table} WHERE 1 = 0")
    except Exception as error:
        if sql.missing_table(error):
            return False
        raise
    return True


async def _index_shared(sql: Session) -> None:
    """All that we add to the shared table; an admin may refuse it, and an old table may have no room for it."""
    for column in ("status", "owner"):
        if await sql.has_index(TABLE, column):
            continue
        try:
            await sql.run(f"CREATE INDEX odl_{column} ON {TABLE} ({column})")
        except Exception as error:
            if not sql.refused(error) and sql.fault(error) is not Fault.DATA:
                raise
            log.info("the table %s gets no index on %s (%s): looks at it are slower", TABLE, column, error.args[-1])


async def _our_tables(sql: Session, dialect: str) -> None:
    await _make(sql, "odl_lock", _LOCK[dialect])
    await _make(sql, "odl_reserved", _RESERVED[dialect])
    await _make(sql, "odl_task", _TASK[dialect])
    if dialect == "sqlite":
        for name, columns in _INDEXES.items():
            await sql.run(f"CREATE INDEX IF NOT EXISTS odl_task_{name} ON odl_task ({columns})")


async def _usage(sql: Session, dialect: str) -> None:
    await _make(sql, "odl_used", _USED[dialect])
    if dialect == "sqlite":
        await sql.run("CREATE INDEX IF NOT EXISTS odl_used_hour ON odl_used (hour)")


async def _keys(sql: Session, dialect: str) -> None:
    await _make(sql, "odl_key", _KEY[dialect])


async def _outbox(sql: Session, dialect: str) -> None:
    await _make(sql, "odl_outbox", _OUTBOX[dialect])
    if dialect == "sqlite":
        await sql.run("CREATE INDEX IF NOT EXISTS odl_outbox_due ON odl_outbox (due)")


STEPS: Final[tuple[Callable[[Session, str], Awaitable[None]], ...]] = (_our_tables, _usage, _keys, _outbox)
"""Each brings the tables one version further; what is released is never changed, only followed by another.
Every step can be taken again after a crash in its middle: MySQL commits each of its statements by itself."""

_INDEXES: Final = {
    "turn": "phase, owner, due, odr_id",
    "holder": "holder, phase",
    "wish": "wish",
}

_SHARED: Final = {
    "mysql": """(
        odr_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        repo_id VARCHAR(36) NOT NULL,
        path TEXT NOT NULL,
        url TEXT NOT NULL,
        owner VARCHAR(255) NOT NULL,
        timestamp DATETIME NOT NULL,
        size BIGINT NOT NULL,
        status SMALLINT NOT NULL,
        comment TEXT NOT NULL
    ) ENGINE=InnoDB""",
    "sqlite": """(
        odr_id INTEGER PRIMARY KEY AUTOINCREMENT,
        repo_id VARCHAR(36) NOT NULL,
        path TEXT NOT NULL,
        url TEXT NOT NULL,
        owner VARCHAR(255) NOT NULL,
        timestamp DATETIME NOT NULL,
        size BIGINT NOT NULL,
        status SMALLINT NOT NULL,
        comment TEXT NOT NULL
    )""",
}

_OURS: Final = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC"

_SCHEMA: Final = {
    "mysql": f"(version INT NOT NULL PRIMARY KEY, at BIGINT NOT NULL) {_OURS}",
    "sqlite": "(version INTEGER NOT NULL PRIMARY KEY, at BIGINT NOT NULL)",
}

_TASK_COLUMNS: Final = """
    owner VARCHAR(255) NOT NULL,
    phase VARCHAR(16) NOT NULL,
    wish VARCHAR(16) NOT NULL,
    holder VARCHAR(255) NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    due BIGINT NOT NULL,
    attempt INT NOT NULL,
    strikes INT NOT NULL,
    spent DOUBLE NOT NULL,
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
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    mkdir SMALLINT NOT NULL"""

_LOCK: Final = {
    "mysql": f"(name VARCHAR(255) NOT NULL PRIMARY KEY, odr_id BIGINT NOT NULL, epoch BIGINT NOT NULL) {_OURS}",
    "sqlite": "(name VARCHAR(255) NOT NULL PRIMARY KEY, odr_id INTEGER NOT NULL, epoch BIGINT NOT NULL)",
}

_RESERVED: Final = {
    "mysql": "(odr_id BIGINT NOT NULL PRIMARY KEY, payer VARCHAR(255) NOT NULL, size BIGINT NOT NULL,"
    f" INDEX odl_reserved_payer (payer)) {_OURS}",
    "sqlite": "(odr_id INTEGER NOT NULL PRIMARY KEY, payer VARCHAR(255) NOT NULL, size BIGINT NOT NULL)",
}

_USED_COLUMNS: Final = """
    owner VARCHAR(255) NOT NULL,
    hour BIGINT NOT NULL,
    tasks BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (owner, hour)"""

_USED: Final = {
    "mysql": f"({_USED_COLUMNS}, INDEX odl_used_hour (hour)) {_OURS}",
    "sqlite": f"({_USED_COLUMNS})",
}

_KEY_COLUMNS: Final = """
    digest CHAR(64) NOT NULL PRIMARY KEY,
    kind VARCHAR(16) NOT NULL,
    owner VARCHAR(255) NOT NULL,
    admin SMALLINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL"""

_KEY: Final = {"mysql": f"({_KEY_COLUMNS}) {_OURS}", "sqlite": f"({_KEY_COLUMNS})"}

_OUTBOX_COLUMNS: Final = """
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    body MEDIUMTEXT NOT NULL,
    written BIGINT NOT NULL,
    due BIGINT NOT NULL,
    tries INT NOT NULL"""

_OUTBOX: Final = {
    "mysql": f"({_OUTBOX_COLUMNS}, INDEX odl_outbox_due (due)) {_OURS}",
    "sqlite": f"({_OUTBOX_COLUMNS})",
}

_TASK: Final = {
    "mysql": "(odr_id BIGINT NOT NULL PRIMARY KEY,"
    + _TASK_COLUMNS
    + "".join(f", INDEX odl_task_{name} ({columns})" for name, columns in _INDEXES.items())
    + f") {_OURS}",
    "sqlite": f"(odr_id INTEGER NOT NULL PRIMARY KEY, {_TASK_COLUMNS})",
}
