"""Checks of a Seafile server: reached, ours, of which version, and whether it can read what we hand over."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import socket
import stat
import struct
from pathlib import Path, PurePath
from typing import Final, NamedTuple

import aiohttp

from odl_daemon.address import address_of
from odl_daemon.cli import human
from odl_daemon.cli.verdict import TRY_LIMIT, Verdict, Verdicts, bad, good, lame, nearest
from odl_daemon.config import Config
from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.library.seafile_rpc import path_map_of
from odl_daemon.library.searpc import Refused, Searpc, ServerAway, Unanswered

NOBODYS: Final = "00000000-0000-4000-8000-000000000000"
"""A library that there is not."""

LONGEST_ANSWER: Final = 4096
"""Bytes of an answer that are looked at."""


def seafile(config: Config) -> Verdicts:
    """A line for each part of the way to the server."""
    if config.library.socket is None:
        return asyncio.run(_by_web(config))
    verdicts = {"socket": _socket(config.library.socket)}
    verdicts["library"] = asyncio.run(_answers(config.library.socket))
    if config.library.kind == "seafile-rpc":
        verdicts["hand-over"] = _hand_over(config, config.library.socket)
    else:
        verdicts["file server"] = asyncio.run(_file_server(config.library.file_server))
    return verdicts


# --- by its socket


def _socket(path: Path) -> Verdict:
    """Whether it is there, and ours."""
    try:
        found = path.stat()
    except OSError as error:
        return bad(f"{path}: {error.strerror}; see that seaf-server runs, and look at [library] socket")
    if not stat.S_ISSOCK(found.st_mode):
        return bad(f"{path} is no socket; look at [library] socket")
    if found.st_uid == os.geteuid():
        return good(f"{path}, of this user")
    theirs, ours = _user(found.st_uid), _user(os.geteuid())
    told = f"{path} belongs to {theirs}, and this is {ours}: the daemon should run as {theirs}"
    return lame(told) if os.access(path, os.W_OK) else bad(told)


async def _answers(path: Path) -> Verdict:
    """Whether a server answers, by asking for a library that nobody has."""
    try:
        await SeafServer(Searpc(path, limit=TRY_LIMIT)).repo(_Nobody(NOBODYS, ""))
    except (Refused, ServerAway, Unanswered) as error:
        return bad(f"{error}; see that seaf-server runs, as this user, and look at [library] socket")
    version = version_of(path)
    return good(f"the Seafile server at {path} answers" + (f", version {version}" if version else ""))


class _Nobody(NamedTuple):
    """seafile_server.Place."""

    library: str
    owner: str


def version_of(path: Path) -> str:
    """The version of an installed server, by the folder that its socket lies in; "" where that does not tell."""
    found = re.search(r"/seafile(?:-pro)?-server-(\d+(?:\.\d+)+)/", os.path.realpath(path))
    return found[1] if found else ""


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with the number {uid}"


# --- what is handed over by its path


def _hand_over(config: Config, path: Path) -> Verdict:
    """Whether the server's process sees our folder for downloads, and may read in it."""
    folder = nearest(config.download.temp_dir)
    theirs = config.download.temp_dir
    if path_map := path_map_of(config.library.path_map):
        ours, there = path_map
        if not theirs.is_relative_to(ours):
            return bad(f"[download] temp_dir {theirs} does not lie in {ours}, which [library] path_map tells of")
        theirs, folder = Path(there / theirs.relative_to(ours)), config.download.temp_dir
    try:
        pid, uid = _at_the_other_end(path)
    except OSError as error:
        return bad(f"not tried: {error.strerror}")
    if uid not in (os.geteuid(), 0):
        return bad(
            f"seaf-server runs as {_user(uid)} and cannot read the files of {_user(os.geteuid())}: let the daemon run "
            "as the same user"
        )
    return _seen_alike(pid, folder, theirs if path_map else folder)


def _at_the_other_end(path: Path) -> tuple[int, int]:
    """Process and user of the server. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(TRY_LIMIT)
        with address_of(path) as address:
            line.connect(address)
        pid, uid, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


def _seen_alike(pid: int, ours: Path, theirs: PurePath) -> Verdict:
    """Whether the same folder lies there for the process: it may have a root, or a /tmp, of its own."""
    try:
        there = Path(f"/proc/{pid}/root{theirs}").stat()
    except PermissionError:
        return lame(f"whether seaf-server (process {pid}) sees {theirs} cannot be seen from here")
    except OSError as error:
        return bad(f"seaf-server (process {pid}) does not see {theirs} ({error.strerror}): {_MAP}")
    here = ours.stat()
    if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
        return bad(f"seaf-server (process {pid}) sees another folder at {theirs} than we do: {_MAP}")
    return good(f"seaf-server (process {pid}) sees {theirs}")


_MAP: Final = "give it the folder of [download] temp_dir, or look at [library] path_map"


# --- by http


async def _file_server(url: str) -> Verdict:
    """Anything that answers by http may be it: its one page without a token differs between versions."""
    found = await _got(f"{url.rstrip('/')}/protocol-version")
    if isinstance(found, str):
        return bad(f"{url} does not answer ({found}); see that the file server runs, and look at [library] file_server")
    return good(f"{url} answers")


async def _by_web(config: Config) -> Verdicts:
    from odl_daemon.library.tokens import Tokens, TokensTrouble

    url, file = config.library.seahub_url.rstrip("/"), config.library.tokens_file
    assert file is not None, "a config without it is refused"
    verdicts = {"library": await _seahub(url)}
    try:
        users = len(Tokens(file))
    except TokensTrouble as error:
        return verdicts | {"tokens": bad(str(error))}
    return verdicts | {"tokens": good(f"{file}: {users:,} users") if users else lame(f"{file} names no user")}


async def _seahub(url: str) -> Verdict:
    found = await _got(f"{url}/api2/server-info/")
    if isinstance(found, str):
        return bad(f"{url} does not answer ({found}); look at [library] seahub_url")
    status, words = found
    version = re.search(r'"version":\s*"(\d[0-9.]*)"', words)
    if status != 200 or version is None:
        return bad(f"{url} is no Seafile web site: it answered {status}; look at [library] seahub_url")
    return good(f"the Seafile web site {url} answers, version {version[1]}")


async def _got(url: str) -> tuple[int, str] | str:
    """Status and the beginning of the answer, or what is wrong."""
    limits = aiohttp.ClientTimeout(total=TRY_LIMIT)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits, trust_env=False) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return answer.status, human.plain((await answer.content.read(LONGEST_ANSWER)).decode(errors="replace"))
    except TimeoutError:
        return f"nothing within {TRY_LIMIT:.0f} s"
    except (aiohttp.ClientError, ValueError, OSError) as error:
        return human.plain(str(error)) or type(error).__name__
