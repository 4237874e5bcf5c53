"""The service unit is one that systemd takes without a complaint, and stays as tight as it is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers.child import program

UNIT = Path(__file__).parents[2] / "systemd" / "odl-daemon.service"

INSTALLED = "/opt/odl-daemon/.venv/bin/odl-daemon"

TIGHT = 2.5
"""The highest exposure that we accept; a unit without hardening has more than 9."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it would be installed here: systemd wants the program to exist."""
    text = UNIT.read_text()
    # What `make install` fills in, each in one place.
    assert [text.count(f"\n{key}=") for key in ("ExecStart", "User", "Group")] == [1, 1, 1]
    assert text.count(INSTALLED) == 1
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(INSTALLED, program("odl-daemon")))
    return unit


def test_systemd_has_nothing_to_complain_of(unit: Path) -> None:
    verified = analyze("verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_the_unit_stays_tight(unit: Path) -> None:
    shown = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for odl-daemon.service: ([\d.]+)", shown.stdout)
    assert found, shown
    assert float(found[1]) <= TIGHT


def test_bwrap_may_open_files_as_newer_versions_do(unit: Path) -> None:
    assert "RestrictSUIDSGID" not in {line.partition("=")[0] for line in unit.read_text().splitlines()}


def test_a_daemon_that_hangs_or_dies_comes_back(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert {"Type=notify", "Restart=always", "KillMode=mixed"} <= set(lines)
    assert any(line.startswith("WatchdogSec=") for line in lines)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
