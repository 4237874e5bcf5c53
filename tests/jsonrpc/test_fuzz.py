"""Whatever is said is answered in JSON-RPC, and nothing of it reaches a task that is not the speaker's."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odl_daemon.engine.news import News
from odl_daemon.intake.jsonrpc import gids, turn
from odl_daemon.intake.jsonrpc.methods import Methods
from odl_daemon.intake.jsonrpc.options import Place
from odl_daemon.intake.jsonrpc.protocol import Fault
from odl_daemon.intake.jsonrpc.turn import Answer, Turn
from odl_daemon.model.keys import Principal
from odl_daemon.model.task import Phase, Task, Wish
from odl_daemon.ports import AccountsAway, Filter, StoreAway
from tests.intake.paper_desk import PaperDesk

BOBS = gids.gid_of(1)


class Desk(PaperDesk):
    """A paper desk with a task of somebody else, and one of each phase that is the speaker's."""

    def __init__(self) -> None:
        super().__init__()
        self.write(owner="bob")
        for phase in Phase:
            self.write(owner="ann", phase=phase)

    is_away = False

    def away(self) -> bool:
        return self.is_away

    async def counts(self, owner: str = "") -> dict[str, dict[Phase, int]]:
        self._break()
        return {owner: dict.fromkeys(Phase, 1)}

    async def wish_all(self, which: Filter, wish: Wish) -> int:
        assert which.owner == "ann"
        return 0


async def recognise(token: str) -> Principal | None:
    match token:
        case "ann":
            return Principal("ann")
        case "away":
            raise AccountsAway("the accounts cannot be asked")
        case _:
            assert token.isascii()
            return None


def said(words: bytes | str, desk: Desk | None = None) -> Answer:
    desk = desk or Desk()

    async def answered() -> Answer:
        return await Turn(Methods(desk.as_desk, News()), recognise, Place("default", "/"), moment=0.0).answer(words)

    return asyncio.run(answered())


def check(words: bytes | str) -> None:
    desk = Desk()
    before = desk.book[1]
    answer = said(words, desk)
    parsed = json.loads(answer.text, parse_constant=_no_constant)
    for each in parsed if isinstance(parsed, list) else [parsed]:
        assert set(each) in ({"id", "jsonrpc", "result"}, {"id", "jsonrpc", "error"})
        assert each["jsonrpc"] == "2.0"
        if "error" in each:
            assert set(each["error"]) == {"code", "message"}
            assert each["error"]["code"] in (1, -32700, -32600, -32601, -32602, -32000)
    assert answer.text.isascii()
    assert BOBS not in answer.text or BOBS in (words if isinstance(words, str) else words.decode(errors="replace"))
    assert desk.book[1] == before
    assert all(task.owner == "ann" for task in list(desk.book.values())[1:])


def _no_constant(name: str) -> object:
    raise AssertionError(f"{name} is no JSON")


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["token:ann", "token:away", "token:x", BOBS, BOBS[:4], gids.gid_of(3), "", "0", "http://h/a", "x"]
    )
    | st.sampled_from(["dir", "out", "pause", "true", "header", "..", "/a/b", "system.multicall", "aria2.addUri"])
)
WORDS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.sampled_from(["id", "method"]), inner),
    max_leaves=20,
)
METHODS = st.sampled_from(sorted(Methods(PaperDesk().as_desk, News()).names)) | st.text()
OPTIONS = st.dictionaries(st.sampled_from(["dir", "out", "pause", "header", "split", "gid", "all-proxy"]), WORDS)
PARAMS = st.lists(WORDS | OPTIONS | st.lists(st.just("http://h/a") | st.text()), max_size=5)
TOKENS = st.sampled_from([["token:ann"]] * 5 + [["token:away"], ["token:ä"], []])
CALLS = st.builds(
    lambda method, token, params, call_id: {"id": call_id, "method": method, "params": token + params},
    METHODS,
    TOKENS,
    PARAMS,
    LEAVES,
)
INNER = st.builds(lambda call: {"methodName": call["method"], "params": call["params"]}, CALLS) | WORDS
MULTICALLS = st.builds(
    lambda calls: {"id": 1, "method": "system.multicall", "params": [calls]}, st.lists(INNER, max_size=5)
)


@given(st.binary() | st.text())
def test_arbitrary_bytes_are_answered(words: bytes | str) -> None:
    check(words)


@given(WORDS)
def test_arbitrary_json_is_answered(words: object) -> None:
    check(json.dumps(words))


@given(CALLS | MULTICALLS | st.lists(CALLS | MULTICALLS | WORDS, max_size=4))
def test_arbitrary_calls_are_answered(words: object) -> None:
    check(json.dumps(words))


@given(st.integers(1, (1 << 63) - 1))
def test_a_gid_leads_back_to_its_task(task_id: int) -> None:
    gid = gids.gid_of(task_id)
    assert gids.read(gid.upper()) == gid
    assert len(gid) == 16
    assert gids.id_of(gid) == task_id


@pytest.mark.parametrize("none", [0, 1 << 63, (1 << 64) - 1])
def test_a_gid_that_no_task_can_have_is_nobodys(none: int) -> None:
    assert gids.id_of(gids.gid_of(none)) is None


@given(st.text(alphabet="0123456789abcdef", min_size=16, max_size=16))
def test_a_whole_gid_is_of_one_task_at_most(gid: str) -> None:
    task_id = gids.id_of(gid)
    assert task_id is None or gids.gid_of(task_id) == gid


@given(st.text())
def test_what_is_no_gid_is_a_fault(text: str) -> None:
    try:
        gid = gids.read(text)
    except Fault as fault:
        assert fault.sentence == f"Invalid GID {text[:40]}"
    else:
        assert gid == text.lower()


def test_what_is_away_is_told_and_the_rest_is_answered() -> None:
    desk = Desk()
    desk.breaks = StoreAway("the database does not answer")
    calls = [
        {"id": 1, "method": "aria2.tellActive", "params": ["token:ann"]},
        {"id": 2, "method": "aria2.getVersion", "params": ["token:ann"]},
        {"id": 3, "method": "aria2.getVersion", "params": ["token:away"]},
    ]
    answers = json.loads(said(json.dumps(calls), desk).text)
    assert answers[0]["error"] == {"code": -32000, "message": "the database does not answer"}
    assert "result" in answers[1]
    assert answers[2]["error"] == {"code": -32000, "message": "the accounts cannot be asked"}
    assert said(json.dumps(calls[0]), desk).code == -32000


def test_while_the_database_is_away_nothing_is_asked_of_it() -> None:
    desk = Desk()
    desk.is_away, desk.breaks = True, AssertionError("it was asked")
    call = {"id": 1, "method": "aria2.tellActive", "params": ["token:ann"]}
    answer = said(json.dumps(call), desk)
    assert (answer.code, json.loads(answer.text)["error"]["code"]) == (-32000, -32000)


def test_a_client_that_gets_no_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "ANSWER_LIMIT", 0.01)

    class Deaf(Desk):
        async def tasks(self, which: Filter, limit: int, before: int | None = None) -> list[Task]:
            return await asyncio.Event().wait()  # type: ignore[return-value]  # it never does

    call = {"id": 1, "method": "aria2.tellActive", "params": ["token:ann"]}
    error = json.loads(said(json.dumps([call] * 500), Deaf()).text)[-1]["error"]
    assert (error["code"], error["message"].startswith("the database does not answer")) == (-32000, True)


def test_a_share_that_is_used_up_is_told() -> None:
    desk = Desk()
    desk.refuses = "limit queued: ann may have 3 tasks waiting and has"
    call = {"id": 1, "method": "aria2.addUri", "params": ["token:ann", ["http://h/a"]]}
    assert json.loads(said(json.dumps(call), desk).text)["error"] == {"code": 1, "message": desk.refuses}
