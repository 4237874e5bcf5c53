"""The web server of the tests tells the truth about what it sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.servers.files import make_file, sha256_of
from tests.servers.nginx import Nginx


async def test_a_file_is_served_with_what_a_resume_needs(nginx: Nginx) -> None:
    digest = make_file(nginx.root / "a b.bin", 300_000, seed=7)
    async with aiohttp.ClientSession() as web, web.get(nginx.url("a b.bin")) as answer:
        body = await answer.read()
        assert answer.headers["ETag"] and answer.headers["Last-Modified"]
    (nginx.root / "copy").write_bytes(body)
    assert sha256_of(nginx.root / "copy") == digest
    assert [(one.method, one.status, one.sent) for one in await nginx.asked("/a b.bin")] == [("GET", 200, 300_000)]


async def test_a_range_counts_its_own_bytes_only(nginx: Nginx) -> None:
    make_file(nginx.root / "x", 1000)
    async with aiohttp.ClientSession() as web:
        await (await web.get(nginx.url("x"), headers={"Range": "bytes=900-"})).read()
    assert [(one.status, one.sent, one.range) for one in await nginx.asked()] == [(206, 100, "bytes=900-")]
    assert await nginx.sent("/x") == await nginx.sent() == 100


async def test_the_slow_copy_is_the_same_file(nginx: Nginx) -> None:
    digest = make_file(nginx.root / "deep" / "x", 10_000)
    async with aiohttp.ClientSession() as web:
        body = await (await web.get(nginx.slow_url("deep/x"))).read()
    (nginx.root / "copy").write_bytes(body)
    assert sha256_of(nginx.root / "copy") == digest
    assert await nginx.sent("/slow/deep/x") == 10_000


async def test_a_killed_server_refuses_and_comes_back_on_its_port(nginx: Nginx) -> None:
    (nginx.root / "x").write_text("hello")
    before = nginx.port
    await nginx.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", nginx.port)
    nginx.start()
    async with aiohttp.ClientSession() as web:
        assert await (await web.get(nginx.url("x"))).text() == "hello"
    assert nginx.port == before


async def test_two_servers_stand_side_by_side(nginx: Nginx, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "other") as other:
        assert other.port != nginx.port


def test_a_seed_gives_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = make_file(tmp_path / "a", 3_000_000, 5), make_file(tmp_path / "b", 3_000_000, 5)
    assert first == second != make_file(tmp_path / "c", 3_000_000, 6)
