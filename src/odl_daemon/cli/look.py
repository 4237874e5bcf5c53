"""`odl list`, `odl show`, `odl why`: what the tasks are, as tables, cards and JSON."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence

from odl_daemon.cli import human
from odl_daemon.cli.counter import Counter, Shown, number
from odl_daemon.cli.trouble import Refused
from odl_daemon.config import Config
from odl_daemon.model.task import Phase, Status


def list_tasks(words: Namespace, config: Config) -> int:
    """The newest first."""
    which = {"owner": words.owner, **_in_state(words.status)}
    with Counter(config) as counter:
        tasks = list(counter.tasks(words.limit, which))
    if words.json:
        print(json.dumps(tasks, indent=2, ensure_ascii=False))
    else:
        _print_table(tasks)
    return 0


def show(words: Namespace, config: Config) -> int:
    """A card for each id."""
    with Counter(config) as counter:
        found = counter.by_ids(words.ids)
    if words.json:
        print(json.dumps([found[each] for each in words.ids if each in found], indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_card(found[each]) for each in words.ids if each in found), end="\n" if found else "")
    return tell_missing(words.ids, found)


def why(words: Namespace, config: Config) -> int:
    """The rule that a task waits for."""
    with Counter(config) as counter:
        print(human.plain(counter.why(words.id)))
    return 0


def tell_missing(ids: Sequence[int], found: dict[int, Shown]) -> int:
    """A sentence for each id that there is not; the exit code."""
    missing = [each for each in ids if each not in found]
    for each in missing:
        print(f"no task {each}", file=sys.stderr)
    return 1 if missing else 0


def state(task: Shown) -> str:
    """The phase, and what is wished."""
    return f"{task['phase']}, {task['wish']} asked" if task["wish"] else str(task["phase"])


def progress(task: Shown) -> str:
    """How far it is, in words; nothing if not a byte is here."""
    done, part = number(task["done"]), task.get("progress")
    if task["phase"] == Phase.DONE or not done:
        return ""
    return f"{part:.0%}" if isinstance(part, int | float) else human.size(done)


def _in_state(word: str) -> dict[str, object]:
    if not word:
        return {}
    if word.lower() in set(Phase):
        return {"phases": [word.lower()]}
    if word.upper() in Status.__members__:
        return {"statuses": [Status[word.upper()].value]}
    statuses = ", ".join(status.name for status in Status)
    raise Refused(f"there is no state {word!r}; there is: {', '.join(Phase)}; and as a status {statuses}")


def _print_table(tasks: Sequence[Shown]) -> None:
    head = ("ID", "STATE", "DONE", "SIZE", "OWNER", "LIBRARY", "LINK", "COMMENT")
    lines = human.table(head, [_row(task) for task in tasks], right=frozenset({0, 2, 3}))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for line in lines:
        print(human.clipped(line, width))


def _row(task: Shown) -> tuple[str, ...]:
    return (
        str(task["id"]),
        state(task),
        progress(task),
        _size(task),
        human.plain(task["owner"]),
        human.plain(task["library"]),
        human.link(task["url"]),
        human.plain(task["comment"]),
    )


def _waits(task: Shown) -> str:
    wait = task.get("waits_for")
    return f"{human.plain(wait['sentence'])} ({wait['rule']})" if isinstance(wait, dict) else ""


def _size(task: Shown) -> str:
    if task["phase"] == Phase.DONE:
        return human.size(number(task["size"]))
    return human.size(task["total"]) if isinstance(task["total"], int) else ""


def _card(task: Shown) -> str:
    lines = {
        "task": task["id"],
        "state": f"{state(task)} ({task['status_name']})",
        "link": human.link(task["url"]),
        "owner": human.plain(task["owner"]),
        "library": human.plain(task["library"]),
        "path": human.plain(task["path"]),
        "size": _size(task),
        "done": progress(task),
        "speed": f"{human.size(number(task['speed']))}/s" if task["speed"] else "",
        "waits": _waits(task),
        "attempt": task["attempt"],
        "reason": task["reason"] or "",
        "comment": human.plain(task["comment"]),
        "sha256": task["sha256"] or "",
        "created": task["created"],
        "changed": task["changed"],
    }
    return "\n".join(f"{name:<8} {value}" for name, value in lines.items() if value != "")
