"""What the daemon stands on: folders of its own, a log, descriptors enough; and what only the operator can mend."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from odl_daemon.config import Config
from odl_daemon.logs import logging_to

OPEN_FILES = 8192

NAME_SERVERS_PATIENCE = "timeout:2 attempts:2"
"""Of the host's own resolver, unless the operator has set it: two seconds for each server, twice."""


class OperatorError(Exception):
    """Something that only the operator can mend: one sentence, and what to do."""


@contextmanager
def entered(config: Config) -> Iterator[None]:
    """Prepares everything for a daemon, and keeps others out while the block lasts. Raises OperatorError."""
    os.umask(0o077)
    _allow_many_files()
    os.environ.setdefault("RES_OPTIONS", NAME_SERVERS_PATIENCE)
    with (
        _owned(config.daemon.state_dir, "[daemon] state_dir"),
        _owned(config.download.temp_dir, "[download] temp_dir"),
        _logging(config),
    ):
        _make_room_for(config.database.url)
        yield


def holder_name(state_dir: Path) -> str:
    """A name that stays the same over restarts and differs between any two daemons: by host and state folder."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    digest = hashlib.sha256(f"{machine}\0{state_dir.resolve()}".encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{digest}"


def _make_room_for(url: str) -> None:
    """The folder of an SQLite file."""
    if not url.startswith("sqlite:"):
        return
    folder = Path("/" + url.removeprefix("sqlite:").lstrip("/")).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"the folder of the database, {folder}, cannot be made: {error.strerror}") from error


def _allow_many_files() -> None:
    """Every tunnel of the proxy needs two descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@contextmanager
def _owned(folder: Path, setting: str) -> Iterator[None]:
    """Makes a folder if it is not there, and keeps other daemons out of it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OperatorError(
            f"the folder {folder} cannot be used: {error.strerror}; make it writable for this user, or change {setting}"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise OperatorError(
            f"another odl-daemon works in {folder}; stop it, or give this one a {setting} of its own"
        ) from error
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def _logging(config: Config) -> Iterator[None]:
    try:
        lines = logging_to(config.log.file, config.log.level)
    except OSError as error:
        raise OperatorError(f"the log file {config.log.file} cannot be written: {error.strerror}") from error
    with lines:
        yield
