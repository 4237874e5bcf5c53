"""JSON-RPC 2.0 as aria2 speaks it: from the text of a message to its calls, and from results to the text of an answer.

Shapes and sentences are those of aria2 1.36 (its manual, "RPC INTERFACE", and what it was seen to answer).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

FAILED: Final = 1
"""A call that was understood and could not be done; aria2 uses it for nearly everything."""
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
NO_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
AWAY: Final = -32000
"""What a call needs does not answer at present."""

LONGEST_SENTENCE: Final = 500
"""Characters; a sentence may quote what a client said."""

Id = str | int | float | bool | None


class Fault(Exception):
    """A call, or a whole message, that has no result: a code for programs and a sentence."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence[:LONGEST_SENTENCE]


@dataclass(frozen=True, slots=True)
class Call:
    """One call, with a fault if there is none to be made of what was said."""

    id: Id
    method: str = ""
    params: Sequence[object] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a client said at once."""

    calls: Sequence[Call]
    is_batch: bool


def parse(said: bytes | str) -> Message:
    """The calls of a message. Raises Fault if it is no message at all."""
    words = _loaded(said)
    if isinstance(words, list):
        return Message([_call(each) for each in words if isinstance(each, dict)], is_batch=True)  # as aria2 does
    if not isinstance(words, dict):
        raise Fault(INVALID_REQUEST, "Invalid Request.")
    return Message([_call(words)], is_batch=False)


def result_text(call_id: Id, result: str) -> str:
    """An answer; `result` is JSON already."""
    return f'{{"id":{encode(call_id)},"jsonrpc":"2.0","result":{result}}}'


def fault_text(call_id: Id, fault: Fault) -> str:
    """An answer that tells of a fault."""
    return f'{{"id":{encode(call_id)},"jsonrpc":"2.0","error":{encode(fault_struct(fault))}}}'


def notice_text(method: str, gid: str) -> str:
    """A notification."""
    return encode({"jsonrpc": "2.0", "method": method, "params": [{"gid": gid}]})


def fault_struct(fault: Fault) -> dict[str, object]:
    return {"code": fault.code, "message": fault.sentence}


def encode(words: object) -> str:
    """JSON in ASCII: whatever a client said can be said back to it."""
    return json.dumps(words, separators=(",", ":"), allow_nan=False)


def _loaded(said: bytes | str) -> object:
    try:
        text = said if isinstance(said, str) else said.decode()
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Fault(PARSE_ERROR, "Parse error.") from error


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are no JSON, though Python reads them."""
    raise ValueError(name)


def _call(words: dict[str, object]) -> Call:
    call_id, method, params = words.get("id"), words.get("method"), words.get("params", [])
    if "id" not in words or not _is_id(call_id):
        return Call(None, fault=Fault(INVALID_REQUEST, "Invalid Request."))
    assert isinstance(call_id, Id)
    if not isinstance(method, str):
        return Call(call_id, fault=Fault(INVALID_REQUEST, "Invalid Request."))
    if not isinstance(params, list):
        return Call(call_id, method, fault=Fault(INVALID_PARAMS, "Invalid params."))
    return Call(call_id, method, params)


def _is_id(words: object) -> bool:
    """Whether it can be said back: no lists within lists, and no number that JSON cannot write."""
    return isinstance(words, Id) and not (isinstance(words, float) and not math.isfinite(words))
