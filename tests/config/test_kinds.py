from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from odl_daemon.config import kinds
from odl_daemon.config.database_url import normal_url, without_password
from odl_daemon.guard.destination import destination

HERE = Path("/nowhere")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("1.5", 1.5),
        ("30m", 1800.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("500ms", 0.5),
        ("2d", 172800.0),
        ("5 min", 300.0),
        ("10S", 10.0),
    ],
)
def test_a_duration_is_seconds_or_words(written: object, seconds: float) -> None:
    assert kinds.duration(0, 1e9).read(written, HERE) == seconds


@pytest.mark.parametrize("written", ["", "m", "1h30", "-5", "5 weeks", "1,5", "30m!", None, True, [], "inf", "nan"])
def test_anything_else_is_no_duration(written: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        kinds.duration(0, 1e9).read(written, HERE)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (0, 0),
        (700, 700),
        ("700", 700),
        ("700M", 700 << 20),
        ("5 GiB", 5 << 30),
        ("5gib", 5 << 30),
        ("1.5K", 1536),
        ("5 GB", 5_000_000_000),
        ("3 B", 3),
        ("1T", 1 << 40),
    ],
)
def test_a_size_is_bytes_or_words(written: object, count: int) -> None:
    assert kinds.size().read(written, HERE) == count


@pytest.mark.parametrize("written", ["", "G", "-1", "5 XB", "1 000", 1.5, True, None])
def test_anything_else_is_no_size(written: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        kinds.size().read(written, HERE)


@given(some.one_of(some.text(), some.integers(), some.floats(), some.none(), some.lists(some.text())))
def test_no_value_breaks_the_reading(written: object) -> None:
    every = [kinds.flag(), kinds.text(), kinds.whole(1, 9), kinds.duration(0, 9), kinds.size(), kinds.database_url()]
    every += [
        kinds.listed(lambda item: bool(destination(item)), "x"),
        kinds.folder_path(),
        kinds.optional_path(),
        kinds.program(),
    ]
    for kind in every:
        try:
            kind.read(written, HERE)
        except (ValueError, TypeError, KeyError, OverflowError):
            continue


def test_four_slashes_are_absolute_and_three_are_relative(tmp_path: Path) -> None:
    assert normal_url("sqlite:////abs/x.db", tmp_path) == "sqlite:////abs/x.db"
    assert normal_url("sqlite:///odl.db", tmp_path) == f"sqlite:///{tmp_path}/odl.db"
    assert normal_url("sqlite:///state/odl.db", tmp_path) == f"sqlite:///{tmp_path}/state/odl.db"


def test_three_slashes_are_absolute_if_the_folders_say_so(tmp_path: Path) -> None:
    config, elsewhere = tmp_path / "etc", tmp_path / "elsewhere"
    config.mkdir()
    elsewhere.mkdir()
    written = f"sqlite://{elsewhere}/odl.db"
    assert normal_url(written, config) == f"sqlite:///{elsewhere}/odl.db"
    assert normal_url(f"sqlite://{elsewhere}/new/odl.db", config) == f"sqlite:///{elsewhere}/new/odl.db"
    (config / str(elsewhere)[1:]).mkdir(parents=True)
    assert normal_url(written, config) == f"sqlite:///{config}{elsewhere}/odl.db"


def test_what_was_made_normal_stays_the_same(tmp_path: Path) -> None:
    once = normal_url("sqlite:///odl.db", tmp_path)
    assert normal_url(once, Path("/elsewhere")) == once


def test_a_mysql_url_is_complete() -> None:
    assert normal_url("mysql://u:p%40@h:3307/db", HERE) == "mysql://u:p%40@h:3307/db"
    assert normal_url("mariadb://h/db", HERE) == "mysql://h/db"


@pytest.mark.parametrize(
    "url",
    [
        *("", "odl.db", "sqlite:odl.db", "sqlite://odl.db", "sqlite:///", "sqlite:////", "postgres://h/db"),
        *("mysql://h", "mysql:///db", "mysql://h:x/db", "mysql://h:0/db", "mysql://h/d b"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError):
        normal_url(url, HERE)


def test_a_password_is_hidden_whatever_is_in_it() -> None:
    assert without_password("mysql://u:p@h/db") == "mysql://u:***@h/db"
    assert without_password("mysql://u:p@/:x@h/db") == "mysql://u:***@h/db"
    assert without_password("mysql://u@h/db") == "mysql://u@h/db"
    assert without_password("sqlite:////a@b:c/d.db") == "sqlite:////a@b:c/d.db"


@pytest.mark.parametrize(
    "item", ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1", "intra", "intra.example.org:8080", "10.0.0.1:80", "[::1]:80"]
)
def test_networks_hosts_and_ports_can_be_allowed(item: str) -> None:
    assert destination(item)


@pytest.mark.parametrize("item", ["", ":80", "a:b", "a:0", "a:65536", "10.0.0.0/99", "a b", "http://a", "*", "[a]:80"])
def test_other_things_cannot(item: str) -> None:
    assert destination(item) is None
