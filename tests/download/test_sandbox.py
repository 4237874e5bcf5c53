"""aria2's sandbox, on the real bwrap and the real aria2c."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme
from tests.guard.diallers import OpenDialler

from odl_daemon.download import sandbox as sandbox_module
from odl_daemon.download.conf import memory_for
from odl_daemon.download.control import Control
from odl_daemon.download.isolation import command
from odl_daemon.download.lock import locked
from odl_daemon.download.proxy import Proxy
from odl_daemon.download.sandbox import Isolation, Sandbox, SandboxTrouble, try_sandbox

CONF = (
    "enable-rpc=true\nrpc-secret=open sesame\nrpc-listen-all=false\nquiet=true\nproxy-method=tunnel\nasync-dns=false\n"
)

Opening = Callable[..., AbstractAsyncContextManager[Sandbox]]

both = pytest.mark.parametrize("isolation", list(Isolation))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def mark() -> str:
    """A word in the argument list of this test's aria2c, to know it by."""
    return f"odl-test-{uuid4().hex}"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, scratch: Path, mark: str, said: list[str]) -> Opening:
    def opening(isolation: Isolation = Isolation.NAMESPACE, **changes: Any) -> AbstractAsyncContextManager[Sandbox]:
        usual: dict[str, Any] = {
            "scratch": scratch,
            "aria2c": "aria2c",
            "arguments": (f"--user-agent={mark}", "--no-proxy="),
            "conf": CONF,
            "memory": memory_for(10),
            "lock": tmp_path / "lock",
            "heard": said.append,
        }
        return Sandbox.opened(isolation=isolation, **(usual | changes))

    return opening


@both
async def test_aria2_answers_on_a_socket_of_the_sandbox(opened: Opening, isolation: Isolation) -> None:
    async with opened(isolation) as sandbox:
        version = await call(sandbox, "getVersion")
        assert version["version"]


@both
async def test_many_sockets_can_be_asked_for_at_once(opened: Opening, isolation: Isolation) -> None:
    async with opened(isolation) as sandbox:
        groups = await asyncio.gather(*(sandbox.sockets(count) for count in (1, 250, 3)))
        assert [len(group) for group in groups] == [1, 250, 3]
        for each in itertools.chain(*groups):
            assert not each.getblocking()
            each.close()


async def test_sockets_for_somebody_who_left_are_closed(opened: Opening) -> None:
    async with opened() as sandbox:
        before = descriptors()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await sandbox.sockets(50)
        (after_it,) = await sandbox.sockets(1)
        after_it.close()
        assert descriptors() == before


@both
async def test_everything_is_dead_when_the_block_is_left(opened: Opening, isolation: Isolation, mark: str) -> None:
    async with opened(isolation):
        assert len(processes(mark)) == 1
    assert not processes(mark)


@both
async def test_a_cancelled_owner_leaves_nothing_behind(opened: Opening, isolation: Isolation, mark: str) -> None:
    up = asyncio.Event()

    async def own() -> None:
        async with opened(isolation):
            up.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        owner = group.create_task(own())
        await up.wait()
        owner.cancel()
    assert not processes(mark)


async def test_what_a_keeper_says_after_its_start_was_cancelled_is_no_nonsense() -> None:
    distrusted: list[str] = []
    ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = descriptors()
    control = Control(ours, distrust=lambda: distrusted.append("killed"))
    with keepers, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await control.begin({})
        with socket.socket() as door:
            said = json.dumps({"listening": True, "proxy_port": 1, "rpc_port": 2}).encode()
            socket.send_fds(keepers, [said], [door.fileno()])
        keepers.send(b'{"ready": true}')
        await until(lambda: hasattr(control, "listener"))
        await asyncio.sleep(0)
    control.close()
    assert not distrusted
    assert descriptors() == before - 2


async def test_sockets_that_come_with_nonsense_are_closed() -> None:
    distrusted: list[str] = []
    ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control = Control(ours, distrust=lambda: distrusted.append("killed"))
    before = descriptors()
    with keepers, socket.socket() as door:
        socket.send_fds(keepers, [b"{}"], [door.fileno()])
        await until(lambda: bool(distrusted))
        assert descriptors() == before + 1
    control.close()


@both
async def test_a_killed_aria2_is_told_with_its_signal(opened: Opening, isolation: Isolation, mark: str) -> None:
    async with opened(isolation) as sandbox:
        os.kill(processes(mark)[0], signal.SIGSEGV)
        death = await sandbox.ended()
        assert (death.code, death.signal) == (None, signal.SIGSEGV)
        assert str(death) == "it was ended by SIGSEGV"


@both
async def test_an_aria2_that_shuts_down_is_told_with_its_exit_code(
    opened: Opening, isolation: Isolation, mark: str
) -> None:
    async with opened(isolation) as sandbox:
        await call(sandbox, "getVersion")  # from now on it has its signals in its own hands
        os.kill(processes(mark)[0], signal.SIGTERM)
        death = await sandbox.ended()
        assert (death.code, death.signal) == (0, None)


@both
async def test_aria2_dies_with_its_keeper(opened: Opening, isolation: Isolation, mark: str) -> None:
    async with opened(isolation) as sandbox:
        os.kill(parent(processes(mark)[0]), signal.SIGKILL)
        death = await sandbox.ended()
        assert "keeper" in death.sentence
        assert not processes(mark)


@both
async def test_kill_ends_everything(opened: Opening, isolation: Isolation, mark: str) -> None:
    async with opened(isolation) as sandbox:
        sandbox.kill()
        sandbox.kill()
        assert str(await sandbox.ended()) == "it was killed"
        assert not processes(mark)
        sandbox.kill()


async def test_asking_a_dead_sandbox_for_sockets_says_so(opened: Opening) -> None:
    async with opened() as sandbox:
        sandbox.kill()
        await sandbox.ended()
        with pytest.raises(ConnectionResetError):
            await sandbox.sockets(1)


@both
async def test_a_killed_daemon_takes_aria2_along_and_frees_the_lock(
    tmp_path: Path, scratch: Path, isolation: Isolation, mark: str
) -> None:
    async with another_daemon(tmp_path, scratch, isolation, mark) as daemon:
        assert await daemon.readline() == b"starting\n"
        assert await daemon.readline() == b"up\n"
        assert processes(mark)
    async with locked(tmp_path / "lock", 10):
        assert not processes(mark)


@both
@pytest.mark.parametrize("moment", [0.0, 0.005, 0.01, 0.02, 0.03])
async def test_a_daemon_killed_while_it_starts_aria2_leaves_nothing(
    tmp_path: Path, scratch: Path, isolation: Isolation, mark: str, moment: float
) -> None:
    async with another_daemon(tmp_path, scratch, isolation, mark) as daemon:
        assert await daemon.readline() == b"starting\n"
        await asyncio.sleep(moment)
    async with locked(tmp_path / "lock", 10):
        assert not processes(mark)
    assert set(os.listdir(tmp_path)) <= {"scratch", "lock"}  # noqa: PTH208


async def test_the_lock_is_held_while_aria2_lives_and_no_longer(
    opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_module, "OLD_ONE_LIMIT", 0.1)
    async with opened():
        with pytest.raises(SandboxTrouble, match="an earlier aria2 still runs"):
            async with opened():
                raise AssertionError("two at once")
    async with opened():
        pass


@both
async def test_twenty_lives_leave_no_descriptor(opened: Opening, isolation: Isolation) -> None:
    async with opened(isolation):
        pass
    before = descriptors()
    for _ in range(20):
        async with opened(isolation) as sandbox:
            for each in await sandbox.sockets(2):
                each.close()
    assert descriptors() == before


async def test_the_sandbox_sees_the_scratch_root_and_nothing_else_of_ours(
    opened: Opening, tmp_path: Path, scratch: Path, said: list[str]
) -> None:
    (tmp_path / "a secret of the host").touch()
    (scratch / "a task").touch()
    async with opened(
        aria2c=spy(tmp_path, f'for path in /* /etc/* /root/* {tmp_path}/* {scratch}/*; do echo "sees $path"; done')
    ):
        pass
    seen = {Path(line.removeprefix("sees ")) for line in said if line.startswith("sees ")}
    assert scratch / "a task" in seen
    assert tmp_path / "a secret of the host" not in seen
    for hidden in ("/proc", "/run", "/dev", "/sys", "/home", "/var", "/etc/passwd", "/etc/shadow", "/etc/hosts"):
        assert Path(hidden) not in seen


async def test_a_single_folder_can_be_all_that_is_seen(
    opened: Opening, tmp_path: Path, scratch: Path, said: list[str]
) -> None:
    for name in ("7", "8"):
        (scratch / name).mkdir()
    look = f'for path in {tmp_path}/* {scratch}/*; do echo "sees $path"; done'
    async with opened(aria2c=spy(tmp_path, look), scratch=scratch / "7"):
        pass
    seen = {line.removeprefix("sees ") for line in said if line.startswith("sees ")}
    assert seen == {str(tmp_path / "elsewhere"), str(scratch), str(scratch / "7")}


async def test_a_link_is_not_shown_in_the_place_of_a_scratch_folder(opened: Opening, tmp_path: Path) -> None:
    (tmp_path / "a secret of the host").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a secret of the host")
    with pytest.raises(SandboxTrouble, match="is no folder"):
        async with opened(scratch=tmp_path / "link"):
            raise AssertionError("it started")


async def test_a_link_that_is_put_there_at_the_last_moment_is_noticed(
    opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a secret of the host").mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()

    def swapped(*arguments: Any, **keys: Any) -> Any:
        folder.rmdir()
        folder.symlink_to(tmp_path / "a secret of the host")
        return command(*arguments, **keys)

    monkeypatch.setattr("odl_daemon.download.sandbox.command", swapped)
    with pytest.raises(SandboxTrouble, match="another folder lies in the place of the scratch folder"):
        async with opened(scratch=folder):
            raise AssertionError("it started")


async def test_only_scratch_and_the_own_tmp_can_be_written(
    opened: Opening, tmp_path: Path, scratch: Path, said: list[str]
) -> None:
    tries = (
        f'for path in / /usr /etc /etc/ssl /tmp {scratch}; do touch $path/new 2>/dev/stdout && echo "wrote $path"; done'
    )
    async with opened(aria2c=spy(tmp_path, tries.replace("2>/dev/stdout ", ""))):
        pass
    assert [line for line in said if line.startswith("wrote")] == ["wrote /tmp", f"wrote {scratch}"]
    assert (scratch / "new").exists()


@both
async def test_aria2_gets_a_clean_environment_and_no_core_files(
    opened: Opening, isolation: Isolation, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("A_SECRET", "canary")
    async with opened(isolation, aria2c=spy(tmp_path, 'env; echo "core $(ulimit -c)"; echo "mask $(umask)"')):
        pass
    assert "core 0" in said
    assert "mask 0077" in said
    assert {line.partition("=")[0] for line in said if "=" in line} <= {"PATH", "LC_ALL", "PWD", "_", "OLDPWD", "SHLVL"}


@both
async def test_aria2_has_no_more_memory_than_it_is_given(opened: Opening, isolation: Isolation, mark: str) -> None:
    async with opened(isolation, memory=200 << 20):
        (limits,) = [text_of(Path(f"/proc/{aria2}/limits")) for aria2 in processes(mark)]
        (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
        assert line.split()[3:5] == [str(200 << 20)] * 2


@both
async def test_no_secret_is_in_the_process_list_or_stays_on_a_disk(
    opened: Opening, isolation: Isolation, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCDownloader told aria2 its secret by an argument."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    async with opened(isolation):
        aria2 = processes(mark)[0]
        for each in (aria2, parent(aria2), parent(parent(aria2))):
            assert "sesame" not in text_of(Path(f"/proc/{each}/cmdline"))
            assert "sesame" not in text_of(Path(f"/proc/{each}/environ"))
        await until(lambda: not list(temporary.iterdir()))


async def test_a_port_of_the_host_is_out_of_reach_without_the_proxy(opened: Opening, scratch: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        async with opened() as sandbox:
            url = f"http://127.0.0.1:{canary.getsockname()[1]}/x"
            gid = await call(sandbox, "addUri", [url], {"dir": str(scratch), "all-proxy": "", "max-tries": "1"})
            assert await end_of(sandbox, gid) == "error"
        with pytest.raises(BlockingIOError):
            canary.accept()


@both
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_aria2_downloads_through_the_proxy(
    opened: Opening, isolation: Isolation, scheme: str, scratch: Path, tmp_path: Path
) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if scheme == "https" else None
    if tls is not None:
        authority.issue_cert("localhost").configure_cert(tls)
    conf = CONF + f"ca-certificate={bundle}\n"
    async with (
        site(b"the file", tls) as port,
        opened(isolation, conf=conf, ca_bundle=str(bundle)) as sandbox,
        proxied(sandbox),
    ):
        options = {"dir": str(scratch), "out": "file", "all-proxy": f"http://127.0.0.1:{sandbox.proxy_port}"}
        gid = await call(sandbox, "addUri", [f"{scheme}://localhost:{port}/file"], options)
        assert await end_of(sandbox, gid) == "complete"
    assert (scratch / "file").read_bytes() == b"the file"


async def test_the_proxy_is_told_which_address_aria2_called(opened: Opening, scratch: Path) -> None:
    callers: list[str] = []

    class Noting(OpenDialler):
        async def dial(self, host: str, port: int, who: str) -> socket.socket:
            callers.append(who)
            return await super().dial(host, port, who)

    async with site(b"the file") as port, opened() as sandbox, proxied(sandbox, Noting()):
        options = {"dir": str(scratch), "all-proxy": f"http://127.1.2.3:{sandbox.proxy_port}"}
        gid = await call(sandbox, "addUri", [f"http://127.0.0.1:{port}/file"], options)
        assert await end_of(sandbox, gid) == "complete"
    assert callers == ["127.1.2.3"]


async def test_a_refused_target_is_a_failed_proxy_connection_to_aria2(opened: Opening, scratch: Path) -> None:
    async with opened() as sandbox, proxied(sandbox):
        options = {"dir": str(scratch), "all-proxy": f"http://127.0.0.1:{sandbox.proxy_port}", "max-tries": "1"}
        gid = await call(sandbox, "addUri", ["https://127.0.0.1:1/x"], options)
        assert await end_of(sandbox, gid) == "error"
        status = await call(sandbox, "tellStatus", gid)
        assert (status["errorCode"], status["errorMessage"]) == ("1", "Proxy connection failed.")


async def test_a_line_without_end_is_cut(opened: Opening, tmp_path: Path, said: list[str]) -> None:
    async with opened(aria2c=spy(tmp_path, "printf '%300000s' x; echo; echo after it")):
        pass
    assert "after it" in said
    assert max(len(line) for line in said) <= 8192


@both
async def test_an_aria2_that_dies_at_once_is_quoted(opened: Opening, isolation: Isolation, tmp_path: Path) -> None:
    with pytest.raises(SandboxTrouble, match=r"it ended with exit code 7; it said: no such luck"):
        async with opened(isolation, aria2c=spy(tmp_path, "echo no such luck; exit 7")):
            raise AssertionError("it started")


async def test_a_missing_aria2c_is_one_sentence(opened: Opening) -> None:
    with pytest.raises(SandboxTrouble, match=r"aria2c was not found as /no/aria2c \(apt install aria2"):
        async with opened(aria2c="/no/aria2c"):
            raise AssertionError("it started")


async def test_a_missing_bwrap_is_one_sentence(
    opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aria2c = shutil.which("aria2c")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxTrouble, match=r"bwrap.*not installed \(apt install bubblewrap"):
        async with opened(aria2c=aria2c):
            raise AssertionError("it started")


async def test_a_host_that_forbids_user_namespaces_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(
        tmp_path / "bwrap", "echo 'bwrap: No permissions to creating new namespace, likely because ...' >&2; exit 1"
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    why = await try_sandbox(aria2c="aria2c", isolation=Isolation.NAMESPACE)
    assert why is not None
    assert "kernel.apparmor_restrict_unprivileged_userns" in why
    assert "proxy-only" in why


@both
async def test_trying_a_sandbox_says_nothing_where_it_starts(isolation: Isolation) -> None:
    assert await try_sandbox(aria2c="aria2c", isolation=isolation) is None


# --- helpers ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def another_daemon(
    folder: Path, scratch: Path, isolation: Isolation, mark: str
) -> AsyncIterator[asyncio.StreamReader]:
    """What a process says that opens a sandbox; it is killed on leaving."""
    script = textwrap.dedent(f"""
        import asyncio, tempfile
        from pathlib import Path
        from odl_daemon.download.sandbox import Isolation, Sandbox

        async def main():
            tempfile.tempdir = {str(folder)!r}
            print("starting", flush=True)
            async with Sandbox.opened(
                scratch=Path({str(scratch)!r}), aria2c="aria2c", isolation=Isolation({isolation.value!r}),
                arguments=["--user-agent={mark}"], conf={CONF!r}, memory=1 << 30, lock=Path({str(folder / "lock")!r}),
                heard=lambda line: None,
            ):
                print("up", flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
    """)
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert daemon.stdout is not None
    try:
        yield daemon.stdout
    finally:
        daemon.kill()
        await daemon.wait()


def executable(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def spy(folder: Path, body: str) -> str:
    """An aria2c that does something else first."""
    place = folder / "elsewhere"
    place.mkdir()
    return executable(place / "aria2c", f'{body}\nexec {shutil.which("aria2c")} "$@"')


def processes(mark: str) -> list[int]:
    """The aria2c with the mark among its arguments."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if mark in text_of(path) and "conf-path" in text_of(path)
    ]


def text_of(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def call(sandbox: Sandbox, method: str, *params: Any) -> Any:
    """One call to aria2, as a request of its own."""
    body = json.dumps(
        {"jsonrpc": "2.0", "id": "1", "method": f"aria2.{method}", "params": ["token:open sesame", *params]}
    ).encode()
    (link,) = await sandbox.sockets(1)
    with link:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(link, ("127.0.0.1", sandbox.rpc_port))
        await loop.sock_sendall(link, b"POST /jsonrpc HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = b""
        while piece := await loop.sock_recv(link, 65536):
            answer += piece
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "result" in said, said
    return said["result"]


async def end_of(sandbox: Sandbox, gid: str) -> str:
    async with asyncio.timeout(20):
        while (status := str((await call(sandbox, "tellStatus", gid))["status"])) in ("active", "waiting"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return status


@asynccontextmanager
async def proxied(sandbox: Sandbox, dialler: OpenDialler | None = None) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        with dialler or OpenDialler() as dialler:
            proxy = group.create_task(Proxy(dialler).serve(sandbox.listener))
            yield
            proxy.cancel()


@asynccontextmanager
async def site(body: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
