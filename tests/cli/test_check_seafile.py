from __future__ import annotations

from pathlib import Path

import pytest

from odl_daemon.cli.check_seafile import version_of


@pytest.mark.parametrize(
    ("folder", "version"),
    [("seafile-server-12.0.14", "12.0.14"), ("seafile-pro-server-11.0.3", "11.0.3"), ("seafile", "")],
)
def test_the_version_is_that_of_the_folder_behind_the_link(tmp_path: Path, folder: str, version: str) -> None:
    (tmp_path / folder / "runtime").mkdir(parents=True)
    (tmp_path / folder / "runtime" / "seafile.sock").touch()
    (tmp_path / "seafile-server-latest").symlink_to(folder)
    assert version_of(tmp_path / "seafile-server-latest/runtime/seafile.sock") == version


def test_a_socket_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert version_of(tmp_path / "seafile.sock") == ""
