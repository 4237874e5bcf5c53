"""`odl add`: links become tasks. On this way nothing is imported that is slow to import."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

from odl_daemon.cli import human
from odl_daemon.cli.counter import AT_ONCE, Counter, Shown
from odl_daemon.cli.trouble import OperatorTrouble, Refused
from odl_daemon.config import Config
from odl_daemon.model import names, source
from odl_daemon.model.source import Source, Unusable

ENOUGH = 2 << 20
"""Bytes in one message, roughly; the door takes twice as many."""


def add(words: Namespace, config: Config) -> int:
    """Adds what can be used, and tells of each link that cannot."""
    try:
        folder = names.folder_path(words.path)
    except ValueError as error:
        raise Refused(str(error)) from error
    links, refused = _links(words.urls)
    for sentence in refused:
        print(sentence, file=sys.stderr)
    with Counter(config) as counter:
        alone = bool(links) and not counter.daemon_runs()
        requests = [_request(link, folder, words) for link in links]
        refused += _write(counter, requests, as_json=words.json)
    if alone:
        sentence = "it will start" if len(links) == 1 else f"these {len(links)} tasks will start"
        print(f"the daemon is not running: {sentence} when the daemon runs", file=sys.stderr)
    return 1 if refused else 0


def _links(urls: Sequence[str]) -> tuple[list[Source], list[str]]:
    """All links that were given, and a sentence for each that is none."""
    links: list[Source] = []
    refused: list[str] = []
    for url in urls:
        if url == "-":
            listed, mistakes = source.parse_list(sys.stdin)
            links += listed
            refused += [f"line {mistake.line}: {mistake.sentence}" for mistake in mistakes]
            continue
        try:
            links.append(source.parse(url))
        except Unusable as unusable:
            refused.append(str(unusable))
    return links, refused


def _request(link: Source, folder: str, words: Namespace) -> dict[str, object]:
    return {
        "owner": words.owner,
        "library": words.library,
        "path": folder,
        "url": link.url,
        "name": words.name,
        "mkdir": words.mkdir,
    }


def _write(counter: Counter, requests: Sequence[dict[str, object]], *, as_json: bool) -> list[str]:
    """Writes message by message; ids are printed as soon as their rows are safe. Returns a sentence, which is told,
    for each that was refused."""
    tasks: list[Shown] = []
    refused: list[str] = []
    written = 0
    try:
        for part in _messages(requests):
            answers = counter.add(part)
            added = [answer for answer in answers if "refused" not in answer]
            written += len(added)
            refused += _tell_refused(part, answers)
            if as_json:
                tasks += added
            else:
                print(*(task["id"] for task in added), sep="\n", flush=True)
    except OperatorTrouble as trouble:
        if written:
            raise OperatorTrouble(f"{written} of {len(requests)} links were added; then: {trouble}") from trouble
        raise
    finally:
        if as_json:
            _print_json(tasks)
    return refused


def _tell_refused(requests: Sequence[dict[str, object]], answers: Sequence[Shown]) -> list[str]:
    sentences = [
        f"{human.link(request['url'])}: {human.plain(answer['refused'])}"
        for request, answer in zip(requests, answers, strict=True)
        if "refused" in answer
    ]
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    return sentences


def _print_json(tasks: Sequence[Shown]) -> None:
    print(json.dumps(tasks, indent=2, ensure_ascii=False))


def _messages(requests: Sequence[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    """The requests in parts that the door takes. They differ in their links alone."""
    around = len(json.dumps({**requests[0], "url": ""})) if requests else 0
    part: list[dict[str, object]] = []
    length = 0
    for request in requests:
        part.append(request)
        length += around + len(str(request["url"]))
        if len(part) == AT_ONCE or length > ENOUGH:
            yield part
            part, length = [], 0
    if part:
        yield part
