"""How each sort of value is written in the settings, and what it becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from odl_daemon.config.database_url import MYSQL_FORM, SQLITE_FORM, normal_url

T = TypeVar("T")
N = TypeVar("N", int, float)


class Kind(NamedTuple):
    """One sort of value. `read` takes what was written, and the folder that relative paths count from; it
    raises ValueError (or TypeError) for what is not `expected`."""

    expected: str
    read: Callable[[object, Path], object]


def flag() -> Kind:
    def read(value: object, folder: Path) -> bool:
        if isinstance(value, bool):
            return value
        word = _text(value).lower()
        return _held_by(word in _TRUE, word in _TRUE + _FALSE)

    return Kind("true or false", read)


def text(pattern: str = r"[^\x00-\x1f]*", expected: str = "a text") -> Kind:
    def read(value: object, folder: Path) -> str:
        return _held_by(_text(value), re.fullmatch(pattern, _text(value)) is not None)

    return Kind(expected, read)


def choice(*words: str) -> Kind:
    def read(value: object, folder: Path) -> str:
        return _held_by(_text(value), value in words)

    return Kind("one of " + ", ".join(f'"{word}"' for word in words), read)


def whole(low: int, high: int) -> Kind:
    def read(value: object, folder: Path) -> int:
        number = int(value) if isinstance(value, str) else _number(value, int)
        return _held_by(number, low <= number <= high)

    return Kind(f"a whole number from {low} to {high}", read)


def duration(low: float, high: float) -> Kind:
    """Seconds as a float."""

    def read(value: object, folder: Path) -> float:
        seconds = _seconds(value) if isinstance(value, str) else float(_number(value, int, float))
        return _held_by(seconds, low <= seconds <= high)

    return Kind(f'seconds as a number, or like "90s", "30m", "1h30m"; from {_brief(low)} to {_brief(high)}', read)


def size() -> Kind:
    """Bytes as an int."""

    def read(value: object, folder: Path) -> int:
        count = _bytes(value) if isinstance(value, str) else _number(value, int)
        return _held_by(count, 0 <= count < 1 << 63)

    return Kind('bytes as a whole number, or like "700M", "5 GiB"', read)


def optional_size() -> Kind:
    """Bytes as an int; None if nothing is written."""

    def read(value: object, folder: Path) -> int | None:
        read_size = size().read(value, folder) if value != "" else None
        assert read_size is None or isinstance(read_size, int)
        return read_size

    return Kind('bytes as a whole number, or like "700M", "5 GiB"; or ""', read)


def folder_path() -> Kind:
    def read(value: object, folder: Path) -> Path:
        return folder / _expanded(_path(value))

    return Kind("a folder, absolute or counted from the folder of the config file", read)


def optional_path() -> Kind:
    """None if nothing is written."""

    def read(value: object, folder: Path) -> Path | None:
        return folder / _expanded(_path(value)) if value != "" else None

    return Kind('a path, absolute or counted from the folder of the config file; or ""', read)


def names() -> Kind:
    """A tuple of texts, one at least."""

    def read(value: object, folder: Path) -> tuple[str, ...]:
        words = _split(value) if isinstance(value, str) else value
        if not isinstance(words, list) or not words:
            raise TypeError(words)
        return tuple(_held_by(_text(word).strip(), _text(word).strip() != "") for word in words)

    return Kind('a list of users, like ["a@example.org", "*@students.example.org"]', read)


def listen() -> Kind:
    """A text: `host:port`, `unix:/path` or nothing."""

    def read(value: object, folder: Path) -> str:
        words = _text(value)
        if words.startswith("unix:"):
            return f"unix:{folder / _expanded(_held_by(words[5:], words[5:] != ''))}"
        host, _, port = words.rpartition(":")
        good = host != "" and re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+", host) is not None
        return _held_by(words, words == "" or (good and port.isascii() and port.isdecimal() and int(port) < 65536))

    return Kind('"host:port", "unix:/path" or ""', read)


def program() -> Kind:
    def read(value: object, folder: Path) -> str:
        words = _path(value)
        return str(folder / _expanded(words)) if "/" in words else words

    return Kind("the name of a program, or its path", read)


def listed(good: Callable[[str], bool], items: str) -> Kind:
    """A tuple of texts; in the environment as JSON, or with commas between them."""

    def read(value: object, folder: Path) -> tuple[str, ...]:
        words = _split(value) if isinstance(value, str) else value
        if not isinstance(words, list):
            raise TypeError(words)
        return tuple(_held_by(_text(word).strip(), good(_text(word).strip())) for word in words)

    return Kind(f"a list of {items}", read)


def ports() -> Kind:
    """A tuple of numbers; in the environment as JSON, or with commas between them."""

    def read(value: object, folder: Path) -> tuple[int, ...]:
        words = _split(value) if isinstance(value, str) else value
        if not isinstance(words, list):
            raise TypeError(words)
        numbers = [int(word) if isinstance(word, str) else _number(word, int) for word in words]
        return tuple(_held_by(number, 0 < number < 65536) for number in numbers)

    return Kind("a list of ports, from 1 to 65535", read)


def database_url() -> Kind:
    def read(value: object, folder: Path) -> str:
        return normal_url(_text(value), folder)

    return Kind(f"{SQLITE_FORM} or {MYSQL_FORM} (special characters of the password as %XX)", read)


# --- what they are made of --------------------------------------------------------------------------------

_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _held_by(value: T, good: bool) -> T:
    if not good:
        raise ValueError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _path(value: object) -> str:
    words = _text(value)
    return _held_by(words, words != "" and "\0" not in words)


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # a user whom this host does not know
        raise ValueError(path) from error


def _number(value: object, *kinds: type[N]) -> N:
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(value)
    return value


def _seconds(words: str) -> float:
    """A bare number, or numbers that each have a unit: "1h30" could mean two things."""
    lower = words.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", lower):
        return float(lower)
    if not re.fullmatch(r"(\d+(\.\d+)?\s*(ms|s|min|m|h|d)\s*)+", lower):
        raise ValueError(words)
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)\s*([a-z]+)", lower))


def _bytes(words: str) -> int:
    form = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(ib|b)?", words.strip().lower())
    if form is None:
        raise ValueError(words)
    number, power, tail = form.groups()
    factor: int = (1000 if tail == "b" and power else 1024) ** _POWERS[power]
    return round(float(number) * factor) if "." in number else int(number) * factor


def _split(words: str) -> object:
    if not words.strip().startswith("["):
        return [word for word in words.split(",") if word.strip()]
    import json  # only here: most starts never see such a list

    return json.loads(words)


def _brief(seconds: float) -> str:
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s" if seconds else "0"
