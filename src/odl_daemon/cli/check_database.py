"""Checks of the database: who it is, what its table can hold, and who else works on it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

from odl_daemon.cli.counter import Counter
from odl_daemon.cli.trouble import OperatorTrouble, Refused, innermost
from odl_daemon.cli.verdict import TRY_LIMIT, Verdict, Verdicts, bad, folder, good, lame
from odl_daemon.config import Config
from odl_daemon.config.database_url import without_password

FOUR_BYTES: Final = "utf8mb4"
"""The character set that holds all of Unicode."""

LEFT_OVER: Final = 1000
"""Rows of nobody that are counted."""


def database(config: Config) -> Verdicts:
    """A file that is not there is left to the daemon, whose own it should be."""
    shown = without_password(config.database.url)
    embedded = config.database.url.startswith("sqlite:")
    file = Path(config.database.url.removeprefix("sqlite:///"))
    if embedded and not file.exists():
        return {"database": folder(file.parent, f"{shown} will be made; its folder")}
    found = asyncio.run(_found(config.database.url))
    if isinstance(found, str):
        return {"database": bad(f"{shown} cannot be used: {found}; see that it runs, and look at [database] url")}
    answers = {"database": good(f"{shown} answers: {found.server}")}
    if embedded:
        return answers
    table = good(f"OfflineDownloadRecord, {found.rows:,} rows")
    return answers | {"table": table, "charset": _charset(found.charset), "rival": _rival(config, found)}


class _Found(NamedTuple):
    server: str
    charset: str
    rows: int
    nobodys: int
    """Rows in QUEUING or DOWNLOADING that no daemon of ours has."""


async def _found(url: str) -> _Found | str:
    """What is there, or what is wrong."""
    from odl_daemon.model.task import Status
    from odl_daemon.ports import Filter
    from odl_daemon.store import SqlStore

    try:
        async with asyncio.timeout(TRY_LIMIT), SqlStore(url=url, patient=False) as store:
            await store.tasks(Filter(), 1)
            server, charset = await store.about()
            nobodys = await store.strangers(0, frozenset({Status.QUEUING, Status.DOWNLOADING}), LEFT_OVER)
            return _Found(server, charset, await store.count(Filter()), len(nobodys))
    except TimeoutError:
        return f"no answer within {TRY_LIMIT:.0f} s"
    except Exception as error:  # noqa: BLE001  # whatever the driver raises: the operator reads its words
        return str(innermost(error)) or type(error).__name__


def _charset(charset: str) -> Verdict:
    if charset.lower() == FOUR_BYTES:
        return good(f"{charset}: links may hold every character")
    return lame(
        f"{charset or 'unknown'}: the table holds no emoji, which the web interface turns into ???? in a link; "
        f"converting the table to {FOUR_BYTES} helps"
    )


# --- who else works on the table


def _rival(config: Config, found: _Found) -> Verdict:
    if told := _switched_on(config):
        return bad(told)
    daemon = _sighting(config)
    if daemon:
        return bad(daemon)
    if found.nobodys and daemon is None:
        number = f"{found.nobodys:,}{' or more' if found.nobodys == LEFT_OVER else ''}"
        fate = "takes them over" if config.intake.take_over == "start" else "leaves them alone ([intake] take_over)"
        return lame(
            f"{number} rows are at QUEUING or DOWNLOADING and no daemon's: see that the old worker is off; the daemon "
            f"{fate} when it starts"
        )
    return good("nobody else was seen to work on the table")


def _switched_on(config: Config) -> str:
    """What is wrong with the old worker's own switch, where it can be seen."""
    if config.database.seafile_conf is None:
        return ""
    from odl_daemon.config.seafile_conf import SeafileConfError, old_worker_enabled, seafevents

    try:
        old = seafevents(config.database.seafile_conf)
    except SeafileConfError as error:
        return str(error)
    if old is None or not old_worker_enabled(old):
        return ""
    return (
        f"the old worker is switched on in {old.file}: set [OFFLINE DOWNLOAD] enabled = false there, and restart "
        "seafevents"
    )


def _sighting(config: Config) -> str | None:
    """What the running daemon has seen; None if none runs."""
    with Counter(config) as counter:
        try:
            return counter.rival() if counter.daemon_runs() else None
        except (OperatorTrouble, Refused) as error:
            return f"the running daemon cannot be asked: {error}"
