"""The block log tells the admin who was kept from what, and waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from odl_daemon.guard import blocks
from odl_daemon.guard.blocks import Block, BlockLog, read
from odl_daemon.guard.guests import Guest, Guests
from odl_daemon.guard.rules import Blocked

AT = datetime(2026, 1, 2, tzinfo=UTC)
WHY = Blocked("inner.test", 80, "10.0.0.1", "private")


@contextmanager
def guests(*tasks: tuple[int, str, str]) -> Iterator[Guests]:
    """Tasks of one address: id, owner, host."""
    found = Guests()
    with ExitStack() as stack:
        for task, owner, host in tasks:
            stack.enter_context(found.present("127.1.2.3", owner=owner, task=task, host=host))
        yield found
    assert found.guess("127.1.2.3", "any") == Guest("", None)


@pytest.mark.parametrize(
    ("tasks", "guest"),
    [
        ([(1, "ann", "inner.test")], Guest("ann", 1)),
        ([(1, "ann", "other.test")], Guest("ann", 1)),  # sent on by a redirect
        ([(1, "ann", "other.test"), (2, "ann", "INNER.test")], Guest("ann", 2)),
        ([(1, "ann", "other.test"), (2, "ann", "third.test")], Guest("ann", None)),
        ([(1, "ann", "inner.test"), (2, "bob", "third.test")], Guest("ann, bob", 1)),
        ([], Guest("", None)),
    ],
)
def test_a_block_is_the_tasks_that_asked_for_the_host(tasks: list[tuple[int, str, str]], guest: Guest) -> None:
    with guests(*tasks) as present:
        assert present.guess("127.1.2.3", "inner.test") == guest


async def test_a_block_is_a_line_for_the_admin_and_the_newest_is_read_first(tmp_path: Path) -> None:
    file = tmp_path / "blocks.jsonl"
    with guests((7, "ann", "inner.test")) as present:
        log = BlockLog(file, present, lambda: AT)
        log.note(WHY, "127.1.2.3")
        log.note(Blocked("other.test", 22, "", "port"), "127.9.9.9")
        await log.flush()
    first = Block(
        at="2026-01-02T00:00:00.000000Z",
        task=7,
        owner="ann",
        host="inner.test",
        port=80,
        address="10.0.0.1",
        reason="private",
    )
    last = Block(
        at="2026-01-02T00:00:00.000000Z", task=None, owner="", host="other.test", port=22, address="", reason="port"
    )
    assert list(read(file)) == [last, first]
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open("a") as torn:
        torn.write('{"at": "half')
    assert list(read(file)) == [last, first]


async def test_the_log_keeps_two_files_of_a_limited_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGEST", 500)
    file = tmp_path / "blocks.jsonl"
    log = BlockLog(file, Guests(), lambda: AT)
    for port in range(1, 31):
        log.note(Blocked("inner.test", port, "", "port"), "127.1.2.3")
        await log.flush()
    assert sorted(each.name for each in tmp_path.iterdir()) in (["blocks.jsonl", "blocks.jsonl.1"], ["blocks.jsonl.1"])
    ports = [block["port"] for block in read(file)]
    assert ports == list(range(30, 30 - len(ports), -1)) and len(ports) >= 4


async def test_a_flood_is_counted_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blocks, "WAITING", 3)
    log = BlockLog(tmp_path / "blocks.jsonl", Guests(), lambda: AT)
    for _ in range(10):
        log.note(WHY, "127.1.2.3")
    await log.flush()
    assert len(list(read(tmp_path / "blocks.jsonl"))) == 3
    assert "7 more blocks than the block log could take" in caplog.text


async def test_a_disk_that_does_not_take_it_is_told_and_nothing_else_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = BlockLog(tmp_path / "nowhere" / "blocks.jsonl", Guests(), lambda: AT)
    log.note(WHY, "127.1.2.3")
    await log.flush()
    assert "cannot be written: No such file or directory" in caplog.text


def test_where_nothing_was_blocked_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert list(read(tmp_path / "blocks.jsonl")) == []
