"""What lies in a task's scratch folder: whole files, a file that can be continued, or rubbish."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from odl_daemon.model.task import FetchedFile

CONTROL: Final = ".aria2"
"""The suffix of aria2's control file: which bytes of the file beside it are there."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """A look into one folder."""

    files: tuple[FetchedFile, ...] = ()
    """Plain files, without control files."""
    begun: str = ""
    """The one file that has a control file, if nothing else lies there."""
    clean: bool = True
    """Nothing lies there at all."""


def look(folder: str) -> Leftovers:
    """Blocks on the disk: call it in a thread. A folder that is not there is clean; what is none, a link to one
    included, is not."""
    try:
        found = _entries(folder)
    except FileNotFoundError:
        return Leftovers()
    except NotADirectoryError:
        return Leftovers(clean=False)
    plain = {name: status.st_size for name, status in found.items() if stat.S_ISREG(status.st_mode)}
    controls = {name for name in plain if name.endswith(CONTROL) and name[: -len(CONTROL)] in plain}
    files = tuple(FetchedFile(name, size) for name, size in sorted(plain.items()) if name not in controls)
    alone = len(found) == 2 and len(files) == 1 and len(controls) == 1
    return Leftovers(files=files, begun=files[0].name if alone else "", clean=not found)


def _entries(folder: str) -> dict[str, os.stat_result]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(handle) as entries:
            return {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    finally:
        os.close(handle)
