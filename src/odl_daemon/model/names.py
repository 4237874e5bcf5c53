"""A safe file name from what a stranger sent, and a safe folder from what a user asked for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from urllib.parse import unquote, urlsplit

LONGEST = 200
"""Bytes of a name in UTF-8; Seafile and every file system take more, with room for a number and a suffix."""

FALLBACK = "download"

_LONGEST_ENDING = 20
"""Bytes; a longer "extension" is part of the name."""


def safe_name(text: str) -> str:
    """A name that every library takes: one part of a path, NFC, without control or direction characters, at most
    LONGEST bytes with its ending kept; "download" if nothing else is left.

    A leading dot stays: `.bashrc` arrives as `.bashrc`, hidden as it was at its source.
    """
    name = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    name = _FORBIDDEN.sub("_", _INVISIBLE.sub("", name)).strip()
    name = name.rstrip(". ") if set(name) - {".", " "} else ""
    return cut(name, LONGEST) or FALLBACK


def free_name(name: str, taken: Container[str]) -> str:
    """The name itself, or the first numbered one that is not taken, as Seafile numbers: `a.tar (1).gz`."""
    if name not in taken:
        return name
    stem, ending = split_ending(name)
    number = 1
    while True:
        suffix = f" ({number}){ending}"
        candidate = cut(stem, LONGEST - len(suffix.encode())) + suffix
        if candidate not in taken:
            return candidate
        number += 1


def split_ending(name: str) -> tuple[str, str]:
    """Stem and last ending with its dot: ("a.tar", ".gz"); no ending for `.bashrc`, `a` and overlong ones."""
    stem, dot, ending = name.rpartition(".")
    if not stem or not ending or len(ending.encode()) > _LONGEST_ENDING:
        return name, ""
    return stem, dot + ending


def cut(name: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, whole characters, the ending kept."""
    if len(name.encode()) <= limit:
        return name
    stem, ending = split_ending(name)
    room = limit - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip() + ending


def name_of_url(url: str) -> str:
    """The safe name of what a link's path ends with."""
    return safe_name(unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]))


def folder_path(text: str) -> str:
    """A target folder, normalised: absolute, "/" for the root, no empty parts. Raises ValueError with a sentence
    for its user."""
    path = unicodedata.normalize("NFC", text)
    if _INVISIBLE.search(path) or "\\" in path:
        raise ValueError(f"the folder {text!r} has characters that no folder can have")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"the folder {text!r} leads out of the library: it must not contain '..'")
    if any(len(part.encode("utf-8", "replace")) > 255 for part in parts):
        raise ValueError("a part of the folder is longer than 255 bytes")
    return "/" + "/".join(parts)


_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff]"
)
"""Control, direction and other invisible characters."""

_FORBIDDEN = re.compile(r'[/\\:*?"<>|`]')
"""What Seafile or a client's file system refuses in a name."""
