from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from odl_daemon.cli import human


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_read_at_a_glance(count: int, words: str) -> None:
    assert human.size(count) == words


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (65.4, "1:05"), (7384, "2:03:04"), (1e9, "days")])
def test_a_time_to_go_is_a_clock(seconds: float, words: str) -> None:
    assert human.clock(seconds) == words


@given(some.floats(0, 1))
def test_a_bar_always_has_its_width(part: float) -> None:
    assert len(human.bar(part, 22)) == 22


@given(some.text(), some.integers(1, 40))
def test_what_is_clipped_fits(text: str, width: int) -> None:
    assert human.columns(human.clipped(text, width)) <= width


@given(some.text())
def test_a_strangers_text_cannot_command_the_terminal(text: str) -> None:
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 for each in human.plain(text))


def test_wide_characters_take_two_columns_in_a_table() -> None:
    lines = human.table(("A", "B"), [("文件", "x"), ("file", "y")])
    assert lines == ["A     B", "文件  x", "file  y"]


def test_a_link_is_shown_without_its_secrets() -> None:
    assert human.link("https://user:secret@h/a?token=secret#x") == "https://h/a"
    assert "secret" not in human.link("garbage://user:secret@h/\x1b[2J?secret")
