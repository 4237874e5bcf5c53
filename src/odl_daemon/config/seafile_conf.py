"""The database credentials of a Seafile installation, read from where the server itself reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from configparser import Error, ParsingError, RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote


class SeafileConfError(Exception):
    """What cannot be used: the file, the key, what is expected there. Never holds what was written: it may be, or
    hide, a password."""


@dataclass(frozen=True)
class Credentials:
    """How a Seafile server reaches its database."""

    url: str = field(repr=False)  # it holds a password
    """`mysql://user:password@host:port/database[?unix_socket=/path]`, all parts percent-encoded."""
    origin: str
    """The file that they stand in, or the environment variables."""


def credentials(folder: Path, environ: Mapping[str, str]) -> Credentials:
    """What the installation with this configuration folder uses; the folder above, which holds `conf`, will do.

    Up to Seafile 12 that is the section [DATABASE] of `seafevents.conf`. Seafile 13 takes SEAFILE_MYSQL_DB_HOST,
    PORT, USER, PASSWORD and SEAHUB_DB_NAME from the environment, which wins, or from `.env`. Old files outlive an
    upgrade, so the installed version decides between the two, as far as it can be seen. Raises SeafileConfError.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  # unlike Path.is_dir it is quiet about folders that are closed to us
        raise SeafileConfError(f"{folder} is no folder that this user can see: expected Seafile's folder conf")
    if not _is_new(folder) and (old := seafevents(folder)) and old.conf.has_section("DATABASE"):
        return _of_section(old)
    return _of_environment(folder, environ)


class Seafevents(NamedTuple):
    """A file `seafevents.conf`."""

    file: Path
    conf: RawConfigParser


def seafevents(folder: Path) -> Seafevents | None:
    """The file of the installation, None if there is none. Raises SeafileConfError if it cannot be read."""
    found = _read(folder, "seafevents.conf")
    if found is None:
        return None
    conf = RawConfigParser()
    try:
        conf.read_string(found.content)
    except Error as error:  # its own words quote the lines
        raise SeafileConfError(
            f"{found.file}, line {_line(error)}: expected [sections] and key = value, each once"
        ) from None
    return Seafevents(found.file, conf)


OLD_WORKER: Final = "OFFLINE DOWNLOAD"
"""The section of seafevents.conf for the worker that the daemon replaces."""


def old_worker_enabled(old: Seafevents) -> bool:
    """Whether the installation runs the old worker."""
    value = without_comment(old.conf.get(OLD_WORKER, "enabled", fallback="false"))
    return RawConfigParser.BOOLEAN_STATES.get(value.lower(), False)


def without_comment(value: str) -> str:
    """A value of seafevents.conf as those versions read it that allow comments behind values."""
    return re.split(r"\s[#;]", value, maxsplit=1)[0].strip()


# --- the two places ---------------------------------------------------------------------------------------


class _Found(NamedTuple):
    """A value, and how a mistake names it. None if it was not written."""

    value: str | None
    place: str


class _File(NamedTuple):
    file: Path
    content: str


def _of_section(old: Seafevents) -> Credentials:
    section = old.conf["DATABASE"]

    def found(key: str, default: str | None = None) -> _Found:
        value = section.get(key, default)
        return _Found(without_comment(value) if value else value, f"{old.file}: [DATABASE] {key}")

    if found("type").value != "mysql":
        raise SeafileConfError(f"{found('type').place}: expected mysql, the one kind of server that is supported")
    unix_socket = found("unix_socket", "").value or ""
    url = _url(
        user=found("username"),
        # a password may hold what elsewhere begins a comment; over a socket the server may need none
        password=found("password")._replace(value=section.get("password", "" if unix_socket else None)),
        host=found("host", "localhost"),
        port=found("port", "3306"),
        name=found("name"),
    )
    return Credentials(url + (f"?unix_socket={_quoted(unix_socket)}" if unix_socket else ""), str(old.file))


_PREFIX: Final = "SEAFILE_MYSQL_DB_"
_KEYS: Final = tuple(_PREFIX + word for word in ("HOST", "PORT", "USER", "PASSWORD", "SEAHUB_DB_NAME"))


def _of_environment(folder: Path, environ: Mapping[str, str]) -> Credentials:
    env = _read(folder, ".env")
    file = env.file if env else folder / ".env"
    written = (_dotenv(env) if env else {}) | {key: environ[key] for key in _KEYS if environ.get(key)}
    if not written:
        raise SeafileConfError(
            f"no database credentials in {folder}: expected seafevents.conf with [DATABASE] (Seafile up to 12), or "
            f"{_PREFIX}HOST, USER, PASSWORD in {file} or the environment (Seafile 13)"
        )

    def found(word: str, default: str | None = None) -> _Found:
        key = _PREFIX + word
        place = f"the environment variable {key}" if environ.get(key) else f"{file}: {key}"
        return _Found(written.get(key, default), place)

    url = _url(
        user=found("USER"),
        password=found("PASSWORD"),
        host=found("HOST"),
        port=found("PORT", "3306"),
        name=found("SEAHUB_DB_NAME", "seahub_db"),
    )
    named = [key for key in _KEYS if environ.get(key)]
    return Credentials(url, ", ".join([*([str(file)] if set(written) - set(named) else []), *named]))


def _is_new(folder: Path) -> bool:
    """Whether Seafile 13 or later is known to be installed, by where its link leads."""
    for top in (folder, folder.parent):
        try:
            version = re.search(r"server-(\d+)\.", os.readlink(top / "seafile-server-latest"))  # noqa: PTH115
        except OSError:  # no link, or closed to us: then the files alone decide
            continue
        if version:
            return int(version[1]) >= 13
    return False


def _read(folder: Path, name: str) -> _File | None:
    for file in (folder / name, folder / "conf" / name):
        try:
            return _File(file, file.read_text(encoding="utf-8-sig"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            sentence = f"{file} cannot be read ({error.strerror}): expected a file that the daemon's user may read"
            raise SeafileConfError(sentence) from error
        except UnicodeDecodeError:
            raise SeafileConfError(f"{file} cannot be read: expected text in UTF-8") from None
    return None


def _line(error: Error) -> int:
    """Where it is, by whichever way this kind of error tells."""
    if isinstance(error, ParsingError) and getattr(error, "errors", []):
        return int(error.errors[0][0])
    return int(getattr(error, "lineno", 0) or 0)


# --- what was written there -------------------------------------------------------------------------------


_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?(\w+)\s*=(.*)")
_QUOTED: Final = re.compile(r"""(?:'((?:\\'|[^'])*)'|"((?:\\.|[^"\\])*)")\s*(?:#.*)?""")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}


def _dotenv(env: _File) -> dict[str, str]:
    """Those of our keys that a `.env` gives a value. The last line of a key counts."""
    values: dict[str, str] = {}
    for number, line in enumerate(env.content.split("\n"), 1):
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment and assignment[1] in _KEYS:
            values[assignment[1]] = _value(assignment[2], f"{env.file}, line {number}: {assignment[1]}")
    return {key: value for key, value in values.items() if value or key == _PREFIX + "PASSWORD"}


def _value(words: str, place: str) -> str:
    """What docker, dotenv and a shell agree on: '...' as it stands, "..." with backslashes, and plain words up to a
    comment. `$` stands for itself."""
    stripped = words.strip()
    quoted = stripped[:1] in ("'", '"')
    form = _QUOTED.fullmatch(stripped)
    if quoted and form is None:
        raise SeafileConfError(f"{place}: expected that the quotes close, and nothing behind them")
    if form and form[1] is not None:
        return form[1].replace("\\'", "'")
    value = form[2] if form else re.split(r"\s#", words, maxsplit=1)[0].strip()
    if re.search(r"(?<!\\)\$\{", value):
        raise SeafileConfError(f"{place}: expected the value itself, not ${{another}}; or '...' around it")
    return re.sub(r'\\(["\\$`nrt])', lambda found: _ESCAPED.get(found[1], found[1]), value) if form else value


def _url(*, user: _Found, password: _Found, host: _Found, port: _Found, name: _Found) -> str:
    login = f"{_quoted(_given(user, 'the name of the database user'))}:{_quoted(_there(password, 'the password'))}"
    return f"mysql://{login}@{_host(host)}:{_port(port)}/{_quoted(_given(name, 'the name of the database of Seahub'))}"


def _there(found: _Found, expected: str) -> str:
    if found.value is None:
        raise SeafileConfError(f"{found.place} is missing: expected {expected}")
    if "\0" in found.value or any("\ud800" <= character <= "\udfff" for character in found.value):
        raise SeafileConfError(f"{found.place}: expected {expected}, as text in UTF-8")
    return found.value


def _given(found: _Found, expected: str) -> str:
    value = _there(found, expected)
    if not value:
        raise SeafileConfError(f"{found.place} is empty: expected {expected}")
    return value


def _host(found: _Found) -> str:
    host = _given(found, "a host name or an address").strip("[]")
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host):
        raise SeafileConfError(f"{found.place}: expected a host name or an address")
    return f"[{host}]" if ":" in host else host


def _port(found: _Found) -> int:
    port = _given(found, "a port")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise SeafileConfError(f"{found.place}: expected a whole number from 1 to 65535")
    return int(port)


def _quoted(words: str) -> str:
    return quote(words, safe="")
