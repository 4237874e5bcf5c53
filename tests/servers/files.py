"""Files of seeded random bytes, and their sums."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20


def make_file(path: Path, size: int, seed: int = 0) -> str:
    """Writes `size` bytes that only this seed gives, and returns their sha256 as hex. Blocks: about a second a GiB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in _chunks(size, seed):
            file.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chunks(size: int, seed: int) -> Iterator[bytes]:
    source = random.Random(seed)
    while size > 0:
        chunk = source.randbytes(min(size, _CHUNK))
        size -= len(chunk)
        yield chunk
