"""Files of a real web server reach the library whole, whatever their size and number."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.conftest import StartDaemon
from tests.servers.files import make_file, sha256_of
from tests.servers.nginx import Nginx

SIZES = {"empty.bin": 0, "byte.bin": 1, "small.bin": 10 << 10, "medium.bin": 1 << 20, "large.bin": 100_000_000}


async def test_files_of_every_size_arrive_whole(start_daemon: StartDaemon, nginx: Nginx, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url)
    sums = {name: await asyncio.to_thread(make_file, nginx.root / name, size) for name, size in SIZES.items()}
    ids = await daemon.add(*map(nginx.url, SIZES))
    for task, (name, size) in zip(await daemon.finish(*ids), SIZES.items(), strict=True):
        assert task["status_name"] == "OK", task
        assert (task["path"], task["size"], task["sha256"]) == (f"/{name}", size, sums[name])
        assert (task["done"], task["total"], task["comment"], task["reason"]) == (size, size, "", None)
        assert await asyncio.to_thread(sha256_of, daemon.file(name)) == sums[name]
        assert await table.row(task["id"]) == {"status": 4, "comment": "", "path": f"/{name}", "size": size}
    assert not list(daemon.scratch.glob("[0-9]*"))


async def test_hundreds_of_files_at_once_arrive_whole(start_daemon: StartDaemon, nginx: Nginx, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url)
    sums = {f"{number}.bin": make_file(nginx.root / f"{number}.bin", 10 << 10, number) for number in range(300)}
    added = await daemon.odl("add", "--json", "-", stdin="\n".join(map(nginx.url, sums)))
    assert added.code == 0, added
    watched = await daemon.odl("watch", *(str(task_id) for task_id in range(1, 301)))
    assert watched.code == 0, watched
    found = {path.name: sha256_of(path) for path in daemon.file("/").iterdir()}
    assert found == sums
    rows = await table.run("SELECT status, path, size FROM OfflineDownloadRecord ORDER BY odr_id")
    assert rows == [(4, f"/{name}", 10 << 10) for name in sums]
    assert not list(daemon.scratch.glob("[0-9]*"))


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_a_file_of_a_gibibyte_arrives_whole(start_daemon: StartDaemon, nginx: Nginx, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url)
    expected = await asyncio.to_thread(make_file, nginx.root / "giant.bin", 1 << 30)
    (task,) = await daemon.finish(*await daemon.add(nginx.url("giant.bin")))
    assert (task["status_name"], task["size"], task["sha256"]) == ("OK", 1 << 30, expected)
    assert await asyncio.to_thread(sha256_of, daemon.file("giant.bin")) == expected


async def test_the_same_name_again_gets_a_number(start_daemon: StartDaemon, nginx: Nginx, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    sums = [make_file(nginx.root / str(number) / "a.tar.gz", 1000, number) for number in range(4)]
    ids = await daemon.add(*(nginx.url(f"{number}/a.tar.gz") for number in range(4)))
    tasks = await daemon.finish(*ids)
    assert {task["path"] for task in tasks} == {
        "/a.tar.gz",
        "/a.tar (1).gz",
        "/a.tar (2).gz",
        "/a.tar (3).gz",
    }
    assert [sha256_of(daemon.file(task["path"])) for task in tasks] == sums


async def test_a_task_goes_where_it_was_sent(start_daemon: StartDaemon, nginx: Nginx, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    expected = make_file(nginx.root / "a.bin", 1000)
    arguments = ("--path", "/sub/folder", "--name", "Brief (ä).txt", "--owner", "bob@example.com")
    (task,) = await daemon.finish(*await daemon.add(nginx.url("a.bin"), arguments=arguments))
    assert (task["path"], task["owner"]) == ("/sub/folder/Brief (ä).txt", "bob@example.com")
    assert sha256_of(daemon.file("/sub/folder/Brief (ä).txt")) == expected


async def test_a_library_is_made_only_where_that_is_allowed(start_daemon: StartDaemon, nginx: Nginx) -> None:
    make_file(nginx.root / "a.bin", 1000)
    strict = await start_daemon("strict")
    (task,) = await strict.finish(*await strict.add(nginx.url("a.bin"), arguments=("--library", "other")))
    assert (task["status_name"], task["reason"]) == ("ERROR", "library_missing")
    assert task["comment"] == "there is no library 'other'"
    assert not Path(strict.library / "other").exists()
    assert await nginx.asked() == []

    made = await start_daemon("made", library={"create": True})
    (task,) = await made.finish(*await made.add(nginx.url("a.bin"), arguments=("--library", "other")))
    assert (task["status_name"], task["library"], task["path"]) == ("OK", "other", "/a.bin")
    assert made.file("a.bin", library="other").stat().st_size == 1000
