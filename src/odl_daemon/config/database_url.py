"""The database's address, brought into the one form that the store takes."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

SQLITE_FORM: Final = "sqlite:///path/to/file.db"
MYSQL_FORM: Final = "mysql://user:password@host:port/database"


def normal_url(url: str, folder: Path) -> str:
    """`sqlite:////absolute/path` or a complete `mysql://` URL. Raises ValueError, never quoting the URL: it may
    hold a password."""
    scheme, colon, rest = url.partition("://")
    if not colon or any(character.isspace() for character in url):
        raise ValueError("no URL")
    if scheme == "sqlite":
        return f"sqlite:///{_file(rest, folder)}"
    if scheme in ("mysql", "mariadb"):
        parts = urlsplit(url)
        if not parts.hostname or not parts.path.strip("/") or parts.port == 0:
            raise ValueError("a host or a database is missing")
        return f"mysql://{rest}"
    raise ValueError("another scheme")


def without_password(url: str) -> str:
    """The URL as it may be shown: whatever stands between the user's name and the host is hidden."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    if not at or ":" not in login:
        return url
    return f"{scheme}://{login.partition(':')[0]}:***@{place}"


def _file(rest: str, folder: Path) -> Path:
    """The file that is meant: relative to the config file, or absolute.

    With four slashes the path is absolute. With three both are in use, so that meaning is taken of which more
    folders exist; if that does not tell, the path is relative.
    """
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path.strip("/") or path.endswith("/"):
        raise ValueError("no file")
    if path.startswith("/"):
        return Path(path)
    relative, absolute = folder / path, Path("/") / path
    return absolute if _missing(absolute) < _missing(relative) else relative


def _missing(file: Path) -> int:
    """How many of the folders above the file do not exist."""
    missing = 0
    for parent in file.parents:
        if parent.is_dir():
            break
        missing += 1
    return missing
