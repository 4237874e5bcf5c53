"""A safe file name from what a stranger sent, and a safe folder from what a user asked for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from urllib.parse import unquote, urlsplit

LONGEST = 200
"""Bytes of a name in UTF-8; Seafile and every file system take more, with room for a number and a suffix."""

LONGEST_FOLDER = 4096
"""Bytes of a whole target folder in UTF-8."""

FALLBACK = "download"

_LONGEST_ENDING = 20
"""Bytes; a longer "extension" is part of the name."""


def safe_name(text: str) -> str:
    """A name that every library takes: one part of a path, NFC, without control or direction characters, without
    blanks at its ends or dots at its end, at most LONGEST bytes with its ending kept; "download" if nothing else
    is left. A safe name stays as it is.

    A leading dot stays: `.bashrc` arrives as `.bashrc`, hidden as it was at its source; `-rf` and `x.aria2` are
    names like any other, because no name of ours is ever a word of a command line.
    """
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))  # may make a backtick of another accent
    return cut(_trimmed(_FORBIDDEN.sub("_", composed)), LONGEST) or FALLBACK


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
    if not stem.strip(".") or not ending or len(ending.encode()) > _LONGEST_ENDING:
        return name, ""
    return stem, dot + ending


def cut(name: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, whole characters, the ending kept: `.gz`, and `.tar.gz` too."""
    if len(name.encode()) <= limit:
        return name
    stem, ending = split_ending(name)
    if stem.lower().endswith(".tar"):
        stem, ending = stem[:-4], stem[-4:] + ending
    room = limit - len(ending.encode())
    return _trimmed(stem.encode()[:room].decode("utf-8", "ignore").rstrip(_JOINER)) + ending


def name_of_url(url: str) -> str:
    """The safe name of what a link's path ends with. Raises ValueError for a text that is no link."""
    return safe_name(unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]))


def folder_path(text: str) -> str:
    """A target folder, normalised: NFC, absolute, "/" for the root, no empty parts. Raises ValueError with a
    sentence for its user.

    What Seafile allows in the name of a folder stays, since the folder may exist: only safe_name replaces.
    """
    path = unicodedata.normalize("NFC", text)
    if _INVISIBLE.search(path) or "\\" in path:
        raise ValueError(f"the folder {_short(text)} has characters that no folder can have")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"the folder {_short(text)} leads out of the library: it must not contain '..'")
    if any(len(part.encode()) > 255 for part in parts):
        raise ValueError("a part of the folder is longer than 255 bytes")
    folder = "/" + "/".join(parts)
    if len(folder.encode()) > LONGEST_FOLDER:
        raise ValueError(f"the folder is longer than {LONGEST_FOLDER:,} bytes")
    return folder


def _trimmed(name: str) -> str:
    """Without blanks at its ends and dots at its end; empty if there is nothing but dots and blanks."""
    name = name.lstrip()
    while name and (name[-1] == "." or name[-1].isspace()):
        name = name[:-1]
    return name


def _short(text: str) -> str:
    return ascii(text) if len(text) <= 80 else f"{text[:77]!a}..."


_JOINER = "\u200d"
"""Holds an emoji together with what follows; a cut may leave it without that."""

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff]"
)
"""Control, direction and other invisible characters, and halves of surrogate pairs."""

_FORBIDDEN = re.compile(r'[/\\:*?"<>|`]')
"""What Seafile or a client's file system refuses in a name."""
