"""What is said through the control door: a request as a JSON object, its answer as another.

    {"do": "add", "requests": [{"owner", "library", "path", "url", "name", "mkdir"}, ...]}
                                                       -> in this order the tasks, or {"refused": a sentence}
    {"do": "tasks", "owner", "phases", "statuses", "ids", "limit", "before"}       -> tasks, the newest first
    {"do": "wish", "ids": [...], "wish": "pause"}      -> [{"id", "granted", "sentence"}, ...]
    {"do": "retry_failed", "owner"}                    -> how many
    {"do": "why", "id": 12}                            -> a sentence
    {"do": "limits", "owner"}                          -> [{"owner", "group", "limits", "used", "left"}, ...]
    {"do": "token_make", "owner", "admin", "once", "name", "days"}   -> {"token", "id", "owner", ...}
    {"do": "tokens"}                                   -> [{"id", "kind", "owner", "admin", "name", ...}, ...]
    {"do": "token_revoke", "ids": [...], "owner"}      -> the ids of those that there were
    {"do": "wait", "since": 0, "seconds": 2}           -> a number for the next `since`, once something has moved
    {"do": "rival"}                                    -> a sentence, "" if nobody else works on the table
    {"do": "ping"}                                     -> "pong"

An answer is {"ok": ...}, or {"error": a sentence, "kind": one of REFUSED, UNKNOWN, AWAY, BROKEN}.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from enum import Enum
from typing import Final, TypeVar

from odl_daemon.engine.desk import Desk, Limit, NoTask, Refusal
from odl_daemon.model import names, source
from odl_daemon.model.keys import Key, KeyKind, Principal
from odl_daemon.model.shown import as_json, moment_as_json
from odl_daemon.model.task import Phase, Status, Task, Wish
from odl_daemon.ports import Filter, Request, StoreAway

log = logging.getLogger(__name__)

E = TypeVar("E", bound=Enum)

MOST: Final = 1000
"""Requests, ids or tasks in one message."""

LONGEST_WAIT: Final = 30
"""Seconds until whoever waits for a move hears that there was none."""

LONGEST_OWNER: Final = 255
LONGEST_LIBRARY: Final = 36
"""Characters, as the shared table has them."""

REFUSED: Final = "refused"
"""The request makes no sense, or cannot be granted."""
UNKNOWN: Final = "unknown"
"""There is no such task."""
AWAY: Final = "away"
"""The database does not answer."""
BROKEN: Final = "broken"
"""A mistake of ours."""


class Senseless(Exception):
    """This is no request that we know."""


async def answer(desk: Desk, message: object) -> dict[str, object]:
    """Does what a request asks for; whatever goes wrong becomes an answer, too."""
    try:
        return {"ok": await _done(desk, _object(message))}
    except (Senseless, source.Unusable) as error:
        return {"error": str(error), "kind": REFUSED}
    except NoTask as error:
        return {"error": str(error), "kind": UNKNOWN}
    except StoreAway as error:
        return {"error": str(error), "kind": AWAY}
    except Exception as error:  # one request that breaks must not end the daemon
        log.exception("a request of the control door broke")
        return {"error": f"{type(error).__name__}: {error}", "kind": BROKEN}


async def _done(desk: Desk, asked: dict[str, object]) -> object:
    match asked.get("do"):
        case "add":
            requests = [_request(_object(each)) for each in _list(asked, "requests")]
            return [_answered(each) for each in await desk.submit(requests)]
        case "tasks":
            limit = min(_whole(asked.get("limit", MOST), "limit"), MOST)
            before = None if asked.get("before") is None else _whole(asked["before"], "before")
            tasks = await desk.tasks(_filter(asked), limit, before)
            waits = await desk.waits(tasks)
            return [as_json(task, waits.get(task.id)) for task in tasks]
        case "wish":
            answers = await desk.wish(_ids(asked), _one_of(Wish, asked.get("wish"), "wish"))
            return [{"id": each.id, "granted": each.granted, "sentence": each.sentence} for each in answers]
        case "retry_failed":
            return await desk.retry_failed(_text(asked, "owner"))
        case "why":
            return await desk.why(_whole(asked.get("id"), "id"))
        case "limits":
            return [limit_as_json(each) for each in await desk.limits(_text(asked, "owner"))]
        case "token_make":
            return await _make_token(desk, asked)
        case "tokens":
            return [_token(key) for key in await desk.keyring.all()]
        case "token_revoke":
            ids = [each for each in _list(asked, "ids") if isinstance(each, str)]
            return await desk.keyring.revoke(ids, _text(asked, "owner"))
        case "wait":
            return await desk.moved(_count(asked, "since"), min(_count(asked, "seconds"), LONGEST_WAIT))
        case "rival":
            return desk.rival()
        case "ping":
            return "pong"
        case other:
            raise Senseless(f"there is nothing to do that is called {other!r}")


async def _make_token(desk: Desk, asked: dict[str, object]) -> dict[str, object]:
    """The only moment in which a key is told."""
    owner, days = _text(asked, "owner"), asked.get("days")
    if not owner or len(owner) > LONGEST_OWNER:
        raise Senseless(f"an owner has 1 to {LONGEST_OWNER} characters")
    kind = KeyKind.ONCE if asked.get("once") is True else KeyKind.TOKEN
    lasts = None if days is None else timedelta(days=min(_whole(days, "days"), 36_500))
    principal = Principal(owner, admin=asked.get("admin") is True)
    secret, key = await desk.keyring.make(principal, kind, name=_text(asked, "name")[:255], lasts=lasts)
    return {"token": secret, **_token(key)}


def _token(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "kind": key.kind.value,
        "owner": key.principal.owner,
        "admin": key.principal.admin,
        "name": key.name,
        "created": moment_as_json(key.created),
        "expires": key.expires and moment_as_json(key.expires),
    }


def _answered(each: Task | Refusal) -> dict[str, object]:
    return {"refused": each.sentence} if isinstance(each, Refusal) else as_json(each)


def limit_as_json(each: Limit) -> dict[str, object]:
    """For each limit what it is, what is used of it, and what is left; null where there is none."""
    may = {
        "running": (each.share.running, each.used.running),
        "queued": (each.share.queued, each.used.queued),
        "bytes_per_day": (each.share.bytes_per_day, each.used.bytes),
        "tasks_per_day": (each.share.tasks_per_day, each.used.tasks),
    }
    return {
        "owner": each.owner,
        "group": each.group or None,
        "limits": {name: limit or None for name, (limit, _) in may.items()} | {"max_size": each.share.max_size or None},
        "used": {name: used for name, (_, used) in may.items()},
        "left": {name: max(limit - used, 0) if limit else None for name, (limit, used) in may.items()},
    }


def _request(asked: dict[str, object]) -> Request:
    """Checked here as well as by who asks: a client may be older than the daemon."""
    link = source.parse(_text(asked, "url"))
    try:
        path = names.folder_path(_text(asked, "path") or "/")
    except ValueError as error:
        raise Senseless(str(error)) from error
    owner, library = _text(asked, "owner"), _text(asked, "library")
    if not owner or not library:
        raise Senseless("a request needs an owner and a library")
    if len(owner) > LONGEST_OWNER or len(library) > LONGEST_LIBRARY:
        raise Senseless(
            f"an owner has {LONGEST_OWNER} characters at most, a library {LONGEST_LIBRARY}: the table holds no more"
        )
    name = _text(asked, "name")
    mkdir = asked.get("mkdir", False)
    if not isinstance(mkdir, bool):
        raise Senseless("mkdir: expected true or false")
    return Request(owner, library, path, link.url, names.safe_name(name) if name else "", link.kind, mkdir)


def _filter(asked: dict[str, object]) -> Filter:
    return Filter(
        owner=_text(asked, "owner"),
        phases=frozenset(_one_of(Phase, each, "phases") for each in _list(asked, "phases")),
        statuses=frozenset(_one_of(Status, each, "statuses") for each in _list(asked, "statuses")),
        ids=tuple(_ids(asked)),
    )


# --- the words of a message -------------------------------------------------------------------------------


def _object(words: object) -> dict[str, object]:
    if not isinstance(words, dict):
        raise Senseless("expected a JSON object")
    return words


def _list(asked: dict[str, object], key: str) -> list[object]:
    words = asked.get(key, [])
    if not isinstance(words, list) or len(words) > MOST:
        raise Senseless(f"{key}: expected a list of at most {MOST}")
    return words


def _ids(asked: dict[str, object]) -> list[int]:
    return [_whole(each, "ids") for each in _list(asked, "ids")]


def _whole(words: object, key: str) -> int:
    if not isinstance(words, int) or isinstance(words, bool) or not 0 < words < 1 << 63:
        raise Senseless(f"{key}: expected a whole number above 0")
    return words


def _count(asked: dict[str, object], key: str) -> int:
    words = asked.get(key)
    return 0 if words == 0 else _whole(words, key)


def _text(asked: dict[str, object], key: str) -> str:
    words = asked.get(key, "")
    if not isinstance(words, str):
        raise Senseless(f"{key}: expected a text")
    return words


def _one_of(meaning: type[E], words: object, key: str) -> E:
    try:
        return meaning(words)
    except ValueError:
        raise Senseless(f"{key}: {words!r} is none that there is") from None
