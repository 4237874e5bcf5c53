"""The id that Seafile gives a file, held against what servers of three versions gave."""

from __future__ import annotations

import hashlib
import io
from random import Random

import pytest

from odl_daemon.library.file_id import EMPTY, Digest, read

KNOWN = {
    1: "3fb23af3991288638f0eb1336ba90368f030c0a4",
    8388608: "62e423189ed1f0a71bf318e318d54cd1a4820c67",
    8388609: "3fce17f866fd19e87cad14481897c79c35a832c4",
    20971520: "8dd6ec6b09c6a537be0123b56d2c2340482cc659",
}
"""By size: the id that the servers 8.0, 12.0 and 13.0 gave to `Random(size).randbytes(size)`."""


@pytest.mark.parametrize("size", KNOWN)
def test_the_id_is_the_servers(size: int) -> None:
    content = Random(size).randbytes(size)
    digest = read(io.BytesIO(content))
    assert (digest.file_id(), digest.size) == (KNOWN[size], size)
    assert digest.sha256() == hashlib.sha256(content).hexdigest()


def test_a_file_without_bytes_has_the_empty_id() -> None:
    assert read(io.BytesIO()).file_id() == EMPTY


@pytest.mark.parametrize("piece", [1, 7, 10, 33])
def test_how_the_bytes_come_does_not_matter(piece: int) -> None:
    content = bytes(range(100))
    digest = Digest(block=10)
    for start in range(0, 100, piece):
        digest.update(content[start : start + piece])
    whole = Digest(block=10)
    whole.update(content)
    assert digest.file_id() == whole.file_id()
