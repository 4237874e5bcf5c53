"""A stranger's link reaches nothing inside: listeners on forbidden addresses hear nothing, and nobody learns why."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from odl_daemon.model.source import parse
from tests.acceptance.attacks import ALIASES, NAMES, Attack, Kind, by_address, by_name, by_redirect
from tests.acceptance.conftest import Table
from tests.acceptance.doors import CHANNEL, Door, Outcome, outcome
from tests.acceptance.until import until
from tests.chaos.victims import descendants
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.dns import NameServer
from tests.servers.forbidden import GOOD, Forbidden
from tests.servers.origin import Origin, Page, content, sha256
from tests.servers.seafile import SeafServer

DATA = content(10_000)
ONE_TRY = {"retries": 0, "retry_wait": "100ms", "slots": 200}

every_door = pytest.mark.parametrize("door", list(Door))


@pytest.fixture
async def forbidden() -> AsyncIterator[Forbidden]:
    async with Forbidden() as found:
        yield found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SeafServer]:
    """Its doors are forbidden targets as well."""
    async with SeafServer(tmp_path / "seafile") as found:
        yield found


async def guarded(
    start_daemon: StartDaemon, table: Table, forbidden: Forbidden, server: SeafServer | None = None, **guard: object
) -> Daemon:
    """A daemon for which GOOD is the internet."""
    intake = {"poll": 0.2, "channel": CHANNEL} if server else {"poll": 0.2}
    return await start_daemon(
        "a",
        database=table.url,
        guard={"allow": [GOOD], "ports": [80, 443, forbidden.port], **guard},
        download=ONE_TRY,
        intake=intake,
        library={"socket": str(server.socket)} if server else {},
    )


@every_door
async def test_no_link_and_no_redirect_leads_inside(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden, server: SeafServer, door: Door
) -> None:
    daemon = await guarded(start_daemon, sqlite, forbidden, server)
    own_socket = str(daemon.state / "control.sock")
    async with Origin(host=GOOD) as origin:
        origin.pages |= by_redirect(forbidden.port, own_socket)
        attacks = [*by_address(forbidden.port, own_socket)]
        attacks += [Attack(Kind.REDIRECT, origin.url(path, host=GOOD)) for path in origin.pages]
        attacks += [Attack(Kind.ADDRESS, f"{url}/x") for url in (server.file_server, server.seahub)]
        origin.pages["/good"] = Page(DATA)
        came = await outcome(door, _links(attacks, origin.url("/good", host=GOOD)), daemon, sqlite, server)
        assert set(origin.pages) <= {asked.path for asked in origin.asked}
    assert forbidden.heard == 0
    _assert_nobody_learns_why(came, attacks)
    blocks = json.loads((await daemon.odl("blocks", "--json", "--limit", "1000")).out)
    reasons = {block["reason"] for block in blocks}
    assert {"loopback", "private", "cloud metadata", "link-local", "port", "IPv4 inside (NAT64)"} <= reasons
    assert {6800, 8118} <= {block["port"] for block in blocks}
    said = await daemon.odl("blocks", "--limit", "2")
    assert said.out.splitlines()[0].split() == ["AT", "TASK", "OWNER", "HOST", "PORT", "ADDRESS", "REASON"]
    told = {task["id"]: task["reason"] for task in came.tasks}
    assert {told[block["task"]] for block in blocks if block["task"]} == {"unreachable"}


@every_door
async def test_no_name_leads_inside(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden, server: SeafServer, door: Door
) -> None:
    async with NameServer() as names, Origin(host=GOOD) as origin:
        names.hosts |= {**NAMES, "good.test": [[GOOD]]}
        names.aliases |= ALIASES
        daemon = await guarded(start_daemon, sqlite, forbidden, server, resolvers=[names.address])
        attacks = list(by_name(forbidden.port))
        for number, attack in enumerate(list(attacks)):
            origin.pages[f"/{number}"] = Page(status=302, headers={"Location": attack.link})
            attacks.append(Attack(Kind.NAME, origin.url(f"/{number}", host="good.test")))
        origin.pages["/good"] = Page(DATA)
        came = await outcome(door, _links(attacks, origin.url("/good", host="good.test")), daemon, sqlite, server)
    assert forbidden.heard == 0
    _assert_nobody_learns_why(came, attacks)
    assert not came.refusals
    blocks = json.loads((await daemon.odl("blocks", "--json", "--limit", "1000")).out)
    assert {*NAMES, *ALIASES} - {block["host"] for block in blocks} <= {"mixed-good.test", "rebinds.test", "empty.test"}


async def test_mirrors_and_lists_that_a_server_names_lead_no_further(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden
) -> None:
    """Mirrors in a header (RFC 6249), a metalink, a torrent with a web seed: files like any others."""
    data = content(44 << 20)  # so large that it comes in two parts, each of which could be a mirror's
    inner = f"http://127.0.0.1:{forbidden.port}/large"
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    metalink = (
        '<?xml version="1.0" encoding="UTF-8"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="x">'
        f"<size>10</size><url>{inner}</url></file></metalink>"
    ).encode()
    torrent = b"d4:infod6:lengthi10e4:name1:x12:piece lengthi16384e6:pieces20:%be8:url-list%d:%be" % (
        *(b"a" * 20, len(inner), inner.encode()),
    )
    async with Origin(host=GOOD) as origin:
        daemon = await guarded(start_daemon, sqlite, forbidden)
        mirrors = ", ".join(f"<{inner}?{number}>; rel=duplicate; pri=1" for number in range(3))
        origin.pages["/large"] = Page(data, etag='"1"', headers={"Link": mirrors, "Digest": f"SHA-256={digest}"})
        origin.pages["/x.meta4"] = Page(metalink, headers={"Content-Type": "application/metalink4+xml"})
        origin.pages["/x.torrent"] = Page(torrent, headers={"Content-Type": "application/x-bittorrent"})
        links = [origin.url(path, host=GOOD) for path in origin.pages]
        tasks = await daemon.finish(*await daemon.add(*links))
    assert [task["sha256"] for task in tasks] == [sha256(each) for each in (data, metalink, torrent)], tasks
    assert forbidden.heard == 0
    assert json.loads((await daemon.odl("blocks", "--json")).out) == []  # nobody has even tried


@pytest.mark.parametrize("exception", ["", "*"])
async def test_a_proxy_of_the_daemons_environment_is_not_used(
    start_daemon: StartDaemon,
    sqlite: Table,
    forbidden: Forbidden,
    monkeypatch: pytest.MonkeyPatch,
    exception: str,
) -> None:
    """Synapse#9812: with a proxy in the environment, nobody looked at the list of forbidden addresses any longer."""
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{forbidden.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{forbidden.port}")
    monkeypatch.setenv("no_proxy", exception)
    monkeypatch.setenv("NO_PROXY", exception)
    async with Origin(host=GOOD) as origin:
        daemon = await guarded(start_daemon, sqlite, forbidden)
        targets = [
            f"{scheme}://{host}:{forbidden.port}/" for scheme in ("http", "https") for host in ("127.0.0.1", "[::1]")
        ]
        for number, target in enumerate(targets):
            origin.pages[f"/{number}"] = Page(status=302, headers={"Location": target})
        origin.pages["/good"] = Page(DATA)
        links = [*targets, *(origin.url(path, host=GOOD) for path in origin.pages)]
        came = await outcome(Door.COMMAND_LINE, links, daemon, sqlite)
    assert forbidden.heard == 0
    assert [task["reason"] for task in came.tasks] == ["unreachable"] * (len(links) - 1) + [None]


async def test_the_daemon_opens_no_port_of_this_host(start_daemon: StartDaemon, sqlite: Table) -> None:
    """ocDownloader left the door of its aria2 open to everybody. Here it is in a network that nobody else has, and
    opens to a secret only (tests/download/test_server.py)."""
    daemon = await start_daemon("a", database=sqlite.url)
    children = descendants(daemon.pid)
    ours = {pid for pid in (daemon.pid, *children) if _network(pid) == _network(os.getpid())}
    (aria2,) = (pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "aria2c\n")
    assert daemon.pid in ours and aria2 not in ours
    assert _listening(aria2) & _sockets(aria2)  # its door, behind the wall
    assert [pid for pid in ours if _listening(pid) & _sockets(pid)] == []


def _network(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _sockets(pid: int) -> set[str]:
    """The sockets of a process, by number."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found |= set(re.findall(r"socket:\[(\d+)\]", str(path.readlink())))
    return found


def _listening(pid: int) -> set[str]:
    """The sockets that listen in the network of a process (man 5 proc)."""
    tables = "".join(Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
    return {fields[9] for fields in map(str.split, tables.splitlines()) if fields[3] == "0A"}


@pytest.mark.chaos
async def test_a_name_that_is_never_answered_holds_nobody_up_and_looks_like_the_others(
    start_daemon: StartDaemon, sqlite: Table, forbidden: Forbidden
) -> None:
    async with NameServer() as names, Origin(host=GOOD) as origin:
        names.silent |= {f"slow{number}.test" for number in range(20)}
        names.hosts["good.test"] = [[GOOD]]
        origin.pages["/good"] = Page(DATA)
        daemon = await guarded(start_daemon, sqlite, forbidden, resolvers=[names.address])
        slow = [await sqlite.insert(f"http://slow{number}.test/", owner="mallory") for number in range(20)]
        good = await sqlite.insert(f"http://good.test:{origin.port}/good", owner="ann")
        await until(lambda: sqlite.ended([good]), within=15)
        assert (await sqlite.row(good))["status"] == 4
        await until(lambda: sqlite.ended(slow), within=60)
        tasks = await daemon.show(*slow)
        assert {task["reason"] for task in tasks} == {"unreachable"}


def _links(attacks: Sequence[Attack], good: str) -> list[str]:
    """The good one comes last: what was tried before it must not hold it up."""
    return [attack.link for attack in attacks] + [good]


def _assert_nobody_learns_why(came: Outcome, attacks: Sequence[Attack]) -> None:
    """Each class has its rows, each row has its end, and no end tells what is inside."""
    rows = Counter(attack.kind for attack in attacks)
    assert set(rows) in ({Kind.NAME}, set(Kind) - {Kind.NAME}) and min(rows.values()) >= 10
    assert len(came.tasks) + len(came.refusals) == len(attacks) + 1
    *bad, good = came.tasks
    assert good["status_name"] == "OK", good
    told = {task["url"]: _told(task) for task in bad if task["reason"] != "bad_url"}
    assert {link: end for link, end in told.items() if end not in ENDS} == {}
    refused = [*came.refusals, *(task["comment"] for task in bad if task["reason"] == "bad_url")]
    assert [sentence for sentence in refused if not REFUSED.search(sentence)] == []


def _told(task: dict[str, Any]) -> tuple[str, str, str]:
    comment = task["comment"].removesuffix(" (given up after 1 attempts)")
    return task["status_name"], task["reason"], comment.replace(parse(task["url"]).host.strip("[]"), "HOST", 1)


ENDS = {
    ("ERROR", "unreachable", "HOST could not be reached"),
    ("ERROR", "protocol_error", "HOST sends us on to a link that is neither http nor https"),
    ("ERROR", "redirect_loop", "HOST sends us on from link to link without an end"),
    ("ERROR", "not_found", "HOST answered 404: there is no such file"),
}
"""The last is what the attacker's own server says: a name has its address, too, or a location is no link and is taken
for a path there."""

REFUSED = re.compile(
    "cannot exist$|is no link|not taken here|names no server|no usable port|has white space|more than one '@'"
    "|its address is wrong$|^5 fields with tabs"
)
