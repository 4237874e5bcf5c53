"""Asking a source for its headers."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme
from tests.guard.diallers import OpenDialler
from tests.servers.origin import Origin, Page

from odl_daemon.download.probe import Answer, NoAnswer, Prober, seconds_to_wait


@pytest.fixture
def prober() -> Prober:
    return Prober(dial=OpenDialler().dial)


async def test_the_validator_is_etag_date_and_length(prober: Prober, origin: Origin) -> None:
    origin.pages["/x"] = Page(b"12345", etag='"v1"', headers={"Last-Modified": "Thu, 02 Jan 2025 03:04:05 GMT"})
    answer = await prober.ask(origin.url("/x"), "ann")
    assert answer == Answer(
        200, '"v1"|Thu, 02 Jan 2025 03:04:05 GMT|5', 5, modified=1735787045.0, url=origin.url("/x"), ranges=True
    )
    assert origin.sent["/x"] == 0


async def test_a_length_alone_is_no_validator(prober: Prober, origin: Origin) -> None:
    origin.pages["/x"] = Page(b"12345")
    assert (await prober.ask(origin.url("/x"), "ann")).validator == ""


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_where_head_is_not_understood_one_byte_is_asked_for(prober: Prober, origin: Origin, status: int) -> None:
    origin.pages["/x"] = Page(b"12345", etag='"v1"', head_status=status)
    answer = await prober.ask(origin.url("/x"), "ann")
    assert answer == Answer(206, '"v1"||5', 5, headable=False, url=origin.url("/x"), ranges=True)
    assert origin.requests("/x")[0].headers["range"] == "bytes=0-0"


async def test_both_ways_of_asking_find_the_same_validator(prober: Prober, origin: Origin) -> None:
    page = origin.pages["/x"] = Page(b"12345", etag='"v1"')
    by_head = await prober.ask(origin.url("/x"), "ann")
    page.head_status = 405
    assert (await prober.ask(origin.url("/x"), "ann")).validator == by_head.validator


async def test_redirects_are_followed_but_not_for_ever(prober: Prober, origin: Origin) -> None:
    origin.pages["/a"] = Page(status=302, headers={"Location": "/x"})
    origin.pages["/x"] = Page(b"1", etag='"v1"')
    origin.pages["/loop"] = Page(status=301, headers={"Location": "/loop"})
    assert (await prober.ask(origin.url("/a"), "ann")).validator == '"v1"||1'
    with pytest.raises(NoAnswer, match="too many redirects"):
        await prober.ask(origin.url("/loop"), "ann")
    assert len(origin.requests("/loop", "HEAD")) == 6


async def test_a_login_stays_with_the_host_that_it_was_given_for(prober: Prober, origin: Origin) -> None:
    async with Origin() as other:
        origin.pages["/a"] = Page(status=302, headers={"Location": other.url("/x")})
        other.pages["/x"] = Page(b"1")
        await prober.ask(origin.url("/a").replace("//", "//ann:secret@"), "ann")
        assert "authorization" in origin.asked[0].headers
        assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://[bad"])
async def test_a_redirect_to_something_else_is_no_answer(prober: Prober, origin: Origin, location: str) -> None:
    origin.pages["/a"] = Page(status=302, headers={"Location": location})
    with pytest.raises(NoAnswer):
        await prober.ask(origin.url("/a"), "ann")


async def test_every_connection_goes_through_the_dialler(origin: Origin) -> None:
    dialled = []

    class Watched(OpenDialler):
        async def dial(self, host, port, who=""):  # type: ignore[no-untyped-def]
            dialled.append((host, port, who))
            return await super().dial(host, port, who)

    origin.pages["/a"] = Page(status=302, headers={"Location": origin.url("/x", host="localhost")})
    origin.pages["/x"] = Page(b"1")
    await Prober(dial=Watched().dial).ask(origin.url("/a"), "ann")
    assert dialled == [("127.0.0.1", origin.port, "ann"), ("localhost", origin.port, "ann")]


async def test_a_source_that_never_answers_is_given_up(origin: Origin) -> None:
    origin.pages["/x"] = Page(gate=asyncio.Event(), gate_at=-1)
    with pytest.raises(NoAnswer):
        await Prober(dial=OpenDialler().dial, limit=0.2).ask(origin.url("/x"), "ann")


@pytest.mark.parametrize("raw", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n"])
async def test_nonsense_is_no_answer(prober: Prober, origin: Origin, raw: bytes) -> None:
    origin.pages["/x"] = Page(raw=raw)
    with pytest.raises(NoAnswer):
        await prober.ask(origin.url("/x"), "ann")


async def test_a_closed_port_is_no_answer(prober: Prober, unused_port: int) -> None:
    with pytest.raises(NoAnswer):
        await prober.ask(f"http://127.0.0.1:{unused_port}/", "ann")


async def test_https_is_asked_with_a_checked_certificate() -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with Origin(tls=serving) as origin:
        origin.pages["/x"] = Page(b"1", etag='"v1"')
        answer = await Prober(dial=OpenDialler().dial, tls=trusting).ask(origin.url("/x"), "ann")
        assert answer.validator == '"v1"||1'
        with pytest.raises(NoAnswer, match="certificate"):
            await Prober(dial=OpenDialler().dial).ask(origin.url("/x"), "ann")


def test_the_wait_is_read_in_both_forms_and_capped() -> None:
    assert seconds_to_wait("7") == 7.0
    assert seconds_to_wait("999999") == 3600.0
    soon = seconds_to_wait(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    assert soon is not None
    assert 0 < soon <= 100
    assert seconds_to_wait("Thu, 02 Jan 2025 03:04:05 GMT") == 0.0
    assert seconds_to_wait("") is None
    assert seconds_to_wait("soon") is None
    assert seconds_to_wait("-5") is None
