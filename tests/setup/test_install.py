"""`make install` says at once what it cannot work with, before it touches anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from odl_daemon.cli.unit_paths import read, unit_lines, written
from odl_daemon.config import load

ROOT = Path(__file__).parents[2]

NEEDED = ("sh", "dirname", "cat", "sed", "cut", "readlink", "tr", "stat")
"""What the scripts ask with; what they would act with is not here."""

FAKES = {
    "id": "echo 0",
    "getent": "exit 2",
    "systemctl": "exit 1",
    "systemd-sysusers": "exit 1",
    "systemd-tmpfiles": "exit 1",
    "mktemp": "echo 'it would go on now' >&2; exit 1",
}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs: a root who can look but not act."""
    for name in NEEDED:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for name, body in FAKES.items():
        fake(tmp_path / name, body)
    return tmp_path


def fake(program: Path, body: str) -> None:
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def said(bare: Path, script: str = "install.sh", **env: str) -> str:
    """The sentence that it stops with."""
    ended = subprocess.run(
        [str(bare / "sh"), str(ROOT / "tools" / script)],
        env={"PATH": str(bare), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    return ended.stderr


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_only_root_installs(bare: Path, script: str) -> None:
    fake(bare / "id", "echo 1000")
    assert f"only root can do that: sudo make {script.removesuffix('.sh')}" in said(bare, script)


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_a_host_without_systemd_is_told(bare: Path, script: str) -> None:
    (bare / "systemctl").unlink()
    assert "this host has no systemd (systemctl is missing)" in said(bare, script)


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("opt/odl", "has to be absolute"),
        ("-rf", "has to be absolute"),
        ("/", "without a slash at its end"),
        ("/opt/odl/", "without a slash at its end"),
        ("/opt//odl", "expected a path of letters"),
        ("/opt/../etc", "expected a path of letters"),
        ("/opt/a b", "expected a path of letters"),
        ("/opt/$(touch owned)`touch owned`", "expected a path of letters"),
        ("/opt/a\n/b", "expected a path of letters"),
        ("/opt/ä", "expected a path of letters"),
        ("/home/odl", "the service sees nothing below"),
    ],
)
def test_a_prefix_that_cannot_be_is_told(bare: Path, script: str, prefix: str, sentence: str) -> None:
    assert sentence in said(bare, script, PREFIX=prefix)


@pytest.mark.parametrize("user", ["nobody-here", "0", "root:x", "a b", "-x", "$(touch owned)", "a\nb"])
def test_a_user_whom_the_host_does_not_know_is_told(bare: Path, user: str) -> None:
    told = said(bare, PREFIX="/opt/odl-daemon", SEAFILE_USER=user)
    assert f"'{user}'" in told
    assert "SEAFILE_USER" in told


def test_a_number_is_no_name(bare: Path) -> None:
    fake(bare / "getent", "echo root:x:0:0:root:/root:/bin/sh")
    assert "knows no user of that name" in said(bare, PREFIX="/opt/odl-daemon", SEAFILE_USER="0")


def test_a_seafile_that_is_not_there_is_told(bare: Path) -> None:
    told = said(bare, PREFIX="/opt/odl-daemon", SEAFILE_CONF="/no/where")
    assert "SEAFILE_CONF is '/no/where', and there is no such folder" in told


def test_the_first_config_is_one_that_the_unit_is_made_for(tmp_path: Path) -> None:
    config = load(ROOT / "systemd/config.toml", {})
    assert list(unit_lines(written(config), read(config))) == []
    assert config.database.url == "sqlite:////var/lib/odl-daemon/odl.db"
    tried = [sys.executable, "-m", "odl_daemon.cli.unit_paths", str(ROOT / "systemd/config.toml")]
    assert subprocess.run(tried, capture_output=True, check=True).stdout == b""


def test_the_folders_are_those_of_the_unit() -> None:
    lines = (ROOT / "systemd/odl-daemon.tmpfiles").read_text().splitlines()[1:]
    assert lines == [
        "d /etc/odl-daemon 0750 root odl-daemon -",
        "d /var/lib/odl-daemon 0700 odl-daemon odl-daemon -",
    ]
    unit = (ROOT / "systemd/odl-daemon.service").read_text()
    assert "\nStateDirectoryMode=0700\n" in unit
    assert "\nConfigurationDirectoryMode=0750\n" in unit
