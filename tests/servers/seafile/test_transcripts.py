"""The stand-in says what real servers said: every request of the recorded transcripts, answered again."""

from __future__ import annotations

import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.servers.seafile import VERSIONS, SeafServer

TRANSCRIPTS: Final = Path(__file__).parent / "transcripts"
TIMES: Final = ("mtime", "last-modify", "last-modified", "ctime")
SECRETS: Final = ("head-cmmt-id", "magic", "random-key", "pwd-hash")
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLACES: Final = {"Mine": "<repo>", "Secret": "<encrypted>", "Race": "<race>"}

Entry = dict[str, object]


def test_the_transcripts_are_complete() -> None:
    assert {version: len(transcript(version)) for version in VERSIONS} == dict.fromkeys(VERSIONS, 78)


@pytest.fixture(params=VERSIONS)
async def seafile(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeafServer]:
    async with SeafServer(tmp_path / "seafile", version=request.param) as server:
        yield server


async def test_every_recorded_request_is_answered_as_the_real_server_did(seafile: SeafServer, tmp_path: Path) -> None:
    scratch = make_scratch(tmp_path / "scratch")
    with Replay(seafile.socket, scratch) as replay:
        for entry in transcript(seafile.version):
            if "replies" in entry:
                await seafile.gather(12)
                got = replay.race()
                assert races_alike(got, entry["replies"]), entry["about"]
            elif entry["about"] == "what the directory holds afterwards":
                assert shapes(replay.ask(entry)) == shapes(entry["reply"]), entry["about"]
            else:
                assert replay.ask(entry) == normal(entry["reply"]), entry["about"]


class Replay:
    """Asks what was recorded, with this server's ids in the places of the recorded ones."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        self._here = {"<scratch>": str(scratch)}
        self._pool = ThreadPoolExecutor(12)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def ask(self, entry: Entry) -> object:
        """The reply, normalised."""
        if "raw_frame" in entry:
            return self._sent(str(entry["raw_frame"]).encode())
        call = json.loads(self._put_in(json.dumps(entry["request"])))
        reply = self._call(call, str(entry["service"]))
        answer = normal(json.loads(self._taken_out(json.dumps(reply))))
        self._learn(call, reply, entry["reply"])
        return answer

    def race(self) -> list[object]:
        """Twelve clients post different contents under one name."""

        def post(number: int) -> object:
            wanted, path = json.dumps(["same.txt"]), json.dumps([f"{self._here['<scratch>']}/race{number}"])
            call = ["seafile_post_multi_files", self._here["<race>"], "/", wanted, path, "alice@example.org", 0]
            return {"client": number, "reply": self._call(call)}

        return list(self._pool.map(post, range(12)))

    def _learn(self, call: list[object], reply: object, recorded: object) -> None:
        """What stands for what from now on."""
        if not isinstance(reply, dict) or not isinstance(recorded, dict):
            return
        if call[0] == "seafile_create_repo":
            self._here[PLACES[str(call[1])]] = reply["ret"]
        elif call[0] == "seafile_get_dir_id_by_path" and recorded["ret"]:
            self._here[recorded["ret"]] = reply["ret"]

    def _put_in(self, text: str) -> str:
        for place, here in self._here.items():
            text = text.replace(place, here)
        return text

    def _taken_out(self, text: str) -> str:
        for place, here in self._here.items():
            if place.startswith("<"):
                text = text.replace(here, place)
        return text

    def _call(self, call: list[object], service: str = "seafserv-threaded-rpcserver") -> object:
        body = json.dumps({"service": service, "request": json.dumps(call)}).encode()
        return self._sent(body)

    def _sent(self, body: bytes) -> object:
        """The reply to a frame; None if the server closed the connection instead."""
        with closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.connect(str(self._path))
            sock.sendall(struct.pack("=I", len(body)) + body)
            with sock.makefile("rb") as reply:
                header = reply.read(4)
                return json.loads(reply.read(*struct.unpack("=I", header))) if header else None


def transcript(version: str) -> list[Entry]:
    return [json.loads(line) for line in (TRANSCRIPTS / f"{version}.jsonl").read_text().splitlines()]


def make_scratch(folder: Path) -> Path:
    """The files that the recording had."""
    folder.mkdir()
    (folder / "hello.txt").write_bytes(b"hello, world\n")
    (folder / "v2").write_bytes(b"version 2\n")
    (folder / "e").write_bytes(b"")
    for size in (1, 8 << 20, (8 << 20) + 1, 20 << 20):
        (folder / f"r{size}").write_bytes(random.Random(size).randbytes(size))
    for number in range(12):
        (folder / f"race{number}").write_bytes(f"content {number}\n".encode())
    return folder


def normal(value: object, key: str = "") -> object:
    """Without what differs from run to run: times, made-up ids, folder ids (they depend on times), secrets."""
    match value:
        case dict():
            return {name: normal(inner, name) for name, inner in value.items()}
        case list():
            return [normal(inner) for inner in value]
        case int() if key in TIMES:
            return "<time>"
        case str() if key in SECRETS and value:
            return f"<{len(value)} digits>"
        case str() if key == "ret" and UUID.fullmatch(value):
            return "<uuid>"
        case str() if key == "ret" and re.fullmatch("[0-9a-f]{40}", value) and value not in FILE_IDS:
            return "<folder id>"
    return value


FILE_IDS: Final = ("016d750b6f95919c0e4b22e17d02e81d966fb0d4",)
"""The ids of files that a reply consists of."""


def races_alike(got: list[object], recorded: object) -> bool:
    """Who won differs from run to run; the clients' bytes do not, and some are told a name that another one got."""
    assert isinstance(recorded, list)
    return [told(reply) for reply in got] == [told(reply) for reply in recorded] and all(
        any(count > 1 for count in Counter(names(replies)).values()) for replies in (got, recorded)
    )


def told(reply: object) -> tuple[str, int]:
    (file,) = files(reply)
    return str(file["id"]), int(str(file["size"]))


def names(replies: list[object]) -> list[str]:
    return [str(file["name"]) for reply in replies for file in files(reply)]


def files(reply: object) -> list[Mapping[str, object]]:
    assert isinstance(reply, Mapping)
    found = json.loads(reply["reply"]["ret"])
    assert isinstance(found, list)
    return found


def shapes(reply: object) -> tuple[set[str], list[str], set[str]]:
    """A directory after a race: the other keys and values, the ids, and the kinds of names."""
    assert isinstance(reply, dict)
    listed = reply["ret"]
    rest = {json.dumps(normal({**entry, "obj-id": "", "obj-name": "", "size": 0})) for entry in listed}
    kinds = {re.sub(r" ?\(\d+\)| alice@example.org [\d-]+", "", entry["obj-name"]) for entry in listed}
    numbered = {entry["obj-name"] for entry in listed if "SFConflict" not in entry["obj-name"]}
    if not any("SFConflict" in kind for kind in kinds):
        kinds |= numbered
    return rest, sorted(entry["obj-id"] for entry in listed), kinds
