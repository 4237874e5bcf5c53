"""How the tables come to be, and what an operator hears if they cannot."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from odl_daemon.model.lifecycle import Event, advance
from odl_daemon.ports import Filter, StoreAway, Taken
from odl_daemon.store import SqlStore
from odl_daemon.store.schema import STEPS
from tests.servers.mariadb import MariaDb
from tests.servers.ports import free_port
from tests.store.conftest import AT, Place, added, mariadb_place, sqlite_place


async def test_five_daemons_that_start_at_once_make_the_tables_once(place: Place) -> None:
    async with AsyncExitStack() as stack:
        stores = [place.store() for _ in range(5)]
        await asyncio.gather(*[stack.enter_async_context(store) for store in stores])
        await asyncio.gather(*[added(store, 1) for store in stores])
        assert await stores[0].count(Filter()) == 5
    versions = await place.run("SELECT version FROM odl_schema ORDER BY version")
    assert [row[0] for row in versions] == list(range(1, len(STEPS) + 1))


async def test_tables_of_an_older_version_come_up_with_what_is_in_them(place: Place) -> None:
    async with place.store() as store:
        await added(store, 3)
    await place.run("DROP TABLE odl_used")
    await place.run("DELETE FROM odl_schema WHERE version > 1")
    async with place.store() as store:
        assert await store.count(Filter()) == 3
        await store.charge({"ann@x": Taken(1, 5)}, AT)
        assert (await store.used(["ann@x"], AT))["ann@x"].bytes == 5
    assert [tuple(row) for row in await place.run("SELECT MAX(version) FROM odl_schema")] == [(len(STEPS),)]


async def test_a_start_that_was_cut_short_is_finished_by_the_next(place: Place) -> None:
    async with place.store():
        pass
    await place.run("DELETE FROM odl_schema")
    async with place.store() as store:
        await added(store, 1)
    await place.run("DROP TABLE odl_schema")
    async with place.store() as store:
        assert await store.count(Filter()) == 1


async def test_tables_of_a_newer_version_are_left_alone(place: Place) -> None:
    async with place.store():
        pass
    await place.run("INSERT INTO odl_schema (version, at) VALUES (99, 0)")
    with pytest.raises(StoreAway, match="newer odl-daemon"):
        async with place.store(patient=False):
            pass


async def test_the_table_of_the_web_interface_is_used_as_it_is(wide_place: Place) -> None:
    await wide_place.run(
        "CREATE TABLE OfflineDownloadRecord (odr_id INT AUTO_INCREMENT PRIMARY KEY, repo_id VARCHAR(36) NOT NULL,"
        " path TEXT NOT NULL, url TEXT NOT NULL, owner VARCHAR(255) NOT NULL, timestamp DATETIME NOT NULL,"
        " size BIGINT NOT NULL, status SMALLINT NOT NULL, comment TEXT NOT NULL, extra INT NOT NULL DEFAULT 7)"
    )
    async with wide_place.store() as store:
        await added(store, 1)
    assert await wide_place.run("SELECT extra FROM OfflineDownloadRecord") == [(7,)]
    for column in ("status", "owner"):
        assert await wide_place.run(f"SHOW INDEX FROM OfflineDownloadRecord WHERE Column_name = '{column}'")


async def test_a_table_whose_keys_must_be_short_gets_no_index_on_a_long_column(
    wide_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await wide_place.run(
        "CREATE TABLE OfflineDownloadRecord (odr_id INT AUTO_INCREMENT PRIMARY KEY, repo_id VARCHAR(36) NOT NULL,"
        " path TEXT NOT NULL, url TEXT NOT NULL, owner VARCHAR(255) NOT NULL, timestamp DATETIME NOT NULL,"
        " size BIGINT NOT NULL, status SMALLINT NOT NULL, comment TEXT NOT NULL)"
        " DEFAULT CHARSET=utf8mb4 ROW_FORMAT=COMPACT"
    )
    caplog.set_level("INFO")
    async with wide_place.store() as store:
        await added(store, 2)
        assert await store.count(Filter(owner="ann@x")) == 2
    assert "no index on owner" in caplog.text
    assert "no index on status" not in caplog.text


async def test_an_index_that_the_admin_refuses_is_done_without(
    mariadb: MariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    place = mariadb_place(mariadb)
    async with place.store():
        pass
    name = place.url.rsplit("/", 1)[1]
    await place.run("DROP INDEX odl_status ON OfflineDownloadRecord")
    url = await poor_user(mariadb, name, "SELECT, INSERT, UPDATE, DELETE")
    caplog.set_level("INFO")
    async with SqlStore(url=url) as store:
        await added(store, 3)
        [task] = await store.claim("h", 1, {}, AT)
        await store.save(advance(task, Event.STARTED, at=AT))
        assert await store.count(Filter()) == 3
    assert "no index" in caplog.text


async def test_without_the_right_to_create_tables_the_operator_hears_so(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb)
    url = await poor_user(mariadb, place.url.rsplit("/", 1)[1], "SELECT, INSERT, UPDATE, DELETE")
    with pytest.raises(StoreAway, match="CREATE command denied"):
        async with SqlStore(url=url):
            pass


async def test_a_wrong_password_is_told_at_once_even_to_the_patient(mariadb: MariaDb) -> None:
    with pytest.raises(StoreAway, match="Access denied") as caught:
        async with SqlStore(url=f"mysql://root:s3cret@127.0.0.1:{mariadb.port}/mysql"):
            pass
    assert "s3cret" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_told_at_once(mariadb: MariaDb) -> None:
    with pytest.raises(StoreAway, match="nowhere"):
        async with SqlStore(url=mariadb.url("nowhere")):
            pass


async def test_a_command_does_not_wait_for_a_server_that_is_down() -> None:
    with pytest.raises(StoreAway, match=r"127\.0\.0\.1"):
        async with SqlStore(url=f"mysql://root:s3cret@127.0.0.1:{free_port()}/odl", patient=False):
            pass


async def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoreAway, match="no/such/folder"):
        async with SqlStore(url=f"sqlite:///{tmp_path}/no/such/folder/odl.db"):
            pass


async def test_a_file_that_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "odl.db"
    file.write_text("this is a shopping list, and no database at all; it goes on for a while" * 20)
    with pytest.raises(StoreAway, match="not a database"):
        async with SqlStore(url=f"sqlite:///{file}"):
            pass


@pytest.mark.parametrize("slashes", ["sqlite:/", "sqlite://", "sqlite:///"])
async def test_an_sqlite_url_may_have_any_number_of_slashes(tmp_path: Path, slashes: str) -> None:
    file = tmp_path / "a b%20ü.db"
    async with SqlStore(url=f"{slashes.rstrip('/')}//{file}") as store:
        await added(store, 1)
    assert file.exists()
    assert await sqlite_place(file).run("SELECT COUNT(*) FROM odl_task") == [(1,)]


async def test_a_password_may_hold_any_character(mariadb: MariaDb) -> None:
    place = mariadb_place(mariadb)
    name = place.url.rsplit("/", 1)[1]
    await mariadb.run(f"CREATE USER 'odd{name}'@'%' IDENTIFIED BY 'a:b@c/d?e#f%'")
    await mariadb.run(f"GRANT ALL ON {name}.* TO 'odd{name}'@'%'")
    url = f"mysql://odd{name}:a%3Ab%40c%2Fd%3Fe%23f%25@127.0.0.1:{mariadb.port}/{name}"
    async with SqlStore(url=url) as store:
        await added(store, 1)


async def poor_user(server: MariaDb, database: str, rights: str) -> str:
    """The URL of a user who may do only that."""
    user = f"poor_{database}"
    await server.run(f"CREATE USER '{user}'@'%'")
    await server.run(f"GRANT {rights} ON {database}.* TO '{user}'@'%'")
    return server.url(database, user)
