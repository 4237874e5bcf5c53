"""Secrets that the service manager hands over in a folder of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from odl_daemon.config import Config, ConfigError, load

URL = "mysql://odl:se%25cret@db/seahub"


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    """The folder that the service manager made."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def config(handed: Path, text: str = "", **environ: str) -> Config:
    file = handed.parent / "config.toml"
    file.write_text(text)
    return load(file, {"CREDENTIALS_DIRECTORY": str(handed), **environ})


def mistakes(handed: Path, text: str = "") -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config(handed, text)
    return caught.value.mistakes


def test_a_credential_named_like_a_key_sets_it_over_the_file_and_below_the_environment(handed: Path) -> None:
    (handed / "database.url").write_text(URL)
    found = config(handed, '[database]\nurl = "sqlite:///file.db"')
    assert found.database.url == URL
    assert found.came_from["database", "url"] == "credential database.url"
    assert config(handed, ODL_DATABASE__URL="mysql://u:p@h/env").database.url == "mysql://u:p@h/env"


def test_the_end_of_the_line_is_no_part_of_the_secret(handed: Path) -> None:
    (handed / "database.url").write_text(URL + "\n")
    assert config(handed).database.url == URL


def test_the_tokens_are_read_where_the_manager_put_them(handed: Path) -> None:
    (handed / "library.tokens_file").write_text('alice@example.org = "24fd"\n')
    found = config(handed, '[library]\nkind = "seafile-http"\nseahub_url = "https://seafile.example.org"')
    assert found.library.tokens_file == handed / "library.tokens_file"


def test_a_secret_is_not_repeated_when_it_cannot_be_used(handed: Path) -> None:
    (handed / "database.url").write_text("mysql:/secret@x")
    (handed / "download.slots").write_text("secret")
    told = "\n".join(mistakes(handed))
    assert "credential database.url: expected" in told
    assert "credential download.slots: expected" in told
    assert "secret" not in told


@pytest.mark.parametrize("name", ["database.ulr", "databse.url"])
def test_a_mistyped_name_is_told(handed: Path, name: str) -> None:
    (handed / name).write_text(URL)
    assert mistakes(handed) == (f"the credential {name} is no setting; did you mean database.url?",)


def test_the_credentials_of_others_are_none_of_its_business(handed: Path) -> None:
    for name in ("passwd.hashed-password.root", "certificate", "network.hosts"):
        (handed / name).write_text("x")
    assert config(handed).came_from == {}


def test_a_url_and_a_seafile_conf_cannot_both_name_the_database(handed: Path) -> None:
    (handed / "database.url").write_text(URL)
    (told,) = mistakes(handed, f'[database]\nseafile_conf = "{handed}"')
    assert "credential database.url" in told


@pytest.mark.parametrize("content", [b"\xff", None])
def test_what_cannot_be_read_is_a_sentence(handed: Path, content: bytes | None) -> None:
    file = handed / "database.url"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    assert mistakes(handed)[0].startswith("the credential database.url cannot be read: ")


def test_a_folder_that_is_not_there_is_a_sentence(handed: Path) -> None:
    handed.rmdir()
    assert mistakes(handed) == (f"the credentials in {handed} cannot be read: No such file or directory",)
