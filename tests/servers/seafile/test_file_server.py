"""The stand-in's file server takes uploads, and refuses them, as the real ones do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from odl_daemon.library.searpc import Searpc
from tests.servers.seafile import SeafServer
from tests.servers.seafile.file_server import UPLOAD

ALICE: Final = "alice@example.org"


@pytest.fixture(params=["8.0", "13.0", pytest.param("12.0", marks=pytest.mark.chaos)])
async def seafile(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version=request.param) as server:
        yield server


async def token_for(server: SeafServer, repo: str, folder: str = "/", operation: str = "upload") -> str:
    about = json.dumps({"parent_dir": folder})
    token = await Searpc(server.socket).call("seafile_web_get_access_token", repo, about, operation, ALICE, 0)
    assert isinstance(token, str)
    return token


async def upload(
    server: SeafServer, token: str, content: bytes = b"bytes", *, folder: str = "/", name: str = "a", replace: str = "0"
) -> tuple[int, str]:
    """Status and text of the answer."""
    before = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in {"parent_dir": folder, "replace": replace}.items()
    )
    about = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = (before + about).encode() + content + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    url = f"{server.file_server}/upload-api/{token}?ret-json=1"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_an_upload_is_a_file_of_the_tokens_user(seafile: SeafServer) -> None:
    repo = await seafile.create_repo("owner@example.org")
    await seafile.make_folder(repo, "/sub")
    status, text = await upload(seafile, await token_for(seafile, repo, "/sub"), folder="/sub", name="é 😀.txt")
    (found,) = (await seafile.files(repo)).items()
    assert (found[0], found[1].modifier) == ("/sub/é 😀.txt", ALICE)
    assert (status, json.loads(text)) == (200, [{"name": "é 😀.txt", "id": found[1].id, "size": 5}])


async def test_a_taken_name_is_numbered_or_replaced(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    token = await token_for(seafile, repo)
    for replace, size in (("0", 1), ("0", 2), ("1", 3)):
        assert (await upload(seafile, token, bytes(size), name="a.txt", replace=replace))[0] == 200
    assert {path: found.size for path, found in (await seafile.files(repo)).items()} == {"/a.txt": 3, "/a (1).txt": 2}


async def test_a_token_opens_one_folder_of_one_library_until_a_restart(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.make_folder(repo, "/sub")
    refused = 400 if seafile.version == "8.0" else 403
    token = await token_for(seafile, repo, "/sub")
    assert (await upload(seafile, token, folder="/"))[0] == 403
    assert (await upload(seafile, "nonsense"))[0] == refused
    assert (await upload(seafile, await token_for(seafile, repo, operation="update")))[0] == refused
    url = seafile.file_server
    await seafile.restart()
    assert seafile.file_server == url
    assert (await upload(seafile, token, folder="/sub"))[0] == refused
    assert await seafile.files(repo) == {}


async def test_what_the_socket_does_not_check_is_checked_here(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    token = await token_for(seafile, repo)
    await seafile.set_max_upload(4)
    assert (await upload(seafile, token))[0] == 442
    await seafile.set_max_upload(0)
    await seafile.set_quota(ALICE, 10)
    assert (await upload(seafile, token))[0] == 443
    await seafile.set_quota(ALICE, -2)
    assert (await upload(seafile, token, name="x" * 256))[0] == 440
    await seafile.set_status(repo, 1)
    assert (await upload(seafile, token))[0] == (400 if seafile.version == "8.0" else 403)
    assert await seafile.files(repo) == {}


async def test_an_upload_can_be_refused(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.fail("refuse", UPLOAD, code=409, message="GC Conflict")
    token = await token_for(seafile, repo)
    assert await upload(seafile, token) == (409, "GC Conflict")
    assert (await upload(seafile, token))[0] == 200


async def test_an_answer_can_be_dropped_after_the_commit(seafile: SeafServer) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.fail("drop", UPLOAD)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await upload(seafile, await token_for(seafile, repo))
    assert set(await seafile.files(repo)) == {"/a"}


@pytest.mark.parametrize(("how", "files"), [("ignore", set()), ("mute", {"/a"}), ("hold", {"/a"})])
async def test_an_upload_can_stall(seafile: SeafServer, how: str, files: set[str]) -> None:
    repo = await seafile.create_repo(ALICE)
    await seafile.fail(how, UPLOAD)  # type: ignore[arg-type]  # a parameter is any str
    token = await token_for(seafile, repo)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await upload(seafile, token)
    if how == "hold":
        await seafile.holding()
        assert await seafile.files(repo) == {}
        await seafile.release()
    if how != "ignore":
        await seafile.carried_out(UPLOAD)
    assert set(await seafile.files(repo)) == files
