"""Bytes into a Seafile server through its file server, in the name of the user: for servers in containers."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import BinaryIO, Protocol

import aiohttp

from odl_daemon.library import fetched_files, seafile_sentences
from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.library.seafile_server import Place
from odl_daemon.library.searpc import ServerAway, Unanswered
from odl_daemon.model.task import Placement, Task
from odl_daemon.ports import Saved, Trouble

log = logging.getLogger(__name__)

PIECE = 1 << 20
"""Bytes that are read and sent at a time."""

CONNECT_LIMIT = 10.0
"""Seconds until a connection must stand."""

SILENCE_LIMIT = 600.0
"""Seconds that the file server may neither take a byte nor answer: after the last one it indexes the whole file."""

_KEY = re.compile(r"/upload-api/[^\s\"'<>]*")
"""Where a page repeats the link."""


class UploadLinks(Protocol):
    """Where uploads go."""

    async def upload_link(self, place: Place, folder: str) -> str:
        """A URL that takes files for this folder in the name of the user. Raises Trouble, and what Rpc raises."""


class RpcUploadLinks:
    """UploadLinks of a file server whose tokens are given out over the socket."""

    def __init__(self, server: SeafServer, file_server: str) -> None:
        """`file_server`: its URL, for example http://127.0.0.1:8082."""
        self._server = server
        self._file_server = file_server.rstrip("/")

    async def upload_link(self, place: Place, folder: str) -> str:
        try:
            token = await self._server.upload_token(place, folder)
        except Unanswered as silence:
            raise ServerAway("the Seafile server gave no token for the upload") from silence  # it wrote nothing
        return f"{self._file_server}/upload-api/{token}"


class HttpPosting:
    """seafile_writing.Posting: one upload for each file, streamed; needs no path that both of us see."""

    def __init__(
        self, links: UploadLinks, *, connect_limit: float = CONNECT_LIMIT, silence_limit: float = SILENCE_LIMIT
    ) -> None:
        """Limits are in seconds."""
        self._links = links
        self._connect_limit = connect_limit
        self._silence_limit = silence_limit

    async def post(self, task: Task, scratch: str, folder: str, files: Sequence[Placement], saved: Saved) -> None:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_limit)
        async with aiohttp.ClientSession(timeout=limits, trust_env=False) as session:
            for file in files:
                url = f"{await self._links.upload_link(task, folder)}?ret-json=1"
                await self._upload(session, url, scratch, folder, file, saved)

    async def _upload(
        self, session: aiohttp.ClientSession, url: str, scratch: str, folder: str, file: Placement, saved: Saved
    ) -> None:
        try:
            with fetched_files.opened(scratch, file.source, file.size) as source:
                if source is None:
                    raise seafile_sentences.gone()
                await self._send(session, url, _Form({"parent_dir": folder, "replace": "0"}, file), source, saved)
        except OSError as error:
            raise seafile_sentences.unreadable() from error

    async def _send(
        self, session: aiohttp.ClientSession, url: str, form: _Form, source: BinaryIO, saved: Saved
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._silence_limit) as silence:

                def taken(count: int) -> None:
                    silence.reschedule(loop.time() + self._silence_limit)
                    saved(count)

                body = form.body(source, taken)
                async with session.post(url, data=body, headers=form.headers, allow_redirects=False) as answer:
                    if answer.status != 200:
                        raise _refusal(answer.status, (await answer.text(errors="replace"))[:200])
        except aiohttp.ClientConnectorError as error:
            raise ServerAway("the file server cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered("the file server broke off") from error


class _Form:
    """One file and the fields before it, as a browser would send them (RFC 7578).

    The file server in C takes names as they stand, in UTF-8 and not percent-encoded, and holds the quota against
    the length that is declared.
    """

    def __init__(self, fields: dict[str, str], file: Placement) -> None:
        boundary = uuid.uuid4().hex
        name = file.path.rpartition("/")[2]
        parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}' for key, value in fields.items()]
        about = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        parts.append(f"{about}\r\nContent-Type: application/octet-stream\r\n\r\n")
        self._before = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts).removesuffix("\r\n").encode()
        self._after = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._before) + file.size + len(self._after)),
        }

    async def body(self, source: BinaryIO, taken: Callable[[int], None]) -> AsyncIterator[bytes]:
        """`taken` hears of the bytes of the file that the server has taken."""
        yield self._before
        while piece := await asyncio.to_thread(source.read, PIECE):
            yield piece
            taken(len(piece))
        yield self._after
        taken(0)


def _refusal(status: int, words: str) -> Trouble | Unanswered:
    """What a status means that is not 200; `words` are told to the operator, without the key in the link."""
    log.info("the file server refused a file: %d %s", status, _KEY.sub("/upload-api/...", words))
    match status:
        case 413 | 442:  # the former is said by a proxy before it
            return seafile_sentences.too_large()
        case 440:
            return seafile_sentences.bad_name()
        case 443:
            return seafile_sentences.over_quota()
        case 502 | 503 | 504:
            return Unanswered(f"what stands before the file server answered {status}")
        case _:  # 400 and 403: a token that ran out; 409: the server cleans up just now; 441: somebody was faster
            return seafile_sentences.refused()
