from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from odl_daemon.model.shown import as_json
from odl_daemon.model.task import Phase, Progress, Reason, Task, Wish

AT = datetime(2025, 1, 2, 4, 4, 5, 123456, tzinfo=timezone(timedelta(hours=1)))


def test_a_fresh_task_has_every_key_and_null_for_what_is_unknown() -> None:
    assert as_json(Task(7, "me@x", "L", "/d", "http://h/a", AT, AT)) == {
        "id": 7,
        "owner": "me@x",
        "library": "L",
        "path": "/d",
        "url": "http://h/a",
        "name": "a",
        "host": "h",
        "kind": "url",
        "status": 1,
        "status_name": "WAITING",
        "phase": "waiting",
        "wish": None,
        "size": 0,
        "done": 0,
        "total": None,
        "speed": 0,
        "saved": 0,
        "progress": None,
        "eta": None,
        "waits_for": None,
        "attempt": 1,
        "reason": None,
        "comment": "",
        "action": None,
        "created": "2025-01-02T03:04:05.123456Z",
        "changed": "2025-01-02T03:04:05.123456Z",
        "sha256": None,
    }


def test_a_whole_second_has_its_microseconds_too() -> None:
    task = Task(1, "o", "L", "/", "u", datetime(2025, 1, 1, tzinfo=UTC), AT)
    assert as_json(task)["created"] == "2025-01-01T00:00:00.000000Z"


def test_speed_is_shown_only_while_bytes_move() -> None:
    for phase in Phase:
        task = Task(1, "o", "L", "/", "u", AT, AT, phase=phase, progress=Progress(5, 10, 3), wish=Wish.PAUSE)
        assert as_json(task)["speed"] == (3 if phase in (Phase.FETCHING, Phase.COMMITTING) else 0)


def test_a_done_task_is_whole() -> None:
    task = Task(1, "o", "L", "/a", "u", AT, AT, phase=Phase.DONE, size=10, sha256="ab", progress=Progress(5))
    shown = as_json(task)
    assert (shown["size"], shown["done"], shown["total"], shown["sha256"]) == (10, 10, 10, "ab")


def test_an_ended_task_says_why() -> None:
    task = Task(1, "o", "L", "/", "u", AT, AT, phase=Phase.EXPIRED, reason=Reason.TIME_LIMIT, comment="too slow")
    shown = as_json(task)
    assert (shown["status_name"], shown["reason"], shown["comment"]) == ("TLE", "time_limit", "too slow")
