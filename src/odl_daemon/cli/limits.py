"""`odl limits`: what users may take, what they have taken, and what is left."""

from __future__ import annotations

import json
from argparse import Namespace

from odl_daemon.cli import human
from odl_daemon.cli.counter import Counter, Shown
from odl_daemon.config import Config

BYTES = ("bytes_per_day", "max_size")
"""Limits that are told in KiB, MiB and so on."""


def limits(words: Namespace, config: Config) -> int:
    """A table of users; of one user a card."""
    with Counter(config) as counter:
        found = counter.limits(words.owner)
    if words.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif words.owner:
        print("\n".join(_card(found[0])))
    else:
        head = ("OWNER", "GROUP", "RUNNING", "QUEUED", "TASKS/DAY", "BYTES/DAY", "MAX SIZE")
        for line in human.table(head, [_row(each) for each in found], right=frozenset(range(2, 7))):
            print(line)
    return 0


def _card(each: Shown) -> list[str]:
    group = f" (group {human.plain(each['group'])})" if each["group"] else ""
    lines = [f"{human.plain(each['owner'])}{group}"]
    for name, limit in _of(each, "limits").items():
        used, left = _of(each, "used").get(name), _of(each, "left").get(name)
        words = "no limit" if limit is None else _amount(name, limit)
        if used is not None:
            words += f", {_amount(name, used)} used"
        if left is not None:
            words += f", {_amount(name, left)} left"
        lines.append(f"  {name:<14} {words}")
    return lines


def _row(each: Shown) -> tuple[str, ...]:
    used, limit = _of(each, "used"), _of(each, "limits")
    counts = (f"{_amount(name, used[name])}/{_amount(name, limit[name])}" for name in used)
    running, queued, day, tasks = counts
    owner, group = human.plain(each["owner"]), human.plain(each["group"] or "")
    return owner, group, running, queued, tasks, day, _amount("max_size", limit["max_size"])


def _amount(name: str, count: object) -> str:
    if not isinstance(count, int):
        return "-"
    return human.size(count) if name in BYTES else f"{count:,}"


def _of(each: Shown, key: str) -> Shown:
    found = each[key]
    assert isinstance(found, dict), "the door gives an object"
    return found
