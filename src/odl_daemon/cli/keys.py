"""`odl token`: keys for programs and browsers that come through the HTTP door."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence

from odl_daemon.cli import human
from odl_daemon.cli.counter import Counter, Shown
from odl_daemon.config import Config


def token(words: Namespace, config: Config) -> int:
    """Makes, lists or revokes."""
    with Counter(config) as counter:
        match words.action:
            case "create":
                return _create(words, counter)
            case "list":
                return _list(words, counter.tokens())
            case _:
                return _revoke(words.ids, words.owner, counter)


def _create(words: Namespace, counter: Counter) -> int:
    days = {} if words.days is None else {"days": words.days}
    made = counter.make_token(owner=words.owner, admin=words.admin, once=words.once, name=words.name, **days)
    print(json.dumps(made, indent=2, ensure_ascii=False) if words.json else made["token"])
    return 0


def _list(words: Namespace, tokens: Sequence[Shown]) -> int:
    if words.json:
        print(json.dumps(tokens, indent=2, ensure_ascii=False))
        return 0
    head = ("ID", "KIND", "OWNER", "ROLE", "NAME", "CREATED", "EXPIRES")
    for line in human.table(head, [_row(each) for each in tokens]):
        print(line)
    return 0


def _row(each: Shown) -> tuple[str, ...]:
    role = "admin" if each["admin"] else "user"
    created, expires = str(each["created"])[:10], str(each["expires"] or "")[:10]
    words = (each["id"], each["kind"], each["owner"], role, each["name"], created, expires)
    return tuple(human.plain(word) for word in words)


def _revoke(ids: Sequence[str], owner: str, counter: Counter) -> int:
    revoked = [str(each) for each in counter.revoke_tokens(ids, owner)]
    for each in revoked:
        print(f"{each}: revoked")
    if owner:
        print(f"{human.plain(owner)}: signed out everywhere")
    missing = [each for each in ids if each not in revoked]
    for each in missing:
        print(f"no key {each}", file=sys.stderr)
    return 1 if missing else 0
