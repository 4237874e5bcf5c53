"""A task as aria2 would tell of it: the structs of tellStatus, getFiles, getUris, getServers and getOption.

Every number is a text, as in aria2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from odl_daemon.intake.jsonrpc.gids import gid_of
from odl_daemon.model.shown import shown_name
from odl_daemon.model.task import Phase, Reason, Task

_STATUS: Final[Mapping[Phase, str]] = {
    Phase.WAITING: "waiting",
    Phase.PAUSED: "paused",
    Phase.QUEUED: "active",
    Phase.FETCHING: "active",
    Phase.COMMITTING: "active",  # the user has no file yet
    Phase.DONE: "complete",
    Phase.FAILED: "error",
    Phase.EXPIRED: "error",
    Phase.CANCELLED: "removed",
}

_UNKNOWN_ERROR: Final = 1
_REMOVED: Final = 31
_CODES: Final[Mapping[Reason, int]] = {
    Reason.NONE: _UNKNOWN_ERROR,
    Reason.TIMEOUT: 2,
    Reason.TIME_LIMIT: 2,
    Reason.NOT_FOUND: 3,
    Reason.STALLED: 5,
    Reason.UNREACHABLE: 6,
    Reason.INTERRUPTED: 6,
    Reason.DISK_FULL: 9,
    Reason.OVER_QUOTA: 9,
    Reason.COMMIT_FAILED: 17,
    Reason.HTTP_ERROR: 22,
    Reason.FORBIDDEN: 22,
    Reason.PROTOCOL_ERROR: 22,
    Reason.REDIRECT_LOOP: 23,
    Reason.LOGIN_NEEDED: 24,
    Reason.BAD_URL: 28,
    Reason.SERVER_ERROR: 29,
    Reason.SERVER_BUSY: 29,
}
"""aria2's exit statuses, where one says the same; the sentence says more."""

_SMALLEST_PIECE: Final = 1 << 20
_MOST_PIECES: Final = 1024


def status_of(task: Task, keys: frozenset[str] = frozenset()) -> dict[str, object]:
    """The struct of tellStatus; with `keys`, these of it."""
    struct = _status(task)
    return {key: value for key, value in struct.items() if key in keys} if keys else struct


def _status(task: Task) -> dict[str, object]:
    total, piece = _total(task), _piece(_total(task))
    struct: dict[str, object] = {
        "completedLength": str(_completed(task)),
        "connections": "1" if task.phase is Phase.FETCHING else "0",
        "dir": _folder(task),
        "downloadSpeed": str(speed_of(task)),
        "files": files_of(task),
        "gid": gid_of(task.id),
        "numPieces": str(-(-total // piece)),
        "pieceLength": str(piece),
        "status": _STATUS[task.phase],
        "totalLength": str(total),
        "uploadLength": "0",
        "uploadSpeed": "0",
    }
    if task.final:
        struct |= {"errorCode": str(_code(task)), "errorMessage": task.comment}
    return struct


def files_of(task: Task) -> list[object]:
    """The struct of getFiles: one file, as all that is known of a link before it has ended."""
    folder = _folder(task)
    return [
        {
            "completedLength": str(_completed(task)),
            "index": "1",
            "length": str(_total(task)),
            "path": f"{folder.rstrip('/')}/{shown_name(task)}",
            "selected": "true",
            "uris": uris_of(task),
        }
    ]


def uris_of(task: Task) -> list[object]:
    """The struct of getUris: the one link that is used."""
    return [{"status": "used", "uri": task.url}]


def servers_of(task: Task) -> list[object]:
    """The struct of getServers."""
    return [
        {
            "index": "1",
            "servers": [{"currentUri": task.url, "downloadSpeed": str(speed_of(task)), "uri": task.url}],
        }
    ]


def options_of(task: Task) -> dict[str, object]:
    """The struct of getOption: what addUri can be given for the same again, as clients do for another try."""
    options: dict[str, object] = {"dir": _folder(task), "library": task.library}
    return options | {"out": task.name} if task.name else options


def speed_of(task: Task) -> int:
    """Bytes per second from the internet."""
    return task.progress.speed if task.phase is Phase.FETCHING else 0


def _folder(task: Task) -> str:
    if task.phase is not Phase.DONE:
        return task.path
    return task.path.rpartition("/")[0] or "/"


def _total(task: Task) -> int:
    return task.size if task.phase is Phase.DONE else task.progress.total or 0


def _completed(task: Task) -> int:
    return task.size if task.phase is Phase.DONE else task.progress.done


def _piece(total: int) -> int:
    """The length of a piece: aria2's usual one, or longer for a file that would have too many of them."""
    piece = _SMALLEST_PIECE
    while total > piece * _MOST_PIECES:
        piece *= 2
    return piece


def _code(task: Task) -> int:
    if task.phase is Phase.DONE:
        return 0
    return _REMOVED if task.phase is Phase.CANCELLED else _CODES.get(task.reason, _UNKNOWN_ERROR)
