"""The address of a database: read from the setting, and shown without its password."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit


class BadAddress(ValueError):
    """The setting names no database that we can use."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the table lives."""

    dialect: str
    """"sqlite" or "mysql"."""
    place: str
    """The file of an SQLite database, else the name of the database on its server."""
    host: str = ""
    port: int = 3306
    user: str = ""
    password: str = ""
    unix_socket: str = ""

    @property
    def shown(self) -> str:
        """For logs and sentences."""
        if self.dialect == "sqlite":
            return self.place
        return f"{self.unix_socket or f'{self.host}:{self.port}'}/{self.place}"

    @property
    def url(self) -> str:
        """As the `databases` package wants it; the credentials go another way."""
        if self.dialect == "sqlite":
            return f"sqlite:///{quote(self.place)}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        credentials = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"mysql://{credentials}@{host}:{self.port}/{quote(self.place, safe='')}"


def parse(url: str) -> Address:
    """Reads `sqlite:///path` (everything after `sqlite://` is an absolute path) or
    `mysql://user:password@host:port/db[?unix_socket=/path]` (percent-encoded). Raises BadAddress."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        if not rest.strip("/"):
            raise BadAddress("the database url names no file; write sqlite:///path/to/file.db")
        return Address("sqlite", "/" + rest.lstrip("/"))
    if scheme in ("mysql", "mariadb"):
        return _server(url)
    raise BadAddress("the database url must begin with sqlite:/// or mysql://")


def _server(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
    except ValueError as error:
        raise BadAddress(f"the database url cannot be read: {error}") from None
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise BadAddress("the database url names no database; write mysql://user:password@host:port/database")
    return Address(
        "mysql",
        name,
        host=parts.hostname or "localhost",
        port=port,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        unix_socket=parse_qs(parts.query).get("unix_socket", [""])[0],
    )
