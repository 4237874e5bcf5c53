"""Nobody takes more than his share, nobody waits for somebody else's thousand links, and all are told why."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from tests.acceptance.conftest import Table
from tests.acceptance.until import until
from tests.conftest import StartDaemon
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin, Page, content

MIB = 1 << 20
SMALL = content(20_000)
ANN, BOB = "ann@example.com", "bob@example.com"


async def test_a_user_has_no_more_running_than_his_limit_and_is_told(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, limits={"running": 2})
    gates = _gated(origin, 5)
    ids = await _add(daemon, ANN, *(origin.url(path) for path in gates))
    await until(lambda: _counts(daemon, "fetching", ids, 2), what="two transfers")
    third = (await daemon.show(ids[2]))[0]
    assert third["waits_for"]["rule"] == "running"
    assert (third["waits_for"]["place"], (await daemon.show(ids[4]))[0]["waits_for"]["place"]) == (1, 3)
    why = (await daemon.odl("why", str(ids[4]))).out.strip()
    assert why == "limit running: its user may have 2 at once and has; it is 3rd in line"
    assert "limit running" in (await daemon.odl("show", str(ids[4]))).out
    (bobs,) = await _add(daemon, BOB, origin.url("/0"))  # somebody else's turn is his own
    await until(lambda: _counts(daemon, "fetching", [bobs], 1), what="the other user's transfer")
    (left,) = await _limits(daemon, "--owner", ANN)
    assert (left["used"]["running"], left["left"]["running"], left["used"]["queued"]) == (2, 0, 3)
    for gate in gates.values():
        gate.set()
    assert {task["phase"] for task in await daemon.finish(*ids, bobs)} == {"done"}


async def test_links_beyond_a_limit_are_refused_one_by_one(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table
) -> None:
    limits = {"queued": 3, "tasks_per_day": 5}
    daemon = await start_daemon("a", database=sqlite.url, limits=limits, daemon={"enabled": False})
    links = [origin.url(f"/{number}") for number in range(5)]
    answer = await daemon.odl("add", "--owner", ANN, *links)
    assert (answer.code, len(answer.out.split())) == (1, 3)
    assert answer.err.count("limit queued: ann@example.com may have 3 tasks waiting and has") == 2
    await daemon.odl("cancel", *answer.out.split())
    answer = await daemon.odl("add", "--json", "--owner", ANN, *links)
    assert (answer.code, len(json.loads(answer.out))) == (1, 2)
    assert answer.err.count("limit tasks_per_day: ann@example.com may hand over 5 links in 24 hours and has") == 3
    (left,) = await _limits(daemon, "--owner", ANN)
    assert (left["left"]["queued"], left["left"]["tasks_per_day"]) == (1, 0)
    assert (await daemon.odl("add", "--owner", BOB, links[0])).code == 0


async def test_rows_beyond_a_limit_end_with_its_sentence(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, limits={"queued": 2}, intake={"poll": 0.1})
    gates = _gated(origin, 1)
    await daemon.stop()
    daemon.configure(daemon={"enabled": False})
    ids = [await table.insert(origin.url("/0"), owner=ANN) for _ in range(4)]
    await daemon.start()
    await until(lambda: _has_status(table, ids[3], 5), what="the end of the last row")
    assert [(await table.row(each))["status"] for each in ids] == [1, 1, 5, 5]
    comment = (await table.row(ids[2]))["comment"]
    assert comment.startswith("limit queued: ann@example.com may have 2 tasks waiting and has")
    assert (await daemon.show(ids[2]))[0]["reason"] == "over_limit"
    for gate in gates.values():
        gate.set()


async def test_beyond_the_bytes_of_a_day_tasks_wait_with_what_they_have(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, limits={"bytes_per_day": 3 * MIB})
    gate = asyncio.Event()
    origin.pages["/two"] = Page(content(2 * MIB), gate=gate, gate_at=MIB)
    origin.pages["/large"] = Page(content(4 * MIB))
    (large,) = await daemon.finish(*await _add(daemon, ANN, origin.url("/large")))
    assert (large["phase"], large["reason"]) == ("failed", "too_large")
    assert "limit bytes_per_day: at most 3,145,728 in 24 hours" in large["comment"]
    daemon.configure(limits={"bytes_per_day": 7 * MIB})  # four of them are used up
    await daemon.restart()
    first, second = await _add(daemon, ANN, origin.url("/two"), origin.url("/two"))
    await until(lambda: _counts(daemon, "waiting", [first, second], 1), what="one that waits")
    gate.set()
    await until(lambda: _counts(daemon, "done", [first, second], 1), what="the other one")
    (waiting,) = [task for task in await daemon.show(first, second) if task["phase"] == "waiting"]
    assert (waiting["waits_for"]["rule"], waiting["attempt"]) == ("bytes_per_day", 1)
    assert "limit bytes_per_day: its user may fetch 7,340,032 bytes in 24 hours" in waiting["comment"]
    (bobs,) = await _add(daemon, BOB, origin.url("/two"))
    assert (await daemon.finish(bobs))[0]["phase"] == "done"
    daemon.configure(limits={"bytes_per_day": 9 * MIB})
    daemon.reload()
    await until(lambda: "settings read anew" in daemon.log(), what="the new settings")
    await daemon.odl("retry", str(waiting["id"]))
    assert (await daemon.finish(waiting["id"]))[0]["phase"] == "done"


async def test_a_user_whose_day_is_used_up_begins_nothing_even_after_a_crash(
    start_daemon: StartDaemon, origin: Origin, table: Table
) -> None:
    daemon = await start_daemon("a", database=table.url, limits={"bytes_per_day": MIB})
    origin.pages["/a"] = Page(content(MIB))
    (first,) = await _add(daemon, ANN, origin.url("/a"))
    assert (await daemon.finish(first))[0]["phase"] == "done"
    await until(lambda: _has_used(daemon, MIB), what="what was taken in the table")
    await daemon.kill()
    await daemon.start()
    (second,) = await _add(daemon, ANN, origin.url("/a"))
    await until(lambda: _rule(daemon, second, "bytes_per_day"), what="the rule")
    assert len(origin.requests("/a")) == 1
    assert (await daemon.show(second))[0]["waits_for"]["until"] is not None


async def test_a_groups_users_have_its_limits(start_daemon: StartDaemon, origin: Origin, sqlite: Table) -> None:
    daemon = await start_daemon("a", database=sqlite.url, limits={"max_size": 5 * MIB})
    daemon.config.write_text(
        daemon.config.read_text() + '[limits.guests]\nusers = ["*@guests.example"]\nmax_size = 9\n'
    )
    daemon.reload()
    await until(lambda: "settings read anew" in daemon.log(), what="the new settings")
    origin.pages["/a"] = Page(SMALL)
    (guests,) = await _add(daemon, "gus@guests.example", origin.url("/a"))
    (anns,) = await _add(daemon, ANN, origin.url("/a"))
    guests_task, anns_task = await daemon.finish(guests, anns)
    assert (guests_task["reason"], anns_task["phase"]) == ("too_large", "done")
    (of_gus,) = await _limits(daemon, "--owner", "gus@guests.example")
    assert (of_gus["group"], of_gus["limits"]["max_size"], of_gus["limits"]["running"]) == ("guests", 9, None)
    card = (await daemon.odl("limits", "--owner", "gus@guests.example")).out
    assert card.startswith("gus@guests.example (group guests)\n")


@pytest.mark.parametrize("crowd", [300, pytest.param(5000, marks=pytest.mark.chaos)])
async def test_one_users_many_links_delay_anothers_single_one_by_no_more_than_a_slot(
    start_daemon: StartDaemon, origin: Origin, sqlite: Table, crowd: int
) -> None:
    """Counted in what the source is asked for in between, not in seconds."""
    slots = 5
    daemon = await start_daemon("a", database=sqlite.url, download={"slots": slots})
    for number in range(crowd):
        origin.pages[f"/many/{number}"] = Page(SMALL)
    many = "\n".join(origin.url(f"/many/{number}") for number in range(crowd))
    adding = asyncio.gather(daemon.odl("add", "--owner", ANN, "-", stdin=many))
    await until(lambda: len(origin.asked) >= 3 * slots, what="the crowd under way")
    singles: list[int] = []
    delays: list[int] = []
    for number in range(20):
        origin.pages[f"/single/{number}"] = Page(SMALL)
        (task_id,) = await _add(daemon, f"user{number}@example.com", origin.url(f"/single/{number}"))
        known = len(origin.asked)
        singles.append(task_id)
        await until(partial(origin.requests, f"/single/{number}"), what="the single link's turn")
        delays.append(sum(asked.path.startswith("/many/") for asked in origin.asked[known:]))
    assert (await adding)[0].code == 0
    assert {task["phase"] for task in await daemon.finish(*singles)} == {"done"}
    # what was claimed ahead by the rate of late goes before it, and what runs: a moment's work of the slots
    assert max(delays) <= 8 * slots, delays


# --- asking


def _gated(origin: Origin, count: int) -> dict[str, asyncio.Event]:
    gates = {f"/{number}": asyncio.Event() for number in range(count)}
    for path, gate in gates.items():
        origin.pages[path] = Page(content(2 * MIB), gate=gate, gate_at=MIB)
    return gates


async def _add(daemon: Daemon, owner: str, *urls: str) -> list[int]:
    return await daemon.add(*urls, arguments=("--owner", owner))


async def _limits(daemon: Daemon, *arguments: str) -> list[dict[str, Any]]:
    answer = await daemon.odl("limits", "--json", *arguments)
    assert answer.code == 0, answer
    found: list[dict[str, Any]] = json.loads(answer.out)
    return found


async def _counts(daemon: Daemon, phase: str, ids: list[int], count: int) -> bool:
    return [task["phase"] for task in await daemon.show(*ids)].count(phase) == count


async def _has_status(table: Table, task_id: int, status: int) -> bool:
    return bool((await table.row(task_id))["status"] == status)


async def _has_used(daemon: Daemon, count: int) -> bool:
    (left,) = await _limits(daemon, "--owner", ANN)
    return bool(left["used"]["bytes_per_day"] == count)


async def _rule(daemon: Daemon, task_id: int, rule: str) -> bool:
    (task,) = await daemon.show(task_id)
    return bool((task["waits_for"] or {}).get("rule") == rule)
