"""Runs the daemon out of a checkout, or with the link in $URL: downloads that one link and ends."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from odl_daemon.config import Config, ConfigError, load
from odl_daemon.download.sandbox import Isolation, try_sandbox

MADE = Path(".run/config.toml")

BIN = Path(sys.prefix) / "bin"

MADE_CONFIG = """\
# Made by `make run` for trying odl-daemon out of a checkout; yours to change. Paths count from this file.
[daemon]
state_dir = "state"

[database]
url = "sqlite:///odl.db"

[library]
kind = "folder"
folder = "library"

[guard]
# Nobody but you hands over links here, so what this host and its network serve is yours to fetch. For other people's
# links take this line out.
allow = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
"""

PROXY_ONLY = """\
{why}
isolation = "proxy-only"
"""


class Stopped(Exception):
    """Only the user can go on: a sentence."""


def main() -> int:
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us so wants the daemon to end, too
    path = Path(os.environ["ODL_CONFIG"]) if os.environ.get("ODL_CONFIG") else made_config()
    url = os.environ.get("URL", "")
    if not url:
        say(f"odl-daemon works with {path}; from another shell:  .venv/bin/odl --config {path} add https://...")
        invite(path)
        os.execv(BIN / "odl-daemon", ["odl-daemon", "--config", str(path)])
    try:
        config = load(path, os.environ)
        with running_daemon(path, config.daemon.state_dir):
            return download(path, config, url)
    except (Stopped, ConfigError) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("stopped; what has come is kept, and the next `make run` goes on with it")
        return 130


def invite(path: Path) -> None:
    """Says how to get to the page: the link signs in one browser, once."""
    try:
        config = load(path, os.environ)
    except ConfigError:
        return  # the daemon will say it better
    address = config.http.public_url or f"http://{config.http.listen}"
    if not config.http.listen or config.http.listen.startswith("unix:"):
        return
    making = [str(BIN / "odl"), "--config", str(path), "token", "create", "--once", "--admin"]
    made = subprocess.run(making, check=False, stdout=subprocess.PIPE, text=True)
    if made.returncode == 0:
        say(f"the page, signed in:  {address.rstrip('/')}/#token={made.stdout.strip()}")


# --- the config -------------------------------------------------------------------------------------------


def made_config() -> Path:
    """The config of this checkout, made on the first run after a look at what this host allows."""
    if MADE.exists():
        return MADE
    text = MADE_CONFIG
    why = asyncio.run(try_sandbox(aria2c="aria2c", isolation=Isolation.NAMESPACE))
    if why is not None:
        text += PROXY_ONLY.format(why=comment(f"The sandbox of aria2 could not be started on this host: {why}"))
        say(f"the sandbox of aria2 cannot be started on this host: {why}")
        say(f'so {MADE} says isolation = "proxy-only": aria2 runs, less shut in. Mend the cause, then remove that line')
    MADE.parent.mkdir(exist_ok=True)
    draft = MADE.with_suffix(".new")
    draft.write_text(text)
    draft.rename(MADE)
    say(f"made {MADE}: state, database and library lie beside it")
    return MADE


def comment(sentence: str) -> str:
    return textwrap.fill(sentence, 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


# --- one link ---------------------------------------------------------------------------------------------


def download(path: Path, config: Config, url: str) -> int:
    """Adds the link, shows its progress to the end, says where the file is; returns the exit code of the watch."""
    odl = [str(BIN / "odl"), "--config", str(path)]
    added = subprocess.run([*odl, "add", "--", url], check=False, stdout=subprocess.PIPE, text=True)
    if added.returncode:
        return added.returncode
    task_id = added.stdout.split()[0]
    watched = subprocess.run([*odl, "watch", task_id], check=False).returncode
    shown = subprocess.run([*odl, "show", "--json", task_id], stdout=subprocess.PIPE, text=True, check=True)
    task = json.loads(shown.stdout)[0]
    if task["phase"] == "done":
        say(f"it is here: {place(config, task['library'], task['path'])}")
    return watched


def place(config: Config, library: str, path: str) -> str:
    """Where the file lies, as the user can open it."""
    if config.library.kind != "folder":
        return f"{path} in library {library}"
    file = config.library.folder / library / path.lstrip("/")
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


# --- a daemon to do it ------------------------------------------------------------------------------------


@contextmanager
def running_daemon(path: Path, state_dir: Path) -> Iterator[None]:
    """Uses the daemon that works in `state_dir`, or runs one for as long as the block lasts."""
    if in_use(state_dir):
        yield
        return
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with listening() as (news, address):
        daemon = start(path, state_dir / "daemon.log", address)
        try:
            wait_until_ready(daemon, news, state_dir / "daemon.log")
            yield
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def in_use(state_dir: Path) -> bool:
    """Whether a daemon works there: each holds a lock on its folder."""
    if not state_dir.is_dir():
        return False
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """Where the daemon tells how it is (man 3 sd_notify)."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
        address = f"{folder}/notify"
        news.bind(address)
        yield news, address


def start(path: Path, log: Path, address: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as words:
        return subprocess.Popen(
            [BIN / "odl-daemon", "--config", path],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env={**os.environ, "NOTIFY_SOCKET": address},
            start_new_session=True,  # Ctrl-C is for us: we stop it in order
        )


def wait_until_ready(daemon: subprocess.Popen[bytes], news: socket.socket, log: Path) -> None:
    """Returns once the daemon accepts work. Raises Stopped with its last words if it ends instead."""
    news.settimeout(0.2)
    while daemon.poll() is None:
        try:
            if b"READY=1" in news.recv(4096):
                return
        except TimeoutError:
            continue
    raise Stopped(f"the daemon did not start; it said:\n{log.read_text(errors='replace').strip()}")


def say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
