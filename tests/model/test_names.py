"""Names and folders from strangers."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from odl_daemon.model.names import LONGEST, folder_path, free_name, name_of_url, safe_name

# Characters as they come, those that mean something in a path, and halves of surrogate pairs
_texts = some.one_of(
    some.text(), some.text("./\\ :a\u0301\u202e\u200d\x00\n", max_size=30), some.text(some.characters(), max_size=400)
)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (".bashrc", ".bashrc"),
        ("-rf", "-rf"),
        ("../../x", ".._.._x"),
        ("a/b", "a_b"),
        ("..", "download"),
        ("", "download"),
        ("  a. ", "a"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("e\u0301", "\u00e9"),
        ("😀.txt", "😀.txt"),
    ],
)
def test_a_name_becomes_safe(sent: str, name: str) -> None:
    assert safe_name(sent) == name


def test_a_long_name_keeps_its_ending() -> None:
    name = safe_name("ü" * 300 + ".gz")
    assert name.endswith("ü.gz") and len(name.encode()) <= 200


def test_names_are_numbered_before_the_last_ending() -> None:
    assert free_name("a.tar.gz", {"a.tar.gz"}) == "a.tar (1).gz"
    assert free_name("a", {"a", "a (1)"}) == "a (2)"
    assert free_name(".bashrc", {".bashrc"}) == ".bashrc (1)"
    assert len(free_name("x" * 200, {"x" * 200}).encode()) <= 200


def test_a_link_names_its_file() -> None:
    assert name_of_url("http://h/a/b%20c.txt?x=1") == "b c.txt"
    assert name_of_url("http://h/") == "download"


@pytest.mark.parametrize(("text", "path"), [("", "/"), ("/", "/"), ("a//b/", "/a/b"), ("/a/./b", "/a/b")])
def test_a_folder_is_normalised(text: str, path: str) -> None:
    assert folder_path(text) == path


@pytest.mark.parametrize("text", ["..", "/a/../b", "a\\b", "a\0b", "a\nb", "/" + "x" * 300])
def test_a_folder_that_leads_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        folder_path(text)


@settings(deadline=None)
@given(_texts)
def test_whatever_a_stranger_sends_becomes_one_part_of_a_path(sent: str) -> None:
    """OpenList CVE-2026-25059: a name with ".." in it led to another user's folder."""
    name = safe_name(sent)
    assert name and name not in (".", "..") and len(name.encode()) <= LONGEST
    assert not set(name) & set('/\\:*?"<>|`\0')
    assert name == name.strip() and not name.endswith(".")
    assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    assert unicodedata.is_normalized("NFC", name)
    assert safe_name(name) == name


@settings(deadline=None)
@given(_texts, some.integers(0, 120))
def test_a_free_name_is_free_and_safe(sent: str, taken: int) -> None:
    name = safe_name(sent)
    names: set[str] = set()
    for _ in range(taken):
        names.add(free_name(name, names))
    assert len(names) == taken
    assert all(safe_name(each) == each for each in names)


@settings(deadline=None)
@given(_texts)
def test_a_folder_never_leads_out(text: str) -> None:
    try:
        path = folder_path(text)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert path.startswith("/") and not {".", ".."} & set(path.split("/"))
    assert "//" not in path and "\\" not in path
    assert folder_path(path) == path
