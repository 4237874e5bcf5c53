"""The API tokens of a Seafile server's users, in a file that nobody but the daemon may read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

LONGEST: Final = 16 << 20
"""Bytes of the file."""

_CREDENTIAL: Final = (0, 0, 0o440)
"""Owner, group and mode of a credential of systemd: an access list admits the service's user, and the list's mask shows
as a right of the group."""

_LINE: Final = re.compile(
    r"""
    (?: "(?P<quoted>[^"\s]+)" | '(?P<quoted_once>[^'\s]+)' | (?P<bare>[^\s"'\#=:][^\s"\#=:]*) )
    (?: \s*[=:]\s* | \s+ )
    (["']?) (?P<token>[!$-&(-~]+) \4
    \s* (?:\#.*)?
    """,
    re.VERBOSE,
)
"""Tokens are printable ASCII without quotes and `#`; addresses like o'brien@example.org need no quotes."""


class TokensTrouble(OSError):
    """The file cannot be used: where, why, and what is expected. It never repeats a token."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.strerror = sentence


class Tokens:
    """`user@example.org = "token"`, a line for each user; `#` begins a comment. Read anew whenever it changes."""

    def __init__(self, file: Path) -> None:
        """Raises TokensTrouble if it cannot be used now."""
        self._file = file
        self._seen: tuple[int, ...] = ()
        self._tokens: dict[str, str] = {}
        self._read_if_changed()

    def __len__(self) -> int:
        """How many users have one."""
        return len(self._tokens)

    def of(self, user: str) -> str | None:
        """The token of this user, None if there is none. Mail addresses are compared without regard to case if none is
        written exactly like this. Raises TokensTrouble."""
        self._read_if_changed()
        if user in self._tokens:
            return self._tokens[user]
        alike = [token for known, token in self._tokens.items() if known.lower() == user.lower()]
        return alike[0] if len(alike) == 1 else None

    def _read_if_changed(self) -> None:
        try:
            handle = os.open(self._file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise TokensTrouble(f"{self._file} cannot be read ({error.strerror}): see [library] tokens_file") from error
        try:
            status = os.fstat(handle)
            seen = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode)
            if seen == self._seen:
                return
            self._check(status)
            with open(handle, "rb", closefd=False) as opened:
                content = opened.read(LONGEST)
        finally:
            os.close(handle)
        self._tokens = self._understood(content)
        self._seen = seen

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise TokensTrouble(f"{self._file} is no plain file: see [library] tokens_file")
        if status.st_uid not in (os.geteuid(), 0):
            raise TokensTrouble(f"{self._file} belongs to another user: it holds keys, so give it to the daemon's user")
        if status.st_mode & 0o077 and (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != _CREDENTIAL:
            raise TokensTrouble(f"{self._file} can be read by others: it holds keys, so chmod 600 it")
        if status.st_size > LONGEST:
            raise TokensTrouble(f"{self._file} is too long for a file of tokens")

    def _understood(self, content: bytes) -> dict[str, str]:
        try:
            lines = content.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise TokensTrouble(f"{self._file}: expected text in UTF-8") from None
        tokens: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if found is None:
                raise TokensTrouble(f'{self._file}, line {number}: expected user@example.org = "token"')
            user = found["quoted"] or found["quoted_once"] or found["bare"]
            if user in tokens:
                raise TokensTrouble(f"{self._file}, line {number}: this user stands there twice")
            tokens[user] = found["token"]
        return tokens
