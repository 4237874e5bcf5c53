from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from odl_daemon import __version__
from odl_daemon.cli import main, service
from odl_daemon.cli.main import parser


@pytest.mark.parametrize(
    "line",
    ["", "fly", "add", "list --limit 0", "show", "show x", "pause -1", "retry", "retry 1 --failed", "why 1 2"],
)
def test_words_that_make_no_sense_are_a_usage_and_code_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main.main(line.split())
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: odl")


@pytest.mark.parametrize(("tool", "name"), [(main.main, "odl"), (service.main, "odl-daemon")])
def test_each_tool_tells_its_version(tool: object, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(tool)
    with pytest.raises(SystemExit) as left:
        tool(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"


def test_the_help_names_every_command() -> None:
    told = parser().format_help()
    for command in ("add", "list", "show", "why", "watch", "pause", "resume", "cancel", "retry", "check", "config"):
        assert f"\n    {command} " in told


def test_a_mistake_in_the_settings_is_told_by_both_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[download]\nslots = 0\npoll = 1")
    assert main.main(["--config", str(file), "list"]) == 2
    assert service.main(["--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(str(file) in line for line in lines)


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    odl = subprocess.Popen(
        [sys.executable, "-m", "odl_daemon.cli.main", "config"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert odl.stdout is not None
    odl.stdout.close()
    assert odl.stderr is not None
    assert odl.stderr.read() == b""
    odl.stderr.close()
    assert odl.wait() == 1
