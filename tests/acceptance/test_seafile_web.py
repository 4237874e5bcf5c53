"""The whole daemon beside a Seafile server that it reaches by its web site alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Table
from tests.conftest import StartDaemon
from tests.servers.origin import Origin, Page, content
from tests.servers.seafile import SeafServer

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.org"
DATA = content(300_000)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version="13.0") as server:
        yield server


@pytest.fixture
async def tokens(server: SeafServer, tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    file.write_text("".join([f'{user} = "{await server.create_token(user)}"\n' for user in (ALICE, BOB)]))
    return file


def beside(server: SeafServer, tokens: Path) -> dict[str, str]:
    return {"kind": "seafile-http", "seahub_url": server.seahub, "tokens_file": str(tokens)}


async def test_each_users_link_goes_where_he_may_write(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, server: SeafServer, tokens: Path
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, tokens))
    repo = await server.create_repo(ALICE)
    await server.share(repo, BOB, "r")
    await server.let_usage_lag()
    await server.set_quota(ALICE, 700_000)
    for path in ("/1.tar.gz", "/2.bin", "/3.bin"):
        origin.pages[path] = Page(DATA)
    first, second, third, readers, nobodys = [
        (await daemon.add(origin.url(path), arguments=("--library", repo, "--owner", owner)))[0]
        for path, owner in (("/1.tar.gz", ALICE), ("/2.bin", ALICE), ("/3.bin", ALICE), ("/1.tar.gz", BOB), ("/1", EVE))
    ]
    tasks = await daemon.finish(first, second, third, readers, nobodys)
    assert [task["reason"] for task in tasks[3:]] == ["not_allowed", "not_allowed"]
    assert "there is no API token of yours" in tasks[4]["comment"]
    assert sorted(str(task["reason"]) for task in tasks[:3]) == ["None", "None", "over_quota"], tasks
    files = await server.files(repo)
    assert set(files) == {task["path"] for task in tasks[:3] if task["status_name"] == "OK"}
    assert {file.modifier for file in files.values()} == {ALICE}
    said = await daemon.odl("check")
    assert said.code == 0
    assert f"ok    library     the Seafile web site {server.seahub} answers, version 13.0.7" in said.out
    assert f"ok    tokens      {tokens}: 2 users" in said.out


async def test_a_file_of_tokens_that_others_can_read_ends_the_start(
    start_daemon: StartDaemon, sqlite: Table, server: SeafServer, tokens: Path
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, library=beside(server, tokens))
    await daemon.stop()
    tokens.chmod(0o644)
    with pytest.raises(AssertionError, match="the daemon ended with 2"):
        await daemon.start()
    assert f"{tokens} can be read by others: it holds keys, so chmod 600 it" in daemon.log()
    assert "Traceback" not in daemon.log()
    assert "FAIL  tokens" in (await daemon.odl("check")).out
