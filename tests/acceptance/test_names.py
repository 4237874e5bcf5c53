"""What strangers call their files and users their folders: every name is made safe, or ends in a sentence."""

from __future__ import annotations

from typing import Any

from tests.acceptance.conftest import Table
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


def _assert_safe(daemon: Daemon, tasks: list[dict[str, Any]]) -> None:
    """All have arrived, where their paths say, and nothing lies elsewhere."""
    assert {(task["status_name"], task["sha256"]) for task in tasks} == {("OK", sha256(DATA))}, tasks
    files = {path for path in daemon.library.rglob("*") if path.is_file()}
    assert files == {daemon.file(task["path"]) for task in tasks}


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
