"""`odl blocks`: what the guard kept links from, for the admin; the task's user never learns it."""

from __future__ import annotations

import json
from argparse import Namespace
from itertools import islice

from odl_daemon.cli import human
from odl_daemon.cli.trouble import OperatorTrouble
from odl_daemon.config import Config
from odl_daemon.guard.blocks import BLOCKS, Block, read


def blocks(words: Namespace, config: Config) -> int:
    """The newest first."""
    file = config.daemon.state_dir / BLOCKS
    try:
        found = (block for block in read(file) if not words.owner or block["owner"] == words.owner)
        newest = list(islice(found, words.limit))
    except OSError as error:
        raise OperatorTrouble(f"{file} cannot be read ({error.strerror}): run odl as the daemon's user") from error
    if words.json:
        print(json.dumps(newest, indent=2, ensure_ascii=False))
        return 0
    head = ("AT", "TASK", "OWNER", "HOST", "PORT", "ADDRESS", "REASON")
    for line in human.table(head, [_row(block) for block in newest], right=frozenset({1, 4})):
        print(line)
    return 0


def _row(block: Block) -> tuple[str, ...]:
    task = "" if block["task"] is None else str(block["task"])
    words = (block["at"][:19] + "Z", task, block["owner"], block["host"], str(block["port"]))
    return tuple(human.plain(word) for word in (*words, block["address"], block["reason"]))
