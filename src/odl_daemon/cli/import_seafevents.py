"""`odl import-seafevents`: a config file made from a Seafile installation and the settings of its old worker."""

from __future__ import annotations

import os
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import NamedTuple

from odl_daemon.cli.show_config import as_toml
from odl_daemon.cli.trouble import OperatorTrouble
from odl_daemon.config.seafile_conf import (
    OLD_WORKER,
    Credentials,
    SeafileConfError,
    credentials,
    seafevents,
    without_comment,
)
from odl_daemon.config.settings import settings_of


def import_seafevents(words: Namespace, _: object) -> int:
    """Prints the file. Raises OperatorTrouble if no daemon could start with it."""
    folder = Path(os.path.abspath(words.folder))  # noqa: PTH100  # conf may be a link: what counts is how it is named
    try:
        old = seafevents(folder)
        access = credentials(folder, os.environ)
    except SeafileConfError as error:
        raise OperatorTrouble(str(error)) from error
    worker = _Worker(old.conf if old else RawConfigParser())
    print("\n".join(_written(folder, access, worker, words.state_dir)))
    return 0


# --- the file ---------------------------------------------------------------------------------------------


def _written(folder: Path, access: Credentials, worker: _Worker, state_dir: Path | None) -> Iterator[str]:
    top = folder if (folder / "conf").is_dir() else folder.parent
    yield from _comment(
        f"Settings of odl-daemon, made by `odl import-seafevents` from {as_toml(str(folder))}. Look through them, then "
        "let `odl check` try them. All other keys have their defaults: docs/configuration.md tells of them."
    )
    yield "\n[daemon]"
    if state_dir:
        yield f"state_dir = {as_toml(str(state_dir))}"
    yield from _enabled(worker)
    yield "\n[database]"
    yield from _comment(
        f"The credentials stay where they are, and are read at each start; today from {as_toml(access.origin)}. What "
        "comes from the environment must be in the daemon's environment, too."
    )
    yield f"seafile_conf = {as_toml(str(folder))}"
    yield "\n[download]"
    yield from _limits(worker)
    yield from _temp_dir(top, worker)
    yield "\n[library]"
    yield from _comment(
        "Guessed from the usual layout of an installed server. The daemon must run as the user of seaf-server. For a "
        'server in a container look at kind = "seafile-http".'
    )
    yield 'kind = "seafile-rpc"'
    yield f"socket = {as_toml(str(top / 'seafile-server-latest/runtime/seafile.sock'))}"


def _enabled(worker: _Worker) -> Iterator[str]:
    told = worker.tell("enabled")
    enabled = worker.flag("enabled")
    if enabled is None:
        yield from _comment(f"{told}, so the default holds: the daemon claims waiting tasks.")
        return
    if enabled:
        yield from _comment(
            f"{told}: the old worker is on. Switch it off there and restart seafevents before the daemon starts: both "
            "would claim the same tasks."
        )
    else:
        yield from _comment(f"{told}: the old worker is off, so this is off as well. Set it to true to begin.")
    yield f"enabled = {as_toml(enabled)}"


def _limits(worker: _Worker) -> Iterator[str]:
    for key, old in (("slots", "workers"), ("time_limit", "time-limit")):
        number, setting = worker.whole(old), settings_of("download")[key]
        if number is None or not _fits(key, number):
            yield from _comment(
                f"{worker.tell(old)}, so the default of {key} holds, {as_toml(setting.default)}. Expected: "
                f"{setting.kind.expected}."
            )
        else:
            yield from _comment(f"{worker.tell(old)}" + (", in seconds." if key == "time_limit" else "."))
            yield f"{key} = {as_toml(number)}"


def _temp_dir(top: Path, worker: _Worker) -> Iterator[str]:
    yield from _comment(
        f"A folder of the daemon's own: it is swept, so it cannot be shared. {worker.tell('tempdir')}; that folder is "
        "left alone, and what the old worker had begun there starts anew. seaf-server takes files out of temp_dir by "
        "itself and must be able to read it; on the disk of Seafile's data is best."
    )
    yield f"temp_dir = {as_toml(str(top / 'odl-scratch'))}"


def _fits(key: str, value: object) -> bool:
    try:
        settings_of("download")[key].kind.read(value, Path())
    except (ValueError, OverflowError):
        return False
    return True


def _comment(words: str) -> list[str]:
    return textwrap.wrap(
        words, 100, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


# --- the old worker's settings ----------------------------------------------------------------------------


class _Worker(NamedTuple):
    """What seafevents.conf says of the old worker."""

    conf: RawConfigParser

    def tell(self, key: str) -> str:
        """The key and its value, as a comment says it."""
        value = self._value(key)
        if value is None:
            return f"[{OLD_WORKER}] {key} is not set"
        return f"[{OLD_WORKER}] {key} = {value if value.isprintable() else as_toml(value)}"

    def flag(self, key: str) -> bool | None:
        """None if it is not set, or no word for yes or no."""
        states: Mapping[str, bool] = RawConfigParser.BOOLEAN_STATES
        return states.get((self._value(key) or "").lower())

    def whole(self, key: str) -> int | None:
        """None if it is not set, or no whole number."""
        try:
            return int(self._value(key) or "")
        except ValueError:
            return None

    def _value(self, key: str) -> str | None:
        value = self.conf.get(OLD_WORKER, key, fallback=None)
        return value if value is None else without_comment(value)
