"""What a check found of one thing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from odl_daemon.cli import human

SCARCE: Final = 1 << 30
"""Bytes; less room than that is worth a word."""

TRY_LIMIT: Final = 30.0
"""Seconds that one check may take."""


class Mark(Enum):
    """How it stands."""

    GOOD = "ok"
    LAME = "warn"
    """It works, and not as well as it could."""
    BAD = "FAIL"


class Verdict(NamedTuple):
    """The mark, and the sentence that gives its reason and, where it is not good, what to do."""

    mark: Mark
    sentence: str


Verdicts = Mapping[str, Verdict]
"""By what was looked at."""


def good(sentence: str) -> Verdict:
    return Verdict(Mark.GOOD, sentence)


def lame(sentence: str) -> Verdict:
    return Verdict(Mark.LAME, sentence)


def bad(sentence: str) -> Verdict:
    return Verdict(Mark.BAD, sentence)


def folder(path: Path, name: str) -> Verdict:
    """Whether files can be written there, or the folder can be made."""
    there = nearest(path)
    if not there.is_dir():
        return bad(f"{name} {path} is no folder: {there} is a file; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        return bad(f"{name} {path} cannot be written by this user; give it to the daemon's user")
    free = shutil.disk_usage(there).free
    made = "" if there == path else ", which will be made"
    if free < SCARCE:
        return lame(f"{name} {path}{made}: {human.size(free)} free; that is little")
    return good(f"{name} {path}{made}: {human.size(free)} free")


def nearest(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())
