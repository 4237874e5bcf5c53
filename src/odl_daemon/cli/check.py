"""`odl check`: whether the daemon can work here, a line for each thing that it needs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from odl_daemon.cli import human
from odl_daemon.cli.trouble import innermost
from odl_daemon.config import Config, ConfigError, load
from odl_daemon.config.database_url import without_password

SCARCE = 1 << 30
"""Bytes; less room than that is worth a word."""

TRY_LIMIT = 30.0
"""Seconds that one check may take."""


class Verdict(NamedTuple):
    """What one check found."""

    good: bool
    sentence: str


def check(words: Namespace, _: object) -> int:
    """A line for each check; 0 if all is well, else 2."""
    verdicts = []
    for name, verdict in _checks(words.config):
        print(f"{'ok' if verdict.good else 'FAIL':<5} {name:<11} {verdict.sentence}", flush=True)
        verdicts.append(verdict)
    return 0 if all(verdict.good for verdict in verdicts) else 2


def _checks(path: Path | None) -> Iterator[tuple[str, Verdict]]:
    try:
        config = load(path, os.environ)
    except ConfigError as error:
        for mistake in error.mistakes:
            yield "config", Verdict(False, mistake)
        return
    yield "config", Verdict(True, f"{config.file or 'no config file: the defaults hold'}")
    yield "database", _database(config)
    aria2c = _aria2c(config)
    yield "aria2c", aria2c
    yield "sandbox", asyncio.run(_sandbox(config)) if aria2c.good else Verdict(False, "not tried: it needs aria2c")
    yield "library", _library(config)
    yield "temp space", _folder(config.download.temp_dir, "[download] temp_dir")


def _database(config: Config) -> Verdict:
    """Asks it something. A file that is not there is left to the daemon, whose own it should be."""
    shown = without_password(config.database.url)
    file = Path(config.database.url.removeprefix("sqlite:///"))
    if config.database.url.startswith("sqlite:") and not file.exists():
        return _folder(file.parent, f"{shown} will be made; its folder")
    trouble = asyncio.run(_trouble_with_database(config.database.url))
    if trouble:
        return Verdict(False, f"{shown} cannot be used: {trouble}; see that it runs, and look at [database] url")
    return Verdict(True, f"{shown} answers")


async def _trouble_with_database(url: str) -> str:
    from odl_daemon.ports import Filter
    from odl_daemon.store import SqlStore

    try:
        async with asyncio.timeout(TRY_LIMIT), SqlStore(url=url, patient=False) as store:
            await store.tasks(Filter(), 1)
    except TimeoutError:
        return f"no answer within {TRY_LIMIT:.0f} s"
    except Exception as error:  # noqa: BLE001  # whatever the driver raises: the operator reads its words
        return str(innermost(error)) or type(error).__name__
    return ""


def _aria2c(config: Config) -> Verdict:
    path = shutil.which(config.download.aria2c)
    if path is None:
        return Verdict(False, f"{config.download.aria2c} was not found; apt install aria2, or set [download] aria2c")
    try:
        said = subprocess.run(
            [path, "--no-conf", "--version"], check=False, capture_output=True, text=True, timeout=TRY_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Verdict(False, f"{path} does not run: {error}; install aria2 anew")
    first = said.stdout.partition("\n")[0]
    if said.returncode or not first.startswith("aria2 version"):
        return Verdict(False, f"{path} is no aria2c: it said {human.plain(first)!r}; set [download] aria2c")
    return Verdict(True, f"{path}, {human.plain(first)}")


async def _sandbox(config: Config) -> Verdict:
    from odl_daemon.download.sandbox import Isolation, try_sandbox

    isolation = Isolation(config.guard.isolation)
    try:
        async with asyncio.timeout(TRY_LIMIT):
            trouble = await try_sandbox(aria2c=config.download.aria2c, isolation=isolation)
    except TimeoutError:
        trouble = f"nothing moved for {TRY_LIMIT:.0f} s"
    if trouble:
        return Verdict(False, trouble)
    if isolation is Isolation.PROXY_ONLY:
        return Verdict(True, 'aria2 runs WITHOUT a sandbox, as [guard] isolation = "proxy-only" says')
    return Verdict(True, "aria2 answers in it")


def _library(config: Config) -> Verdict:
    if config.library.kind == "folder":
        return _folder(config.library.folder, "[library] folder")
    assert config.library.socket is not None, "the config says so"
    return asyncio.run(_seaf_server(config.library.socket))


async def _seaf_server(socket: Path) -> Verdict:
    """Whether a server answers, by asking for a library that nobody has."""
    from odl_daemon.library.seaf_server import SeafServer
    from odl_daemon.library.searpc import Refused, Searpc, ServerAway, Unanswered

    try:
        await SeafServer(Searpc(socket, limit=TRY_LIMIT)).repo("00000000-0000-4000-8000-000000000000")
    except (Refused, ServerAway, Unanswered) as error:
        return Verdict(False, f"{error}; see that seaf-server runs, as this user, and look at [library] socket")
    return Verdict(True, f"the Seafile server at {socket} answers")


def _folder(folder: Path, name: str) -> Verdict:
    """Whether files can be written there, or the folder can be made."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        return Verdict(False, f"{name} {folder} is no folder: {there} is a file; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        return Verdict(False, f"{name} {folder} cannot be written by this user; give it to the daemon's user")
    free = shutil.disk_usage(there).free
    made = "" if there == folder else ", which will be made"
    scarce = "; that is little" if free < SCARCE else ""
    return Verdict(True, f"{name} {folder}{made}: {human.size(free)} free{scarce}")
