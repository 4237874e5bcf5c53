"""The set-up keeps its promises to a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TARGETS = ("run", "test", "lint", "bench", "chaos", "fresh", "test-systemd", "install", "uninstall", "clean")

HOSTILE = 'http://h/a b?c=1&d=\'$HOME $(shell touch owned) $$x `touch owned`;touch owned|"q"#f'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, with tools that only tell what reached them."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "setup.sh").write_text("")
    for name in ("install.sh", "uninstall.sh"):
        (tmp_path / "tools" / name).write_text('printf "%s|%s|%s" "$PREFIX" "$SEAFILE_USER" "$SEAFILE_CONF"\n')
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf %s "$URL"\n')
    python.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", "--silent", *arguments], cwd=checkout, env=clean | env, capture_output=True, text=True, check=False
    )


def test_a_link_reaches_the_daemon_as_it_was_typed(checkout: Path) -> None:
    assert make(checkout, "run", f"URL={HOSTILE}").stdout == HOSTILE
    assert make(checkout, "run", URL=HOSTILE).stdout == HOSTILE
    assert not (checkout / "owned").exists()


@pytest.mark.parametrize("target", ["install", "uninstall"])
def test_what_an_installation_is_told_reaches_it_as_it_was_typed(checkout: Path, target: str) -> None:
    values = {"PREFIX": "/p" + HOSTILE, "SEAFILE_USER": "u" + HOSTILE, "SEAFILE_CONF": "/c" + HOSTILE}
    told = "|".join(values.values())
    assert make(checkout, target, *(f"{name}={value}" for name, value in values.items())).stdout == told
    assert make(checkout, target, **values).stdout == told
    assert not (checkout / "owned").exists()


def test_without_a_link_there_is_none(checkout: Path) -> None:
    assert make(checkout, "run").stdout == ""


def test_help_names_every_target(checkout: Path) -> None:
    told = make(checkout).stdout
    assert all(target in told for target in TARGETS)


def test_without_root_the_missing_packages_are_named(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("setup.sh", "packages.sh"):
        shutil.copy(ROOT / "tools" / name, tools)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("sh", "mkdir", "flock", "paste", "dirname", "cat"):
        (bare / name).symlink_to(str(shutil.which(name)))
    for name, body in (("id", "echo 1000"), ("sudo", "exit 1"), ("apt-get", "exit 1")):
        (bare / name).write_text(f"#!/bin/sh\n{body}\n")
        (bare / name).chmod(0o755)
    (bare / "python3").symlink_to("/bin/false")
    env = {"PATH": str(bare), "PYTHON": "no-python-at-all"}
    told = subprocess.run(
        [str(bare / "sh"), "tools/setup.sh", "run"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "apt-get install --no-install-recommends aria2 bubblewrap python3-venv" in told.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "tools").glob("*.sh")), ids=lambda path: str(path.name))
def test_every_script_is_one_that_sh_can_read(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)
