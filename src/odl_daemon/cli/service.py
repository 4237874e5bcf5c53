"""`odl-daemon`, the service: reads the settings and runs until it is told to stop."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from odl_daemon import __version__
from odl_daemon.config import Config, ConfigError, load

BROKEN = 1
OPERATOR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a stop in order, 2 if only the operator can help, 1 if we broke."""
    words = _parser().parse_args(argv)
    try:
        config = load(words.config, os.environ)
    except ConfigError as error:
        return _tell(str(error))
    from odl_daemon.app import run  # slow to import: mistakes in the settings are told before
    from odl_daemon.premises import OperatorError

    try:
        return run(config, lambda: load(words.config, os.environ))
    except OperatorError as error:
        return _tell(str(error))
    except KeyboardInterrupt:
        return 0
    except Exception as error:  # the last one who can say anything
        if os.environ.get("ODL_DEBUG"):
            raise
        _tell(f"it broke ({type(error).__name__}: {error}); {_kept(config)}")
        return BROKEN


def _parser() -> argparse.ArgumentParser:
    service = argparse.ArgumentParser(
        prog="odl-daemon",
        description="Downloads what is in the table into libraries, until it is told to stop (SIGTERM). "
        "SIGHUP reads the settings anew.",
        epilog="Without --config: $ODL_CONFIG, ./config.toml, /etc/odl-daemon/config.toml, else defaults.",
    )
    service.add_argument("--config", metavar="FILE", type=Path, help="the config file")
    service.add_argument("--version", action="version", version=f"odl-daemon {__version__}")
    return service


def _tell(sentences: str) -> int:
    for sentence in sentences.splitlines():
        print(f"odl-daemon: {sentence}", file=sys.stderr)
    return OPERATOR


def _kept(config: Config) -> str:
    """Where the traceback of our own mistake was put, for a report to those who can mend it."""
    file = config.daemon.state_dir / "broken.txt"
    try:
        file.write_text(f"odl-daemon {__version__}\n{traceback.format_exc()}")
    except OSError:
        return "ODL_DEBUG=1 shows where"
    return f"{file} tells where: please report it"


if __name__ == "__main__":
    sys.exit(main())
