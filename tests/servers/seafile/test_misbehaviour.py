"""The stand-in misbehaves as the real servers were measured to: what the daemon must live with."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from odl_daemon.library.searpc import Refused, Searpc, Unanswered
from tests.servers.seafile import SeafServer

ALICE: Final = "alice@example.org"


@pytest.fixture(params=["8.0", "13.0", pytest.param("12.0", marks=pytest.mark.chaos)])
async def seafile(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version=request.param, threads=4) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "file").write_bytes(b"bytes")
    return str(tmp_path / "file")


async def post(server: SeafServer, repo: str, file: str, name: str, user: str = ALICE) -> None:
    await Searpc(server.socket).call("seafile_post_file", repo, file, "/", name, user)


async def test_a_post_checks_nothing(seafile: SeafServer, file: str) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.set_quota(ALICE, 1)
    await seafile.set_status(repo, 1)
    await seafile.share(repo, "reader@example.org", "r")

    for user in ("reader@example.org", "stranger@example.org", ""):
        await post(seafile, repo, file, f"by {user}", user)
    await post(seafile, repo, file, ".")

    found = await seafile.files(repo)
    assert set(found) == {"/by reader@example.org", "/by stranger@example.org", "/by ", "/."}
    assert found["/by stranger@example.org"].modifier == "stranger@example.org"


async def test_a_post_follows_a_link(seafile: SeafServer, file: str, tmp_path: Path) -> None:
    repo = await seafile.create_repo(ALICE)
    (tmp_path / "link").symlink_to(file)
    await post(seafile, repo, str(tmp_path / "link"), "a")
    assert (await seafile.files(repo))["/a"].size == 5


async def test_a_taken_name_is_numbered_without_a_word(seafile: SeafServer, file: str) -> None:
    repo = await seafile.create_repo(ALICE)
    for _ in range(3):
        await post(seafile, repo, file, "a.tar.gz")
    assert set(await seafile.files(repo)) == {"/a.tar.gz", "/a.tar (1).gz", "/a.tar (2).gz"}


async def test_names_that_are_all_taken_are_refused(tmp_path: Path, file: str) -> None:
    async with SeafServer(tmp_path / "seafile", version="8.0") as server:
        repo = await server.create_repo(ALICE)
        for _ in range(100):
            await post(server, repo, file, "a")
        with pytest.raises(Refused, match="Failed to post file"):
            await post(server, repo, file, "a")


async def test_posts_at_once_of_one_name_end_in_conflicts_or_under_names_that_nobody_was_told(
    seafile: SeafServer, tmp_path: Path
) -> None:
    repo = await seafile.create_repo(ALICE)
    rpc = Searpc(seafile.socket)
    await seafile.gather(3)
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            (tmp_path / str(number)).write_bytes(b"x" * number)
            call = rpc.call("seafile_post_file", repo, str(tmp_path / str(number)), "/", "a.txt", ALICE)
            group.create_task(call, name=f"post {number}")

    reached, lost = await seafile.files(repo), await seafile.unreachable(repo)
    if seafile.version == "8.0":
        assert set(reached) == {"/a.txt"}
        assert ["SFConflict" in path for path, _ in lost] == [True, True]
    else:
        assert (set(reached), lost) == ({"/a.txt", "/a (1).txt", "/a (2).txt"}, [])
    sizes = Counter(found.size for found in [*reached.values(), *(found for _, found in lost)])
    assert sizes == Counter([0, 1, 2])


async def test_idle_connections_hold_threads_up_to_11(seafile: SeafServer) -> None:
    with ExitStack() as idle:
        for _ in range(4):
            idle.enter_context(socket.socket(socket.AF_UNIX)).connect(str(seafile.socket))
        if seafile.version == "8.0":
            await assert_frozen(seafile)
        else:
            assert await Searpc(seafile.socket).call("pop_event", "x") is None
    assert await Searpc(seafile.socket).call("pop_event", "x") is None


async def test_half_a_frame_holds_a_thread(seafile: SeafServer) -> None:
    with ExitStack() as half:
        for _ in range(4):
            connection = half.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(seafile.socket))
            connection.sendall(struct.pack("=I", 100) + b"{")
        await assert_frozen(seafile)
    assert await Searpc(seafile.socket).call("pop_event", "x") is None


async def test_a_restart_keeps_libraries_and_loses_messages(seafile: SeafServer, file: str) -> None:
    rpc = Searpc(seafile.socket)
    repo = await seafile.create_repo(ALICE)
    await seafile.share(repo, "bob@example.org", "rw")
    await seafile.set_quota(ALICE, 100)
    await seafile.make_folder(repo, "/b/c")
    await seafile.put(repo, "/b/c/d", b"more")
    await post(seafile, repo, file, "a")
    await rpc.call("publish_event", "odl.intake", "a message")
    files, folder = await seafile.files(repo), await rpc.call("seafile_get_dir_id_by_path", repo, "/b")
    assert isinstance(folder, str)

    await seafile.restart()

    assert await seafile.files(repo) == files
    assert await rpc.call("check_permission_by_path", repo, "/", "bob@example.org") == "rw"
    assert await rpc.call("check_quota", repo, 91) == -1
    assert await rpc.call("check_quota", repo, 90) == 0
    listed = await rpc.call("seafile_list_dir", repo, folder, -1, -1)
    assert isinstance(listed, list)
    assert [entry["obj-name"] for entry in listed] == ["c"]
    assert await rpc.call("pop_event", "odl.intake") is None


async def test_used_bytes_lag_behind(seafile: SeafServer, file: str) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.set_quota(ALICE, 6)
    await seafile.let_usage_lag()
    await post(seafile, repo, file, "a")
    rpc = Searpc(seafile.socket)
    assert await rpc.call("check_quota", repo, 5) == 0
    await seafile.count_usage()
    assert await rpc.call("check_quota", repo, 5) == -1


async def test_a_deleted_folder_is_gone(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.make_folder(repo, "/b/c")
    await seafile.put(repo, "/b/c/d", b"more")
    await seafile.delete(repo, "/b")
    assert await Searpc(seafile.socket).call("seafile_get_dir_id_by_path", repo, "/b") is None
    assert await seafile.files(repo) == {}


async def test_a_refusal_can_be_ordered(seafile: SeafServer, file: str) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.fail("refuse", "seafile_post_file", code=522, message="GC Conflict")
    with pytest.raises(Refused, match="GC Conflict"):
        await post(seafile, repo, file, "a")
    await post(seafile, repo, file, "a")


async def test_a_folder_is_made_once_and_a_file_in_its_place_is_not_told(seafile: SeafServer, file: str) -> None:
    repo = await seafile.create_repo(ALICE)
    rpc = Searpc(seafile.socket)
    await post(seafile, repo, file, "a")
    assert await rpc.call("seafile_mkdir_with_parents", repo, "/", "a", ALICE) == 0
    assert await rpc.call("seafile_get_dir_id_by_path", repo, "/a") is None
    assert await rpc.call("seafile_post_dir", repo, "/", "b", ALICE) == 0
    assert await rpc.call("seafile_post_empty_file", repo, "/b", "c", ALICE) == 0
    for function in ("seafile_post_dir", "seafile_post_empty_file"):
        with pytest.raises(Refused, match="file already exists"):
            await rpc.call(function, repo, "/", "b", ALICE)


async def assert_frozen(seafile: SeafServer) -> None:
    with pytest.raises(Unanswered):
        await Searpc(seafile.socket).call("pop_event", "x", limit=0.3)
