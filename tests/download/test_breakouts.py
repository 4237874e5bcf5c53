"""Somebody who has taken over aria2, or its RPC, or its folders, comes no further than the sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.attacks import own_addresses
from tests.acceptance.until import until
from tests.download.bench import Bench, kill_aria2c, pids_of_aria2c
from tests.servers.forbidden import Forbidden
from tests.servers.origin import Origin, Page, content

from odl_daemon.download.conf import ARGUMENTS, Conf
from odl_daemon.download.rpc import Aria2Rpc
from odl_daemon.download.sandbox import Isolation, Sandbox
from odl_daemon.model.task import Fetched

SECRET = "open sesame"


@pytest.fixture
async def forbidden() -> AsyncIterator[Forbidden]:
    async with Forbidden() as found:
        yield found


@asynccontextmanager
async def opened(root: Path, aria2c: str = "aria2c", heard: Callable[[str], None] = print) -> AsyncIterator[Sandbox]:
    async with Sandbox.opened(
        scratch=root,
        aria2c=aria2c,
        isolation=Isolation.NAMESPACE,
        arguments=ARGUMENTS,
        conf=Conf(secret=SECRET, slots=100, silence=30).text(),
        memory=1 << 30,
        lock=root.parent / "lock",
        heard=heard,
    ) as sandbox:
        yield sandbox


@asynccontextmanager
async def talking(sandbox: Sandbox) -> AsyncIterator[Aria2Rpc]:
    (way,) = await sandbox.sockets(1)
    async with (
        Aria2Rpc.connected(
            sandbox.rpc_port, token=SECRET, limit=10, on_event=lambda *_: None, socket_factory=lambda: way
        ) as rpc,
        asyncio.TaskGroup() as group,
    ):
        listening = group.create_task(rpc.listen(), name="what aria2 says")
        yield rpc
        listening.cancel()


# --- its proxy

SWITCHES: Mapping[str, Mapping[str, str]] = {
    "no proxy": {"all-proxy": ""},
    "an exception for all": {"no-proxy": "*"},
    "an exception for us": {"no-proxy": "127.0.0.1,::1,localhost"},
    "neither": {"all-proxy": "", "no-proxy": "*"},
    "another proxy": {"all-proxy": "http://127.0.0.1:{port}"},
    "another proxy of its scheme": {"http-proxy": "http://127.0.0.1:{port}", "https-proxy": "http://[::1]:{port}"},
    "another way to use it": {"proxy-method": "get", "all-proxy": "", "http-proxy": "http://127.0.0.1:{port}"},
}


@pytest.mark.parametrize("for_all", [False, True], ids=["for a download", "for all"])
async def test_with_its_proxy_switched_off_aria2_reaches_nobody(
    root: Path, forbidden: Forbidden, for_all: bool
) -> None:
    """Synapse#9812: where something else than the proxy was asked, or not asked, a list of forbidden addresses was
    passed over. Here there is no other network."""
    hosts = ["127.0.0.1", "[::1]", "0.0.0.0", "localhost", *own_addresses()]
    links = [f"{scheme}://{host}:{forbidden.port}/x" for scheme in ("http", "https", "ftp") for host in hosts]
    async with opened(root) as sandbox, talking(sandbox) as rpc:
        for switch in SWITCHES.values():
            options = {name: value.format(port=forbidden.port) for name, value in switch.items()}
            if for_all:
                await rpc.call("changeGlobalOption", options)
            for link in links:
                await rpc.call("addUri", [link], {"dir": str(root), **({} if for_all else options)})
        count = len(SWITCHES) * len(links)
        async with asyncio.timeout(30):
            while int((await rpc.call("getGlobalStat"))["numStopped"]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        stopped = await rpc.call("tellStopped", 0, count, ["status"])
    assert [each["status"] for each in stopped] == ["error"] * count
    assert forbidden.heard == 0


async def test_an_aria2_whose_options_were_changed_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, origin: Origin
) -> None:
    """At the next connection at the latest."""
    links = []
    batch = Aria2Rpc.batch

    async def watched(self: Aria2Rpc, calls: Any) -> Any:
        links.append(self)
        return await batch(self, calls)

    monkeypatch.setattr(Aria2Rpc, "batch", watched)
    origin.pages["/x"] = Page(content(1000))
    before = pids_of_aria2c()
    kill_aria2c()
    await until(lambda: pids_of_aria2c() not in ([], before))  # the daemon does not begin with an aria2 like that
    await bench.server.ready()
    await bench.fetch(bench.task(origin.url("/x")))
    await links[-1].call("changeGlobalOption", {"no-proxy": "*"})
    await links[-1].client_session.close()
    task = bench.task(origin.url("/x"))
    assert bench.content(task, await bench.fetch(task)) == content(1000)
    assert "aria2 does not keep to its settings: no-proxy" in caplog.text
    assert (await links[-1].call("getGlobalOption")).get("no-proxy", "") == ""


# --- a program of a stranger's in its place

INTRUDER = """
import json, os, socket
words = json.load(open(os.environ["WORDS"]))

def reached(what, way, *arguments):
    try:
        way(*arguments)
    except Exception as error:
        print("kept off", what, type(error).__name__, flush=True)
    else:
        print("REACHED", what, flush=True)

def stream(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(3)
        link.connect(address)

for host in words["hosts"]:
    reached(host, stream, socket.AF_INET6 if ":" in host else socket.AF_INET, (host, words["port"]))
for path in words["sockets"]:
    reached(path, stream, socket.AF_UNIX, path.replace("@", chr(0), 1))
for path in words["files"]:
    reached(path, open, path, "rb")
for path in words["places"]:
    reached(path + "/new", open, path + "/new", "wb")
for pid in words["processes"]:
    reached(str(pid), os.kill, pid, 0)
reached("a raw socket", socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
reached("an outer network", stream, socket.AF_INET, ("1.1.1.1", 443))
reached("a device", os.mknod, "/tmp/device", 0o20666, 0x103)
reached("the root", os.chroot, "/tmp")
open_ones = []
for number in range(3, 4096):
    try:
        open_ones.append(os.fstat(number).st_ino)
    except OSError:
        pass
print("descriptors", json.dumps(open_ones), flush=True)
"""


async def test_a_program_in_the_place_of_aria2_comes_no_further(
    tmp_path: Path, root: Path, forbidden: Forbidden
) -> None:
    said: list[str] = []
    door = tmp_path / "canary.sock"
    hidden = f"odl-canary-{os.getpid()}-{forbidden.port}"
    with socket.socket(socket.AF_UNIX) as canary, socket.socket(socket.AF_UNIX) as abstract:
        canary.bind(str(door))
        abstract.bind("\0" + hidden)
        for each in (canary, abstract):
            each.listen()
            each.setblocking(False)
        words = {
            "hosts": ["127.0.0.1", "::1", *own_addresses()],
            "port": forbidden.port,
            "sockets": [str(door), "@" + hidden],
            "files": [
                str(Path(__file__)),
                "/etc/passwd",
                "/proc/self/environ",
                "/proc/1/environ",
                str(tmp_path / "lock"),
            ],
            "places": ["/", "/usr", "/etc", "/etc/ssl"],
            "processes": [os.getpid(), os.getppid()],
        }
        (root / "words").write_text(json.dumps(words))
        (root / "intruder.py").write_text(INTRUDER)
        body = f"WORDS={root}/words /usr/bin/env python3 {root}/intruder.py"
        async with opened(root, executable(tmp_path / "aria2c", body), said.append):
            pass
        for each in (canary, abstract):
            with pytest.raises(BlockingIOError):
                each.accept()
    tried = [line for line in said if line.startswith("kept off")]
    assert [line for line in said if line.startswith("REACHED")] == []
    assert len(tried) == sum(len(each) for each in words.values() if isinstance(each, list)) + 4, said
    assert forbidden.heard == 0
    (descriptors,) = [line.removeprefix("descriptors ") for line in said if line.startswith("descriptors ")]
    assert json.loads(descriptors) == [(tmp_path / "lock").stat().st_ino]  # by which the daemon sees that it is dead


def executable(path: Path, body: str) -> str:
    """An aria2c that does something else first."""
    path.write_text(f'#!/bin/sh\n{body}\nexec /usr/bin/env aria2c "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# --- its folders


@pytest.mark.parametrize("full", [True, False], ids=["a folder with a file", "an empty folder"])
async def test_a_folder_that_is_a_link_is_nobodys_but_the_tasks_own(bench: Bench, origin: Origin, full: bool) -> None:
    """Cloudreve GHSA-w8j7-39hp-8x59: where the downloader says that its files lie was believed."""
    origin.pages["/x"] = Page(content(1000))
    other = bench.root / "77"
    other.mkdir()
    if full:
        (other / "x").write_bytes(b"of another task")
    task = bench.task(origin.url("/x"))
    (bench.root / str(task.id)).symlink_to(other)
    fetched = await bench.fetch(task)
    assert bench.content(task, fetched) == content(1000)
    assert [path.name for path in other.iterdir()] == (["x"] if full else [])
    assert not full or (other / "x").read_bytes() == b"of another task"


async def test_a_file_in_the_place_of_a_folder_makes_room_for_it(bench: Bench, origin: Origin) -> None:
    origin.pages["/x"] = Page(content(1000))
    task = bench.task(origin.url("/x"))
    (bench.root / str(task.id)).write_bytes(b"in the way")
    async with aclosing(bench.downloader.fetch(task, str(bench.root / str(task.id)))) as news:
        (fetched,) = [item async for item in news if isinstance(item, Fetched)]
    assert bench.content(task, fetched) == content(1000)


@pytest.mark.parametrize("link", ["x", "x.aria2", "both"])
async def test_a_link_in_a_folder_is_followed_by_nobody(
    bench: Bench, origin: Origin, tmp_path: Path, link: str
) -> None:
    origin.pages["/x"] = Page(content(1000), etag='"1"')
    secret = tmp_path / "secret"
    secret.write_bytes(b"of the host")
    other = bench.root / "77"
    other.mkdir()
    (other / "x").write_bytes(b"of another task")
    task = bench.task(origin.url("/x"))
    for name, target in (("x", other / "x"), ("x.aria2", secret)):
        path = bench.folder(task) / name
        if link in (name, "both"):
            path.symlink_to(target)
        else:
            path.write_bytes(b"")
    assert bench.content(task, await bench.fetch(task)) == content(1000)
    assert (secret.read_bytes(), (other / "x").read_bytes()) == (b"of the host", b"of another task")
