"""Servers that want to harm whoever fetches from them: each is left within the limits, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from tests.acceptance.conftest import Table
from tests.conftest import StartDaemon
from tests.servers.origin import Origin, Page, content, sha256

MIB = 1 << 20
DATA = content(10_000)
BOMB = gzip.compress(bytes(64 * MIB))
HEAD: Final = b"HTTP/1.1 200 So\r\n"
CHUNKED: Final = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
QUICK, DRIP = 0.005, 0.3
"""Seconds between two pieces: as fast as this test allows, and never silent for as long as the stall limit."""

LIMITS = {"stall_limit": 2, "time_limit": 6, "max_size": "1 MiB", "retries": 0, "slots": 100}
SOON = 60
"""Seconds within which all must be over: the time limit, and a slow machine."""


class End(NamedTuple):
    """How a task ends."""

    status: str
    reason: str | None = None
    sentence: str = ""
    sha256: str | None = None


ARRIVED = End("OK", sha256=sha256(DATA))
TOO_LARGE = End("ERROR", "too_large", "the file is larger than allowed here")
TOO_LONG = End("TLE", "time_limit", "the time limit of 6 s was exceeded")
STALLED = End("ERROR", "stalled", "127.0.0.1 sent nothing for 2 s")
SILENT = End("ERROR", "timeout", "127.0.0.1 did not answer within 2 s")
BROKEN = End("ERROR", "interrupted", "the connection to 127.0.0.1 broke before the file was complete")
NONSENSE = End("ERROR", "protocol_error", "127.0.0.1 sent something that cannot be understood")
UNCLEAR = End("ERROR", "protocol_error", "127.0.0.1 sent an answer that cannot be understood")
DAMAGED = End("ERROR", "changed", "the file from 127.0.0.1 arrived damaged")
CIRCLE = End("ERROR", "redirect_loop", "127.0.0.1 sends us on from link to link without an end")


def arrived(data: bytes) -> End:
    return End("OK", sha256=sha256(data))


def endless(*pieces: bytes, then: bytes, pause: float = QUICK) -> Page:
    """Some pieces, and then one over and over."""

    async def pour() -> AsyncIterator[bytes]:
        for piece in itertools.chain(pieces, itertools.repeat(then)):
            yield piece
            await asyncio.sleep(pause)

    return Page(pour=pour)


def answer(*lines: bytes, body: bytes = DATA) -> Page:
    return Page(raw=HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)


LENGTH = b"Content-Length: 10000"

BODIES = {
    "endless": (endless(HEAD + b"\r\n", then=bytes(65536)), TOO_LARGE),
    "endless-of-a-length": (endless(HEAD + b"Content-Length: 1000000000000\r\n\r\n", then=bytes(65536)), TOO_LARGE),
    "endless-chunks": (endless(CHUNKED, then=b"10000\r\n" + bytes(65536) + b"\r\n"), TOO_LARGE),
    "dripping": (endless(HEAD + b"\r\n", then=b"x", pause=DRIP), TOO_LONG),
    "dripping-of-a-length": (endless(HEAD + b"Content-Length: 1000000\r\n\r\n", then=b"x", pause=DRIP), STALLED),
    "longer-than-told": (answer(b"Content-Length: 100"), arrived(DATA[:100])),
    "longer-than-nothing": (answer(b"Content-Length: 0"), arrived(b"")),
    "shorter-than-told": (answer(b"Content-Length: 10001"), BROKEN),
    "a-bomb": (Page(BOMB, headers={"Content-Encoding": "gzip"}), arrived(BOMB)),
    "half-of-it": (Page(raw=b"HTTP/1.1 206 So\r\nContent-Range: bytes 5000-9999/10000\r\n\r\n" + DATA[5000:]), BROKEN),
    "no-content": (Page(raw=b"HTTP/1.1 204 So\r\n\r\n"), UNCLEAR),
    "not-changed": (Page(raw=b"HTTP/1.1 304 So\r\n\r\n"), UNCLEAR),
}

LENGTHS = {
    f"length-{number}": (answer(b"Content-Length: " + length), NONSENSE)
    for number, length in enumerate((b"-5", b"many", b"0x10", b"1e4", b"100, 100", b"99999999999999999999"))
}

CHUNKS = {
    "no-number": (Page(raw=CHUNKED + b"zz\r\n" + DATA), NONSENSE),
    "a-negative-number": (Page(raw=CHUNKED + b"-5\r\n" + DATA), NONSENSE),
    "too-large-a-number": (Page(raw=CHUNKED + b"ffffffffffffffff\r\n" + DATA), NONSENSE),
    "the-largest-number": (Page(raw=CHUNKED + b"7fffffffffffffff\r\n" + DATA), BROKEN),
    "no-end": (Page(raw=CHUNKED + b"5\r\nhello"), BROKEN),
    "endless-extension": (endless(CHUNKED + b"5;", then=b"x", pause=DRIP), STALLED),
    "endless-trailer": (endless(CHUNKED + b"5\r\nhello\r\n0\r\n", then=b"X: y\r\n", pause=DRIP), STALLED),
    "another-encoding": (answer(b"Transfer-Encoding: rot13"), NONSENSE),
    "two-encodings": (answer(b"Transfer-Encoding: gzip, chunked"), NONSENSE),
}

HEADS = {
    "slow-status": (endless(then=b"H", pause=DRIP), SILENT),
    "slow-line": (endless(HEAD, then=b"x", pause=DRIP), SILENT),
    "slow-lines": (endless(HEAD, then=b"X: y\r\n", pause=DRIP), SILENT),
    "endless-line": (endless(HEAD + b"X: ", then=b"y" * 1000), SILENT),
    "endless-lines": (endless(HEAD, then=b"X: y\r\n" * 100), SILENT),
    "endless-hints": (endless(then=b"HTTP/1.1 103 Early Hints\r\n\r\n"), SILENT),
    "a-hint": (Page(raw=b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + LENGTH + b"\r\n\r\n" + DATA), ARRIVED),
    "a-long-line": (answer(b"X: " + b"y" * MIB, LENGTH), ARRIVED),
    "many-lines": (answer(*(b"X-%d: y" % number for number in range(10_000)), LENGTH), ARRIVED),
    "many-cookies": (answer(*(b"Set-Cookie: a%d=b" % number for number in range(1000)), LENGTH), ARRIVED),
    "a-long-name": (answer(b"Content-Disposition: attachment; filename=" + b"n" * 30_000, LENGTH), NONSENSE),
    "no-colon": (answer(b"what is this", LENGTH), NONSENSE),
    "no-head": (Page(raw=DATA), NONSENSE),
    "no-status": (Page(raw=b"HTTP/1.1 000 So\r\n\r\n"), NONSENSE),
    "a-nul": (answer(b"X: a\0b", LENGTH), ARRIVED),
    "a-wrong-digest": (answer(b"Digest: SHA-256=" + b"A" * 43 + b"=", LENGTH), DAMAGED),
}

REDIRECTS = {
    "long": (Page(status=302, headers={"Location": "/" + "x" * 20_000}), NONSENSE),
    "without-end": (Page(status=302, headers={"Location": "/without-end?again"}), CIRCLE),
    "nowhere": (Page(status=302), NONSENSE),
    **{f"step-{n}": (Page(status=302, headers={"Location": f"/step-{n + 1}"}), CIRCLE) for n in range(2)},
}
"""The steps go on and on."""


async def test_a_hostile_server_harms_nobody_but_its_own_visitor(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, download=LIMITS)
    all_of_them = {**BODIES, **LENGTHS, **CHUNKS, **HEADS, **REDIRECTS}
    origin.pages |= {f"/{name}": page for name, (page, _) in all_of_them.items()}
    origin.pages |= {f"/step-{n}": Page(status=302, headers={"Location": f"/step-{n + 1}"}) for n in range(2, 30)}
    origin.pages["/good"] = Page(DATA)
    bad = await daemon.add(*(origin.url(f"/{name}") for name in all_of_them))
    async with asyncio.timeout(SOON):
        (good,) = await daemon.finish(*await daemon.add(origin.url("/good"), arguments=("--owner", "ann")))
        assert not await sqlite.ended(bad)
        tasks = await daemon.finish(*bad)
    assert (good["status_name"], good["sha256"]) == ("OK", sha256(DATA))
    ends = {name: (_end(task), end) for task, (name, (_, end)) in zip(tasks, all_of_them.items(), strict=True)}
    assert {name: found for name, (found, end) in ends.items() if not _fits(found, end)} == {}
    assert "aria2 is gone" not in daemon.log()


def _end(task: dict[str, Any]) -> End:
    return End(task["status_name"], task["reason"], task["comment"], task["sha256"])


def _fits(found: End, expected: End) -> bool:
    return found._replace(sentence="") == expected._replace(sentence="") and found.sentence.startswith(
        expected.sentence
    )
