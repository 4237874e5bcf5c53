"""Names the bytes of a task, in threads: the ids that Seafile will give them, and their SHA-256."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from odl_daemon.library import fetched_files, seafile_sentences
from odl_daemon.library.file_id import BLOCK, Digest, read
from odl_daemon.model.task import Fetched, FetchedFile
from odl_daemon.together import Together, each

SMALL = 1 << 20
"""Bytes; the files of smaller tasks are read many in one thread call."""


class Digests:
    """Reads the files of a task in full."""

    def __init__(self, small_jobs: Executor | None = None, block: int = BLOCK) -> None:
        """`block`: bytes of a block, as the server has it."""
        self._block = block
        self._small = Together(each(_digests), small_jobs)

    async def of(self, scratch: str, fetched: Fetched) -> list[Digest]:
        """One for each file, in their order. Raises Trouble if one is not there as it was fetched."""
        job = _Job(scratch, fetched, self._block)
        try:
            digests = await (self._small.ask(job) if fetched.size <= SMALL else asyncio.to_thread(_digests, job))
        except OSError as error:
            raise seafile_sentences.unreadable() from error
        if digests is None:
            raise seafile_sentences.gone()
        return digests


@dataclass(frozen=True, slots=True)
class _Job:
    scratch: str
    fetched: Fetched
    block: int


def _digests(job: _Job) -> list[Digest] | None:
    """None if one of the files is not what was fetched: gone, a link, of another size."""
    digests = []
    for file in job.fetched.files:
        digest = _digest(job, file)
        if digest is None or digest.size != file.size:
            return None
        digests.append(digest)
    return digests


def _digest(job: _Job, file: FetchedFile) -> Digest | None:
    with fetched_files.opened(job.scratch, file.name, file.size) as found:
        return None if found is None else read(found, job.block)
