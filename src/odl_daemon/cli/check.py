"""`odl check`: whether the daemon can work here, a line for each thing that it needs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from odl_daemon.cli import human
from odl_daemon.cli.check_database import database
from odl_daemon.cli.verdict import TRY_LIMIT, Mark, Verdict, Verdicts, bad, folder, good, lame
from odl_daemon.config import Config, ConfigError, load


def check(words: Namespace, _: object) -> int:
    """A line for each check; 2 if something is to be mended before the daemon can work, else 0."""
    verdicts = []
    for name, verdict in _checks(words.config):
        print(f"{verdict.mark.value:<5} {name:<11} {verdict.sentence}", flush=True)
        verdicts.append(verdict)
    return 2 if any(verdict.mark is Mark.BAD for verdict in verdicts) else 0


def _checks(path: Path | None) -> Iterator[tuple[str, Verdict]]:
    try:
        config = load(path, os.environ)
    except ConfigError as error:
        for mistake in error.mistakes:
            yield "config", bad(mistake)
        return
    yield "config", good(f"{config.file or 'no config file: the defaults hold'}")
    yield from database(config).items()
    aria2c = _aria2c(config)
    yield "aria2c", aria2c
    yield "sandbox", asyncio.run(_sandbox(config)) if aria2c.mark is Mark.GOOD else bad("not tried: it needs aria2c")
    yield from _library(config).items()
    yield "temp space", folder(config.download.temp_dir, "[download] temp_dir")


def _aria2c(config: Config) -> Verdict:
    path = shutil.which(config.download.aria2c)
    if path is None:
        return bad(f"{config.download.aria2c} was not found; apt install aria2, or set [download] aria2c")
    try:
        said = subprocess.run(
            [path, "--no-conf", "--version"], check=False, capture_output=True, text=True, timeout=TRY_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return bad(f"{path} does not run: {error}; install aria2 anew")
    first = said.stdout.partition("\n")[0]
    if said.returncode or not first.startswith("aria2 version"):
        return bad(f"{path} is no aria2c: it said {human.plain(first)!r}; set [download] aria2c")
    return good(f"{path}, {human.plain(first)}")


async def _sandbox(config: Config) -> Verdict:
    from odl_daemon.download.sandbox import Isolation, try_sandbox

    isolation = Isolation(config.guard.isolation)
    try:
        async with asyncio.timeout(TRY_LIMIT):
            trouble = await try_sandbox(aria2c=config.download.aria2c, isolation=isolation)
    except TimeoutError:
        trouble = f"nothing moved for {TRY_LIMIT:.0f} s"
    if trouble:
        return bad(trouble)
    if isolation is Isolation.PROXY_ONLY:
        return lame('aria2 runs WITHOUT a sandbox, as [guard] isolation = "proxy-only" says')
    return good("aria2 answers in it")


def _library(config: Config) -> Verdicts:
    if config.library.kind == "folder":
        return {"library": folder(config.library.folder, "[library] folder")}
    from odl_daemon.cli.check_seafile import seafile

    return seafile(config)
