"""The whole daemon beside a Seafile server: rows of the web interface, what changes in the server while a file comes,
and a death at any call of a commit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from pymysql.err import DataError

from tests.acceptance.conftest import Table
from tests.acceptance.test_seafile import ALICE, BOB, DATA, added, beside, id_of
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.mariadb import MariaDb
from tests.servers.origin import Origin, Page, content
from tests.servers.seafile import SeafServer
from tests.servers.seafile.file_server import UPLOAD

CAROL = "carol@example.org"

FAST = {"poll": 0.2}

HTTP = pytest.param("seafile-http", marks=pytest.mark.chaos)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version="13.0") as server:
        yield server


# --- the table


@dataclass(frozen=True, slots=True)
class Seahub:
    """The fork of the web interface that made the table, and what it does there."""

    table: Table
    wide: bool
    """Whether a character may have four bytes."""
    strict: bool
    """Whether the server refuses what a column does not hold."""

    async def enqueue(self, url: str, library: str, path: str = "/") -> int:
        """A new row, under the server's own sql_mode; returns its id. Its time is a float, of which a lax server makes
        a zero date, and which a strict one refuses."""
        await self._run(
            "INSERT INTO OfflineDownloadRecord (repo_id, path, url, owner, timestamp, size, status, comment)"
            " VALUES (%s, %s, %s, %s, %s, 0, 1, '')",
            *(library, path, url, ALICE, "2025-01-02 03:04:05" if self.strict else time.time()),
        )
        return int((await self._run("SELECT MAX(odr_id) FROM OfflineDownloadRecord"))[0][0])

    async def times(self) -> set[str]:
        return {row[0] for row in await self._run("SELECT CAST(timestamp AS CHAR) FROM OfflineDownloadRecord")}

    async def urls(self) -> list[str]:
        return [row[0] for row in await self._run("SELECT url FROM OfflineDownloadRecord ORDER BY odr_id")]

    def spelled(self, text: str) -> str:
        """As its table spells it."""
        return text if self.wide else "".join(letter if letter <= "\uffff" else "?" for letter in text)

    async def _run(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        assert self.table.server is not None
        database = self.table.url.rpartition("/")[2]
        return await self.table.server.run(text, database=database, values=values, charset="utf8mb4")


TABLE: Final = """
    CREATE TABLE OfflineDownloadRecord (
        odr_id INTEGER NOT NULL AUTO_INCREMENT,
        repo_id VARCHAR(36) NOT NULL,
        path TEXT NOT NULL,
        url TEXT NOT NULL,
        owner VARCHAR(255) NOT NULL,
        timestamp DATETIME NOT NULL,
        size BIGINT NOT NULL,
        status SMALLINT NOT NULL,
        comment TEXT NOT NULL,
        PRIMARY KEY (odr_id)
    )"""
"""As the web interface makes it: no defaults, and the character set of the database."""

STRICT: Final = "STRICT_TRANS_TABLES"


@pytest.fixture
async def seahub(request: pytest.FixtureRequest, mariadb: MariaDb) -> AsyncIterator[Seahub]:
    """The parameter is a character set and the sql_mode of the server."""
    charset, sql_mode = request.param
    name = f"seahub_{datetime.now(UTC):%H%M%S%f}"
    mariadb.create(name, charset)
    ((before,),) = await mariadb.run("SELECT @@GLOBAL.sql_mode")
    await mariadb.run("SET GLOBAL sql_mode = %s", values=(sql_mode,))
    try:
        await mariadb.run(TABLE, database=name)
        yield Seahub(Table(mariadb.url(name), mariadb), charset == "utf8mb4", sql_mode == STRICT)
    finally:
        await mariadb.run("SET GLOBAL sql_mode = %s", values=(before,))


MODES: Final = (("utf8mb3", ""), ("utf8mb3", STRICT), ("utf8mb4", ""), ("utf8mb4", STRICT))


def on(*daily: tuple[str, str]) -> pytest.MarkDecorator:
    """Tables in all modes; those that are not named run with the long tests."""
    params = [
        pytest.param(
            mode, id=f"{mode[0]}-{'strict' if mode[1] else 'lax'}", marks=() if mode in daily else pytest.mark.chaos
        )
        for mode in MODES
    ]
    return pytest.mark.parametrize("seahub", params, indirect=True)


NAMES: Final = {
    "/a.bin": "a.bin",
    "/%F0%9F%98%80.txt": "😀.txt",
    "/%E6%96%87%E4%BB%B6.txt": "文件.txt",
    "/文档.txt": "文档.txt",
    "/Zürich.txt": "Zürich.txt",
}
"""For each path of a link the name that its file gets in the library."""

BY_HEADER: Final = "🎈 für.txt"


@on(("utf8mb3", ""))
async def test_a_row_of_the_web_interface_becomes_a_file_with_its_right_name(
    start_daemon: StartDaemon, origin: Origin, server: SeafServer, seahub: Seahub
) -> None:
    daemon = await start_daemon("a", database=seahub.table.url, library=beside(server), intake=FAST)
    repo = await server.create_repo(ALICE)
    pages = {path: content(1000 + number, seed=number) for number, path in enumerate([*NAMES, "/header"])}
    for path, data in pages.items():
        header = "attachment; filename*=UTF-8''%F0%9F%8E%88%20f%C3%BCr.txt"
        origin.pages[_sent(path)] = Page(data, headers={"Content-Disposition": header} if path == "/header" else {})
    rows = {path: await seahub.enqueue(origin.url(path), repo) for path in pages}
    await until(lambda: seahub.table.ended([*rows.values()]))
    names = {**NAMES, "/header": BY_HEADER}
    files = await server.files(repo)
    assert {path: found.id for path, found in files.items()} == {
        f"/{names[path]}": id_of(data) for path, data in pages.items()
    }
    for path, task_id in rows.items():
        assert await seahub.table.row(task_id) == {
            "status": 4,
            "comment": "",
            "path": seahub.spelled(f"/{names[path]}"),
            "size": len(pages[path]),
        }
    assert await seahub.times() == {"2025-01-02 03:04:05" if seahub.strict else "0000-00-00 00:00:00"}
    _assert_well(daemon)


@pytest.mark.parametrize("kind", ["seafile-rpc", HTTP])
async def test_a_name_with_its_accents_apart_arrives_with_them_composed(
    start_daemon: StartDaemon, origin: Origin, server: SeafServer, sqlite: Table, kind: str
) -> None:
    """As macOS spells names. The server composes what it is told, also the path where it is to find the bytes."""
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind), intake=FAST)
    repo = await server.create_repo(ALICE)
    origin.pages["/Cafe%CC%81.txt"] = Page(DATA)
    task_id = await sqlite.insert(origin.url("/Cafe\u0301.txt"), library=repo, owner=ALICE)
    (task,) = await until(lambda: _judged(daemon, task_id))
    assert (task["status_name"], task["path"]) == ("OK", "/Café.txt"), task
    assert {path: found.id for path, found in (await server.files(repo)).items()} == {"/Café.txt": id_of(DATA)}


@on()
async def test_a_folder_is_found_however_its_letters_are_composed(
    start_daemon: StartDaemon, origin: Origin, server: SeafServer, seahub: Seahub
) -> None:
    await start_daemon("a", database=seahub.table.url, library=beside(server), intake=FAST)
    repo = await server.create_repo(ALICE)
    await server.make_folder(repo, "/Café/文件")
    origin.pages["/a"] = Page(DATA)
    task_id = await seahub.enqueue(origin.url("/a"), repo, "/Cafe\u0301/文件/")
    await until(lambda: seahub.table.ended([task_id]))
    row = await seahub.table.row(task_id)
    assert (row["status"], row["path"]) == (4, "/Café/文件/a"), row
    assert list(await server.files(repo)) == ["/Café/文件/a"]


@on()
async def test_an_emoji_in_the_link_itself(
    start_daemon: StartDaemon, origin: Origin, server: SeafServer, seahub: Seahub
) -> None:
    """A narrow table loses it before anybody can read it (lax), or the web interface cannot write its row (strict);
    then it is a question mark, behind which a link has its query."""
    daemon = await start_daemon("a", database=seahub.table.url, library=beside(server), intake=FAST)
    repo = await server.create_repo(ALICE)
    origin.pages["/%F0%9F%98%80.txt"] = Page(DATA)
    url = origin.url("/😀.txt")
    if seahub.strict and not seahub.wide:
        with pytest.raises(DataError, match="Incorrect string value"):
            await seahub.enqueue(url, repo)
        return
    task_id = await seahub.enqueue(url, repo)
    await until(lambda: seahub.table.ended([task_id]))
    row = await seahub.table.row(task_id)
    if seahub.wide:
        assert (row["status"], row["path"], row["size"]) == (4, "/😀.txt", len(DATA)), row
        assert list(await server.files(repo)) == ["/😀.txt"]
    else:
        assert await seahub.urls() == [origin.url("/?.txt")]
        assert (row["status"], row["path"], bool(row["comment"])) == (5, "/", True), row
        assert await server.files(repo) == {}
    _assert_well(daemon)


@on()
async def test_an_emoji_in_a_link_of_ours_arrives_whatever_the_table_holds(
    start_daemon: StartDaemon, origin: Origin, server: SeafServer, seahub: Seahub
) -> None:
    daemon = await start_daemon("a", database=seahub.table.url, library=beside(server), intake=FAST)
    repo = await server.create_repo(ALICE)
    await server.make_folder(repo, "/🎈")
    origin.pages["/%F0%9F%98%80.txt"] = Page(DATA)
    task_id = await added(daemon, origin.url("/😀.txt"), repo, "--path", "/🎈")
    (task,) = await daemon.finish(task_id)
    assert (task["status_name"], task["size"]) == ("OK", len(DATA)), task
    assert (await seahub.table.row(task_id))["path"] == seahub.spelled("/🎈/😀.txt")
    assert list(await server.files(repo)) == ["/🎈/😀.txt"]
    _assert_well(daemon)


# --- what changes in the server while a file comes


@dataclass(frozen=True, slots=True)
class Case:
    """One library, and what happens to it between the intake of a task and its commit."""

    reason: str
    happens: Callable[[SeafServer, str], Awaitable[None]]
    user: str = ALICE
    gone: bool = False
    """The library is."""


CASES: Final = {
    "/share-changed": Case("not_allowed", lambda server, repo: server.share(repo, BOB, "r"), BOB),
    "/share-ended": Case("not_allowed", lambda server, repo: server.share(repo, BOB, None), BOB),
    "/read-only": Case("library_read_only", lambda server, repo: server.set_status(repo, 1)),
    "/no-folder": Case("folder_missing", lambda server, repo: server.delete(repo, "/in")),
    "/no-library": Case("library_missing", lambda server, repo: server.delete_repo(repo), gone=True),
    "/less-room": Case("over_quota", lambda server, _: server.set_quota(CAROL, len(DATA) - 1), CAROL),
}
"""By the path of the link. Carol's quota is nobody else's."""


@pytest.mark.parametrize(
    "size", [pytest.param(300_000, id="small"), pytest.param(3 << 20, id="large", marks=pytest.mark.chaos)]
)
@pytest.mark.parametrize("kind", ["seafile-rpc", HTTP])
async def test_what_is_taken_away_during_the_download_is_not_written_to(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, kind: str, size: int
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind))
    gate = asyncio.Event()
    repos, tasks = {}, {}
    for path, case in CASES.items():
        origin.pages[path] = Page(content(size), gate=gate, gate_at=100_000)
        repos[path] = await _library(server, case)
        tasks[path] = await added(daemon, origin.url(path), repos[path], "--path", "/in", owner=case.user)
    await until(lambda: origin.at_once == len(CASES))
    await until(lambda: _all_in(daemon, tasks.values(), "fetching"))
    for path, case in CASES.items():
        await case.happens(server, repos[path])
    gate.set()
    ended = await daemon.finish(*tasks.values())
    assert {task["url"]: (task["status_name"], task["reason"]) for task in ended} == {
        origin.url(path): ("ERROR", case.reason) for path, case in CASES.items()
    }
    for path, case in CASES.items():
        assert case.gone or await server.files(repos[path]) == {}
    assert WRITING.isdisjoint(await server.calls())
    assert _tasks_in(daemon) == []
    _assert_well(daemon)


async def _library(server: SeafServer, case: Case) -> str:
    """With a folder `/in`, for the user of the case."""
    repo = await server.create_repo(ALICE if case.user == BOB else case.user)
    await server.make_folder(repo, "/in")
    if case.user == BOB:
        await server.share(repo, BOB, "rw")
    return repo


# --- a death at any call of a commit


ADMISSION: Final = (
    "seafile_get_repo",
    "get_repo_status",
    "check_permission_by_path",
    "seafile_get_dir_id_by_path",
)

LISTING: Final = ("seafile_get_dir_id_by_path", "seafile_list_dir")

LOOK: Final = "seafile_get_dirent_by_path"

PLAN: Final = (*ADMISSION, *LISTING)

BEFORE_THE_BYTES: Final = (*PLAN, LOOK, *LISTING, *ADMISSION, "check_quota", "seafile_get_dir_id_by_path")

COMMITS: Final = {
    "seafile-rpc": (*BEFORE_THE_BYTES, "seafile_post_multi_files", LOOK),
    "seafile-http": (*BEFORE_THE_BYTES, "seafile_web_get_access_token", UPLOAD, LOOK),
}
"""The calls of a commit in their order, from the last byte of the download to the row that says OK."""

DAILY: Final = {("seafile-rpc", "seafile_post_multi_files"), ("seafile-rpc", LOOK)}
"""Where a death is tried each time: the bytes, and the look after them."""


def deaths() -> list[object]:
    """Kind of library, and number of a call."""
    return [
        pytest.param(
            kind,
            number,
            id=f"{kind}-{number}-{call}",
            marks=() if (kind, call) in DAILY and number >= len(BEFORE_THE_BYTES) else pytest.mark.chaos,
        )
        for kind, calls in COMMITS.items()
        for number, call in enumerate(calls)
    ]


class Steps:
    """Holds the calls that reach a server one after the other."""

    def __init__(self, server: SeafServer) -> None:
        self._server = server
        self._before: Counter[str] = Counter()

    async def hold_next(self) -> None:
        """The next call, when it comes."""
        self._before = Counter(await self._server.calls())
        await self._server.fail("hold")

    async def held(self) -> str:
        """The function that is called, once the call is held."""
        await self._server.holding()
        (function,) = Counter(await self._server.calls()) - self._before
        return function

    async def go(self) -> None:
        """Lets the call that is held go on; returns when it is carried out."""
        await self._server.release()
        await until(self._all_done)

    async def step(self) -> None:
        """Lets the call that is held go on, and holds the next one."""
        done = sum((await self._server.done()).values())
        await self.hold_next()
        await self._server.release()
        await until(lambda: self._more_done_than(done))

    async def _all_done(self) -> bool:
        return await self._server.done() == await self._server.calls()

    async def _more_done_than(self, count: int) -> bool:
        return sum((await self._server.done()).values()) > count


@pytest.mark.parametrize(("kind", "number"), deaths())
async def test_a_death_at_any_call_of_a_commit_leaves_one_file(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, kind: str, number: int
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind))
    repo = await server.create_repo(ALICE)
    steps, task_id = await _about_to_commit(daemon, origin, server, repo)
    for _ in range(number):
        await steps.held()
        await steps.step()
    assert await steps.held() == COMMITS[kind][number]
    await daemon.kill()
    await steps.go()
    await daemon.start()
    await until(lambda: sqlite.ended([task_id]), within=60)
    await _assert_there_once(daemon, sqlite, server, repo, task_id)
    if number >= len(PLAN):  # a small file is fetched again if nothing of it is in the table yet
        assert len(origin.requests("/a")) == 1


@pytest.mark.chaos
@pytest.mark.parametrize("kind", COMMITS)
async def test_no_call_of_a_commit_is_left_out(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, kind: str
) -> None:
    """Else COMMITS is to be mended."""
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, kind))
    repo = await server.create_repo(ALICE)
    steps, task_id = await _about_to_commit(daemon, origin, server, repo)
    calls = []
    for _ in COMMITS[kind]:
        calls.append(await steps.held())
        await steps.step()
    assert tuple(calls) == COMMITS[kind]
    await until(lambda: sqlite.ended([task_id]))
    await _assert_there_once(daemon, sqlite, server, repo, task_id)


async def _about_to_commit(daemon: Daemon, origin: Origin, server: SeafServer, repo: str) -> tuple[Steps, int]:
    """A task whose download ends now; the first call of its commit will be held."""
    gate = asyncio.Event()
    origin.pages["/a"] = Page(DATA, gate=gate, gate_at=100_000)
    task_id = await added(daemon, origin.url("/a"), repo)
    await until(lambda: _all_in(daemon, [task_id], "fetching"))
    await server.carried_out("check_quota")  # the last call before the bytes
    steps = Steps(server)
    await steps.hold_next()
    gate.set()
    return steps, task_id


async def _assert_there_once(daemon: Daemon, table: Table, server: SeafServer, repo: str, task_id: int) -> None:
    row = await table.row(task_id)
    assert row == {"status": 4, "comment": "", "path": "/a", "size": len(DATA)}
    assert {path: found.id for path, found in (await server.files(repo)).items()} == {"/a": id_of(DATA)}
    assert await server.unreachable(repo) == []
    assert _tasks_in(daemon) == []
    _assert_well(daemon)


# --- what the tests share


WRITING: Final = {"seafile_post_multi_files", "seafile_post_file", "seafile_mkdir_with_parents", UPLOAD}


def _sent(path: str) -> str:
    """A path as it goes over the wire."""
    return quote(path, safe="/%")


async def _judged(daemon: Daemon, task_id: int) -> list[dict[str, Any]]:
    """The task, once it has ended or its first attempt has failed."""
    return [task for task in await daemon.show(task_id) if task["attempt"] > 1 or task["phase"] in ("done", "failed")]


async def _all_in(daemon: Daemon, ids: Iterable[int], phase: str) -> bool:
    return all(task["phase"] == phase for task in await daemon.show(*ids))


def _assert_well(daemon: Daemon) -> None:
    assert "Traceback" not in daemon.log(), daemon.log()


def _tasks_in(daemon: Daemon) -> list[str]:
    """The tasks that have a folder."""
    return [path.name for path in daemon.scratch.iterdir() if path.name.isdecimal()]
