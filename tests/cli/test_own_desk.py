from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Odl

LINK = "http://example.org/a.bin"


async def test_without_a_daemon_everything_can_be_asked_of_a_real_table(odl: Odl, place: Path) -> None:
    assert (await odl("add", LINK, LINK, "--owner", "me")).out == "1\n2\n"
    assert [task["id"] for task in json.loads((await odl("list", "--json")).out)] == [2, 1]
    assert (await odl("pause", 1, 99)).out == "task 1 will pause\n"
    (task,) = json.loads((await odl("show", 1, "--json")).out)
    assert (task["phase"], task["wish"], task["status_name"], task["owner"]) == ("waiting", "pause", "WAITING", "me")
    assert (await odl("why", 2)).out.startswith("no daemon is running")
    assert (await odl("why", 3)).err == "no task 3\n"
    assert (await odl("retry", "--failed")).out == "0 tasks will be tried again\n"


async def test_a_database_file_is_for_its_owner_alone(odl: Odl, place: Path) -> None:
    await odl("list")
    assert mode_of(place / "odl.db") == 0o600


async def test_a_database_that_cannot_be_used_is_a_sentence(odl: Odl, place: Path) -> None:
    (place / "config.toml").write_text('[database]\nurl = "sqlite:////proc/nowhere/odl.db"')
    said = await odl("list")
    assert (said.code, said.out) == (2, "")
    sentence = "the database file /proc/nowhere/odl.db cannot be opened: No such file or directory"
    assert said.err == f"odl: {sentence}; look at [database] url with `odl check`\n"


async def test_a_file_that_is_no_database_is_a_sentence(odl: Odl, place: Path) -> None:
    (place / "odl.db").write_text("no database" * 1000)
    said = await odl("list")
    assert (said.code, said.out) == (2, "")
    assert "file is not a database" in said.err


async def test_a_database_server_that_is_away_is_a_sentence(odl: Odl, place: Path) -> None:
    (place / "config.toml").write_text('[database]\nurl = "mysql://user:secret@127.0.0.1:1/db"')
    said = await odl("add", LINK)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("odl: the database 127.0.0.1:1/db does not serve us")
    assert "secret" not in said.err


def mode_of(file: Path) -> int:
    return file.stat().st_mode & 0o777
