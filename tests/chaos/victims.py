"""Finds the processes of one daemon, and kills them as nothing in the world asks them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def strike(daemon: int, name: str) -> bool:
    """kill -9 of the descendant of `daemon` (a process id) that is called `name`; False if there is none just now.

    The name is the program's: aria2c, bwrap, or python3 for the keeper.
    """
    for pid in descendants(daemon):
        if not _called(pid).startswith(name):
            continue
        with suppress(ProcessLookupError):  # it ended by itself at this moment
            handle = os.pidfd_open(pid)
            try:
                if pid in descendants(daemon):  # and not somebody who got its number meanwhile
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    return True
            finally:
                os.close(handle)
    return False


def descendants(ancestor: int) -> list[int]:
    """The process ids below one, nearest first."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [ancestor]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                yield int(entry.name), int(_stat(int(entry.name))[1])


def _called(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what comes after the name, which may hold anything (man 5 proc_pid_stat)."""
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
