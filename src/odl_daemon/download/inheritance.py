"""The bytes that the old worker has left: a half fetched file with its control file, in a folder of its own.

Nobody noted what version of the source they are of, so only what can be seen afterwards speaks for them: the length
that aria2 wrote into its control file, and the moment when the file was begun, which a source that tells when it was
changed last is held against.
"""

from __future__ import annotations

import logging
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from odl_daemon.download.leftovers import CONTROL, look
from odl_daemon.download.probe import Answer
from odl_daemon.model.task import Progress

log = logging.getLogger(__name__)

WORD: Final = "inherited"
"""Begins the validator of inherited bytes; the others hold ETags, which are quoted, or dates."""

LONGEST_CONTROL: Final = 1 << 24
"""Bytes of a control file; a bit for each MiB or so, it is far smaller."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What is known of the source of inherited bytes."""

    length: int
    begun: int
    """Unix seconds: no byte is older."""

    def __str__(self) -> str:
        return f"{WORD}|{self.begun}|{self.length}"

    @classmethod
    def read(cls, validator: str) -> Self | None:
        """None for a validator of any other kind."""
        word, *figures = validator.split("|")
        if word != WORD or len(figures) != 2 or not all(figure.isdecimal() for figure in figures):
            return None
        return cls(length=int(figures[1]), begun=int(figures[0]))

    def fits(self, answer: Answer) -> bool:
        """Whether the source still has, as far as it tells, what was begun."""
        return answer.length == self.length and (answer.modified is None or answer.modified <= self.begun)


def inherit(root: Path, named: str, folder: Path) -> Progress | None:
    """Moves a begun file and its control file from the folder that a row names into `folder`, which is made; what is
    known of it, or None if there is nothing that could be continued. The named folder must lie below `root`, in a
    folder that is no task's. Blocks on the disk. Raises OSError.
    """
    source = _below(root, named)
    if source is None or folder.exists():
        return None
    begun = look(str(source)).begun
    if not begun:
        log.info("%s holds no begun file that can be continued: it is left alone", source)
        return None
    with _opened(source) as old:
        control = _control(old, begun + CONTROL)
        status = os.stat(begun, dir_fd=old, follow_symlinks=False)
        if control is None or not _is_ours(status) or status.st_size > control.length:
            log.info("%s holds a begun file that cannot be trusted: it is left alone", source)
            return None
        folder.mkdir(mode=0o700)
        with _opened(folder) as new:
            # the control file last: without it the file is not taken for a begun one
            os.rename(begun, begun, src_dir_fd=old, dst_dir_fd=new)
            os.rename(begun + CONTROL, begun + CONTROL, src_dir_fd=old, dst_dir_fd=new)
    with suppress(OSError):  # something else came to lie there meanwhile
        source.rmdir()
    version = Inherited(control.length, int(min(status.st_atime, control.written)))
    return Progress(control.done, control.length, 0, str(version))


def _below(root: Path, named: str) -> Path | None:
    """The named folder, if it is a real one below the root, by no link, and in no task's folder."""
    if "\0" in named or not os.path.isabs(named):  # noqa: PTH117  # a stranger's text, not yet a path
        return None
    top, path = Path(os.path.realpath(root)), Path(os.path.realpath(named))
    if not path.is_relative_to(top) or path == top or not path.is_dir():
        return None
    return None if path.relative_to(top).parts[0].isdecimal() else path


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()


@dataclass(frozen=True, slots=True)
class _Control:
    """What aria2's control file says (see the manual of aria2c, "Control File Format")."""

    length: int
    done: int
    """Bytes that are there, in whole pieces."""
    written: float
    """Unix seconds."""


def _control(folder: int, name: str) -> _Control | None:
    """None if it is none of version 1 for a plain download."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        content = file.read(LONGEST_CONTROL) if _is_ours(status) else b""
    try:
        version, _, info_hash = struct.unpack_from(">HII", content)
        piece, length, _, count = struct.unpack_from(">IQQI", content, 10)
    except struct.error:
        return None
    bits = content[34 : 34 + count]
    if version != 1 or info_hash or not piece or not length or len(bits) != count or count * 8 < -(-length // piece):
        return None
    here = sum(byte.bit_count() for byte in bits)
    return _Control(length, min(here * piece, length), status.st_mtime)
