from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Odl


async def test_a_key_is_told_once_and_listed_without_what_opens_the_door(odl: Odl, place: Path) -> None:
    secret = (await odl("token", "create", "--owner", "ann", "--name", "script", "--days", 30)).out.strip()
    once = (await odl("token", "create", "--once", "--admin")).out.strip()
    assert secret.startswith("odl_")
    listed = (await odl("token", "list")).out
    one, two = json.loads((await odl("token", "list", "--json")).out)
    assert (one["owner"], one["name"], one["kind"], one["admin"]) == ("ann", "script", "token", False)
    assert (two["owner"], two["kind"], two["admin"]) == ("local", "once", True)
    assert one["expires"] > one["created"]
    assert one["id"] in listed
    for place_of_it in (listed, json.dumps([one, two]), (place / "odl.db").read_bytes().decode("latin-1")):
        assert secret not in place_of_it
        assert once not in place_of_it


async def test_keys_are_taken_back_by_id_or_by_owner(odl: Odl, place: Path) -> None:
    for owner in ("ann", "ann", "bob"):
        await odl("token", "create", "--owner", owner)
    keys = json.loads((await odl("token", "list", "--json")).out)
    said = await odl("token", "revoke", keys[0]["id"], "nothing")
    assert (said.code, said.out, said.err) == (1, f"{keys[0]['id']}: revoked\n", "no key nothing\n")
    said = await odl("token", "revoke", "--owner", "ann")
    assert (said.code, said.out) == (0, f"{keys[1]['id']}: revoked\nann: signed out everywhere\n")
    assert [key["owner"] for key in json.loads((await odl("token", "list", "--json")).out)] == ["bob"]


async def test_a_key_for_nobody_is_refused(odl: Odl, place: Path) -> None:
    for owner in ("", "x" * 256):
        said = await odl("token", "create", "--owner", owner)
        assert (said.code, said.out) == (1, "")
        assert "1 to 255 characters" in said.err


async def test_names_cannot_play_tricks_on_a_terminal(odl: Odl, place: Path) -> None:
    await odl("token", "create", "--name", "\x1b[2Jgone", "--owner", "a\x07b")
    assert not {"\x1b", "\x07"} & set((await odl("token", "list")).out)
