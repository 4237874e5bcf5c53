"""Why a transfer failed, in a sentence for its user: from aria2's error code and words to a Trouble."""

from __future__ import annotations

import re
from typing import Final

from odl_daemon.model.task import Reason
from odl_daemon.ports import Remedy, Trouble

UNREACHABLE_STATUS: Final = 521
"""What our proxy answers for every connection that it cannot, or must not, make: one answer for all."""


def trouble(code: int, message: str, host: str, *, after: float | None = None) -> Trouble:
    """What aria2's error `code` with its `message` means for a file of `host`.

    The codes are those of aria2's manual, "EXIT STATUS". `message` may hold paths and URLs, so none of it is
    ever quoted. `after`: the seconds that the server asked to wait, if it was asked.
    """
    if _NOT_CONNECTED in message:  # aria2 tells no status that a proxy gave to CONNECT
        return unreachable(host)
    status = _status(message)
    if status == 0 and code in _STATUS_OF:
        status = _STATUS_OF[code]
    if status >= 400 and code not in _NOT_HTTP:
        return refusal(status, host, after=after)
    for pattern, reason, remedy, sentence in _BY_WORDS:
        if code in _VAGUE and pattern.search(message):
            return Trouble(reason, sentence.format(host=host), remedy)
    reason, remedy, sentence = _BY_CODE.get(code, _UNKNOWN)
    return Trouble(reason, sentence.format(host=host, code=code), remedy)


def refusal(status: int, host: str, *, after: float | None = None) -> Trouble:
    """What an HTTP answer with an error status (RFC 9110, section 15) means for a file of `host`."""
    if status == UNREACHABLE_STATUS:
        return unreachable(host)
    if status in _BY_STATUS:
        reason, remedy, meaning = _BY_STATUS[status]
    elif status >= 500:
        reason, remedy, meaning = Reason.SERVER_ERROR, Remedy.RETRY, "the server has a problem"
    else:
        reason, remedy, meaning = Reason.HTTP_ERROR, Remedy.NONE, "the server refuses the request"
    return Trouble(
        reason, f"{host} answered {status}: {meaning}", remedy, after=after if remedy is Remedy.RETRY else None
    )


def unreachable(host: str) -> Trouble:
    """One sentence whether the name is unknown, the port closed, or the address not allowed: a user must not
    be able to map a network by it."""
    return Trouble(Reason.UNREACHABLE, f"{host} could not be reached", Remedy.RETRY)


def silent(host: str, seconds: float) -> Trouble:
    return Trouble(Reason.TIMEOUT, f"{host} did not answer within {seconds:g} s", Remedy.RETRY)


def stalled(host: str, seconds: float) -> Trouble:
    return Trouble(Reason.STALLED, f"{host} sent nothing for {seconds:g} s", Remedy.RETRY)


def deadly(host: str) -> Trouble:
    return Trouble(Reason.PROTOCOL_ERROR, f"the answer of {host} brought the downloader down each time", Remedy.NONE)


def impossible(host: str) -> Trouble:
    return Trouble(Reason.TOO_LARGE, f"the file from {host} is larger than the whole disk for downloads", Remedy.NONE)


def no_aria2() -> Trouble:
    """One for this task alone does not start: no reason to have everybody wait."""
    return Trouble(Reason.HOST_TROUBLE, "the downloader on this host could not be started for this file", Remedy.RETRY)


def unusable_disk() -> Trouble:
    return Trouble(Reason.HOST_TROUBLE, "the folder for downloads cannot be used", Remedy.HOST)


def restless() -> Trouble:
    return Trouble(Reason.HOST_TROUBLE, "the downloader on this host was restarted again and again", Remedy.HOST)


def bad_url() -> Trouble:
    return Trouble(Reason.BAD_URL, "this link cannot be used: it needs to be an http or https link", Remedy.NONE)


_STATUS = re.compile(r"\bstatus=(\d{3})\b")
_NOT_CONNECTED: Final = "Proxy connection failed"


def _status(message: str) -> int:
    found = _STATUS.search(message)
    return int(found[1]) if found else 0


_STATUS_OF: Final = {3: 404, 4: 404, 24: 401, 29: 503}
_HOST: Final = frozenset({9, 15, 17, 18})
_VAGUE: Final = frozenset({0, 1, 6, 20, 22})
"""Codes that aria2 gives to all sorts of troubles: its words tell them apart."""

_NOT_HTTP: Final = _HOST | {16, 23}

_BY_STATUS: Final[dict[int, tuple[Reason, Remedy, str]]] = {
    401: (Reason.LOGIN_NEEDED, Remedy.NONE, "it wants a login"),
    403: (Reason.FORBIDDEN, Remedy.NONE, "it does not give this file to us"),
    404: (Reason.NOT_FOUND, Remedy.NONE, "there is no such file"),
    407: (Reason.LOGIN_NEEDED, Remedy.NONE, "it wants a login"),
    408: (Reason.TIMEOUT, Remedy.RETRY, "the request took too long"),
    410: (Reason.NOT_FOUND, Remedy.NONE, "the file is gone for good"),
    416: (Reason.CHANGED, Remedy.WIPE, "the file is not what it was when the download began"),
    425: (Reason.SERVER_BUSY, Remedy.RETRY, "it is too early"),
    429: (Reason.SERVER_BUSY, Remedy.RETRY, "it was asked too often"),
    503: (Reason.SERVER_BUSY, Remedy.RETRY, "the server is busy"),
}

_BY_WORDS: Final[tuple[tuple[re.Pattern[str], Reason, Remedy, str], ...]] = (
    (
        re.compile(r"SSL/TLS|handshake|certificate", re.IGNORECASE),
        Reason.PROTOCOL_ERROR,
        Remedy.NONE,
        "no secure connection to {host}: its certificate or its encryption cannot be trusted",
    ),
    (
        re.compile(r"Redirect to .* failed|\bis not supported yet", re.DOTALL),
        Reason.PROTOCOL_ERROR,
        Remedy.NONE,
        "{host} sends us on to a link that is neither http nor https",
    ),
    (
        re.compile(
            r"Bad status|Bad chunk|chunk size|Invalid|too large|No status line|header"
            r"|must be positive integer|Transfer encoding",
            re.IGNORECASE,
        ),
        Reason.PROTOCOL_ERROR,
        Remedy.RETRY,
        "{host} sent something that cannot be understood",
    ),
    (
        re.compile(r"got EOF|closed|reset by peer|network problem|broken pipe", re.IGNORECASE),
        Reason.INTERRUPTED,
        Remedy.RETRY,
        "the connection to {host} broke before the file was complete",
    ),
)

_BY_CODE: Final[dict[int, tuple[Reason, Remedy, str]]] = {
    1: (Reason.INTERRUPTED, Remedy.RETRY, "the connection to {host} broke before the file was complete"),
    2: (Reason.TIMEOUT, Remedy.RETRY, "{host} did not answer in time"),
    5: (Reason.STALLED, Remedy.RETRY, "{host} sends too slowly"),
    6: (Reason.INTERRUPTED, Remedy.RETRY, "the connection to {host} broke before the file was complete"),
    7: (Reason.INTERRUPTED, Remedy.RETRY, "the transfer from {host} was interrupted"),
    8: (Reason.CHANGED, Remedy.WIPE, "{host} cannot continue a file that has begun: it starts again"),
    9: (Reason.DISK_FULL, Remedy.HOST, "the disk for downloads is full"),
    13: (Reason.CHANGED, Remedy.WIPE, "bytes of an earlier download were in the way"),
    14: (Reason.BAD_NAME, Remedy.NONE, "the name of the file that {host} sent cannot be used"),
    15: (Reason.HOST_TROUBLE, Remedy.HOST, "the disk for downloads cannot be read"),
    16: (Reason.BAD_NAME, Remedy.NONE, "the name of the file that {host} sent cannot be used"),
    17: (Reason.HOST_TROUBLE, Remedy.HOST, "the disk for downloads cannot be written"),
    18: (Reason.HOST_TROUBLE, Remedy.HOST, "the folder for downloads cannot be used"),
    19: (Reason.UNREACHABLE, Remedy.RETRY, "{host} could not be reached"),
    20: (Reason.PROTOCOL_ERROR, Remedy.NONE, "{host} sent something that cannot be understood"),
    22: (Reason.PROTOCOL_ERROR, Remedy.RETRY, "{host} sent an answer that cannot be understood"),
    23: (Reason.REDIRECT_LOOP, Remedy.NONE, "{host} sends us on from link to link without an end"),
    28: (Reason.PROTOCOL_ERROR, Remedy.NONE, "{host} sent something that cannot be understood"),
    32: (Reason.CHANGED, Remedy.WIPE, "the file from {host} arrived damaged"),
}

_UNKNOWN: Final = (Reason.PROTOCOL_ERROR, Remedy.RETRY, "the transfer from {host} failed (aria2 error {code})")
