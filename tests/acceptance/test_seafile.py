"""The whole daemon beside a Seafile server: a link becomes the user's file in his library, or a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from odl_daemon.library.file_id import Digest
from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content
from tests.servers.seafile import SeafServer
from tests.servers.seafile.file_server import UPLOAD

ALICE, BOB = "alice@example.org", "bob@example.org"
DATA = content(300_000)


def id_of(data: bytes) -> str:
    digest = Digest()
    digest.update(data)
    return digest.file_id()


@pytest.fixture(params=["13.0", pytest.param("8.0", marks=pytest.mark.chaos)])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version=request.param) as server:
        yield server


@pytest.fixture(params=["seafile-rpc", "seafile-http"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def beside(server: SeafServer, kind: str = "seafile-rpc") -> dict[str, str]:
    """The section [library] of a daemon beside this server."""
    return {"kind": kind, "socket": str(server.socket), "file_server": server.file_server}


async def added(daemon: Daemon, url: str, library: str, *more: str, owner: str = ALICE) -> int:
    (task_id,) = await daemon.add(url, arguments=("--library", library, "--owner", owner, *more))
    return task_id


async def test_a_link_becomes_the_users_file(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, kind: str
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind))
    repo = await server.create_repo(ALICE)
    await server.put(repo, "/a.tar.gz", b"her own")
    origin.pages["/a.tar.gz"] = Page(DATA)
    (task,) = await daemon.finish(await added(daemon, origin.url("/a.tar.gz"), repo))
    assert (task["status_name"], task["path"], task["size"]) == ("OK", "/a.tar (1).gz", len(DATA)), task
    files = await server.files(repo)
    assert {path: found.id for path, found in files.items()} == {
        "/a.tar.gz": id_of(b"her own"),
        "/a.tar (1).gz": id_of(DATA),
    }
    assert files["/a.tar (1).gz"].modifier == ALICE
    assert _tasks_in(daemon) == []


async def test_a_hopeless_task_ends_before_it_downloads(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server))
    repo, secret = await server.create_repo(ALICE), await server.create_repo(ALICE, encrypted=True)
    closed = await server.create_repo(ALICE)
    await server.set_status(closed, 1)
    await server.share(repo, BOB, "r")
    origin.pages["/a"] = Page(DATA)
    url = origin.url("/a")
    expected = {
        await added(daemon, url, repo, owner=BOB): "not_allowed",
        await added(daemon, url, repo, owner="stranger@example.org"): "not_allowed",
        await added(daemon, url, secret): "library_encrypted",
        await added(daemon, url, closed): "library_read_only",
        await added(daemon, url, "00000000-0000-4000-8000-000000000000"): "library_missing",
        await added(daemon, url, "nonsense"): "library_missing",
        await added(daemon, url, repo, "--path", "/nowhere"): "folder_missing",
    }
    tasks = await daemon.finish(*expected)
    assert {task["id"]: task["reason"] for task in tasks} == expected
    assert origin.requests("/a") == []
    assert await server.files(repo) == {}


async def test_a_folder_is_made_where_that_was_asked_for(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server))
    repo = await server.create_repo(ALICE)
    origin.pages["/a"] = Page(DATA)
    (task,) = await daemon.finish(await added(daemon, origin.url("/a"), repo, "--path", "/in/here", "--mkdir"))
    assert task["path"] == "/in/here/a", task
    assert list(await server.files(repo)) == ["/in/here/a"]


async def test_two_tasks_do_not_count_on_the_same_room(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, kind: str
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind))
    repo = await server.create_repo(ALICE)
    await server.let_usage_lag()
    await server.set_quota(ALICE, 500_000)
    for path in ("/1", "/2"):
        origin.pages[path] = Page(DATA)
    ids = [await added(daemon, origin.url(path), repo) for path in ("/1", "/2")]
    tasks = await daemon.finish(*ids)
    assert sorted(task["status_name"] for task in tasks) == ["ERROR", "OK"], tasks
    assert {task["reason"] for task in tasks} == {None, "over_quota"}
    assert len(await server.files(repo)) == 1


async def test_a_server_that_restarts_costs_time_and_nothing_else(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server))
    repo = await server.create_repo(ALICE)
    gate = asyncio.Event()
    origin.pages["/a"] = Page(DATA, gate=gate, gate_at=100_000)
    task_id = await added(daemon, origin.url("/a"), repo)
    await origin.heard("/a")
    await server.die()
    gate.set()
    await until(lambda: _waits(daemon, task_id))
    await server.start()
    await until(lambda: sqlite.ended([task_id]), within=60)
    (task,) = await daemon.show(task_id)
    assert (task["status_name"], task["attempt"]) == ("OK", 1), task
    assert list(await server.files(repo)) == ["/a"]
    assert len(origin.requests("/a")) == 1


async def test_kill_9_in_the_middle_of_a_commit_leaves_one_file(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server))
    repo = await server.create_repo(ALICE)
    origin.pages["/a"] = Page(DATA)
    await server.fail("drop", "seafile_post_multi_files")
    task_id = await added(daemon, origin.url("/a"), repo)
    await server.carried_out("seafile_post_multi_files")
    await daemon.kill()
    await daemon.start()
    await until(lambda: sqlite.ended([task_id]), within=60)
    (task,) = await daemon.show(task_id)
    assert task["status_name"] == "OK", task
    assert list(await server.files(repo)) == [task["path"]] == ["/a"]


async def test_what_the_server_still_writes_after_a_kill_9_is_not_written_twice(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, kind: str
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind))
    repo = await server.create_repo(ALICE)
    origin.pages["/a"] = Page(DATA)
    call = "seafile_post_multi_files" if kind == "seafile-rpc" else UPLOAD
    await server.fail("hold", call)
    task_id = await added(daemon, origin.url("/a"), repo)
    await server.holding()
    await daemon.kill()
    looks = (await server.calls())["seafile_get_dirent_by_path"]
    await daemon.start()
    await server.called("seafile_get_dirent_by_path", looks + 3)  # it looks again and again, and posts nothing
    await server.release()
    (task,) = await daemon.finish(task_id)
    assert (task["status_name"], task["path"]) == ("OK", "/a"), task
    assert list(await server.files(repo)) == ["/a"]
    assert (await server.calls())[call] == 1


@pytest.mark.parametrize("table", ["mariadb"], indirect=True)
async def test_many_files_into_one_library_arrive_once_each(
    start_daemon: StartDaemon, origin: Origin, table: Table, server: SeafServer, kind: str, tmp_path: Path
) -> None:
    daemons = [
        await start_daemon(name, database=table.url, library=beside(server, kind), intake={"poll": 0.2})
        for name in ("a", "b")
    ]
    repo = await server.create_repo(ALICE)
    for number in range(30):
        origin.pages[f"/{number}/same.txt"] = Page(content(1000, seed=number))
    urls = [origin.url(f"/{number}/same.txt") for number in range(30)]
    ids = await daemons[0].add(*urls, arguments=("--library", repo, "--owner", ALICE))
    await until(lambda: table.ended(ids), within=90)
    tasks = await daemons[1].show(*ids)
    assert {task["status_name"] for task in tasks} == {"OK"}, tasks
    files = await server.files(repo)
    wanted = {task["path"]: id_of(content(1000, seed=number)) for number, task in enumerate(tasks)}
    assert {path: found.id for path, found in files.items()} == wanted
    assert await server.unreachable(repo) == []


async def test_check_has_a_line_for_each_part(start_daemon: StartDaemon, sqlite: Table, server: SeafServer) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server))
    found = await _checked(daemon, code=0)
    assert found["socket"] == ("ok", f"{server.socket}, of this user")
    assert found["library"] == ("ok", f"the Seafile server at {server.socket} answers")
    assert found["hand-over"][0] == "ok" and f"sees {daemon.scratch}" in found["hand-over"][1]
    await server.die()
    found = await _checked(daemon, code=2)
    assert found["library"][0] == "FAIL" and "no Seafile server at" in found["library"][1], found


async def test_check_tells_of_a_folder_that_the_server_does_not_see(
    start_daemon: StartDaemon, sqlite: Table, server: SeafServer
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server))
    for path_map in (f"{daemon.scratch}=/not/there", f"{daemon.scratch}=/", "/elsewhere=/x"):
        daemon.configure(library={"path_map": path_map})
        found = await _checked(daemon, code=2)
        assert found["hand-over"][0] == "FAIL" and "path_map" in found["hand-over"][1], found


async def test_check_asks_the_file_server(start_daemon: StartDaemon, sqlite: Table, server: SeafServer) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, "seafile-http"))
    assert (await _checked(daemon, code=0))["file server"] == ("ok", f"{server.file_server} answers")
    daemon.configure(library={"file_server": "http://127.0.0.1:1"})
    assert (await _checked(daemon, code=2))["file server"][0] == "FAIL"


async def _checked(daemon: Daemon, code: int) -> dict[str, tuple[str, str]]:
    """Mark and sentence of each line of `odl check`."""
    answer = await daemon.odl("check")
    assert answer.code == code, answer
    lines = [(line[:5].strip(), line[6:17].strip(), line[18:]) for line in answer.out.splitlines()]
    return {name: (mark, sentence) for mark, name, sentence in lines}


async def _waits(daemon: Daemon, task_id: int) -> bool:
    (task,) = await daemon.show(task_id)
    return bool(task["reason"] == "library_away")


def _tasks_in(daemon: Daemon) -> list[str]:
    """The tasks that have a folder."""
    return [path.name for path in daemon.scratch.iterdir() if path.name.isdecimal()]
