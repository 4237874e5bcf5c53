"""Tasks through the HTTP door: handed over, listed, searched, steered. Nothing runs here, so everything stays put."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.until import until
from tests.http.client import Client
from tests.http.conftest import ANN, BOB, House, house

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASKS = "/api/v1/tasks"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A daemon that takes tasks and begins none; of its users one has limits."""
    async with house(
        tmp_path_factory.mktemp("http"),
        daemon={"enabled": False},
        **{"limits.few": {"users": ["few@example.com"], "queued": 3}},
    ) as running:
        yield running


@pytest.fixture
async def ann(still: House, request: pytest.FixtureRequest) -> Client:
    """Somebody who has no tasks yet."""
    return await still.client(f"{request.node.name}@example.com"[-60:])


def urls(count: int, start: int = 0) -> list[str]:
    return [f"https://example.com/f{number}" for number in range(start, start + count)]


async def pages(client: Client, **query: Any) -> list[int]:
    """The ids of all pages."""
    ids: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await client.get(TASKS, **query, **cursor)
        ids += [task["id"] for task in page["tasks"]]
        if page["next"] is None:
            return ids
        cursor = {"cursor": page["next"]}


def turn(still: House, task_id: int, phase: str, status: int) -> None:
    """The table says that a task is in another phase."""
    still.sql("UPDATE odl_task SET phase = ? WHERE odr_id = ?", (phase, task_id))
    still.sql("UPDATE OfflineDownloadRecord SET status = ? WHERE odr_id = ?", (status, task_id))


# --- handing over


async def test_each_of_a_hundred_lines_gets_its_own_answer(ann: Client) -> None:
    lines = [f"https://example.com/f{number}" if number % 10 else f"no link {number}" for number in range(100)]
    results = (await ann.post(TASKS, {"urls": lines, "path": "/a/b"}))["results"]
    assert [(result["line"], result["url"]) for result in results] == list(enumerate(lines, start=1))
    assert [result["task"] is None for result in results] == [not number % 10 for number in range(100)]
    assert [result["error"] is None for result in results] == [bool(number % 10) for number in range(100)]
    assert {result["error"]["reason"] for result in results if result["error"]} == {"bad_url"}
    assert {result["error"]["action"] for result in results if result["error"]} == {"new_link"}
    taken = [result["task"] for result in results if result["task"]]
    assert {(task["phase"], task["path"], task["library"]) for task in taken} == {("waiting", "/a/b", "default")}
    assert (await ann.get(TASKS))["counts"]["all"] == 90


async def test_a_text_is_read_line_by_line_without_comments(ann: Client) -> None:
    text = "# a list\n\n  https://example.com/one\t\r\nftp://example.com/two\n\n https://example.com/three"
    results = (await ann.post(TASKS, {"text": text}))["results"]
    assert [(result["line"], result["url"]) for result in results] == [
        (3, "https://example.com/one"),
        (4, "ftp://example.com/two"),
        (6, "https://example.com/three"),
    ]
    assert [result["task"] is not None for result in results] == [True, False, True]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no link was given"),
        ({"urls": []}, "no link was given"),
        ({"text": "\n# nothing\n"}, "no link was given"),
        ({"urls": urls(101)}, "at most 100"),
        ({"text": "\n".join(urls(101))}, "at most 100 links at a time"),
        ({"urls": urls(2), "name": "one"}, "for a single link only"),
        ({"urls": urls(1), "library": ""}, "library"),
        ({"urls": urls(1), "library": "x" * 37}, "library"),
        ({"urls": urls(1), "path": "/" + "x" * 4096}, "path"),
        ({"urls": urls(1), "mkdir": "perhaps"}, "mkdir"),
        ({"urls": "https://example.com"}, "urls"),
        ({"urls": urls(1), "colour": "red"}, "colour"),
        ([], "expected a JSON object"),
        ("text", "expected a JSON object"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_with_a_sentence(ann: Client, body: object, words: str) -> None:
    told = await ann.ask("POST", TASKS, body)
    assert (told.status, told.reason) == (400, "bad_request")
    assert words in told.sentence
    assert (await ann.get(TASKS))["counts"]["all"] == 0


async def test_a_folder_that_cannot_be_is_told_for_its_line(ann: Client) -> None:
    (result,) = (await ann.post(TASKS, {"urls": urls(1), "path": "/a/../b"}))["results"]
    assert (result["task"], result["error"]["reason"]) == (None, "bad_target")


async def test_a_link_may_have_4096_characters_and_no_more(ann: Client) -> None:
    longest = "https://example.com/" + "x" * 4076
    results = (await ann.post(TASKS, {"urls": [longest, longest + "x"]}))["results"]
    assert [result["task"] is not None for result in results] == [True, False]
    assert results[1]["error"]["reason"] == "bad_url"


async def test_what_goes_over_a_users_limits_is_refused_line_by_line(still: House) -> None:
    few = await still.client("few@example.com")
    results = (await few.post(TASKS, {"urls": urls(5)}))["results"]
    assert [result["task"] is not None for result in results] == [True, True, True, False, False]
    assert {(result["error"]["reason"], result["error"]["action"]) for result in results[3:]} == {
        ("over_limit", "raise_limit")
    }
    limits = await few.get("/api/v1/limits")
    assert (limits["group"], limits["limits"]["queued"], limits["left"]["queued"]) == ("few", 3, 0)


async def test_a_name_is_made_safe_and_kept(ann: Client) -> None:
    (task_id,) = await ann.add("https://example.com/x", name="../../etc/passwd")
    name = (await ann.get(f"{TASKS}/{task_id}"))["task"]["name"]
    assert "/" not in name
    assert name not in ("", "..")


# --- listing


async def test_pages_have_no_gap_and_no_double_while_tasks_are_added(ann: Client) -> None:
    ids = [task_id for start in range(0, 300, 100) for task_id in await ann.add(*urls(100, start))]
    stop = asyncio.Event()

    async def go_on_adding() -> None:
        while not stop.is_set():
            await ann.add(*urls(3))

    async with asyncio.TaskGroup() as group:
        group.create_task(go_on_adding(), name="somebody who goes on adding")
        seen = await pages(ann, limit=7)
        stop.set()
    assert len(seen) == len(set(seen))
    assert [task_id for task_id in seen if task_id <= ids[-1]] == ids[::-1]
    assert seen == sorted(seen, reverse=True)


async def test_a_page_that_ends_the_list_names_no_other(ann: Client) -> None:
    await ann.add(*urls(4))
    assert (await ann.get(TASKS, limit=4))["next"] is None
    assert (await ann.get(TASKS, limit=3))["next"] is not None
    assert (await ann.get(TASKS, cursor=1))["tasks"] == []


async def test_tabs_phases_and_numbers_filter_and_counts_stay_whole(still: House, ann: Client) -> None:
    ids = await ann.add(*urls(6))
    for task_id, (phase, status) in zip(
        ids, [("done", 4), ("failed", 5), ("expired", 6), ("paused", 2), ("cancelled", 5)], strict=False
    ):
        turn(still, task_id, phase, status)
    done, failed, expired, paused, cancelled, waiting = ids
    counts = {"all": 6, "active": 0, "waiting": 2, "done": 1, "failed": 3}
    for query, wanted in (
        ({"tab": "all"}, ids),
        ({"tab": "done"}, [done]),
        ({"tab": "failed"}, [failed, expired, cancelled]),
        ({"tab": "waiting"}, [paused, waiting]),
        ({"tab": "active"}, []),
        ({"phase": ["failed", "done"]}, [done, failed]),
        ({"phase": "failed", "tab": "done"}, []),
        ({"phase": ["failed", "done"], "tab": "failed"}, [failed]),
        ({"status": ["5", "6"]}, [failed, expired, cancelled]),
        ({"status": "2", "tab": "waiting"}, [paused]),
    ):
        told = await ann.ask("GET", TASKS, query=pairs(query))
        assert told.status == 200, told
        assert [task["id"] for task in told.json["tasks"]] == wanted[::-1], query
        assert told.json["counts"] == counts


def pairs(query: dict[str, Any]) -> list[tuple[str, str]]:
    """A query in which a name may stand more than once."""
    return [(name, value) for name, given in query.items() for value in (given if isinstance(given, list) else [given])]


@pytest.mark.parametrize(
    "query",
    [
        {"tab": "none"},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "many"},
        {"limit": ["1", "2"]},
        {"cursor": "0"},
        {"cursor": str(2**63)},
        {"cursor": "9" * 400},
        {"phase": "sleeping"},
        {"status": "7"},
        {"status": "-1"},
        {"q": "x" * 201},
        {"q": "a\0b"},
        {"order": "name"},
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(ann: Client, query: dict[str, Any]) -> None:
    told = await ann.ask("GET", TASKS, query=pairs(query))
    assert (told.status, told.reason) == (400, "bad_request")
    assert next(iter(query)) in told.sentence


async def test_a_search_takes_every_letter_as_it_is(ann: Client) -> None:
    plain, percent, under, bang, deep = await ann.add(
        *("https://example.com/100xy", "https://example.com/100%25", "https://example.com/a_b", "https://e.com/a!b"),
        "https://example.com/a-b",
    )
    for text, wanted in (
        ("100%", [percent]),
        ("%", [percent]),
        ("a_b", [under]),
        ("_", [under]),
        ("!", [bang]),
        ("a!b", [bang]),
        ("EXAMPLE.com/A", [under, deep]),
        ("100", [plain, percent]),
        ("", [plain, percent, under, bang, deep]),
        ("' OR 1=1 --", []),
        (":owner", []),
        ("\\", []),
    ):
        found = [task["id"] for task in (await ann.get(TASKS, q=text))["tasks"]]
        assert found == wanted[::-1], text


async def test_a_search_looks_at_the_folder_too(ann: Client) -> None:
    (task_id,) = await ann.add("https://example.com/x", path="/Films/Été")
    assert [task["id"] for task in (await ann.get(TASKS, q="films/Été"))["tasks"]] == [task_id]


# --- looking


async def test_a_waiting_task_says_why_and_its_place_in_line(ann: Client) -> None:
    ids = await ann.add(*urls(3))
    why = await ann.get(f"{TASKS}/{ids[2]}/why")
    assert why["waits_for"]["rule"] == "daemon"
    assert why["waits_for"]["place"] == 3
    assert why["sentence"] == why["waits_for"]["sentence"]
    assert (await ann.get(f"{TASKS}/{ids[2]}"))["task"]["waits_for"] == why["waits_for"]
    assert [task["waits_for"]["place"] for task in (await ann.get(TASKS))["tasks"]] == [3, 2, 1]


@pytest.mark.parametrize("task_id", ["0", "999999999", str(2**63), "9" * 20])
async def test_a_task_that_is_not_is_404(ann: Client, task_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/why"), ("POST", "/pause")):
        told = await ann.ask(method, f"{TASKS}/{task_id}{path}")
        assert (told.status, told.reason) == (404, "no_task")


# --- steering


async def test_a_wish_is_granted_where_it_can_be(still: House, ann: Client) -> None:
    task_id, over = await ann.add(*urls(2))
    turn(still, over, "done", 4)
    assert await ann.post(f"{TASKS}/{task_id}/pause") == {"id": task_id, "granted": True, "sentence": "will pause"}
    answer = await ann.post(f"{TASKS}/{over}/cancel")
    assert not answer["granted"]
    assert answer["sentence"].startswith(f"task {over} is done: only")
    await until(lambda: is_in(ann, task_id, "paused"))


async def is_in(client: Client, task_id: int, phase: str) -> bool:
    found: str = (await client.get(f"{TASKS}/{task_id}"))["task"]["phase"]
    return found == phase


async def test_a_wish_that_nobody_knows_is_404(ann: Client) -> None:
    (task_id,) = await ann.add(*urls(1))
    assert (await ann.ask("POST", f"{TASKS}/{task_id}/delete")).status == 404
    assert (await ann.ask("GET", f"{TASKS}/{task_id}/pause")).status == 405


async def test_many_are_steered_by_their_ids(still: House, ann: Client) -> None:
    first, second, over = await ann.add(*urls(3))
    turn(still, over, "done", 4)
    answer = await ann.post(f"{TASKS}/bulk", {"wish": "cancel", "ids": [second, over, 999_999_999, first]})
    assert [(each["id"], each["granted"]) for each in answer["results"]] == [
        *((second, True), (over, False)),
        *((999_999_999, False), (first, True)),
    ]
    assert answer["results"][2]["sentence"] == "no task 999999999"
    assert answer["count"] == 2


async def test_many_are_steered_by_their_tab_and_text(still: House, ann: Client) -> None:
    other = await still.client(BOB)
    await other.add("https://example.com/wanted-not-mine")
    one, two, three = await ann.add(*[f"https://example.com/{name}" for name in ("wanted-1", "wanted-2", "left")])
    turn(still, one, "failed", 5)
    answer = await ann.post(f"{TASKS}/bulk", {"wish": "cancel", "tab": "waiting", "q": "wanted"})
    assert answer == {"results": [], "count": 1}
    await until(lambda: is_in(ann, two, "cancelled"))
    assert await is_in(ann, one, "failed")
    assert await is_in(ann, three, "waiting")
    assert await ann.post(f"{TASKS}/bulk", {"wish": "retry", "tab": "done"}) == {"results": [], "count": 0}
    assert (await ann.post(f"{TASKS}/bulk", {"wish": "retry", "tab": "failed"}))["count"] == 2
    await until(lambda: is_in(ann, one, "waiting"))
    assert [task["phase"] for task in (await other.get(TASKS, q="wanted"))["tasks"]] == ["waiting"]


@pytest.mark.parametrize(
    "body",
    [
        {"wish": "pause"},
        {"wish": "pause", "ids": [1], "tab": "all"},
        {"wish": "delete", "ids": [1]},
        {"ids": [1]},
        {"wish": "pause", "ids": ["one"]},
        {"wish": "pause", "ids": [0]},
        {"wish": "pause", "ids": [2**63]},
        {"wish": "pause", "ids": [1.5]},
        {"wish": "pause", "ids": list(range(1, 1002))},
        {"wish": "pause", "tab": "none"},
    ],
)
async def test_a_bulk_that_makes_no_sense_is_refused(ann: Client, body: object) -> None:
    told = await ann.ask("POST", f"{TASKS}/bulk", body)
    assert (told.status, told.reason) == (400, "bad_request")


# --- admins


async def test_an_admin_hands_over_and_lists_for_others(still: House) -> None:
    (task_id,) = await still.boss.add("https://example.com/for-ann", owner=ANN)
    assert (await still.ann.get(f"{TASKS}/{task_id}"))["task"]["owner"] == ANN
    assert [task["id"] for task in (await still.boss.get(TASKS, owner=ANN, q="for-ann"))["tasks"]] == [task_id]
    assert task_id in await pages(still.boss, owner="*", limit=200)
    assert task_id not in await pages(still.boss)
    everybody = await still.boss.get(TASKS, owner="*", limit=1)
    assert everybody["counts"]["all"] == still.sql("SELECT COUNT(*) FROM odl_task")[0][0]
    told = await still.boss.ask("POST", TASKS, {"urls": urls(1), "owner": "*"})
    assert (told.status, told.reason) == (400, "bad_request")


async def test_an_admin_steers_what_is_somebody_elses(still: House) -> None:
    one, two, bobs = (
        *await still.ann.add("https://e.com/steered-1", "https://e.com/steered-2"),
        *await still.bob.add("https://e.com/steered-3"),
    )
    assert (await still.boss.post(f"{TASKS}/{one}/cancel"))["granted"]
    await until(lambda: is_in(still.ann, one, "cancelled"))
    steer = {"wish": "cancel", "tab": "waiting", "q": "steered"}
    assert (await still.boss.post(f"{TASKS}/bulk", steer))["count"] == 0
    assert (await still.boss.post(f"{TASKS}/bulk", {**steer, "owner": ANN}))["count"] == 1
    await until(lambda: is_in(still.ann, two, "cancelled"))
    assert await is_in(still.bob, bobs, "waiting")
    assert (await still.boss.post(f"{TASKS}/bulk", {**steer, "owner": "*"}))["count"] == 1
