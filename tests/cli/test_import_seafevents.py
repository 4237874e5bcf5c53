from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from odl_daemon.config import Config, load
from tests.cli.conftest import Odl

DATABASE = """\
[DATABASE]
type = mysql
host = 127.0.0.1
username = seafile
password = se%cr#et
name = seahub_db
"""
WORKER = """\
[OFFLINE DOWNLOAD]
enabled = Yes
tempdir = /tmp/old
workers = 5 ; more did not help
time-limit = 3600
"""


@pytest.fixture
def conf(place: Path) -> Path:
    """The folder conf of an installation in the usual layout."""
    folder = place / "seafile/conf"
    folder.mkdir(parents=True)
    (folder / "seafevents.conf").write_text(DATABASE + WORKER)
    return folder


async def imported(odl: Odl, folder: Path) -> Config:
    """What our own loader makes of the printed file."""
    said = await odl("import-seafevents", folder)
    assert (said.code, said.err) == (0, "")
    file = Path("made.toml")
    file.write_text(said.out)
    return load(file, {})


async def printed(odl: Odl, folder: Path) -> str:
    """The file with its comments' lines put together."""
    return " ".join((await odl("import-seafevents", folder)).out.replace("\n#", "").split())


async def test_the_printed_file_is_a_config_that_takes_over(odl: Odl, place: Path, conf: Path) -> None:
    config = await imported(odl, conf)
    assert config.daemon.enabled
    assert config.database.seafile_conf == conf
    assert config.database.url == "mysql://seafile:se%25cr%23et@127.0.0.1:3306/seahub_db"
    assert (config.download.slots, config.download.time_limit) == (5, 3600.0)
    assert config.download.temp_dir == place / "seafile/odl-scratch"
    assert config.library.kind == "seafile-rpc"
    assert config.library.socket == place / "seafile/seafile-server-latest/runtime/seafile.sock"


async def test_a_service_says_where_its_state_is(odl: Odl, conf: Path) -> None:
    said = await odl("import-seafevents", "--state-dir", "/var/lib/odl-daemon/state", conf)
    assert tomllib.loads(said.out)["daemon"] == {"state_dir": "/var/lib/odl-daemon/state", "enabled": True}


async def test_the_password_is_not_copied_and_not_shown(odl: Odl, conf: Path) -> None:
    assert "se%cr" not in (await odl("import-seafevents", conf)).out
    config = await imported(odl, conf)
    said = await odl("--config", "made.toml", "config")
    Path("again.toml").write_text(said.out)
    assert load(Path("again.toml"), {}).database == config.database, "what is shown can be used as it stands"
    assert f'url = "mysql://seafile:***@127.0.0.1:3306/seahub_db"  # {conf / "seafevents.conf"}' in said.out
    assert "se%" not in said.out


async def test_the_same_installation_gives_the_same_file(
    odl: Odl, conf: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = await odl("import-seafevents", conf)
    monkeypatch.chdir(place / "seafile")
    (place / "seafile/config.toml").write_text("[nonsense]")
    assert await odl("import-seafevents", "conf/") == absolute


async def test_comments_say_what_came_from_where(odl: Odl, conf: Path) -> None:
    text = await printed(odl, conf)
    assert "[OFFLINE DOWNLOAD] enabled = Yes: the old worker is on. Switch it off" in text
    assert "[OFFLINE DOWNLOAD] workers = 5. slots = 5" in text
    assert "[OFFLINE DOWNLOAD] time-limit = 3600, in seconds. time_limit = 3600" in text
    assert "[OFFLINE DOWNLOAD] tempdir = /tmp/old; that folder is left alone" in text
    assert f"today from {json.dumps(str(conf / 'seafevents.conf'))}." in text


@pytest.mark.parametrize(("word", "enabled"), [("off", False), ("0", False), ("TRUE", True), ("on", True)])
async def test_a_worker_that_is_off_stays_off(odl: Odl, conf: Path, word: str, enabled: bool) -> None:
    (conf / "seafevents.conf").write_text(DATABASE + WORKER.replace("Yes", word))
    assert (await imported(odl, conf)).daemon.enabled is enabled


@pytest.mark.parametrize("worker", ["", "[OFFLINE DOWNLOAD]\n"])
async def test_what_is_not_set_keeps_our_default(odl: Odl, conf: Path, worker: str) -> None:
    (conf / "seafevents.conf").write_text(DATABASE + worker)
    config = await imported(odl, conf)
    assert (config.daemon.enabled, config.download.slots, config.download.time_limit) == (True, 10, 1800.0)
    assert "[OFFLINE DOWNLOAD] workers is not set, so the default of slots holds, 10." in await printed(odl, conf)


@pytest.mark.parametrize("number", ["many", "1000000000000", "0", "-1", "", "1.5", "5\n \x1b\n 6"])
async def test_what_does_not_fit_is_told_and_keeps_our_default(odl: Odl, conf: Path, number: str) -> None:
    worker = WORKER.replace("5 ; more did not help", number).replace("3600", number).replace("Yes", number)
    (conf / "seafevents.conf").write_text(DATABASE + worker)
    config = await imported(odl, conf)
    assert (config.download.slots, config.download.time_limit) == (10, 1800.0)
    assert "so the default of slots holds, 10. Expected: a whole number from 1 to 256." in await printed(odl, conf)


async def test_the_folder_above_conf_will_do(odl: Odl, conf: Path) -> None:
    config, above = await imported(odl, conf), await imported(odl, conf.parent)
    assert above.database.seafile_conf == conf.parent
    assert (above.database.url, above.library, above.download) == (config.database.url, config.library, config.download)


async def test_seafile_13_keeps_its_credentials_in_env(odl: Odl, conf: Path) -> None:
    (conf / "seafevents.conf").write_text(WORKER)
    (conf / ".env").write_text("SEAFILE_MYSQL_DB_HOST=db\nSEAFILE_MYSQL_DB_USER=u\nSEAFILE_MYSQL_DB_PASSWORD='s e#c'\n")
    config = await imported(odl, conf)
    assert config.database.url == "mysql://u:s%20e%23c@db:3306/seahub_db"
    assert config.download.slots == 5


async def test_a_folder_with_odd_characters_is_written_as_toml(odl: Odl, place: Path, conf: Path) -> None:
    odd = place / 'a "b"\n # é'
    conf.parent.rename(odd)
    said = await odl("import-seafevents", odd / "conf")
    assert tomllib.loads(said.out)["database"] == {"seafile_conf": str(odd / "conf")}


@pytest.mark.parametrize("there", [True, False])
async def test_a_folder_without_such_files_is_one_sentence_and_code_2(odl: Odl, place: Path, there: bool) -> None:
    if there:
        (place / "empty").mkdir()
    said = await odl("import-seafevents", place / "empty")
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert str(place / "empty") in said.err
