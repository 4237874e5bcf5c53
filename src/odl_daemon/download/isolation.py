"""The command that shuts the keeper in: what the sandbox sees, and what to do where none can be made."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from odl_daemon.download import keeper


class Isolation(StrEnum):
    """How far aria2 is shut in."""

    NAMESPACE = "namespace"
    """It has no network but the way to our proxy, and sees nothing but the scratch root and programs."""
    PROXY_ONLY = "proxy-only"
    """It is told to use our proxy, and could do otherwise: for hosts that forbid user namespaces."""


class SandboxTrouble(Exception):
    """The sandbox cannot be started: a sentence for the operator, and what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(f"{sentence} ({hint})" if hint else sentence)
        self.sentence = sentence
        self.hint = hint


class Breach(SandboxTrouble):
    """The sandbox is there, and does not hold: nothing of a stranger may run in it."""


HIDDEN: Final = ".handover"
"""A folder in the scratch root that is not shown to aria2: what lies there is for a library's server."""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start the keeper. The arguments of bwrap go through a file: paths stay out of the process list."""

    argv: tuple[str, ...]
    wrapping: bytes
    """NUL-terminated arguments for bwrap's --args; empty without bwrap."""


def command(
    isolation: Isolation, *, scratch: Path, programs: Sequence[Path], bundle: str, descriptors: Sequence[int]
) -> Command:
    """The command for the keeper, without the number of --args' descriptor (the last of `descriptors` when there
    is a wrapping). Raises SandboxTrouble if bwrap is missing."""
    interpreter = _interpreter()
    numbers = tuple(str(number) for number in descriptors[:2])
    if isolation is Isolation.PROXY_ONLY:
        return Command((str(interpreter), "-I", "-S", str(Path(keeper.__file__).resolve()), *numbers), b"")
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxTrouble("bwrap, which makes the sandbox of aria2, is not installed", "apt install bubblewrap")
    wrapping = [
        *_SHUT_IN,
        *_system(),
        *_read_only(_outside([*_prefixes(), *programs])),
        *(_read_only([Path(bundle)]) if bundle and not _within(Path(bundle), (*_SYSTEM, Path("/etc/ssl"))) else ()),
        *("--ro-bind", str(Path(keeper.__file__).resolve()), _KEEPER),
        *("--bind", str(scratch), str(scratch)),
        *(_covered(scratch / HIDDEN) if (scratch / HIDDEN).is_dir() else ()),
        *("--chdir", "/tmp"),
        *("--remount-ro", "/"),
    ]
    argv = (bwrap, "--args", str(descriptors[2]), "--", str(interpreter), "-I", "-S", _KEEPER, *numbers)
    return Command(argv, b"".join(os.fsencode(word) + b"\0" for word in wrapping))


def hint_for(lines: Sequence[str]) -> str:
    """What to do about it, if bwrap is among those who said these lines."""
    complaint = " ".join(line for line in lines if line.startswith("bwrap: "))
    return next((hint for sign, hint in _HINTS if sign in complaint), "")


def _interpreter() -> Path:
    """The program that runs us, outside of any virtual environment."""
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return Path(base).resolve()


def _prefixes() -> list[Path]:
    """Where the interpreter keeps its library: as it is called, and as it is."""
    return [Path(sys.base_prefix), Path(sys.base_prefix).resolve(), Path(sys.base_exec_prefix).resolve()]


def _system() -> Iterator[str]:
    """The programs and libraries of the host, the certificates that it trusts."""
    yield from ("--ro-bind", "/usr", "/usr")
    for path in _MERGED:
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for path in _TRUST:
        yield from ("--ro-bind-try", str(path), str(path))
    yield from ("--size", str(_ROOM), "--tmpfs", "/tmp")


def _covered(folder: Path) -> Iterator[str]:
    """An empty folder over one of ours."""
    yield from ("--size", str(_ROOM), "--tmpfs", str(folder))


def _outside(paths: Sequence[Path]) -> list[Path]:
    """Those that the host's system directories do not hold, each once."""
    return [path for path in dict.fromkeys(paths) if not _within(path, _SYSTEM)]


def _within(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _read_only(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind", str(path.resolve()), str(path))


_KEEPER: Final = "/keeper.py"
_ROOM: Final = 4 << 20
"""Bytes of the sandbox's own /tmp: a conf needs little."""

_SYSTEM: Final = (Path("/usr"),)
_MERGED: Final = tuple(Path(path) for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"))
_TRUST: Final = tuple(Path(path) for path in ("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache"))
_SHUT_IN: Final = (
    *("--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
)
_FORBIDDEN: Final = (
    "this host forbids user namespaces: on Debian `sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu an AppArmor "
    "profile for bwrap or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, in a container the right to make "
    'them; or set [guard] isolation = "proxy-only", which shuts aria2 in less'
)
_HINTS: Final = (
    ("execvp", "the Python that runs the daemon must be readable for its user"),
    ("namespace", _FORBIDDEN),
    ("uid map", _FORBIDDEN),
    ("loopback", _FORBIDDEN),
    ("ermission", _FORBIDDEN),
    ("not permitted", _FORBIDDEN),
    ("No such file", "a path that the sandbox shall show does not exist"),
)
