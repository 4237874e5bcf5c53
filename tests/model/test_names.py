"""Names and folders from strangers."""

from __future__ import annotations

import pytest

from odl_daemon.model.names import folder_path, free_name, name_of_url, safe_name


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
