"""What the service's unit has to be told of the paths in a config file: it sees the system read-only, and no homes.

`python -m odl_daemon.cli.unit_paths FILE` prints lines for the unit, or nothing if the unit is fine as it is; with
`--make` it makes the folders that the daemon writes to. The user of the service calls it: `~` is his home.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from odl_daemon.config import Config, ConfigError, load

OWN = Path("/var/lib/odl-daemon")
"""The unit's StateDirectory."""

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= hides."""

_HEAD = """\
# Made by `make install` from the paths in /etc/odl-daemon/config.toml, anew each time. Put lines of your own where
# `systemctl edit odl-daemon` puts them.
[Service]"""


def main(argv: list[str]) -> int:
    words = _parser().parse_args(argv)
    try:
        config = load(words.file, {})
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if odd := [path for path in [*written(config), *read(config)] if not str(path).isprintable()]:
        print(f"no unit can hold the path {str(odd[0])!r}: rename it", file=sys.stderr)
        return 2
    if words.make:
        missing = [folder for folder in written(config) if not _made(folder)]
        return 2 if missing else 0
    for line in unit_lines(written(config), read(config)):
        print(line)
    return 0


def written(config: Config) -> list[Path]:
    """The folders that the daemon writes to, but for those in its StateDirectory."""
    folders = [config.daemon.state_dir, config.download.temp_dir]
    folders += [file.parent for file in (config.log.file, config.log.aria2_file) if file]
    if config.library.kind == "folder":
        folders.append(config.library.folder)
    # An URL that stands nowhere may come as a credential, and then the default's file is none.
    if config.database.url.startswith("sqlite:") and ("database", "url") in config.came_from:
        folders.append(Path("/" + config.database.url.removeprefix("sqlite:").lstrip("/")).parent)
    return [folder for folder in dict.fromkeys(folders) if not folder.is_relative_to(OWN)]


def read(config: Config) -> list[Path]:
    """What the daemon needs to see of others: a Seafile installation, tokens."""
    paths = [path for path in (config.database.seafile_conf, config.library.tokens_file) if path]
    if config.database.seafile_conf:
        paths.append(config.database.seafile_conf.parent)
    if config.library.socket and config.library.kind != "folder":
        paths.append(_installation(config.library.socket))
    return list(dict.fromkeys(paths))


def unit_lines(written: Iterable[Path], read: Iterable[Path]) -> Iterator[str]:
    """The `-` lets the daemon start where a path is missing: it says better than systemd what is wrong."""
    writable, readable = list(_as_named_and_as_is(written)), list(_as_named_and_as_is(read))
    hidden = [path for path in [*writable, *readable] if _in_home(path)]
    lines = [f"ReadWritePaths={_quoted(path)}" for path in writable if not _in_home(path)]
    if hidden:
        lines.append("ProtectHome=tmpfs")
        lines += [f"BindReadOnlyPaths={_quoted(path)}" for path in readable if _in_home(path)]
        lines += [f"BindPaths={_quoted(path)}" for path in writable if _in_home(path)]
    if lines:
        yield _HEAD
        yield from lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unit_paths", description="Tells what the unit needs for a config file.")
    parser.add_argument("--make", action="store_true", help="make the folders that are missing")
    parser.add_argument("file", metavar="FILE", type=Path)
    return parser


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        print(f"{folder} cannot be made ({error.strerror}): make it, for the daemon's user", file=sys.stderr)
        return False
    return True


def _installation(socket: Path) -> Path:
    """The folder around the link that an upgrade of Seafile leads elsewhere; of other sockets just their folder."""
    above = [folder.parent for folder in socket.parents if folder.name == "seafile-server-latest"]
    return above[0] if above else socket.parent


def _as_named_and_as_is(paths: Iterable[Path]) -> Iterator[Path]:
    """Each path, and where its links lead."""
    both = ((Path(os.path.abspath(path)), Path(os.path.realpath(path))) for path in paths)  # noqa: PTH100  # no links
    yield from dict.fromkeys(path for pair in both for path in pair)


def _in_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in HOMES)


def _quoted(path: Path) -> str:
    """As a unit spells a path: quotes with backslashes for quotes, and `%%` for a percent sign."""
    words = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{words}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
