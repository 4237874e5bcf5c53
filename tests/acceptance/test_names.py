"""What strangers call their files and users their folders: every name is made safe, or ends in a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content, sha256

DATA = content(1000)

BY_PATH = {
    "/" + "a" * 296 + ".bin": "a" * 176 + ".bin",
    "/.bashrc": ".bashrc",
    "/%F0%9F%98%80.txt": "😀.txt",
    "/..%2F..%2Fx": "..%2F..%2Fx",
    "/": "index.html",
    "/a%20b%3Fc.txt": "a b_c.txt",
    "/%E4.txt": "%E4.txt",
    "/x.aria2": "x.aria2",
    "/-rf": "-rf",
}
"""For each path of a link the name that its file gets."""

BY_HEADER = {
    'filename="../../x"': "0",
    'filename="/etc/passwd"': "1",
    'filename=".bashrc"': ".bashrc",
    "filename*=UTF-8''%F0%9F%98%80.txt": "😀.txt",
    'filename="CON: a?.txt"': "CON_ a_.txt",
}
"""For each Content-Disposition the name that its file gets: one that names a folder is not believed at all, the link's
name is taken."""


async def test_a_hostile_name_is_made_safe(start_daemon: StartDaemon, origin: Origin, table: Table) -> None:
    daemon = await start_daemon("a", database=table.url)
    for path in BY_PATH:
        origin.pages[path] = Page(DATA)
    tasks = await daemon.finish(*await daemon.add(*map(origin.url, BY_PATH)))
    _assert_safe(daemon, tasks)
    assert {path: task["path"].removeprefix("/") for path, task in zip(BY_PATH, tasks, strict=True)} == BY_PATH


async def test_a_hostile_name_in_a_header_is_made_safe(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library={"create": True})
    found = {}
    for number, header in enumerate(BY_HEADER):
        origin.pages[f"/{number}"] = Page(DATA, headers={"Content-Disposition": f"attachment; {header}"})
        (task,) = await daemon.finish(
            *await daemon.add(origin.url(f"/{number}"), arguments=("--library", f"lib{number}"))
        )
        assert task["status_name"] == "OK", task
        found[header] = task["path"].removeprefix("/")
        files = [path for path in (daemon.library / f"lib{number}").rglob("*") if path.is_file()]
        assert files == [daemon.file(task["path"], library=f"lib{number}")]
    assert found == BY_HEADER


def _assert_safe(daemon: Daemon, tasks: list[dict[str, Any]], *others: dict[str, Any]) -> None:
    """All have arrived, where their paths say, and nothing lies elsewhere."""
    assert {(task["status_name"], task["sha256"]) for task in tasks} == {("OK", sha256(DATA))}, tasks
    files = {path for path in daemon.library.rglob("*") if path.is_file()}
    assert files == {daemon.file(task["path"]) for task in (*tasks, *others)}


async def test_no_name_leads_into_the_folder_of_another_task(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    """OpenList CVE-2026-25059: a name with ".." in it led to another user's files. aria2 sees all tasks' folders."""
    daemon = await start_daemon("a", database=sqlite.url)
    gate, data = asyncio.Event(), content(4 << 20)
    origin.pages["/victim"] = Page(data, etag='"1"', gate=gate, gate_at=2 << 20)
    (victim,) = await daemon.add(origin.url("/victim"), arguments=("--owner", "ann"))
    begun = daemon.scratch / str(victim) / "victim"
    await until(begun.exists, what="the first bytes")
    names = (f"../{victim}/victim", str(begun), f"../{victim}/victim.aria2", "..", ".")
    ids = await daemon.add(*_links_that_aim_at(names, origin), arguments=("--owner", "mallory"))
    for name in names:
        ids += await daemon.add(origin.url("/"), arguments=("--owner", "mallory", "--name", name))
    tasks = await daemon.finish(*ids)
    assert {path.name for path in begun.parent.iterdir()} == {"victim", "victim.aria2"}
    gate.set()
    (task,) = await daemon.finish(victim)
    assert (task["status_name"], task["sha256"]) == ("OK", sha256(data))
    _assert_safe(daemon, tasks, task)


def _links_that_aim_at(names: Sequence[str], origin: Origin) -> list[str]:
    """A server that gives its files these names: in the path, in both forms of a header, behind a redirect."""
    pages = {"/": Page(DATA)}
    for number, name in enumerate(names):
        escaped = quote(name, safe="")
        paths = (f"/{escaped}", f"/x/{name}", f"//{name}", f"/x/{name.replace('.', '%2e')}")
        pages |= {path: Page(DATA) for path in paths}
        pages[f"/h{number}"] = Page(DATA, headers={"Content-Disposition": f'attachment; filename="{name}"'})
        pages[f"/s{number}"] = Page(DATA, headers={"Content-Disposition": f"attachment; filename*=UTF-8''{escaped}"})
        pages[f"/r{number}"] = Page(status=302, headers={"Location": paths[0]})
    origin.pages |= pages
    return [origin.url(path) for path in pages]


ELSEWHERE = ("..", ".", "../state", "/etc", "default/../../state", "a/b", ".hidden", "a\0b", "a\nb")
"""Libraries."""

OUTSIDE = ("/..", "/../state", "../../state", "/a/../../..", "/a/..", "a\\..\\..", "/a\0/..", "/a\n/b", "/" + "x" * 256)
"""Folders."""


async def test_no_library_and_no_folder_lies_elsewhere(start_daemon: StartDaemon, origin: Origin, table: Table) -> None:
    """pyLoad CVE-2026-35464: whoever chose the folder for downloads chose one of the program's own."""
    daemon = await start_daemon("a", database=table.url, library={"create": True}, intake={"poll": 0.2})
    before = set(daemon.folder.iterdir())
    url = origin.url("/a")
    ids = [await table.insert(url, library=library) for library in ELSEWHERE]
    ids += [await table.insert(url, path=path) for path in OUTSIDE]
    await until(lambda: table.ended(ids), what="the end of every row")
    tasks = await daemon.show(*ids)
    assert {(task["status_name"], task["reason"]) for task in tasks} == {("ERROR", "bad_target")}, tasks
    assert list(daemon.library.rglob("*")) == [daemon.library / "default"]
    assert set(daemon.folder.iterdir()) == before
    assert not origin.asked


async def test_a_name_that_was_asked_for_is_made_safe(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = Page(DATA)
    for name, safe in {"../../x": ".._.._x", "..": "download", "n" * 300 + ".gz": "n" * 197 + ".gz"}.items():
        (task,) = await daemon.finish(*await daemon.add(origin.url("/a"), arguments=("--name", name)))
        assert (task["status_name"], task["path"]) == ("OK", f"/{safe}")


async def test_a_bad_folder_is_refused_before_there_is_a_row(start_daemon: StartDaemon, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    for path, sentence in {
        "/../x": "the folder '/../x' leads out of the library: it must not contain '..'",
        "/a\\b": "the folder '/a\\\\b' has characters that no folder can have",
        "/" + "a" * 256: "a part of the folder is longer than 255 bytes",
    }.items():
        answer = await daemon.odl("add", "--path", path, "http://127.0.0.1/a")
        assert (answer.code, answer.out, answer.err.strip()) == (1, "", sentence)
    assert await sqlite.run("SELECT * FROM OfflineDownloadRecord") == []


async def test_a_folder_that_is_a_file_ends_the_task(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url)
    origin.pages["/a"] = Page(DATA)
    daemon.file("file").write_bytes(b"in the way")
    (task,) = await daemon.finish(*await daemon.add(origin.url("/a"), arguments=("--path", "/file/below")))
    assert (task["status_name"], task["reason"]) == ("ERROR", "bad_target")
    assert task["comment"] == "'/file/below' is not a folder of the library"
