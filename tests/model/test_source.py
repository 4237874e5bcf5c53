"""Links: what is taken, what it becomes, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odl_daemon.model.source import Unusable, parse, parse_list, shown


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTP://Example.ORG/a", "http://example.org/a"),
        ("  https://h  ", "https://h/"),
        ("http://h/ä?q=ü#part", "http://h/%C3%A4?q=%C3%BC"),
        ("http://h/a%20b", "http://h/a%20b"),
        ("http://u:p@h:8080/x", "http://u:p@h:8080/x"),
        ("http://münchen.de/", "http://xn--mnchen-3ya.de/"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://h/😀", "http://h/%F0%9F%98%80"),
    ],
)
def test_a_link_becomes_canonical(text: str, url: str) -> None:
    assert parse(text).url == url
    assert parse(parse(text).url).url == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "not a url", "example.org/x", "file:///etc/passwd", "ftp://h/x", "magnet:?xt=urn:btih:1", "javascript:1"),
        *("http://", "http:///x", "http://h:0/", "http://h:99999/", "http://h:/x", "http://a@b@c/", "http://h\\x/"),
        *("http://h/a b", "http://h/a\tb", "http://h/\x00", "http://[::1", "http://[fe80::1%25eth0]/", "http://-h/"),
        *("http://:p@h/", "http://:@h/"),
        *("http://h/" + "a" * 5000, "http://" + "a" * 300 + "/", "http://h/\u2028x"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(text: str) -> None:
    with pytest.raises(Unusable) as caught:
        parse(text)
    assert len(str(caught.value)) < 300


def test_a_login_is_in_no_sentence() -> None:
    for text in ("http://ann:secret@h:0/", "http://ann:secret@h/a b"):
        with pytest.raises(Unusable) as caught:
            parse(text)
        assert "secret" not in str(caught.value)
        assert "secret" not in shown(text)
    assert parse("http://ann:secret@h/x?token=1").shown == "http://h/x"


def test_a_list_tells_the_line_of_each_mistake() -> None:
    sources, mistakes = parse_list(["http://h/1\n", "\n", "# a comment\n", "nonsense\n", "http://h/2"])
    assert [source.url for source in sources] == ["http://h/1", "http://h/2"]
    assert [(mistake.line, mistake.text) for mistake in mistakes] == [(4, "nonsense")]


@given(st.text())
def test_whatever_is_taken_is_plain_ascii_and_stable(text: str) -> None:
    try:
        source = parse(f"http://h/{text}")
    except Unusable:
        return
    assert source.url.isascii() and source.url.isprintable() and " " not in source.url
    assert parse(source.url).url == source.url
