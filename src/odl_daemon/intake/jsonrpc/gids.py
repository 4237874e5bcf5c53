"""GIDs, aria2's names for downloads: 16 hex digits, made of the task's id and read back to it."""

from __future__ import annotations

from typing import Final

from odl_daemon.intake.jsonrpc.protocol import FAILED, Fault

DIGITS: Final = 16

_SIZE: Final = 1 << 64
_SPREAD: Final = 0x9E3779B97F4A7C15
"""2^64 by the golden ratio, an odd number: times it, ids that follow each other differ in their first digits (Knuth,
TAOCP 6.4), so a GID may be shortened as people shorten aria2's."""
_GATHER: Final = pow(_SPREAD, -1, _SIZE)

_LARGEST_ID: Final = (1 << 63) - 1
_HEX: Final = frozenset("0123456789abcdef")


def gid_of(task_id: int) -> str:
    return f"{task_id * _SPREAD % _SIZE:016x}"


def id_of(gid: str) -> int | None:
    """The task of a whole GID; None for one that no task can have."""
    task_id = int(gid, 16) * _GATHER % _SIZE
    return task_id if 0 < task_id <= _LARGEST_ID else None


def read(text: str) -> str:
    """A GID, or its beginning, as a client wrote it. Raises Fault."""
    gid = text.lower()
    if not 0 < len(gid) <= DIGITS or not _HEX.issuperset(gid):
        raise Fault(FAILED, f"Invalid GID {text[:40]}")
    return gid


def not_found(gid: str) -> Fault:
    """Said of a task of somebody else as of one that there is not."""
    return Fault(FAILED, f"GID {gid} is not found")
