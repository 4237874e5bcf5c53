from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from odl_daemon.cli.show_config import in_force
from odl_daemon.config import load
from tests.cli.conftest import Odl


async def test_the_settings_in_force_are_toml_that_could_be_used(
    odl: Odl, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODL_GUARD__ALLOW", "10.0.0.0/8")
    (place / "config.toml").write_text(
        '[download]\nslots = 3\nmax_size = "5 GiB"\ntime_limit = 0.5\n[log]\nfile = "a b"'
    )
    said = await odl("config")
    (place / "again.toml").write_text(said.out)
    assert in_force(load(place / "again.toml", {})) == in_force(load(None, {"ODL_GUARD__ALLOW": "10.0.0.0/8"}))
    assert tomllib.loads(said.out)["download"]["max_size"] == 5 << 30


async def test_each_value_says_where_it_comes_from(odl: Odl, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODL_INTAKE__POLL", "9")
    (place / "config.toml").write_text("[download]\nslots = 3")
    lines = (await odl("config")).out.splitlines()
    assert "slots = 3  # config.toml" in lines
    assert "poll = 9  # ODL_INTAKE__POLL" in lines
    assert "retries = 5  # default" in lines


async def test_the_password_is_hidden(odl: Odl, place: Path) -> None:
    (place / "config.toml").write_text('[database]\nurl = "mysql://user:pa55word@host/db"')
    assert "pa55word" not in (await odl("config")).out
    said = await odl("config", "--json")
    assert json.loads(said.out)["database"]["url"] == "mysql://user:***@host/db"
