from __future__ import annotations

import os
from pathlib import Path

import pytest

from odl_daemon.library.tokens import Tokens, TokensTrouble

TOKEN = "24fd3c026886e3121b2ca630805ed425c272cb96"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    return file


@pytest.mark.parametrize(
    "line",
    [
        f'alice@x.org = "{TOKEN}"',
        f"alice@x.org = '{TOKEN}'  # hers",
        f'"alice@x.org" = "{TOKEN}"',
        f"alice@x.org={TOKEN}",
        f"alice@x.org: {TOKEN}",
        f"\ufeffalice@x.org\t{TOKEN}",
        f"# all of us\n\n  alice@x.org   {TOKEN}  ",
    ],
)
def test_a_line_names_a_user_and_his_token(file: Path, line: str) -> None:
    file.write_text(line)
    tokens = Tokens(file)
    assert (len(tokens), tokens.of("alice@x.org"), tokens.of("bob@x.org")) == (1, TOKEN, None)


@pytest.mark.parametrize(
    ("line", "user"),
    [
        ("o'brien@x.org = t", "o'brien@x.org"),
        ('"a=b:c#d@x.org" = t', "a=b:c#d@x.org"),
        ("'a=b@x.org' t", "a=b@x.org"),
        ("a+b@x.org:t", "a+b@x.org"),
    ],
)
def test_an_address_may_have_what_addresses_have(file: Path, line: str, user: str) -> None:
    file.write_text(line)
    assert Tokens(file).of(user) == "t"


def test_case_matters_only_where_it_tells_users_apart(file: Path) -> None:
    file.write_text("Alice@x.org a1\nalice@X.org a2\nBob@x.org b")
    tokens = Tokens(file)
    assert (tokens.of("Alice@x.org"), tokens.of("alice@X.org"), tokens.of("alice@x.org")) == ("a1", "a2", None)
    assert tokens.of("bob@x.org") == "b"


def test_a_change_is_seen_at_the_next_question(file: Path) -> None:
    file.write_text("a t1")
    tokens = Tokens(file)
    fresh = file.with_name("fresh")
    fresh.touch(mode=0o600)
    fresh.write_text("a t2")
    fresh.rename(file)
    assert tokens.of("a") == "t2"


def test_a_file_that_went_bad_is_told_of_until_it_is_good_again(file: Path) -> None:
    file.write_text("a t1")
    tokens = Tokens(file)
    file.chmod(0o640)
    for _ in range(2):
        with pytest.raises(TokensTrouble, match="can be read by others: it holds keys, so chmod 600 it"):
            tokens.of("a")
    file.chmod(0o600)
    assert tokens.of("a") == "t1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of root")
def test_a_credential_of_systemd_is_closed_enough(file: Path) -> None:
    file.write_text("alice@example.org = 24fd")
    os.chown(file, 0, 0)
    file.chmod(0o440)
    assert Tokens(file).of("alice@example.org") == "24fd"
    os.chown(file, 0, 1000)
    with pytest.raises(TokensTrouble, match="can be read by others"):
        Tokens(file)


@pytest.mark.parametrize(
    "words", ["alice", f"alice {TOKEN} more", f"a b {TOKEN}", f"= {TOKEN}", f'a = "{TOKEN}', "a = ü", "a = t\x01"]
)
def test_a_line_that_makes_no_sense_is_named_without_its_words(file: Path, words: str) -> None:
    file.write_text(f"# first\n{words}\n")
    with pytest.raises(TokensTrouble) as caught:
        Tokens(file)
    assert str(caught.value) == f'{file}, line 2: expected user@example.org = "token"'


def test_a_user_who_stands_there_twice_is_a_mistake(file: Path) -> None:
    file.write_text("a t1\na t2")
    with pytest.raises(TokensTrouble, match="line 2: this user stands there twice"):
        Tokens(file)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(TokensTrouble, match=r"nothing cannot be read \(No such file or directory\): see \[library\]"):
        Tokens(tmp_path / "nothing")
    with pytest.raises(TokensTrouble, match="is no plain file"):
        Tokens(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(TokensTrouble, match="is no plain file"):
        Tokens(tmp_path / "pipe")
    file.write_bytes(b"\xff")
    with pytest.raises(TokensTrouble, match="expected text in UTF-8"):
        Tokens(file)
