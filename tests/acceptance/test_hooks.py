"""Other programs learn which tasks have ended: signed, in one message for many, and again until they have heard."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.origin import Origin, Page, content
from tests.servers.ports import listening, port_of

SECRET = "a secret of the tests"
SMALL = content(5000)


@dataclass
class Receiver:
    """A program that takes messages."""

    url: str = ""
    status: int = 204
    heard: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Delivery, signature, body."""

    async def take(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.heard.append((headers["X-Odl-Delivery"], headers["X-Odl-Signature"], await request.read()))
        return web.Response(status=self.status)

    def ids(self) -> list[int]:
        return [task["id"] for _, _, body in self.heard for task in json.loads(body)["tasks"]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found, app, sock = Receiver(), web.Application(), listening()
    app.router.add_post("/hook", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    found.url = f"http://127.0.0.1:{port_of(sock)}/hook"
    yield found
    await runner.cleanup()


def hooks(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"hooks": {"urls": [receiver.url], "secret": SECRET, "every": 0.3, **more}}


async def test_tasks_that_end_together_are_one_signed_message(
    start_daemon: StartDaemon, origin: Origin, table: Table, receiver: Receiver
) -> None:
    daemon = await start_daemon("a", database=table.url, **hooks(receiver))
    origin.pages["/a"] = Page(SMALL)
    ids = await daemon.add(*[origin.url("/a")] * 20, origin.url("/missing"))
    await until(lambda: sorted(receiver.ids()) == ids, what="all of them")
    assert len(receiver.heard) <= 3
    for _, signature, body in receiver.heard:
        at, mac = (part.partition("=")[2] for part in signature.split(","))
        assert hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() == mac
    tasks = {task["id"]: task for _, _, body in receiver.heard for task in json.loads(body)["tasks"]}
    assert (tasks[ids[0]]["phase"], tasks[ids[-1]]["reason"]) == ("done", "not_found")


async def test_a_message_that_is_not_taken_is_told_again_even_after_a_crash(
    start_daemon: StartDaemon, origin: Origin, table: Table, receiver: Receiver
) -> None:
    daemon = await start_daemon("a", database=table.url, **hooks(receiver))
    origin.pages["/a"] = Page(SMALL)
    receiver.status = 500
    ids = await daemon.add(origin.url("/a"))
    await until(lambda: receiver.heard, what="the first try")
    await until(lambda: table.run("SELECT 1 FROM odl_outbox WHERE tries = 1"), what="its way back into the outbox")
    await daemon.kill()
    receiver.status = 204
    await table.run("UPDATE odl_outbox SET due = 0")  # as if its wait were over
    await daemon.start()
    await until(lambda: len(receiver.heard) == 2, what="the second try")
    assert receiver.ids() == ids * 2
    assert receiver.heard[0][0] == receiver.heard[1][0]  # by which a program knows what it has heard already
    await until(lambda: _is_empty(table), what="the end of the message")


async def test_hooks_reach_no_further_than_links(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, receiver: Receiver
) -> None:
    guard = {"allow": [f"127.0.0.1:{origin.port}"]}
    daemon = await start_daemon("a", database=sqlite.url, guard=guard, **hooks(receiver))
    origin.pages["/a"] = Page(SMALL)
    await daemon.finish(*await daemon.add(origin.url("/a")))
    await until(lambda: "a web hook did not take" in daemon.log(), what="the refusal")
    assert not receiver.heard
    assert '"reason": "loopback"' in (await daemon.odl("blocks", "--json")).out


async def test_an_orderly_stop_loses_no_message(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, receiver: Receiver
) -> None:
    daemon = await start_daemon("a", database=sqlite.url, **hooks(receiver, every=600))
    origin.pages["/a"] = Page(SMALL)
    await daemon.finish(*await daemon.add(origin.url("/a")))
    await daemon.stop()
    assert len(await sqlite.run("SELECT 1 FROM odl_outbox")) == 1


async def _is_empty(table: Table) -> bool:
    return not await table.run("SELECT 1 FROM odl_outbox")
