"""How aria2 is set: everything that it is told before it runs, and the check that it heard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from odl_daemon import __version__

AGENT: Final = f"odl-daemon/{__version__}"
"""What we call ourselves to every source."""

ARGUMENTS: Final = ("--no-proxy=", "--http-proxy=", "--https-proxy=", "--ftp-proxy=")
"""Said as arguments because these beat the environment and the conf: nothing may lead around our proxy."""

ASSERTED: Final[Mapping[str, str]] = {
    "proxy-method": "tunnel",
    "no-proxy": "",
    "http-proxy": "",
    "https-proxy": "",
    "ftp-proxy": "",
    "follow-torrent": "false",
    "follow-metalink": "false",
    "allow-overwrite": "false",
    "auto-file-renaming": "false",
    "file-allocation": "none",
    "check-certificate": "true",
    "no-netrc": "true",
    "max-tries": "1",
}
"""What aria2 must say of itself at every connect; an option that it does not tell is at its default, empty."""


def memory_for(slots: int) -> int:
    """Bytes of address space that an aria2 with so many slots may have.

    Idle it has 56 MiB, and each transfer takes 13 MiB for a terabyte of its file, asked for when the length is told:
    256 slots full of files of 100 GB, by https over four connections each, come to 413 MiB of their 768. What one
    length can take, of 10 slots, is filled within two seconds; without a limit it is all memory of the host.
    """
    return (256 << 20) + slots * (2 << 20)


@dataclass(frozen=True, slots=True)
class Conf:
    """What differs from one installation, or from one start, to the next."""

    secret: str
    slots: int
    silence: int
    """Seconds of an answer's silence after which aria2 itself gives up; the stall limit comes before it."""
    autosave: int = 10
    """Seconds between two saves of what has come; a kill -9 costs no more than these."""
    ca_bundle: str = ""
    """Path of the certificates to trust, as the sandbox sees it; "" for the system's."""

    def text(self) -> str:
        """The file for --conf-path; it holds the secret."""
        options = {
            "enable-rpc": "true",
            "rpc-listen-all": "false",
            "rpc-secret": self.secret,
            "rpc-max-request-size": "32M",  # a larger request gets no reply and no close
            "rpc-save-upload-metadata": "false",
            "proxy-method": "tunnel",
            "max-concurrent-downloads": str(self.slots),
            "max-download-result": "10000",
            "keep-unfinished-download-result": "false",
            "file-allocation": "none",
            "auto-save-interval": str(self.autosave),
            "disk-cache": "16M",
            "continue": "true",
            "allow-overwrite": "false",
            "auto-file-renaming": "false",
            "always-resume": "true",
            # One try: the engine's own retries look at the source's validator and at the user's wish first.
            "max-tries": "1",
            "connect-timeout": "15",
            "timeout": str(self.silence),
            "split": "4",
            "max-connection-per-server": "4",
            "min-split-size": "20M",
            "content-disposition-default-utf8": "true",
            "remote-time": "false",
            "follow-torrent": "false",
            "follow-metalink": "false",
            "enable-dht": "false",
            "enable-dht6": "false",
            "bt-enable-lpd": "false",
            "enable-peer-exchange": "false",
            "no-netrc": "true",
            "check-certificate": "true",
            "async-dns": "false",  # there is nobody to ask in the sandbox
            "user-agent": AGENT,
            "log": "-",
            "log-level": "notice",
            "quiet": "true",
            "show-console-readout": "false",
            "summary-interval": "0",
            "enable-color": "false",
        }
        if self.ca_bundle:
            options["ca-certificate"] = self.ca_bundle
        return "".join(f"{name}={checked(value)}\n" for name, value in options.items())


def misheard(told: Mapping[str, str]) -> list[str]:
    """Which of the asserted options aria2 has otherwise, by its getGlobalOption."""
    return [name for name, value in ASSERTED.items() if told.get(name, "") != value]


def checked(value: str) -> str:
    """The value itself. Raises ValueError for control characters: in a conf they would begin a new option."""
    if _CONTROL.search(value):
        raise ValueError("control characters in an option")
    return value


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
