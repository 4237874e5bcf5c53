from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from odl_daemon.config import Config, ConfigError, load, settings_of
from odl_daemon.config.settings import SECTIONS


def config(folder: Path, text: str = "", **environ: str) -> Config:
    file = folder / "config.toml"
    file.write_text(text)
    return load(file, environ)


def mistakes(folder: Path, text: str = "", **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config(folder, text, **environ)
    return caught.value.mistakes


def test_without_a_file_the_defaults_hold_and_paths_count_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = load(None, {})
    assert default.file is None
    assert default.download.slots == 10
    assert default.download.time_limit == 1800.0
    assert default.daemon.state_dir == tmp_path / "state"
    assert default.download.temp_dir == tmp_path / "state" / "scratch"
    assert default.log.file is None
    assert default.guard.allow == ()
    assert default.came_from == {}


def test_the_file_is_looked_for_in_four_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, slots in (("config.toml", 1), ("named.toml", 2), ("by-environment.toml", 3)):
        (tmp_path / name).write_text(f"[download]\nslots = {slots}")
    environ = {"ODL_CONFIG": "by-environment.toml"}
    assert load(None, {}).download.slots == 1
    assert load(None, {"ODL_CONFIG": ""}).download.slots == 1
    assert load(None, environ).download.slots == 3
    assert load(Path("named.toml"), environ).download.slots == 2


@pytest.mark.parametrize("environ", [{}, {"ODL_CONFIG": "nowhere.toml"}])
def test_a_file_that_is_named_must_be_there(tmp_path: Path, environ: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml, which .* names, does not exist"):
        load(None if environ else tmp_path / "nowhere.toml", environ)


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    found = config(tmp_path, '[daemon]\nstate_dir = "s"\n[library]\nfolder = "/abs"\n[log]\nfile = "odl.log"')
    assert found.daemon.state_dir == tmp_path / "s"
    assert found.download.temp_dir == tmp_path / "s" / "scratch"
    assert found.library.folder == Path("/abs")
    assert found.log.file == tmp_path / "odl.log"


def test_a_program_with_a_slash_is_a_path(tmp_path: Path) -> None:
    assert config(tmp_path, '[download]\naria2c = "bin/aria2c"').download.aria2c == str(tmp_path / "bin/aria2c")
    assert config(tmp_path, '[download]\naria2c = "aria2c"').download.aria2c == "aria2c"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = config(tmp_path, "[download]\nslots = 3", ODL_DOWNLOAD__SLOTS="20", ODL_DAEMON__ENABLED="false")
    assert found.download.slots == 20
    assert found.daemon.enabled is False
    assert found.came_from["download", "slots"] == "ODL_DOWNLOAD__SLOTS"


@pytest.mark.parametrize("words", ['["10.0.0.0/8", "intra:8080"]', "10.0.0.0/8, intra:8080"])
def test_a_list_in_the_environment_is_json_or_has_commas(tmp_path: Path, words: str) -> None:
    assert config(tmp_path, ODL_GUARD__ALLOW=words).guard.allow == ("10.0.0.0/8", "intra:8080")


def test_other_variables_of_ours_are_none_of_its_business(tmp_path: Path) -> None:
    config(tmp_path, ODL_CONFIG="x", ODL_DEBUG="1")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = """
        [download]
        slotz = 3
        slots = "many"
        time_limit = "1h30"
        poll = 3
        [databse]
        url = "x"
        [library]
        kind = "ftp"
    """
    told = mistakes(tmp_path, text, ODL_INTAKE__POL="3")
    file = tmp_path / "config.toml"
    assert told[0] == f"{file}: [download] slotz is no key that there is; did you mean slots?"
    assert told[1] == f"{file}: [download] poll is no key that there is; it belongs to [intake]"
    assert told[2] == f"{file}: there is no section [databse]; did you mean database?"
    assert told[3] == "the environment variable ODL_INTAKE__POL is no setting; did you mean ODL_INTAKE__POLL?"
    assert told[4] == f"{file}: [download] slots: expected a whole number from 1 to 256, not 'many'"
    assert told[5].startswith(f"{file}: [download] time_limit: expected seconds as a number")
    assert told[6].startswith(f'{file}: [library] kind: expected one of "folder"')
    assert len(told) == 7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[download", "is not valid TOML"),
        ("download = 3", "download is a section: write [download]"),
        ("[nonsense]", "there is no section [nonsense]; there is: daemon, database"),
        ("[download]\nslots = 0", "from 1 to 256, not 0"),
        ("[download]\nslots = true", "from 1 to 256, not True"),
        ("[download]\nslots = 1.5", "from 1 to 256, not 1.5"),
        ("[daemon]\nenabled = 1", "expected true or false, not 1"),
        ("[intake]\npoll = 0", "from 0.1s to 1h, not 0"),
        ("[intake]\npoll = nan", "not nan"),
        ("[download]\nmax_size = -1", "expected bytes"),
        ("[guard]\nallow = [1]", "expected a list of networks"),
        ('[guard]\nallow = ["a b"]', "expected a list of networks"),
        ('[daemon]\nname = "a b"', "letters, digits"),
        ("[daemon]\nlease = 4", "from 5s to 1h, not 4"),
        ("[download]\nslots = 257", "from 1 to 256, not 257"),
        ('[library]\nfolder = "state/scratch/x"', "lies in [download] temp_dir"),
        ('[download]\ntemp_dir = "state"', "let temp_dir be a folder of its own"),
        ('[download]\ntemp_dir = "x/../state"', "let temp_dir be a folder of its own"),
        ('[download]\ntemp_dir = "x"\n[daemon]\nstate_dir = "x/state"', "let temp_dir be a folder of its own"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in "\n".join(mistakes(tmp_path, text))


def test_a_password_is_never_repeated(tmp_path: Path) -> None:
    told = mistakes(tmp_path, '[database]\nurl = "mysql://user:secret@host"', ODL_DATABASE__URL="mysql:/secret@x")
    assert "secret" not in "\n".join(told)
    assert "secret" not in repr(config(tmp_path, '[database]\nurl = "mysql://user:secret@host/db"'))


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(tmp_path / "config.toml", {})


def test_every_key_says_what_it_means() -> None:
    for section in SECTIONS:
        for key, setting in settings_of(section).items():
            assert setting.meaning.endswith("."), key
            assert setting.kind.expected, key
