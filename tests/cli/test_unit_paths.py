from __future__ import annotations

from pathlib import Path

import pytest

from odl_daemon.cli.unit_paths import main

OWN = "/var/lib/odl-daemon"


def lines(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> list[str]:
    """What the unit is told for such a config, without its comments."""
    file = folder / "config.toml"
    file.write_text(text)
    assert main([str(file)]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]


def config(library: str = f'kind = "folder"\nfolder = "{OWN}/library"', more: str = "") -> str:
    return f'[daemon]\nstate_dir = "{OWN}/state"\n[library]\n{library}\n{more}'


def test_what_lies_in_the_state_directory_needs_no_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(tmp_path, capsys, config()) == []


def test_every_folder_that_is_written_to_is_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = """
        [database]
        url = "sqlite:////srv/db/odl.db"
        [download]
        temp_dir = "/srv/temp"
        [log]
        file = "/var/log/odl/odl.log"
        aria2_file = "/var/log/odl/aria2.log"
    """
    assert lines(tmp_path, capsys, config('folder = "/srv/library"', more)) == [
        "[Service]",
        'ReadWritePaths="-/srv/temp"',
        'ReadWritePaths="-/var/log/odl"',
        'ReadWritePaths="-/srv/library"',
        'ReadWritePaths="-/srv/db"',
    ]


def test_a_seafile_in_a_home_is_shown_and_only_our_folder_there_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = "/home/seafile/haiwen"
    (tmp_path / "conf").mkdir()
    library = f'kind = "seafile-rpc"\nsocket = "{top}/seafile-server-latest/runtime/seafile.sock"'
    more = f'[download]\ntemp_dir = "{top}/odl-scratch"'
    assert lines(tmp_path, capsys, config(library, more)) == [
        "[Service]",
        "ProtectHome=tmpfs",
        f'BindReadOnlyPaths="-{top}"',
        f'BindPaths="-{top}/odl-scratch"',
    ]


def test_where_a_link_leads_is_opened_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "library").symlink_to("disk")
    told = lines(tmp_path, capsys, config(f'folder = "{tmp_path}/library"'))
    assert told == ["[Service]", f'ReadWritePaths="-{tmp_path}/library"', f'ReadWritePaths="-{tmp_path}/disk"']


def test_a_path_is_spelled_as_systemd_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = lines(tmp_path, capsys, config("folder = '/srv/100% \"a\\b\": $c'"))
    assert told == ["[Service]", 'ReadWritePaths="-/srv/100%% \\"a\\\\b\\": $c"']


@pytest.mark.parametrize("text", ["[nonsense]", '[library]\nfolder = "/a\\nb"'])
def test_what_no_unit_can_hold_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert main([str(file)]) == 2
    assert capsys.readouterr().err


def test_missing_folders_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(config(f'folder = "{tmp_path}/a/library"'))
    assert main(["--make", str(file)]) == 0
    assert (tmp_path / "a/library").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.toml"
    file.write_text(config(f'folder = "{file}/library"'))
    assert main(["--make", str(file)]) == 2
    assert f"{file}/library cannot be made" in capsys.readouterr().err
