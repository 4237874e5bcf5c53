from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odl_daemon.config import Config, ConfigError, load
from odl_daemon.config.database_url import normal_url, without_password
from odl_daemon.config.seafile_conf import SeafileConfError, credentials
from odl_daemon.store.address import Address, parse

SEAFEVENTS = """\
[DATABASE]
type = mysql
host = 127.0.0.1
port = 3307
username = seafile
password = secret
name = seahub_db
"""
DOTENV = """\
TIME_ZONE=UTC
SEAFILE_MYSQL_DB_HOST=db # the host
SEAFILE_MYSQL_DB_PORT=3307
SEAFILE_MYSQL_DB_USER=seafile
SEAFILE_MYSQL_DB_PASSWORD=secret
SEAFILE_MYSQL_DB_SEAHUB_DB_NAME=seahub
"""
VARIABLES = {
    "SEAFILE_MYSQL_DB_HOST": "elsewhere",
    "SEAFILE_MYSQL_DB_USER": "other",
    "SEAFILE_MYSQL_DB_PASSWORD": "hidden",
}

PASSWORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"))).map(str.strip)
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The folder conf of an installation, still empty."""
    folder = tmp_path / "seafile/conf"
    folder.mkdir(parents=True)
    return folder


def address(folder: Path, environ: Mapping[str, str] | None = None) -> Address:
    return parse(normal_url(credentials(folder, environ or {}).url, Path("/")))


def mistake(folder: Path, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(SeafileConfError) as caught:
        credentials(folder, environ or {})
    return str(caught.value)


def seafevents(folder: Path, text: str = SEAFEVENTS) -> Path:
    file = folder / "seafevents.conf"
    file.write_text(text, encoding="utf-8")
    return file


def dotenv(folder: Path, text: str = DOTENV) -> Path:
    file = folder / ".env"
    file.write_text(text, encoding="utf-8")
    return file


def installed(conf: Path, version: str) -> None:
    """The link that an installation has beside its conf; it need not lead anywhere."""
    (conf.parent / "seafile-server-latest").symlink_to(f"seafile-server-{version}")


# --- up to Seafile 12 -------------------------------------------------------------------------------------


def test_seafevents_conf_names_the_database(conf: Path) -> None:
    file = seafevents(conf)
    assert address(conf) == Address("mysql", "seahub_db", "127.0.0.1", 3307, "seafile", "secret")
    assert credentials(conf, {}).origin == str(file)


def test_the_folder_above_conf_will_do(conf: Path) -> None:
    seafevents(conf)
    assert address(conf.parent) == address(conf)


def test_host_and_port_have_the_servers_own_defaults(conf: Path) -> None:
    seafevents(conf, "[DATABASE]\ntype=mysql\nusername=u\npassword=p\nname=n\n")
    assert address(conf) == Address("mysql", "n", "localhost", 3306, "u", "p")


def test_a_unix_socket_needs_no_password(conf: Path) -> None:
    seafevents(conf, "[DATABASE]\ntype=mysql\nusername=u\nname=n\nunix_socket = /run/my sql&x=1.sock\n")
    assert address(conf) == Address("mysql", "n", "localhost", 3306, "u", "", "/run/my sql&x=1.sock")


def test_a_comment_behind_a_value_is_none_of_it_but_a_password_is_whole(conf: Path) -> None:
    seafevents(conf, SEAFEVENTS.replace("seahub_db", "seahub_db ; mine").replace("secret", "a ;b #c"))
    assert (address(conf).place, address(conf).password) == ("seahub_db", "a ;b #c")


def test_an_ipv6_host_is_understood(conf: Path) -> None:
    seafevents(conf, SEAFEVENTS.replace("127.0.0.1", "fd00::1"))
    assert address(conf).host == "fd00::1"


@SAME_FOLDER
@given(PASSWORDS)
def test_a_password_in_seafevents_conf_may_hold_any_character(conf: Path, password: str) -> None:
    seafevents(conf, SEAFEVENTS.replace("secret", password))
    url = credentials(conf, {}).url
    assert parse(normal_url(url, Path("/"))).password == password
    assert without_password(url) == "mysql://seafile:***@127.0.0.1:3307/seahub_db"


# --- Seafile 13 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", [True, False])
def test_env_names_the_database(conf: Path, above: bool) -> None:
    file = dotenv(conf)
    folder = conf.parent if above else conf
    assert address(folder) == Address("mysql", "seahub", "db", 3307, "seafile", "secret")
    assert credentials(folder, {}).origin == str(file)


def test_the_environment_wins_over_env(conf: Path) -> None:
    file = dotenv(conf)
    assert address(conf, VARIABLES) == Address("mysql", "seahub", "elsewhere", 3307, "other", "hidden")
    assert credentials(conf, VARIABLES).origin == ", ".join([str(file), *VARIABLES])
    assert address(conf, dict.fromkeys(VARIABLES, "")) == address(conf)


def test_the_environment_is_enough_and_port_and_name_have_defaults(conf: Path) -> None:
    assert address(conf, VARIABLES) == Address("mysql", "seahub_db", "elsewhere", 3306, "other", "hidden")
    assert credentials(conf, VARIABLES).origin == ", ".join(VARIABLES)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a#b", "a#b"),
        ("#a", "#a"),
        ("a b  # c", "a b"),
        ("a\\nb$c", "a\\nb$c"),
        ("a=b", "a=b"),
        ("'a #b$c${d}\\n' # c", "a #b$c${d}\\n"),
        ("'it\\'s'", "it's"),
        ("'a\\'", "a\\"),
        ('"a #b\'" # "c"', "a #b'"),
        ('"a\\"b\\\\c\\$d\\x"', 'a"b\\c$d\\x'),
        ('"a\\tb"', "a\tb"),
        ('"\\${a}"', "${a}"),
        ("''", ""),
        (" # none", ""),
        ("first\nSEAFILE_MYSQL_DB_PASSWORD=last", "last"),
        ("carriage\r", "carriage"),
    ],
)
@pytest.mark.parametrize("before", ["SEAFILE_MYSQL_DB_PASSWORD=", "  export SEAFILE_MYSQL_DB_PASSWORD ="])
def test_env_is_read_by_the_rules_of_dotenv(conf: Path, before: str, written: str, meant: str) -> None:
    dotenv(conf, DOTENV.replace("SEAFILE_MYSQL_DB_PASSWORD=secret", before + written))
    assert address(conf).password == meant


@SAME_FOLDER
@given(PASSWORDS)
def test_a_password_in_env_may_hold_any_character(conf: Path, password: str) -> None:
    escaped = password.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    dotenv(conf, DOTENV.replace("secret", f'"{escaped}"'))
    assert address(conf).password == password


def test_a_commented_line_and_a_key_without_a_value_say_nothing(conf: Path) -> None:
    dotenv(conf, DOTENV.replace("PORT=3307", "PORT=").replace("SEAFILE_MYSQL_DB_SEAHUB", "#SEAFILE_MYSQL_DB_SEAHUB"))
    assert (address(conf).port, address(conf).place) == (3306, "seahub_db")


@pytest.mark.parametrize(("version", "host"), [("12.0.14", "127.0.0.1"), ("13.0.1", "db"), ("", "127.0.0.1")])
def test_of_two_places_the_installed_version_reads_one(conf: Path, version: str, host: str) -> None:
    seafevents(conf)
    dotenv(conf)
    if version:
        installed(conf, version)
    assert address(conf).host == host
    assert address(conf.parent).host == host


def test_a_section_for_other_things_leaves_the_database_to_env(conf: Path) -> None:
    seafevents(conf, "[OFFLINE DOWNLOAD]\nenabled = true\n")
    dotenv(conf)
    assert address(conf).host == "db"


# --- mistakes ---------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert mistake(tmp_path / "no", VARIABLES).startswith(f"{tmp_path / 'no'} is no folder that this user can see")


@pytest.mark.parametrize("text", [None, "[Audit]\nenabled = true\n"])
def test_missing_credentials_are_told_with_where_they_were_looked_for(conf: Path, text: str | None) -> None:
    if text:
        seafevents(conf, text)
    told = mistake(conf)
    assert told.startswith(f"no database credentials in {conf}: expected seafevents.conf with [DATABASE]")
    assert f"in {conf / '.env'} or the environment" in told


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("type = mysql\n", "", "[DATABASE] type: expected mysql, the one kind"),
        ("type = mysql", "type = secret", "[DATABASE] type: expected mysql, the one kind"),
        ("username = seafile\n", "", "[DATABASE] username is missing: expected the name of the database user"),
        ("username = seafile", "username =", "[DATABASE] username is empty: expected the name of the database user"),
        ("password = secret\n", "", "[DATABASE] password is missing: expected the password"),
        ("name = seahub_db", "", "[DATABASE] name is missing: expected the name of the database of Seahub"),
        ("127.0.0.1", "secret/host", "[DATABASE] host: expected a host name or an address"),
        ("3307", "secret", "[DATABASE] port: expected a whole number from 1 to 65535"),
        ("3307", "65536", "[DATABASE] port: expected a whole number from 1 to 65535"),
        ("3307", "3307\n  secret", "[DATABASE] port: expected a whole number from 1 to 65535"),
        ("secret", "sec\0ret", "[DATABASE] password: expected the password, as text in UTF-8"),
        ("\nname =", "\nname secret", ", line 7: expected [sections] and key = value"),
        ("[DATABASE]\n", "", ", line 1: expected [sections] and key = value"),
        ("\nname =", "\npassword = secret\nname =", ", line 7: expected [sections] and key = value"),
        ("\nname =", "\n[DATABASE]\nname =", ", line 7: expected [sections] and key = value"),
    ],
)
def test_each_mistake_in_seafevents_conf_names_file_and_key_and_no_value(
    conf: Path, old: str, new: str, sentence: str
) -> None:
    file = seafevents(conf, SEAFEVENTS.replace(old, new, 1))
    told = mistake(conf)
    assert told.startswith(str(file))
    assert sentence in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("SEAFILE_MYSQL_DB_HOST", "HOST", ": SEAFILE_MYSQL_DB_HOST is missing: expected a host name or an address"),
        ("SEAFILE_MYSQL_DB_USER", "USER", ": SEAFILE_MYSQL_DB_USER is missing: expected the name of the database user"),
        ("SEAFILE_MYSQL_DB_PASSWORD", "PASSWORD", ": SEAFILE_MYSQL_DB_PASSWORD is missing: expected the password"),
        ("3307", "secret", ": SEAFILE_MYSQL_DB_PORT: expected a whole number"),
        ("secret", "'secret", ", line 5: SEAFILE_MYSQL_DB_PASSWORD: expected that the quotes close"),
        ("secret", '"secret" more', ", line 5: SEAFILE_MYSQL_DB_PASSWORD: expected that the quotes close"),
        ("secret", "secret${other}", ", line 5: SEAFILE_MYSQL_DB_PASSWORD: expected the value itself"),
    ],
)
def test_each_mistake_in_env_names_file_and_key_and_no_value(conf: Path, old: str, new: str, sentence: str) -> None:
    file = dotenv(conf, DOTENV.replace(old, new, 1))
    told = mistake(conf)
    assert told.startswith(f"{file}{sentence}")
    assert "secret" not in told


def test_a_mistake_in_the_environment_names_the_variable(conf: Path) -> None:
    told = mistake(conf, VARIABLES | {"SEAFILE_MYSQL_DB_PASSWORD": "hidden\udcff"})
    assert told == "the environment variable SEAFILE_MYSQL_DB_PASSWORD: expected the password, as text in UTF-8"


@pytest.mark.parametrize("name", ["seafevents.conf", ".env"])
def test_a_file_that_cannot_be_read_is_told(conf: Path, name: str) -> None:
    (conf / name).mkdir()  # even root cannot read it
    assert mistake(conf).startswith(f"{conf / name} cannot be read (Is a directory): expected a file that")


@pytest.mark.parametrize("name", ["seafevents.conf", ".env"])
def test_a_file_in_another_encoding_is_told(conf: Path, name: str) -> None:
    (conf / name).write_bytes(b"\xff")
    assert mistake(conf) == f"{conf / name} cannot be read: expected text in UTF-8"


# --- the setting ------------------------------------------------------------------------------------------


def config(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml", environ or {})


def mistakes(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config(folder, text, environ)
    return caught.value.mistakes


NAMED = '[database]\nseafile_conf = "seafile/conf"\n'


def test_the_setting_gives_the_url_and_tells_where_it_comes_from(tmp_path: Path, conf: Path) -> None:
    file = seafevents(conf)
    found = config(tmp_path, NAMED)
    assert found.database.url == "mysql://seafile:secret@127.0.0.1:3307/seahub_db"
    assert found.database.seafile_conf == conf
    assert found.came_from["database", "url"] == str(file)
    assert "secret" not in repr(found)


def test_the_servers_variables_are_taken_from_the_same_environment(tmp_path: Path, conf: Path) -> None:
    assert config(tmp_path, NAMED, VARIABLES).database.url == "mysql://other:hidden@elsewhere:3306/seahub_db"


def test_url_and_seafile_conf_contradict_each_other(tmp_path: Path, conf: Path) -> None:
    seafevents(conf)
    file = tmp_path / "config.toml"
    told = mistakes(tmp_path, NAMED, {"ODL_DATABASE__URL": "mysql://u:secret@h/db"})
    assert told == (
        f"ODL_DATABASE__URL and {file}: [database] seafile_conf: only one of url and seafile_conf can name the "
        "database; remove one",
    )


def test_an_empty_seafile_conf_leaves_the_url(tmp_path: Path) -> None:
    text = '[database]\nurl = "mysql://h/db"\nseafile_conf = ""'
    assert config(tmp_path, text, VARIABLES).database.url == "mysql://h/db"
    assert config(tmp_path, NAMED, {"ODL_DATABASE__SEAFILE_CONF": ""}).database.url.startswith("sqlite:")


def test_the_home_of_a_user_who_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    told = mistakes(tmp_path, '[database]\nseafile_conf = "~nobody-of-this-name/conf"')
    assert told[0].endswith("or \"\", not '~nobody-of-this-name/conf'")


def test_its_mistakes_are_told_with_all_others(tmp_path: Path, conf: Path) -> None:
    file = seafevents(conf, SEAFEVENTS.replace("3307", "many"))
    assert mistakes(tmp_path, NAMED + "[download]\nslots = 0") == (
        f"{tmp_path / 'config.toml'}: [download] slots: expected a whole number from 1 to 256, not 0",
        f"{tmp_path / 'config.toml'}: [database] seafile_conf: {file}: [DATABASE] port: expected a whole number from "
        "1 to 65535",
    )
