"""What the daemon says when a Seafile server does not take a file: the sentence for the user, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from odl_daemon.library.searpc import Refused, ServerAway, Unanswered
from odl_daemon.model.task import Reason, Task
from odl_daemon.ports import Remedy, Trouble


@contextmanager
def told() -> Iterator[None]:
    """Makes a Trouble of what the server, or its silence, says."""
    try:
        yield
    except Refused as no:
        raise of_refusal(no) from no
    except (ServerAway, Unanswered) as silence:
        raise away() from silence


def of_refusal(no: Refused) -> Trouble:
    """By the message first: 500 and 501 mean many things."""
    for words, trouble in _BY_MESSAGE.items():
        if words in no.message:
            return trouble()
    return _BY_CODE.get(no.code, refused)()


# --- the library


def no_library(task: Task) -> Trouble:
    return Trouble(Reason.LIBRARY_MISSING, f"there is no library {task.library[:40]!r}")


def damaged() -> Trouble:
    return Trouble(Reason.LIBRARY_DAMAGED, "the library is damaged: ask the administrator to repair it")


def encrypted() -> Trouble:
    return Trouble(Reason.LIBRARY_ENCRYPTED, "the library is encrypted: the server cannot write into it")


def read_only() -> Trouble:
    return Trouble(Reason.LIBRARY_READ_ONLY, "the library is read-only")


def not_allowed(task: Task) -> Trouble:
    return Trouble(Reason.NOT_ALLOWED, f"you may not write to the folder {task.target!r} of this library")


def not_visible() -> Trouble:
    return Trouble(Reason.NOT_ALLOWED, "you may not use this folder of the library")


def no_token() -> Trouble:
    return Trouble(
        Reason.NOT_ALLOWED,
        "there is no API token of yours for the Seafile server here: ask the administrator",
    )


def stale_token() -> Trouble:
    return Trouble(
        Reason.NOT_ALLOWED,
        "the Seafile server does not take your API token: give the administrator a new one",
    )


def no_tokens() -> Trouble:
    return Trouble(Reason.HOST_TROUBLE, "the API tokens cannot be read", Remedy.HOST)


def over_quota() -> Trouble:
    return Trouble(Reason.OVER_QUOTA, "the owner of the library has no room left for this file")


# --- the folder and the name


def no_folder(task: Task) -> Trouble:
    return Trouble(Reason.FOLDER_MISSING, f"there is no folder {task.target!r} in the library")


def file_in_the_way(task: Task) -> Trouble:
    return Trouble(Reason.BAD_TARGET, f"{task.target!r} is not a folder of the library")


# --- the bytes


def gone() -> Trouble:
    return Trouble(Reason.INTERRUPTED, "the downloaded bytes are not here any longer", Remedy.WIPE)


def too_large() -> Trouble:
    return Trouble(Reason.TOO_LARGE, "the file is larger than the Seafile server takes")


def unreadable() -> Trouble:
    return Trouble(Reason.HOST_TROUBLE, "the folder for downloads cannot be read", Remedy.HOST)


# --- the server


def away() -> Trouble:
    return Trouble(Reason.LIBRARY_AWAY, "the Seafile server does not answer", Remedy.HOST)


def unanswered() -> Trouble:
    return Trouble(
        Reason.LIBRARY_AWAY, "the Seafile server did not say whether it took the file: it is looked for", Remedy.RETRY
    )


def not_there() -> Trouble:
    return Trouble(Reason.COMMIT_FAILED, "the Seafile server took the file, and it is not in the library", Remedy.RETRY)


def refused() -> Trouble:
    return Trouble(Reason.COMMIT_FAILED, "the Seafile server did not take the file", Remedy.RETRY)


def folder_went() -> Trouble:
    return Trouble(Reason.FOLDER_MISSING, "the folder is not in the library any longer")


def bad_name() -> Trouble:
    return Trouble(Reason.BAD_NAME, "the Seafile server does not take a file of this name")


def _library_went() -> Trouble:
    return Trouble(Reason.LIBRARY_MISSING, "there is no such library")


def _cannot_read() -> Trouble:
    """Another uid, a private /tmp, a container: the operator's to mend."""
    return Trouble(Reason.HOST_TROUBLE, "the Seafile server cannot read the downloaded file", Remedy.HOST)


_BY_CODE = {516: folder_went, 517: bad_name, 519: over_quota}

_BY_MESSAGE = {
    "Passwd is not set": encrypted,
    "Invalid repo": _library_went,
    "Invalid input file": _cannot_read,
    "Invalid filename": bad_name,
}
