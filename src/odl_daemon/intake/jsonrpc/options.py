"""What may be said beside a link, by the RPC address or by aria2's options, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from odl_daemon.intake.jsonrpc.protocol import FAILED, Fault
from odl_daemon.model import names

LONGEST_LIBRARY: Final = 36
"""Characters, as the shared table has them."""

PASSED_OVER: Final = frozenset(
    {
        # how aria2 should go about it: here the daemon decides
        *("allow-overwrite", "allow-piece-length-change", "always-resume", "async-dns", "auto-file-renaming"),
        *("check-integrity", "connect-timeout", "content-disposition-default-utf8", "continue", "disable-ipv6"),
        *("enable-http-keep-alive", "enable-http-pipelining", "enable-mmap", "file-allocation", "force-save"),
        *("http-accept-gzip", "http-auth-challenge", "http-no-cache", "lowest-speed-limit"),
        *("max-connection-per-server", "max-download-limit", "max-file-not-found", "max-mmap-limit"),
        *("max-resume-failure-tries", "max-tries", "min-split-size", "no-file-allocation-limit", "no-netrc"),
        *("piece-length", "realtime-chunk-checksum", "remote-time", "remove-control-file", "retry-wait", "reuse-uri"),
        *("split", "stream-piece-selector", "timeout", "uri-selector", "use-head"),
        # what browser extensions attach to every link, wanted or not
        *("referer", "user-agent"),
        # about sources that are not taken here
        *("enable-peer-exchange", "follow-metalink", "follow-torrent", "ftp-pasv", "ftp-reuse-connection", "ftp-type"),
        *("max-upload-limit", "pause-metadata", "rpc-save-upload-metadata", "seed-ratio", "seed-time", "select-file"),
    }
)
"""Options that are taken and change nothing; so are all that begin with `bt-` or `metalink-`."""

_LOGIN: Final = "write the login into the link: https://user:password@host/path"
_WHY_NOT: Final[Mapping[str, str]] = {
    "gid": "the GID is made here",
    "checksum": "checksums are not compared here",
    "http-user": _LOGIN,
    "http-passwd": _LOGIN,
    "dry-run": "a link that is handed over is fetched",
}
_LOGIN_HEADERS: Final = frozenset({"authorization", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the links of an RPC address go."""

    library: str
    """"" if it must be named and is not."""
    folder: str
    """Absolute, normalised."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options of one link ask for."""

    place: Place
    name: str
    """"" takes the source's."""
    paused: bool


def place_of(tail: str, query: Mapping[str, str], library: str) -> Place:
    """What an address says: `/jsonrpc/LIBRARY/folder`, or `/jsonrpc?library=LIBRARY&path=/folder`; some clients keep of
    an address nothing but its path. `library` is taken where it names none. Raises Fault."""
    named, _, folder = tail.strip("/").partition("/")
    return Place(_library(query.get("library", named or library)), _folder(query.get("path", folder)))


def wanted(options: Mapping[str, object], place: Place) -> Wanted:
    """The options of addUri. Raises Fault for one that cannot be granted."""
    library, folder, name, paused = place.library, place.folder, "", False
    for option, value in options.items():
        match option:
            case "dir":
                folder = _folder(_text(option, value)) if value else place.folder
            case "out":
                name = _text(option, value)
            case "pause":
                paused = _yes(option, value)
            case "library":
                library = _library(_text(option, value))
            case _:
                _check(option, value)
    if not library:
        raise Fault(FAILED, "no library is named: put its id into the RPC address, /jsonrpc/ID")
    below, _, last = name.rpartition("/")  # aria2 takes folders in `out`
    folder = _folder(f"{folder}/{below}") if below else folder
    return Wanted(Place(library, folder), names.safe_name(last) if last else "", paused)


def check_change(options: Mapping[str, object]) -> None:
    """The options of changeOption: those that change nothing may be changed. Raises Fault."""
    for option, value in options.items():
        if option in ("dir", "out", "pause", "library"):
            raise Fault(FAILED, f"option {option}: it cannot be changed once the link is handed over")
        _check(option, value)


def _check(option: str, value: object) -> None:
    if option == "header":
        _check_headers(_lines(option, value))
    elif option not in PASSED_OVER and not option.startswith(("bt-", "metalink-")):
        raise Fault(FAILED, f"option {option[:60]}: {_WHY_NOT.get(option, 'it is not taken here')}")


def _check_headers(lines: Iterable[str]) -> None:
    """Browser extensions attach headers to every link, a Cookie among them wherever the browser has one: refused, they
    could send nothing at all. They are dropped, here and at once. A login is only there if somebody wrote it."""
    for line in lines:
        name = line.partition(":")[0].strip().lower()
        if name in _LOGIN_HEADERS:
            raise Fault(FAILED, f"option header: {name} is not taken here; {_LOGIN}")


def _library(text: str) -> str:
    if len(text) > LONGEST_LIBRARY or not text.isprintable():
        raise Fault(FAILED, f"there can be no such library: an id has {LONGEST_LIBRARY} characters")
    return text


def _folder(text: str) -> str:
    try:
        return names.folder_path(text)
    except ValueError as error:
        raise Fault(FAILED, str(error)) from error


def _text(option: str, value: object) -> str:
    if not isinstance(value, str):
        raise _problem(option)
    return value


def _yes(option: str, value: object) -> bool:
    if value in ("true", True):
        return True
    if value in ("false", False):
        return False
    raise _problem(option)


def _lines(option: str, value: object) -> list[str]:
    """One text with a line for each, or a list of texts."""
    texts = value if isinstance(value, list) else [value]
    return [line for text in texts for line in _text(option, text).splitlines()]


def _problem(option: str) -> Fault:
    return Fault(FAILED, f"We encountered a problem while processing the option '--{option}'.")
