"""What links, the database's address and aria2's door keep secret is told in no log, no file and no process list."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import stat
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.chaos.victims import descendants, strike
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.mariadb import MariaDb
from tests.servers.origin import Origin, Page, content
from tests.servers.ports import free_port
from tests.servers.seafile import SeafServer
from tests.servers.seafile.file_server import UPLOAD
from tests.servers.seafile.web import PAGE
from tests.servers.wiretap import Wiretap

MIB = 1 << 20
DATA = content(4 * MIB)
CANARY = "canary7f3a"
"""Whatever is secret holds it."""

LOGIN = f"{CANARY}-user:{CANARY}-pass@127.0.0.1"
QUERY = f"?{CANARY}={CANARY}"

PAGES = {
    "/good": Page(b"here you are"),
    "/cut": Page(DATA[:1000], declared=2000, ranges=False),
    "/moved": Page(status=302, headers={"Location": f"/good{QUERY}"}),
    "/loop": Page(status=302, headers={"Location": f"/loop{QUERY}"}),
    "/elsewhere": Page(status=302, headers={"Location": f"ftp://{LOGIN}/x{QUERY}"}),
    "/nowhere": Page(status=302, headers={"Location": f"http://{CANARY}:{CANARY}@no-such-host.invalid/{QUERY}"}),
    "/cookie": Page(b"x", headers={"Set-Cookie": f"a={CANARY}"}),
    "/login": Page(status=401, headers={"WWW-Authenticate": f'Basic realm="{CANARY}"'}),
    "/busy": Page(status=503),
    "/nonsense": Page(raw=f"{CANARY}\r\n\r\n".encode()),
}
"""Servers that do well, and servers that do not, some of which tell secrets themselves."""


async def test_the_secrets_of_links_are_told_nowhere(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    """aria2 CVE-2019-3500: its log holds the logins of links."""
    daemon = await _talkative(start_daemon, sqlite.url)
    origin.pages |= PAGES
    gate = asyncio.Event()
    origin.pages["/half"] = Page(DATA, etag='"1"', gate=gate, gate_at=2 * MIB)
    links = [origin.url(f"{path}{QUERY}", host=LOGIN) for path in (*PAGES, "/gone")]
    links.append(f"http://{LOGIN}:{free_port()}/{QUERY}")
    links.append(f"http://{CANARY}:{CANARY}@10.0.0.1/{QUERY}")  # the guard has something to say
    (half,) = await daemon.add(origin.url(f"/half{QUERY}", host=LOGIN))
    ids = await daemon.add(*links)
    await daemon.finish(*ids)
    await until(lambda: origin.requests("/half", "HEAD"), what="the question for a validator")
    _assert_told_to_no_process(daemon)
    _assert_in_no_file(daemon)
    shown = [
        await daemon.odl(*words.split())
        for words in (
            f"list --limit {len(links) + 1}",
            f"show {half} {ids[0]}",
            f"why {half}",
            f"watch {ids[0]}",
            "config",
            "config --json",
            "check",
            "blocks --json",
        )
    ]
    assert CANARY not in repr(shown)
    assert "10.0.0.1" in shown[-1].out
    tasks = json.loads((await daemon.odl("list", "--json", "--limit", "100")).out)
    assert all(CANARY in task.pop("url") for task in tasks)  # its user gave it, and may read it
    assert CANARY not in repr(tasks)
    assert strike(daemon.pid, "aria2c")
    await until(lambda: "its last words" in _own_log(daemon), what="the end of aria2")
    await daemon.kill()
    await daemon.start()
    gate.set()
    assert (await daemon.finish(half))[0]["phase"] == "done"
    await daemon.stop()
    _assert_in_no_file(daemon)
    words = (daemon.folder / "aria2.log").read_text()
    assert "127.0.0.1" in words  # it had much to tell
    assert " DEBUG " in _own_log(daemon)


async def test_a_refused_link_is_quoted_without_its_secrets(start_daemon: StartDaemon, sqlite: Table) -> None:
    daemon = await _talkative(start_daemon, sqlite.url)
    bad = [
        f"ftp://{LOGIN}/{QUERY}",
        f"http://{LOGIN}:99999/{QUERY}",
        f"http://a:{CANARY}@b:{CANARY}@127.0.0.1/{QUERY}",
        f"http://{LOGIN}/a b{QUERY}",
        f"//{LOGIN}/{QUERY}",
        f"http://{LOGIN}\\{QUERY}",
    ]
    for link in bad:
        answer = await daemon.odl("add", link)
        assert (answer.code, answer.out) == (1, "")
        assert CANARY not in answer.err, answer.err
    ids = [await sqlite.insert(link) for link in bad]
    await until(lambda: sqlite.ended(ids), what="the end of every row")
    for task_id in ids:
        assert CANARY not in str(await sqlite.row(task_id))
    await daemon.stop()
    _assert_in_no_file(daemon)


async def test_the_secret_of_aria2s_door_is_told_nowhere(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    """NCDownloader told it by an argument, for everybody to read."""
    aria2c = _telling_aria2c(tmp_path)
    daemon = await _talkative(start_daemon, sqlite.url, download={"aria2c": str(aria2c)})
    copy = daemon.scratch / "conf"
    found = re.search(r"^rpc-secret=(\S{20,})$", await asyncio.to_thread(copy.read_text), re.MULTILINE)
    assert found
    copy.unlink()
    origin.pages["/good"] = PAGES["/good"]
    await daemon.finish(*await daemon.add(origin.url("/good"), origin.url("/gone")))
    _assert_told_to_no_process(daemon, found[1])
    _assert_in_no_file(daemon, found[1])
    assert found[1] not in (await daemon.odl("config")).out
    await daemon.restart()
    assert found[1] not in copy.read_text()  # it is another one each time
    copy.unlink()
    await daemon.stop()
    _assert_in_no_file(daemon, found[1])


async def test_the_password_of_the_database_is_told_nowhere(
    start_daemon: StartDaemon, origin: Origin, tmp_path: Path
) -> None:
    async with MariaDb() as server:
        server.create("odl")
        user = "'odl'@'127.0.0.1'"
        await server.run(f"CREATE USER {user} IDENTIFIED BY '{CANARY}/@'", f"GRANT ALL ON odl.* TO {user}")
        daemon = await _talkative(start_daemon, server.url("odl", "odl", f"{CANARY}%2F%40"))
        origin.pages["/good"] = PAGES["/good"]
        await daemon.finish(*await daemon.add(origin.url("/good")))
        _assert_told_to_no_process(daemon)
        config = await daemon.odl("config")
        assert f'url = "mysql://odl:***@127.0.0.1:{server.port}/odl"' in config.out
        assert CANARY not in repr([config, await daemon.odl("config", "--json"), await daemon.odl("check")])
        await server.kill()
        await until(lambda: "does not serve us" in _own_log(daemon), what="a word on the database")
        assert CANARY not in repr(await daemon.odl("check"))
        await daemon.kill()
        assert CANARY not in repr(await daemon.odl("list"))
        await server.start()
        await server.run(f"ALTER USER {user} IDENTIFIED BY 'another'")
        refused = [await daemon.odl("list"), await daemon.odl("check")]
        assert [answer.code for answer in refused] == [2, 2]
        assert CANARY not in repr(refused)
        with pytest.raises(AssertionError, match="the daemon ended with"):
            await daemon.start()
    _assert_in_no_file(daemon)


async def test_the_tokens_of_a_seafile_servers_users_are_told_nowhere(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    async with SeafServer(tmp_path / "seafile", version="13.0") as server, Wiretap(server.web_port) as tap:
        tokens = {user: await server.create_token(user) for user in (ALICE, EVE)}
        file = tmp_path / "tokens"
        file.touch(mode=0o600)
        file.write_text("".join(f'{user} = "{token}"\n' for user, token in tokens.items()))
        site = f"http://127.0.0.1:{tap.port}"
        library = {"kind": "seafile-http", "seahub_url": site, "tokens_file": str(file)}
        daemon = await _talkative(start_daemon, sqlite.url, library=library)
        await _upload(daemon, origin, server)
        secrets = {*tokens.values(), *_links_for_uploads(tap)}
        assert tokens[ALICE].encode() in tap.heard and tokens[EVE].encode() in tap.heard
        await _assert_told_nowhere(daemon, secrets)
        file.write_text(f'{ALICE} = "{tokens[ALICE]}" and more\n')  # a line that cannot be read
        said = [await daemon.odl("check"), await daemon.odl("config", "--json")]
        assert tokens[ALICE] not in repr(said)
        await daemon.stop()
        for secret in secrets:
            _assert_in_no_file(daemon, secret)


async def test_the_links_for_uploads_are_told_nowhere(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, tmp_path: Path
) -> None:
    """Whoever has one writes in its user's name for an hour."""
    async with SeafServer(tmp_path / "seafile") as server, Wiretap(server.upload_port) as tap:
        place = f"http://127.0.0.1:{tap.port}"
        library = {"kind": "seafile-http", "socket": str(server.socket), "file_server": place}
        daemon = await _talkative(start_daemon, sqlite.url, library=library)
        await _upload(daemon, origin, server)
        await _assert_told_nowhere(daemon, _links_for_uploads(tap))


ALICE, EVE = "alice@example.org", "eve@example.org"


async def _upload(daemon: Daemon, origin: Origin, server: SeafServer) -> None:
    """Uploads that do well, are refused in different ways, and break off."""
    repo = await server.create_repo(ALICE)
    origin.pages["/a"] = PAGES["/good"]
    arguments = ("--library", repo, "--owner")
    (task,) = await daemon.finish(*await daemon.add(origin.url("/a"), arguments=(*arguments, ALICE)))
    assert task["status_name"] == "OK", task
    for code, message in ((403, PAGE), (500, PAGE), (441, "no"), (443, "no")):
        await server.fail("refuse", UPLOAD, code=code, message=message)
    await server.fail("drop", UPLOAD)
    await daemon.add(*[origin.url("/a")] * 5, arguments=(*arguments, ALICE))
    await server.carried_out(UPLOAD, 6)
    await daemon.finish(*await daemon.add(origin.url("/a"), arguments=(*arguments, EVE)))
    await server.die()
    await daemon.add(origin.url("/a"), arguments=(*arguments, ALICE))
    await until(lambda: "nothing is claimed for" in _own_log(daemon), what="a word on the server that is gone")
    await server.start()


def _links_for_uploads(tap: Wiretap) -> set[str]:
    found = {match.decode() for match in re.findall(rb"/upload-api/([0-9a-f-]{36})", bytes(tap.heard))}
    assert found
    return found


async def _assert_told_nowhere(daemon: Daemon, secrets: set[str]) -> None:
    words = ("list", "list --json", "show 1 2 --json", "why 1", "config", "config --json", "blocks --json", "check")
    said = repr(await asyncio.gather(*(daemon.odl(*each.split()) for each in words)))
    for secret in secrets:
        assert secret not in said
        _assert_told_to_no_process(daemon, secret)
        _assert_in_no_file(daemon, secret)
        database = Path(daemon.database.removeprefix("sqlite://"))
        assert not any(secret.encode() in path.read_bytes() for path in database.parent.glob(f"{database.name}*"))


async def test_no_program_inherits_what_the_daemon_was_told(
    start_daemon: StartDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", CANARY)
    daemon = await start_daemon("a")
    assert CANARY.encode() in _start_of(daemon.pid)
    children = {pid: _start_of(pid) for pid in descendants(daemon.pid)}
    assert any(b"aria2c" in start for start in children.values()), children
    assert [start for start in children.values() if CANARY.encode() in start] == []


async def test_what_the_daemon_keeps_is_for_its_own_user(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await _talkative(start_daemon, sqlite.url)
    origin.pages["/a"] = Page(DATA, gate=asyncio.Event(), gate_at=2 * MIB)
    (task_id,) = await daemon.add(origin.url("/a"))
    await until(lambda: list((daemon.scratch / str(task_id)).glob("*")), what="the first bytes")
    database = Path(sqlite.url.removeprefix("sqlite://"))
    own = [database, daemon.state, daemon.scratch, *(daemon.folder / name for name in ("own.log", "aria2.log"))]
    own += [*daemon.state.rglob("*"), *daemon.scratch.rglob("*")]
    assert len(own) > 8
    modes = {path.name: stat.filemode(path.lstat().st_mode) for path in own}
    assert {name: mode for name, mode in modes.items() if not mode.endswith("------")} == {}


# --- where it could be told


async def _talkative(start_daemon: StartDaemon, database: str, **sections: dict[str, str]) -> Daemon:
    """A daemon that writes down all that it can, and takes no pains over tasks that fail."""
    daemon = await start_daemon(
        "a",
        database=database,
        download={"retries": 1, "retry_wait": 0.05, **sections.get("download", {})},
        intake={"poll": 0.2},
        library=sections.get("library", {}),
    )
    logs = {"level": "debug", "file": str(daemon.folder / "own.log"), "aria2_file": str(daemon.folder / "aria2.log")}
    daemon.configure(log=logs)
    await daemon.restart()
    return daemon


def _assert_in_no_file(daemon: Daemon, secret: str = CANARY) -> None:
    """Apart from the settings and the table."""
    files = [path for path in daemon.folder.rglob("*") if path.is_file() and path != daemon.config]
    assert {"daemon.log", "own.log", "aria2.log"} <= {path.name for path in files}
    assert "is working" in _own_log(daemon)
    assert [path.name for path in files if secret.encode() in path.read_bytes() or secret in path.name] == []


def _assert_told_to_no_process(daemon: Daemon, secret: str = CANARY) -> None:
    """Everybody on the host can read what a program was started with."""
    told = {pid: _start_of(pid) for pid in (daemon.pid, *descendants(daemon.pid))}
    assert any(b"aria2c" in start for start in told.values()), told
    assert [start for start in told.values() if secret.encode() in start] == []


def _own_log(daemon: Daemon) -> str:
    return (daemon.folder / "own.log").read_text()


def _start_of(pid: int) -> bytes:
    """The arguments and the environment."""
    process = Path("/proc") / str(pid)
    return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


def _telling_aria2c(folder: Path) -> Path:
    """An aria2c that leaves a copy of its conf in the scratch root."""
    real = shutil.which("aria2c")
    assert real is not None
    script = folder / "aria2c"
    script.write_text(f"""#!/bin/sh
for word; do case $word in --conf-path=*) cp "${{word#--conf-path=}}" '{folder / "a" / "scratch" / "conf"}';; esac; done
exec {real} "$@"
""")
    script.chmod(0o755)
    return script
