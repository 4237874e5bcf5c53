"""The laws of a call to the server: one connection, one frame, one answer, and no doubt about what may be done."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import textwrap
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from odl_daemon.library import searpc
from odl_daemon.library.searpc import Refused, Searpc, ServerAway, Unanswered
from tests.servers.seafile import VERSIONS, SeafServer
from tests.servers.seafile.test_transcripts import transcript

ALICE: Final = "alice@example.org"
PYTHON: Final = "/usr/bin/python3"
"""Where Debian's python3-searpc would be."""


@pytest.fixture
async def seafile(tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile") as server:
        yield server


# --- answers


async def test_a_call_returns_what_the_server_returns(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket)
    repo = await seafile.create_repo(ALICE, "Größe 😀")

    assert await rpc.call("seafile_get_repo_owner", repo) == ALICE
    assert await rpc.call("check_quota", repo, 1 << 40) == 0
    assert await rpc.call("check_permission_by_path", repo, "/", "bob@example.org") is None
    found = await rpc.call("seafile_get_repo", repo)
    assert isinstance(found, dict)
    assert found["name"] == "Größe 😀"


async def test_a_refusal_tells_code_and_message(seafile: SeafServer) -> None:
    with pytest.raises(Refused, match="Invalid repo id") as refused:
        await Searpc(seafile.socket).call("seafile_get_repo", "nonsense")
    assert (refused.value.code, refused.value.message) == (503, "Invalid repo id")


async def test_an_unknown_service_or_function_is_a_refusal(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket)
    with pytest.raises(Refused, match="cannot find function") as unknown:
        await rpc.call("no_such_function")
    assert unknown.value.code == 500
    with pytest.raises(Refused, match="cannot find service") as nobody:
        await rpc.call("pop_event", "x", service="nobody")
    assert nobody.value.code == 501


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_recorded_reply_is_understood(version: str, tmp_path: Path) -> None:
    replies = [entry["reply"] for entry in transcript(version) if isinstance(entry.get("reply"), dict)]
    assert len(replies) > 70
    for reply in replies:
        assert isinstance(reply, dict)
        async with scripted(tmp_path, framed(json.dumps(reply).encode())) as path:
            try:
                answer = await Searpc(path).call("any")
            except Refused as refused:
                assert (refused.code, refused.message) == (reply["err_code"], reply["err_msg"])
            else:
                assert answer == reply["ret"]
                assert "err_code" not in reply


# --- what is sent


async def test_a_frame_is_one_write(seafile: SeafServer, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    send = socket.socket.send

    def watched(sock: socket.socket, part: bytes) -> int:
        written.append(bytes(part))
        return send(sock, part)

    monkeypatch.setattr(socket.socket, "send", watched)
    await Searpc(seafile.socket).call("pop_event", "odl.intake")

    body = json.dumps({"service": searpc.SERVICE, "request": json.dumps(["pop_event", "odl.intake"])}).encode()
    assert framed(body) in written


async def test_all_text_arrives_as_it_was(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket)
    text = "".join(chr(code) for code in [*range(1, 0x800), 0x2028, 0xFFFF, 0x1F600, 0x10FFFF]) + "x" * (1 << 20)
    await rpc.call("publish_event", "odl.intake", text)
    message = await rpc.call("pop_event", "odl.intake")
    assert isinstance(message, dict)
    assert message["content"] == text


@pytest.mark.parametrize("argument", ["a\0b", "\ud800", "a\udcff", True, 1.5, b"a", 1 << 63, -(1 << 63) - 1])
async def test_what_searpc_cannot_carry_is_refused_before_a_connection(seafile: SeafServer, argument: object) -> None:
    with pytest.raises(ValueError, match="in an argument of publish_event"):
        await Searpc(seafile.socket).call("publish_event", "odl.intake", argument)  # type: ignore[arg-type]
    assert await seafile.most_connections() == 0


# --- where it is sent


async def test_a_path_longer_than_a_socket_address_works(seafile: SeafServer, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "seafile.sock").symlink_to(seafile.socket)
    assert await Searpc(deep / "seafile.sock").call("pop_event", "odl.intake") is None


async def test_a_link_that_moves_is_followed_at_the_next_call(seafile: SeafServer, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "nowhere")
    rpc = Searpc(link)
    with pytest.raises(ServerAway):
        await rpc.call("pop_event", "odl.intake")
    link.unlink()
    link.symlink_to(seafile.socket)
    assert await rpc.call("pop_event", "odl.intake") is None


async def test_a_server_that_is_down_is_away(seafile: SeafServer, tmp_path: Path) -> None:
    with pytest.raises(ServerAway, match="No such file"):
        await Searpc(tmp_path / "absent.sock").call("pop_event", "odl.intake")
    with pytest.raises(ServerAway, match="No such file"):
        await Searpc(tmp_path / ("d" * 200) / "absent.sock").call("pop_event", "odl.intake")
    await seafile.die()
    with pytest.raises(ServerAway, match="refused"):
        await Searpc(seafile.socket).call("pop_event", "odl.intake")


async def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    with full_listener(tmp_path) as (listener, waiting):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(Searpc(tmp_path / "s").call("any"), name="a call")
            await asyncio.sleep(0)  # its first try fails
            await asyncio.to_thread(take_all_and_answer_the_last, listener, len(waiting))
    assert call.result() == "late"


async def test_a_queue_that_stays_full_is_a_server_that_is_away(tmp_path: Path) -> None:
    with full_listener(tmp_path), pytest.raises(ServerAway, match="in time"):
        await Searpc(tmp_path / "s").call("any", limit=0.2)


# --- no answer


async def test_a_call_without_an_answer_in_time_may_have_happened(seafile: SeafServer) -> None:
    await seafile.fail("mute", "publish_event")
    with pytest.raises(Unanswered, match="publish_event in time"):
        await Searpc(seafile.socket).call("publish_event", "odl.intake", "a", limit=0.2)
    await seafile.connected(0)
    assert await Searpc(seafile.socket).call("pop_event", "odl.intake") is not None


async def test_the_limit_of_all_calls_holds_where_none_is_named(seafile: SeafServer) -> None:
    await seafile.fail("ignore")
    with pytest.raises(Unanswered, match="in time"):
        await Searpc(seafile.socket, limit=0.2).call("pop_event", "odl.intake")


async def test_a_connection_that_ends_before_the_answer_may_have_been_enough(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket)
    await seafile.fail("drop", "publish_event")
    with pytest.raises(Unanswered, match="went away"):
        await rpc.call("publish_event", "odl.intake", "a")
    assert await rpc.call("pop_event", "odl.intake") is not None


async def test_a_restart_in_mid_call_ends_it_and_the_next_call_is_answered(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket)
    repo = await seafile.create_repo(ALICE)
    await seafile.fail("hold", "seafile_get_repo")

    async def call() -> None:
        with pytest.raises(Unanswered):
            await rpc.call("seafile_get_repo", repo)

    async with asyncio.TaskGroup() as group:
        group.create_task(call(), name="a call")
        await seafile.called("seafile_get_repo")
        await seafile.restart()
    assert await rpc.call("seafile_get_repo_owner", repo) == ALICE


@pytest.mark.parametrize(
    "reply",
    [
        *(b"", b"\x04", struct.pack("=I", 9) + b'{"re', struct.pack("=I", searpc.LONGEST_REPLY + 1)),
        *(struct.pack("=I", len(body)) + body for body in (b"", b"{", b"\xff", b"{}", b"[]", b"7", b"[" * 100_000)),
    ],
    ids=lambda reply: repr(reply[:12]),
)
async def test_an_answer_that_cannot_be_read_is_no_answer(reply: bytes, tmp_path: Path) -> None:
    async with scripted(tmp_path, reply) as path:
        with pytest.raises(Unanswered):
            await Searpc(path).call("any")


# --- leaving


async def test_a_cancelled_call_closes_its_connection(seafile: SeafServer) -> None:
    await seafile.fail("ignore")
    await cancelled(Searpc(seafile.socket).call("pop_event", "odl.intake"), seafile, "pop_event")
    await seafile.connected(0)


async def test_the_server_carries_out_what_its_client_has_left(seafile: SeafServer, tmp_path: Path) -> None:
    repo = await seafile.create_repo(ALICE)
    (tmp_path / "a").write_bytes(b"bytes")
    await seafile.fail("hold", "seafile_post_file")
    call = Searpc(seafile.socket).call("seafile_post_file", repo, str(tmp_path / "a"), "/", "a", ALICE)
    await cancelled(call, seafile, "seafile_post_file")
    assert await seafile.files(repo) == {}

    await seafile.release()
    await seafile.carried_out("seafile_post_file")
    assert list(await seafile.files(repo)) == ["/a"]


async def test_a_cancelled_call_gives_its_turn_to_the_next(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket, at_once=1)
    await seafile.fail("ignore")
    await cancelled(rpc.call("pop_event", "odl.intake"), seafile, "pop_event")
    assert await rpc.call("pop_event", "odl.intake") is None


# --- many


async def test_two_hundred_calls_at_once_never_hold_more_connections_than_they_may(
    seafile: SeafServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpc = Searpc(seafile.socket, at_once=8)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Counted)
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(rpc.call("publish_event", "odl.intake", str(number)), name=f"call {number}")

    assert Counted.now == 0
    assert Counted.most <= 8  # a quick server may need fewer
    assert (await seafile.done())["publish_event"] == 200


async def test_no_more_than_the_given_number_are_under_way(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket, at_once=3)
    await seafile.fail("hold", times=3)
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(rpc.call("publish_event", "odl.intake", str(number)), name=f"call {number}")
        await seafile.called("publish_event", 3)
        assert await seafile.most_connections() == 3
        await seafile.release()
    assert (await seafile.done())["publish_event"] == 20


async def test_a_call_whose_time_runs_out_in_line_was_not_sent(seafile: SeafServer) -> None:
    rpc = Searpc(seafile.socket, at_once=1)
    await seafile.fail("hold", "pop_event")
    async with asyncio.TaskGroup() as group:
        group.create_task(rpc.call("pop_event", "odl.intake"), name="the first call")
        await seafile.called("pop_event")
        with pytest.raises(ServerAway, match="in time"):
            await rpc.call("publish_event", "odl.intake", "a", limit=0.1)
        await seafile.release()
    assert "publish_event" not in await seafile.calls()


# --- the other client


@pytest.mark.skipif(
    subprocess.run([PYTHON, "-c", "import pysearpc"], capture_output=True, check=False).returncode != 0,
    reason="this system has no python3-searpc (make test installs it where there is apt)",
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_stand_in_speaks_to_debians_client(version: str, tmp_path: Path) -> None:
    async with SeafServer(tmp_path / "seafile", version=version) as server:
        repo = await server.create_repo(ALICE, "Größe 😀")
        said = await asyncio.to_thread(ask_with_debians_client, server.socket, repo)
    assert said == {"name": "Größe 😀", "owner": ALICE, "listed": [], "room": 0, "refused": "Invalid repo id"}


def ask_with_debians_client(path: Path, repo: str) -> object:
    script = """
        import json, sys
        from pysearpc import NamedPipeClient, SearpcError, searpc_func

        class Client(NamedPipeClient):
            @searpc_func("object", ["string"])
            def seafile_get_repo(self, repo): pass
            @searpc_func("string", ["string"])
            def seafile_get_repo_owner(self, repo): pass
            @searpc_func("objlist", ["string", "string", "int", "int"])
            def seafile_list_dir(self, repo, folder, offset, limit): pass
            @searpc_func("int", ["string", "int64"])
            def check_quota(self, repo, delta): pass

        path, repo = sys.argv[1:]
        client = Client(path, "seafserv-threaded-rpcserver")
        said = {
            "name": client.seafile_get_repo(repo).name,
            "owner": client.seafile_get_repo_owner(repo),
            "listed": client.seafile_list_dir(repo, "0" * 40, -1, -1),
            "room": client.check_quota(repo, 1),
        }
        try:
            client.seafile_get_repo("nonsense")
        except SearpcError as error:
            said["refused"] = error.msg
        print(json.dumps(said))
    """
    argv = [PYTHON, "-c", textwrap.dedent(script), str(path), repo]
    done = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- helpers


def framed(body: bytes) -> bytes:
    return struct.pack("=I", len(body)) + body


@asynccontextmanager
async def scripted(folder: Path, reply: bytes) -> AsyncIterator[Path]:
    """A server that answers every frame with these bytes, and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("=I", await reader.readexactly(4))
        await reader.readexactly(length)
        writer.write(reply)
        writer.close()

    path = folder / "s"
    async with await asyncio.start_unix_server(answer, path):
        yield path
    path.unlink(missing_ok=True)


async def cancelled(call: Coroutine[object, object, object], seafile: SeafServer, function: str) -> None:
    """Starts a call, and cancels it when it has arrived at the server."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call, name="a call")
        await seafile.called(function)
        task.cancel()


class Counted(socket.socket):
    """A socket that is counted while it is open."""

    now = 0
    most = 0

    def __init__(self, *arguments: int) -> None:
        super().__init__(*arguments)
        Counted.now += 1
        Counted.most = max(Counted.most, Counted.now)

    def close(self) -> None:
        Counted.now -= self.fileno() != -1
        super().close()


@contextmanager
def full_listener(folder: Path) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A server that takes nobody in, and the connections that fill its queue."""
    with ExitStack() as open_:
        listener = open_.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "s"))
        listener.listen(1)
        waiting: list[socket.socket] = []
        with suppress(BlockingIOError):
            while True:
                waiting.append(open_.enter_context(socket.socket(socket.AF_UNIX)))
                waiting[-1].setblocking(False)
                waiting[-1].connect(str(folder / "s"))
        yield listener, waiting[:-1]


def take_all_and_answer_the_last(listener: socket.socket, waiting: int) -> None:
    """Takes in those who wait, then one more, who gets an answer."""
    for _ in range(waiting):
        listener.accept()[0].close()
    listener.settimeout(10)
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(10)
        connection.recv(4096)
        connection.sendall(framed(b'{"ret": "late"}'))
