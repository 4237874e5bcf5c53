"""`odl`, the tool: words in, words out, and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from odl_daemon import __version__
from odl_daemon.cli.trouble import OperatorTrouble, Refused

FINE, NOT_FINE, OPERATOR = 0, 1, 2
INTERRUPTED = 130

_EPILOG = """\
exit codes:  0 fine   1 a task failed or was refused   2 the operator must act
settings:    --config FILE, else $ODL_CONFIG, ./config.toml, /etc/odl-daemon/config.toml"""


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the words say, and returns the exit code. Nobody ever sees a traceback, unless ODL_DEBUG is set."""
    words = parser().parse_args(argv)
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


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    odl = argparse.ArgumentParser(
        prog="odl",
        description="Hand over links, and look after the tasks that they become.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    odl.add_argument("--config", metavar="FILE", type=Path, help="the config file")
    odl.add_argument("--version", action="version", version=f"odl {__version__}")
    commands = odl.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_words(commands)
    _look_words(commands)
    _wish_words(commands)
    _operator_words(commands)
    return odl


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(
    commands: Commands, name: str, does: str, told: str, *, reads_config_itself: bool = False
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=told, description=told[0].upper() + told[1:] + ".")
    command.set_defaults(command_of=does, reads_config_itself=reads_config_itself)
    return command


def _add_words(commands: Commands) -> None:
    add = _command(commands, "add", "add:add", "download links into a library; prints the id of each task")
    add.add_argument("urls", metavar="URL", nargs="+", help='a link; "-" reads a list of links from standard input')
    add.add_argument("--library", metavar="ID", default="default", help="the library (default: default)")
    add.add_argument("--path", metavar="/DIR", default="/", help="the folder in the library (default: /)")
    add.add_argument("--owner", metavar="USER", default="local", help="whose task it is (default: local)")
    add.add_argument("--name", metavar="NAME", default="", help="the file's name (default: what the source says)")
    _json_flag(add, "print the tasks as a JSON array")


def _look_words(commands: Commands) -> None:
    listed = _command(commands, "list", "look:list_tasks", "list tasks, the newest first")
    listed.add_argument("--owner", metavar="USER", default="", help="only this user's")
    listed.add_argument("--status", metavar="STATE", default="", help="only in this status (OK) or phase (fetching)")
    listed.add_argument("--limit", metavar="N", type=_above_zero, default=50, help="at most so many (default: 50)")
    _json_flag(listed)
    show = _command(commands, "show", "look:show", "show all that is known of tasks")
    _ids(show)
    _json_flag(show)
    why = _command(commands, "why", "look:why", "say what a task waits for")
    why.add_argument("id", metavar="ID", type=_above_zero)
    watch = _command(commands, "watch", "watch:watch", "watch tasks move; with ids, until all have ended")
    _ids(watch, "*")


def _wish_words(commands: Commands) -> None:
    pause = _command(commands, "pause", "ask:ask", "set tasks aside and keep what came so far")
    resume = _command(commands, "resume", "ask:ask", "let paused tasks go on")
    cancel = _command(commands, "cancel", "ask:ask", "end tasks and free their disk space")
    for wish, command in (("pause", pause), ("resume", resume), ("cancel", cancel)):
        _ids(command)
        command.set_defaults(wish=wish)
    retry = _command(commands, "retry", "ask:ask", "try ended tasks again")
    retry.set_defaults(wish="retry")
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", metavar="ID", nargs="*", type=_above_zero, default=[])
    which.add_argument("--failed", action="store_true", help="all that failed or ran out of time")
    retry.add_argument("--owner", metavar="USER", default="", help="with --failed: only this user's")


def _operator_words(commands: Commands) -> None:
    _command(commands, "check", "check:check", "check whether the daemon can work here", reads_config_itself=True)
    config = _command(commands, "config", "show_config:show_config", "print the settings in force, secrets hidden")
    _json_flag(config, "print a JSON object")


def _ids(command: argparse.ArgumentParser, many: str = "+") -> None:
    command.add_argument("ids", metavar="ID", nargs=many, type=_above_zero)


def _json_flag(command: argparse.ArgumentParser, told: str = "print a JSON array") -> None:
    command.add_argument("--json", action="store_true", help=told)


def _above_zero(word: str) -> int:
    """a number above 0"""
    number = int(word)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{word} is no number above 0")
    return number


_above_zero.__name__ = "number"

if __name__ == "__main__":
    sys.exit(main())
