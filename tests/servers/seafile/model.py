"""What a Seafile server knows: libraries, folders, files, shares, quotas, and the messages in its channels.

What it must keep over a restart is a list of facts in a file, one JSON line each: `Model` reads them when it starts,
and adds every change as a new one. Names are chosen and times are read before a fact is made, so that the same facts
make the same model.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

EMPTY: Final = "0" * 40
"""The id of an empty file, and of an empty folder."""
BLOCK: Final = 8 << 20
UNLIMITED: Final = -2


class TooManyNames(Exception):
    """The wanted name is taken, and so are all that are made from it."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How the versions differ."""

    merges: bool
    """Two commits at once are merged, clashing names become SFConflict entries; else the later one is repeated."""
    idle_pins: bool
    """An open connection holds a thread, whether it asks something or not."""
    takes_dotdot: bool
    most_names: int
    """Numbers that are tried for a name that is taken."""
    has_password_hash: bool


def habits_of(version: str) -> Habits:
    major = int(version.partition(".")[0])
    return Habits(
        merges=major < 9,
        idle_pins=major < 12,
        takes_dotdot=major < 11,
        most_names=100 if major < 9 else 1000,
        has_password_hash=major >= 12,
    )


@dataclass(frozen=True, slots=True)
class File:
    id: str
    size: int
    mtime: int
    modifier: str


@dataclass(slots=True)
class Folder:
    mtime: int
    entries: dict[str, File | Folder] = field(default_factory=dict)
    unreachable: list[tuple[str, File]] = field(default_factory=list)
    """What merges left behind: the listing shows it, no path leads to it."""
    known_id: str | None = None
    """Its id, while nothing below it has changed."""

    def listed(self) -> list[tuple[str, File | Folder]]:
        return sorted([*self.entries.items(), *self.unreachable], key=lambda entry: entry[0].encode())


@dataclass(slots=True)
class Repo:
    id: str
    name: str
    owner: str
    made: int
    encryption: tuple[int, str, str] | None
    """Version, algorithm and its parameters."""
    root: Folder
    status: int = 0
    corrupted: bool = False
    hidden: bool = False
    """So corrupted that there is no object to show; it still has an owner."""
    shares: dict[str, str] = field(default_factory=dict)
    changed: int = 0
    """Grows with every commit."""
    last_modifier: str = ""
    last_modified: int = 0
    size: int = 0
    """Bytes."""
    files: int = 0
    counted: tuple[int, int] = (0, 0)
    """Size and number of files, as the quota sees them."""


@dataclass(frozen=True, slots=True)
class Post:
    """One file that somebody wants to have in a folder."""

    name: str
    id: str
    size: int


class Model:
    """All methods may be called from several threads."""

    def __init__(self, data: Path, habits: Habits) -> None:
        self.habits = habits
        self.usage_lags = False
        """Whether used bytes are counted on `count` only, instead of after every commit."""
        self._lock = threading.RLock()
        self._repos: dict[str, Repo] = {}
        self._quotas: dict[str, int] = {}
        self._max_upload = 0
        self._tokens: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self.staff: set[str] = set()
        """Users who are administrators."""
        self.inactive: set[str] = set()
        """Users whose accounts were closed."""
        self._listings: dict[str, list[tuple[str, File | Folder]]] = {EMPTY: []}
        self._channels: defaultdict[str, deque[tuple[str, int]]] = defaultdict(deque)
        data.mkdir(parents=True, exist_ok=True)
        path = data / "facts"
        for line in _whole_lines(path):
            self._apply(json.loads(line))
        self._facts = path.open("a")

    # --- libraries

    def create_repo(self, name: str, owner: str, encryption: tuple[int, str, str] | None = None) -> str:
        repo_id = str(uuid.uuid4())
        self._record(fact="repo", repo=repo_id, name=name, owner=owner, encryption=encryption, at=_now())
        return repo_id

    def repo(self, repo_id: str) -> Repo | None:
        return self._repos.get(repo_id)

    def set_status(self, repo_id: str, status: int) -> None:
        self._record(fact="status", repo=repo_id, status=status)

    def set_corrupted(self, repo_id: str, corrupted: bool, hidden: bool) -> None:
        self._record(fact="corrupted", repo=repo_id, corrupted=corrupted, hidden=hidden)

    def share(self, repo_id: str, user: str, permission: str | None) -> None:
        """`permission` is "rw", "r", or None, which ends it."""
        self._record(fact="share", repo=repo_id, user=user, permission=permission)

    def delete_repo(self, repo_id: str) -> None:
        self._record(fact="repo gone", repo=repo_id)

    def permission(self, repo_id: str, user: str) -> str | None:
        repo = self._repos.get(repo_id)
        if repo is None:
            return None
        return "rw" if user == repo.owner else repo.shares.get(user)

    # --- accounts

    def create_token(self, user: str) -> str:
        token = uuid.uuid4().hex
        self._record(fact="token", user=user, token=token)
        return token

    def deactivate(self, user: str) -> None:
        self._record(fact="inactive", user=user)

    def user_of_token(self, token: str) -> str | None:
        return self._tokens.get(token)

    def make_staff(self, user: str) -> None:
        self._record(fact="staff", user=user)

    def sign_in(self, user: str) -> str:
        """The value of the cookie that a browser gets."""
        session = uuid.uuid4().hex
        self._record(fact="session", user=user, session=session)
        return session

    def sign_out(self, session: str) -> None:
        self._record(fact="session gone", session=session)

    def user_of_session(self, session: str) -> str | None:
        return self._sessions.get(session)

    # --- quotas

    @property
    def max_upload(self) -> int:
        """Bytes that the file server takes at most; 0 for any number."""
        return self._max_upload

    def set_max_upload(self, size: int) -> None:
        self._record(fact="max upload", size=size)

    def set_quota(self, user: str, size: int) -> None:
        """In bytes; UNLIMITED lifts it."""
        self._record(fact="quota", user=user, size=size)

    def usage(self, user: str) -> tuple[int, int]:
        """Bytes that count against a user's quota, and the quota."""
        with self._lock:
            used = sum(each.counted[0] for each in self._repos.values() if each.owner == user)
            return used, self._quotas.get(user, UNLIMITED)

    def has_room(self, repo_id: str, delta: int) -> bool:
        with self._lock:
            repo = self._repos.get(repo_id)
            if repo is None:
                return False
            used, quota = self.usage(repo.owner)
            return quota == UNLIMITED or used + delta < quota

    def count(self) -> None:
        """Counts the used bytes of all libraries."""
        with self._lock:
            for repo in self._repos.values():
                repo.counted = repo.size, repo.files

    # --- looking

    def entry(self, repo_id: str, path: str) -> tuple[str, File | Folder] | None:
        """The name and what it names; the root has none."""
        with self._lock:
            found: File | Folder = self._repos[repo_id].root
            parts = _parts(path)
            for part in parts:
                below = found.entries.get(part) if isinstance(found, Folder) else None
                if below is None:
                    return None
                found = below
            return (parts[-1] if parts else ""), found

    def folder(self, repo_id: str, path: str) -> Folder | None:
        found = self.entry(repo_id, path)
        return found[1] if found is not None and isinstance(found[1], Folder) else None

    def id_of(self, entry: File | Folder) -> str:
        """Folder ids are what the real server makes of the same entries at the same times."""
        if isinstance(entry, File):
            return entry.id
        with self._lock:
            if entry.known_id is None:
                entry.known_id = self._computed_id(entry)
            return entry.known_id

    def listing(self, repo_id: str, folder_id: str) -> list[tuple[str, File | Folder]] | None:
        """What a folder held when it had that id, in order of the names' bytes."""
        with self._lock:
            if folder_id not in self._listings:
                self.id_of(self._repos[repo_id].root)  # after a restart
            return self._listings.get(folder_id)

    def files(self, repo_id: str) -> list[tuple[str, File]]:
        """Every file that a path leads to."""
        with self._lock:
            return list(_files(self._repos[repo_id].root))

    def unreachable(self, repo_id: str) -> list[tuple[str, File]]:
        with self._lock:
            return list(_files(self._repos[repo_id].root, reachable=False))

    # --- changing

    def make_folders(self, repo_id: str, parent: str, relative: str, user: str) -> bool:
        """Makes what is missing of a path; whether that was possible."""
        with self._lock:
            at = _parts(parent)
            if self.folder(repo_id, "/".join(at)) is None:
                return False
            for part in _parts(relative):
                found = self.entry(repo_id, "/".join([*at, part]))
                if found is None:
                    if self.folder(repo_id, "/".join(at)) is None:
                        return False
                    self._record(fact="folder", repo=repo_id, path="/".join([*at, part]), user=user, at=_now())
                at.append(part)
            return True

    def post(
        self, repo_id: str, parent: str, wanted: Callable[[], Sequence[Post]], user: str, *, replace: bool = False
    ) -> list[str] | None:
        """Puts files into a folder, and returns the names that it would tell; None if there is no such folder.

        The folder is looked at first, then `wanted` takes its time, and the names are free as of the first look, as in
        the real server. Raises TooManyNames.
        """
        with self._lock:
            seen = self._repos[repo_id].changed
            folder = self.folder(repo_id, parent)
            names_seen = set(folder.entries) if folder is not None else set()
        posts = wanted()
        if folder is None:
            return None
        names = self._choose(names_seen, posts, replace=replace)
        with self._lock:
            now = self.folder(repo_id, parent)
            if now is None:
                return None
            if self._repos[repo_id].changed == seen:
                self._place(repo_id, parent, names, posts, user)
            elif self.habits.merges:
                self._merge(repo_id, parent, names, names_seen, posts, user)
            else:
                again = self._choose(set(now.entries), posts, replace=replace)
                self._place(repo_id, parent, again, posts, user)
            return names

    def delete(self, repo_id: str, path: str) -> None:
        """A file, or a folder and all that is in it."""
        self._record(fact="gone", repo=repo_id, path=path, at=_now())

    def _choose(self, taken: set[str], posts: Sequence[Post], *, replace: bool) -> list[str]:
        taken = set(taken)
        names = []
        for post in posts:
            names.append(post.name if replace else self.free_name(post.name, taken))
            taken.add(names[-1])
        return names

    def free_name(self, name: str, taken: set[str]) -> str:
        if name not in taken:
            return name
        for number in range(1, self.habits.most_names):
            if (numbered := _put_in(name, f" ({number})")) not in taken:
                return numbered
        raise TooManyNames(name)

    def _place(self, repo_id: str, parent: str, names: Sequence[str], posts: Sequence[Post], user: str) -> None:
        at = _now()
        files = [(name, post.id, post.size) for name, post in zip(names, posts, strict=True)]
        self._record(fact="files", repo=repo_id, path=parent, files=files, conflicts=[], user=user, at=at)

    def _merge(
        self, repo_id: str, parent: str, names: list[str], seen: set[str], posts: Sequence[Post], user: str
    ) -> None:
        """What came meanwhile keeps its name; the same name with other bytes becomes an entry beside it."""
        at = _now()
        folder = self.folder(repo_id, parent)
        assert folder is not None
        files, conflicts = [], []
        mark = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(at))
        for name, post in zip(names, posts, strict=True):
            other = folder.entries.get(name)
            if other is None or name in seen or (isinstance(other, File) and other.id == post.id):
                files.append((name, post.id, post.size))
            else:
                conflicts.append((_put_in(name, f" (SFConflict {user} {mark})"), post.id, post.size))
        self._record(fact="files", repo=repo_id, path=parent, files=files, conflicts=conflicts, user=user, at=at)

    # --- messages, forgotten at a restart

    def publish(self, channel: str, content: str) -> None:
        with self._lock:
            self._channels[channel].append((content, _now()))

    def pop(self, channel: str) -> tuple[str, int] | None:
        """The oldest message, and when it came in unix seconds."""
        with self._lock:
            waiting = self._channels[channel]
            return waiting.popleft() if waiting else None

    # --- facts

    def _record(self, **fact: object) -> None:
        line = json.dumps(fact)
        with self._lock:
            self._facts.write(line + "\n")
            self._facts.flush()
            self._apply(json.loads(line))

    def _apply(self, fact: dict[str, object]) -> None:
        match fact:
            case {"fact": "repo", "repo": str(repo_id), "name": str(name), "owner": str(owner), "at": int(at)}:
                root = Folder(at)
                encryption = fact["encryption"]
                kept = tuple(encryption) if isinstance(encryption, list) else None
                self._repos[repo_id] = Repo(repo_id, name, owner, at, kept, root, last_modifier=owner, last_modified=at)
            case {"fact": "repo gone", "repo": str(repo_id)}:
                del self._repos[repo_id]
            case {"fact": "status", "repo": str(repo_id), "status": int(status)}:
                self._repos[repo_id].status = status
            case {"fact": "corrupted", "repo": str(repo_id), "corrupted": bool(corrupted)}:
                self._repos[repo_id].corrupted = corrupted
                self._repos[repo_id].hidden = bool(fact["hidden"])
            case {"fact": "share", "repo": str(repo_id), "user": str(user), "permission": str(permission)}:
                self._repos[repo_id].shares[user] = permission
            case {"fact": "share", "repo": str(repo_id), "user": str(user), "permission": None}:
                self._repos[repo_id].shares.pop(user, None)
            case {"fact": "quota", "user": str(user), "size": int(size)}:
                self._quotas[user] = size
            case {"fact": "token", "user": str(user), "token": str(token)}:
                self._tokens[token] = user
            case {"fact": "session", "user": str(user), "session": str(session)}:
                self._sessions[session] = user
            case {"fact": "session gone", "session": str(session)}:
                del self._sessions[session]
            case {"fact": "staff", "user": str(user)}:
                self.staff.add(user)
            case {"fact": "inactive", "user": str(user)}:
                self.inactive.add(user)
            case {"fact": "max upload", "size": int(size)}:
                self._max_upload = size
            case {"fact": "folder", "repo": str(repo_id), "path": str(path), "user": str(user), "at": int(at)}:
                *above, name = _parts(path)
                self._touched(repo_id, above, at)[-1].entries[name] = Folder(at)
                self._committed(repo_id, user, at, (), ())
            case {"fact": "files", "repo": str(repo_id), "path": str(path), "user": str(user), "at": int(at)}:
                folder = self._touched(repo_id, _parts(path), at)[-1]
                files, conflicts = _made(fact["files"], user, at), _made(fact["conflicts"], user, at)
                replaced = [folder.entries[name] for name, _ in files if name in folder.entries]
                folder.entries.update(files)
                folder.unreachable += conflicts
                self._committed(repo_id, user, at, [file for _, file in [*files, *conflicts]], replaced)
            case {"fact": "gone", "repo": str(repo_id), "path": str(path), "at": int(at)}:
                *above, name = _parts(path)
                lost = self._touched(repo_id, above, at)[-1].entries.pop(name)
                self._committed(repo_id, self._repos[repo_id].owner, at, (), [lost])
            case _:
                raise ValueError(f"no fact that this server knows: {fact}")

    def _touched(self, repo_id: str, parts: Sequence[str], at: int) -> list[Folder]:
        """The folders on the way, the root first: their ids change, and the times of all but the root."""
        way = [self._repos[repo_id].root]
        for part in parts:
            below = way[-1].entries[part]
            assert isinstance(below, Folder)
            below.mtime = at
            way.append(below)
        for folder in way:
            folder.known_id = None
        return way

    def _committed(
        self, repo_id: str, user: str, at: int, came: Iterable[File | Folder], went: Iterable[File | Folder]
    ) -> None:
        repo = self._repos[repo_id]
        repo.changed += 1
        repo.last_modifier = user
        repo.last_modified = at
        for sign, entries in ((1, came), (-1, went)):
            for file in _all_files(entries):
                repo.size += sign * file.size
                repo.files += sign
        if not self.usage_lags:
            repo.counted = repo.size, repo.files

    def _computed_id(self, folder: Folder) -> str:
        listed = folder.listed()
        dirents = [_dirent(name, entry, self.id_of(entry)) for name, entry in reversed(listed)]
        if not dirents:
            return EMPTY
        text = json.dumps({"dirents": dirents, "type": 3, "version": 1}, sort_keys=True, ensure_ascii=False)
        folder_id = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._listings[folder_id] = listed
        return folder_id


def file_id(path: str) -> tuple[str, int]:
    """The id that a file will have, and its size in bytes. Raises OSError."""
    blocks, size = [], 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            blocks.append(hashlib.sha1(block, usedforsecurity=False).hexdigest())
            size += len(block)
    if not blocks:
        return EMPTY, 0
    text = json.dumps({"block_ids": blocks, "size": size, "type": 1, "version": 1}, sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), size


def _now() -> int:
    return int(time.time())


def _whole_lines(path: Path) -> list[str]:
    """The facts so far; a line that a kill cut short was not told to anybody."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    path.write_text(whole)
    return whole.splitlines()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _put_in(name: str, addition: str) -> str:
    """`a.tar (1).gz`: in front of the last dot, wherever that is."""
    stem, dot, extension = name.rpartition(".")
    return f"{stem}{addition}.{extension}" if dot else name + addition


def _made(files: object, user: str, at: int) -> list[tuple[str, File]]:
    assert isinstance(files, list)
    return [(name, File(id_, size, at, user)) for name, id_, size in files]


def _dirent(name: str, entry: File | Folder, entry_id: str) -> dict[str, object]:
    if isinstance(entry, Folder):
        return {"id": entry_id, "mode": 0o040000, "mtime": entry.mtime, "name": name}
    return {
        "id": entry_id,
        "mode": 0o100644,
        "modifier": entry.modifier,
        "mtime": entry.mtime,
        "name": name,
        "size": entry.size,
    }


def _files(folder: Folder, above: str = "", *, reachable: bool = True) -> Iterator[tuple[str, File]]:
    if not reachable:
        yield from ((f"{above}/{name}", file) for name, file in folder.unreachable)
    for name, entry in folder.entries.items():
        if isinstance(entry, Folder):
            yield from _files(entry, f"{above}/{name}", reachable=reachable)
        elif reachable:
            yield f"{above}/{name}", entry


def _all_files(entries: Iterable[File | Folder]) -> Iterator[File]:
    for entry in entries:
        if isinstance(entry, File):
            yield entry
        else:
            yield from _all_files(entry.entries.values())
            yield from (file for _, file in entry.unreachable)
