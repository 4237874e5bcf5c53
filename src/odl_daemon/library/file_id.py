"""The id that Seafile will give a file: known from the bytes alone, before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import BinaryIO

BLOCK = 8 << 20
"""Bytes of a block of an upload, unless the server's `[fileserver] fixed_block_size` says otherwise."""

EMPTY = "0" * 40
"""The id of every file without bytes."""

_PIECE = 1 << 20


class Digest:
    """Takes a file's bytes in order; knows its Seafile id and its SHA-256 in one reading."""

    def __init__(self, block: int = BLOCK) -> None:
        """`block`: bytes of a block, as the server has it."""
        self._block = block
        self._blocks: list[str] = []
        self._current = hashlib.sha1(usedforsecurity=False)
        self._in_current = 0
        self._whole = hashlib.sha256()
        self.size = 0
        """Bytes so far."""

    def update(self, piece: bytes | memoryview) -> None:
        self._whole.update(piece)
        self.size += len(piece)
        rest = memoryview(piece)
        while rest:
            part = rest[: self._block - self._in_current]
            self._current.update(part)
            self._in_current += len(part)
            rest = rest[len(part) :]
            if self._in_current == self._block:
                self._end_block()

    def sha256(self) -> str:
        return self._whole.hexdigest()

    def file_id(self) -> str:
        """The id, once all bytes are in."""
        if not self.size:
            return EMPTY
        if self._in_current:
            self._end_block()
        return file_id(self._blocks, self.size)

    def _end_block(self) -> None:
        self._blocks.append(self._current.hexdigest())
        self._current, self._in_current = hashlib.sha1(usedforsecurity=False), 0


def file_id(block_ids: Iterable[str], size: int) -> str:
    """SHA-1 of the file's description as Seafile stores it: JSON with sorted keys and a space after `,` and `:`."""
    described = {"block_ids": list(block_ids), "size": size, "type": 1, "version": 1}
    return hashlib.sha1(json.dumps(described, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def read(file: BinaryIO, block: int = BLOCK) -> Digest:
    """Reads a file to its end. Blocks on the disk: call it in a thread. Raises OSError."""
    digest = Digest(block)
    buffer = memoryview(bytearray(_PIECE))
    while count := file.readinto(buffer):  # type: ignore[attr-defined]  # BinaryIO does not promise it; files have it
        digest.update(buffer[:count])
    return digest
