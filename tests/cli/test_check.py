from __future__ import annotations

from pathlib import Path

import pytest

from odl_daemon.download import sandbox
from tests.cli.conftest import Odl

NAMES = ["config", "database", "aria2c", "sandbox", "library", "temp"]


def found(out: str) -> dict[str, str]:
    """ok or FAIL for each thing."""
    return {line.split()[1]: line.split()[0] for line in out.splitlines()}


async def test_where_everything_is_there_all_is_ok(odl: Odl, place: Path) -> None:
    said = await odl("check")
    assert found(said.out) == dict.fromkeys(NAMES, "ok")
    assert (said.code, said.err) == (0, "")
    assert sorted(file.name for file in left_in(place)) == ["config.toml", "state"], "a check leaves no trace"


async def test_each_thing_that_is_missing_fails_with_a_hint(
    odl: Odl, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").write_text("")
    (place / "config.toml").write_text(
        '[download]\naria2c = "no-such-aria2c"\ntemp_dir = "file/x"\n[library]\nfolder = "file"\n'
        '[database]\nurl = "mysql://user:secret@127.0.0.1:1/db"'
    )
    said = await odl("check")
    assert found(said.out) == dict.fromkeys(NAMES, "FAIL") | {"config": "ok"}
    assert said.code == 2
    assert "secret" not in said.out
    assert "apt install aria2" in said.out


async def test_a_sandbox_that_cannot_be_made_fails_with_its_reason(
    odl: Odl, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def try_sandbox(**_: object) -> str:
        return "this host forbids user namespaces"

    monkeypatch.setattr(sandbox, "try_sandbox", try_sandbox)
    said = await odl("check")
    assert "FAIL  sandbox     this host forbids user namespaces" in said.out.splitlines()


async def test_a_program_that_is_another_is_told(odl: Odl, place: Path) -> None:
    (place / "config.toml").write_text('[download]\naria2c = "/bin/true"')
    said = await odl("check")
    assert "/bin/true is no aria2c" in said.out


async def test_mistakes_in_the_settings_are_a_line_each(odl: Odl, place: Path) -> None:
    (place / "config.toml").write_text("[download]\nslots = 0\npoll = 1")
    said = await odl("check")
    assert said.code == 2
    assert [line.split()[:2] for line in said.out.splitlines()] == [["FAIL", "config"], ["FAIL", "config"]]


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())
