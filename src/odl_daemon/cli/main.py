"""`odl`, the tool: words in, words out, and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from odl_daemon import __version__
from odl_daemon.cli.trouble import OperatorTrouble, Refused

FINE, NOT_FINE, OPERATOR = 0, 1, 2
INTERRUPTED = 130

_EPILOG = """\
exit codes:  0 fine   1 a task failed or was refused   2 the operator must act
settings:    --config FILE, else $ODL_CONFIG, ./config.toml, /etc/odl-daemon/config.toml"""


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the words say, and returns the exit code. Nobody ever sees a traceback, unless ODL_DEBUG is set."""
    given = list(sys.argv[1:] if argv is None else argv)
    words = parser(_chosen(given)).parse_args(given)
    try:
        code = _do(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return NOT_FINE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Refused as refused:
        print(refused, file=sys.stderr)
        return NOT_FINE
    except Exception as error:  # whatever it is: a user reads sentences
        if os.environ.get("ODL_DEBUG"):
            raise
        print(f"odl: {sentence_for(error)}", file=sys.stderr)
        return OPERATOR
    return code


def sentence_for(error: Exception) -> str:
    """What an operator is told about an error."""
    from odl_daemon.config import ConfigError

    if isinstance(error, ConfigError | OperatorTrouble):
        return str(error)
    return f"something went wrong that should not ({type(error).__name__}: {error}); ODL_DEBUG=1 shows where"


def _do(words: argparse.Namespace) -> int:
    """Only the command that was asked for is imported."""
    room, name = words.command_of.split(":")
    command: Callable[[argparse.Namespace, object], int] = getattr(import_module(f"odl_daemon.cli.{room}"), name)
    if words.reads_config_itself:
        return command(words, None)
    from odl_daemon.config import load

    return command(words, load(words.config, os.environ))


def _drop_output() -> None:
    """Whoever read us is gone: what is still buffered must not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- the words --------------------------------------------------------------------------------------------


def parser(chosen: str = "") -> argparse.ArgumentParser:
    """All commands and their flags; or only the chosen command, which saves a good part of a quick start."""
    odl = argparse.ArgumentParser(
        prog="odl",
        description="Hand over links, and look after the tasks that they become.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    odl.add_argument("--config", metavar="FILE", type=Path, help="the config file")
    odl.add_argument("--version", action="version", version=f"odl {__version__}")
    commands = odl.add_subparsers(title="commands", metavar="COMMAND", required=True, prog="odl")
    for name in [chosen] if chosen else _COMMANDS:
        told, does, flags = _COMMANDS[name]
        command = commands.add_parser(name, help=told, description=told[0].upper() + told[1:] + ".")
        command.set_defaults(command_of=does, wish=name, reads_config_itself=name in _WITHOUT_CONFIG)
        flags(command)
    return odl


def _chosen(argv: Sequence[str]) -> str:
    """The command's name, if it stands where it mostly stands."""
    at = 2 if argv[:1] == ["--config"] else 0
    return argv[at] if len(argv) > at and argv[at] in _COMMANDS else ""


def _add_flags(add: argparse.ArgumentParser) -> None:
    add.add_argument("urls", metavar="URL", nargs="+", help='a link; "-" reads a list of links from standard input')
    add.add_argument("--library", metavar="ID", default="default", help="the library (default: default)")
    add.add_argument("--path", metavar="/DIR", default="/", help="the folder in the library (default: /)")
    add.add_argument("--mkdir", action="store_true", help="make the folder if the library does not have it")
    add.add_argument("--owner", metavar="USER", default="local", help="whose task it is (default: local)")
    add.add_argument("--name", metavar="NAME", default="", help="the file's name (default: what the source says)")
    add.add_argument("--json", action="store_true", help="print the tasks as a JSON array")


def _list_flags(listed: argparse.ArgumentParser) -> None:
    listed.add_argument("--owner", metavar="USER", default="", help="only this user's")
    listed.add_argument("--status", metavar="STATE", default="", help="only in this status (OK) or phase (fetching)")
    listed.add_argument("--limit", metavar="N", type=_above_zero, default=50, help="at most so many (default: 50)")
    listed.add_argument("--json", action="store_true", help="print a JSON array")


def _show_flags(show: argparse.ArgumentParser) -> None:
    _ids(show)
    show.add_argument("--json", action="store_true", help="print a JSON array")


def _why_flags(why: argparse.ArgumentParser) -> None:
    why.add_argument("id", metavar="ID", type=_above_zero)


def _watch_flags(watch: argparse.ArgumentParser) -> None:
    watch.add_argument("ids", metavar="ID", nargs="*", type=_above_zero)


def _retry_flags(retry: argparse.ArgumentParser) -> None:
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", metavar="ID", nargs="*", type=_above_zero, default=[])
    which.add_argument("--failed", action="store_true", help="all that failed or ran out of time")
    retry.add_argument("--owner", metavar="USER", default="", help="with --failed: only this user's")


def _blocks_flags(blocks: argparse.ArgumentParser) -> None:
    blocks.add_argument("--owner", metavar="USER", default="", help="only this user's")
    blocks.add_argument("--limit", metavar="N", type=_above_zero, default=50, help="at most so many (default: 50)")
    blocks.add_argument("--json", action="store_true", help="print a JSON array")


def _token_flags(token: argparse.ArgumentParser) -> None:
    actions = token.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key, and print it: it is never told again")
    create.add_argument("--owner", metavar="USER", default="local", help="whose key it is (default: local)")
    create.add_argument("--admin", action="store_true", help="it sees and steers everybody's tasks")
    create.add_argument("--name", metavar="NAME", default="", help="by which you know it in the list")
    create.add_argument("--days", metavar="N", type=_above_zero, help="for so many days only")
    create.add_argument("--once", action="store_true", help="it signs in one browser, within twelve hours")
    create.add_argument("--json", action="store_true", help="print a JSON object")
    listed = actions.add_parser("list", help="list the keys, without what opens the door")
    listed.add_argument("--json", action="store_true", help="print a JSON array")
    revoke = actions.add_parser(
        "revoke", help="take keys back, and sign the browsers of their users out; it holds within ten seconds"
    )
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", metavar="ID", nargs="*", default=[])
    which.add_argument("--owner", metavar="USER", default="", help="all that this user has")


def _limits_flags(limits: argparse.ArgumentParser) -> None:
    limits.add_argument("--owner", metavar="USER", default="", help="only this user's")
    limits.add_argument("--json", action="store_true", help="print a JSON array")


def _config_flags(config: argparse.ArgumentParser) -> None:
    config.add_argument("--json", action="store_true", help="print a JSON object")


def _import_flags(imported: argparse.ArgumentParser) -> None:
    imported.add_argument("folder", metavar="DIR", type=Path, help="the folder conf of the Seafile installation")
    imported.add_argument("--state-dir", metavar="DIR", type=Path, help="write this as [daemon] state_dir, too")


def _ids(command: argparse.ArgumentParser) -> None:
    command.add_argument("ids", metavar="ID", nargs="+", type=_above_zero)


def _no_flags(command: argparse.ArgumentParser) -> None:
    pass


def _above_zero(word: str) -> int:
    number = int(word) if word.isascii() and word.isdigit() else 0
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{word} is no number above 0")
    return number


_COMMANDS: Mapping[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "add": ("download links into a library; prints the id of each task", "add:add", _add_flags),
    "list": ("list tasks, the newest first", "look:list_tasks", _list_flags),
    "show": ("show all that is known of tasks", "look:show", _show_flags),
    "why": ("say what a task waits for", "look:why", _why_flags),
    "watch": ("watch tasks move; with ids, until all have ended", "watch:watch", _watch_flags),
    "pause": ("set tasks aside and keep what came so far", "ask:ask", _ids),
    "resume": ("let paused tasks go on", "ask:ask", _ids),
    "cancel": ("end tasks and free their disk space", "ask:ask", _ids),
    "retry": ("try ended tasks again", "ask:ask", _retry_flags),
    "limits": ("tell what users may take, and what is left of it", "limits:limits", _limits_flags),
    "token": ("make, list and revoke the keys of programs and browsers", "keys:token", _token_flags),
    "blocks": ("tell which addresses links were kept from, the newest first", "blocks:blocks", _blocks_flags),
    "check": ("check whether the daemon can work here", "check:check", _no_flags),
    "config": ("print the settings in force, secrets hidden", "show_config:show_config", _config_flags),
    "import-seafevents": (
        "print a config file made from a Seafile installation",
        "import_seafevents:import_seafevents",
        _import_flags,
    ),
}
"""For each command what it is for, where it lives, and what it takes."""

_WITHOUT_CONFIG = ("check", "import-seafevents")
"""These read the settings by themselves, or none."""


if __name__ == "__main__":
    sys.exit(main())
