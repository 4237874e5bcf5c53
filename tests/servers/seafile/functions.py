"""The functions that the server offers, with the arguments, results, checks and sentences of the real ones."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.servers.seafile.model import EMPTY, File, Folder, Model, Post, Repo, TooManyNames, file_id

Argument = str | int | None

GENERAL: Final = 500
BAD_REPO: Final = 501
BAD_ARGUMENTS: Final = 503
INTERNAL: Final = 504
NO_SUCH_PATH: Final = 516
BAD_DIR_ID: Final = 511
BAD_NAME: Final = 517
SAME_NAME: Final = 521


class Refusal(Exception):
    """What the server answers instead of a result."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Function:
    run: Callable[..., object]
    arguments: str
    """One letter each: s a string, i a number."""
    failed: object
    """The `ret` of a reply that holds an error."""

    def coerced(self, given: Sequence[object]) -> list[Argument]:
        """As the real server reads them: by place, and what is missing or of another type is NULL or 0."""
        padded = [*given, *[None] * len(self.arguments)][: len(self.arguments)]
        pairs = zip(self.arguments, padded, strict=True)
        return [_number(value) if kind == "i" else _string(value) for kind, value in pairs]


@dataclass(frozen=True, slots=True)
class Token:
    """What somebody may do at the file server."""

    repo: str
    parent_dir: str
    operation: str
    user: str


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


class Functions:
    """`meet` is called by every commit between its look at the library and its change."""

    def __init__(self, model: Model, meet: Callable[[], None]) -> None:
        self._model = model
        self._meet = meet
        self.tokens: dict[str, Token] = {}
        """Forgotten at a restart."""
        self.by_name = {
            "seafile_create_repo": Function(self.create_repo, "ssssiss", None),
            "seafile_get_repo": Function(self.get_repo, "s", None),
            "seafile_get_repo_owner": Function(self.get_repo_owner, "s", None),
            "get_repo_status": Function(self.get_repo_status, "s", -1),
            "set_repo_status": Function(self.set_repo_status, "si", -1),
            "seafile_add_share": Function(self.add_share, "ssss", -1),
            "check_permission_by_path": Function(self.check_permission_by_path, "sss", None),
            "check_quota": Function(self.check_quota, "si", -1),
            "set_user_quota": Function(self.set_user_quota, "si", -1),
            "seafile_mkdir_with_parents": Function(self.mkdir_with_parents, "ssss", -1),
            "seafile_post_dir": Function(self.post_dir, "ssss", -1),
            "seafile_post_empty_file": Function(self.post_empty_file, "ssss", -1),
            "seafile_post_file": Function(self.post_file, "sssss", -1),
            "seafile_post_multi_files": Function(self.post_multi_files, "sssssi", None),
            "seafile_put_file": Function(self.put_file, "ssssss", None),
            "seafile_get_dir_id_by_path": Function(self.get_dir_id_by_path, "ss", None),
            "seafile_get_file_id_by_path": Function(self.get_file_id_by_path, "ss", None),
            "seafile_get_dirent_by_path": Function(self.get_dirent_by_path, "ss", None),
            "seafile_list_dir": Function(self.list_dir, "ssii", None),
            "seafile_web_get_access_token": Function(self.web_get_access_token, "ssssi", None),
            "publish_event": Function(self.publish_event, "ss", -1),
            "pop_event": Function(self.pop_event, "s", None),
        }

    # --- libraries

    def create_repo(
        self,
        name: str | None,
        desc: str | None,
        owner: str | None,
        password: str | None,
        enc_version: int,
        algorithm: str | None,
        parameters: str | None,
    ) -> str:
        _needed(name, desc, owner)
        encryption = None if password is None else (enc_version, algorithm or "", parameters or "")
        return self._model.create_repo(str(name), str(owner), encryption)

    def get_repo(self, repo_id: str | None) -> dict[str, object] | None:
        repo = self._model.repo(_uuid(repo_id))
        return None if repo is None or repo.hidden else self._shown(repo)

    def get_repo_owner(self, repo_id: str | None) -> str | None:
        repo = self._model.repo(_uuid(repo_id))
        return None if repo is None else repo.owner

    def get_repo_status(self, repo_id: str | None) -> int:
        repo = self._model.repo(_uuid(repo_id))
        return -1 if repo is None else repo.status

    def set_repo_status(self, repo_id: str | None, status: int) -> int:
        self._model.set_status(self._repo(_uuid(repo_id)).id, status)
        return 0

    def add_share(self, repo_id: str | None, owner: str | None, user: str | None, permission: str | None) -> int:
        _needed(owner, user, permission)
        self._model.share(self._repo(_uuid(repo_id)).id, str(user), permission)
        return 0

    def check_permission_by_path(self, repo_id: str | None, path: str | None, user: str | None) -> str | None:
        _needed(path, user)
        return self._model.permission(_uuid(repo_id), str(user))

    # --- quotas

    def check_quota(self, repo_id: str | None, delta: int) -> int:
        _needed(repo_id)
        return 0 if self._model.has_room(str(repo_id), delta) else -1

    def set_user_quota(self, user: str | None, quota: int) -> int:
        _needed(user)
        self._model.set_quota(str(user), quota)
        return 0

    # --- folders and files

    def mkdir_with_parents(
        self, repo_id: str | None, parent: str | None, relative: str | None, user: str | None
    ) -> int:
        _needed(repo_id, parent, relative, user)
        if str(relative).startswith(("/", "\\")):
            raise Refusal(BAD_ARGUMENTS, "Invalid relative path")
        repo = self._repo(str(repo_id))
        if not self._model.make_folders(repo.id, _nfc(parent), _nfc(relative), str(user)):
            raise Refusal(GENERAL, "Failed to put dir")
        return 0

    def post_dir(self, repo_id: str | None, parent: str | None, name: str | None, user: str | None) -> int:
        repo, name = self._fresh(repo_id, parent, name, user)
        if not self._model.make_folders(repo.id, _nfc(parent), name, str(user)):
            raise Refusal(GENERAL, "Failed to put dir")
        return 0

    def post_empty_file(self, repo_id: str | None, parent: str | None, name: str | None, user: str | None) -> int:
        repo, name = self._fresh(repo_id, parent, name, user)
        self._commit(repo, parent, lambda: [Post(name, EMPTY, 0)], user, Refusal(GENERAL, "Failed to put file"))
        return 0

    def post_file(
        self, repo_id: str | None, path: str | None, parent: str | None, name: str | None, user: str | None
    ) -> int:
        _needed(repo_id, path, parent, name, user)
        if not os.access(str(path), os.R_OK):
            raise Refusal(BAD_ARGUMENTS, "Invalid input file")
        repo = self._repo(str(repo_id))
        wanted = _nfc(name)
        if self._bad_name(wanted):
            raise Refusal(BAD_ARGUMENTS, "Invalid filename")
        _no_password(repo, parent)
        self._commit(repo, parent, lambda: [_post(wanted, path)], user, Refusal(GENERAL, "Failed to post file"))
        return 0

    def post_multi_files(
        self,
        repo_id: str | None,
        parent: str | None,
        names: str | None,
        paths: str | None,
        user: str | None,
        replace: int,
    ) -> str:
        _needed(repo_id, parent, names, paths, user)
        repo = self._repo(str(repo_id))
        wanted = [_nfc(name) for name in _strings(names)]
        for name in wanted:
            if self._bad_name(name):
                raise Refusal(BAD_NAME, name)
        _no_password(repo, parent)
        posts = [_post(name, _nfc(path)) for name, path in zip(wanted, _strings(paths), strict=False)]
        failed = Refusal(INTERNAL, "Failed to put file")
        told = self._commit(repo, parent, lambda: posts, user, failed, replace=bool(replace))
        answer = [{"name": name, "id": post.id, "size": post.size} for name, post in zip(told, posts, strict=True)]
        return json.dumps(answer, ensure_ascii=False)

    def put_file(
        self,
        repo_id: str | None,
        path: str | None,
        parent: str | None,
        name: str | None,
        user: str | None,
        head: str | None,
    ) -> str:
        _needed(repo_id, path, parent, name, user)
        if not os.access(str(path), os.R_OK):
            raise Refusal(BAD_ARGUMENTS, "Invalid input file")
        repo = self._repo(str(repo_id))
        _no_password(repo, parent)
        if self._model.entry(repo.id, f"{_nfc(parent)}/{_nfc(name)}") is None:
            raise Refusal(BAD_ARGUMENTS, "file does not exist")
        post = _post(_nfc(name), path)
        self._commit(repo, parent, lambda: [post], user, Refusal(GENERAL, "Failed to put file"), replace=True)
        return post.id

    def _commit(
        self,
        repo: Repo,
        parent: str | None,
        wanted: Callable[[], Sequence[Post]],
        user: str | None,
        failed: Refusal,
        *,
        replace: bool = False,
    ) -> list[str]:
        """The names that the server tells. Raises Refusal."""

        def gathered() -> Sequence[Post]:
            posts = wanted()
            self._meet()
            return posts

        folder = _nfc(parent).replace("\\", "/")
        try:
            names = self._model.post(repo.id, folder, gathered, str(user), replace=replace)
        except TooManyNames as error:
            if self._model.habits.merges:
                raise failed from error
            raise Refusal(SAME_NAME, "Too many files with same name") from error
        if names is None:
            raise failed
        return names

    def _fresh(self, repo_id: str | None, parent: str | None, name: str | None, user: str | None) -> tuple[Repo, str]:
        """A library and a name that is free in it. Raises Refusal."""
        _needed(repo_id, parent, name, user)
        repo = self._repo(str(repo_id))
        wanted = _nfc(name)
        if self._bad_name(wanted):
            raise Refusal(BAD_ARGUMENTS, "Invalid file name")
        if self._model.entry(repo.id, f"{_nfc(parent)}/{wanted}") is not None:
            raise Refusal(BAD_ARGUMENTS, "file already exists")
        return repo, wanted

    def _repo(self, repo_id: str) -> Repo:
        """A library that can be written to. Raises Refusal."""
        repo = self._model.repo(repo_id)
        if repo is None or repo.corrupted:
            raise Refusal(BAD_ARGUMENTS, "Invalid repo")
        return repo

    def _bad_name(self, name: str) -> bool:
        if name == ".." and not self._model.habits.takes_dotdot:
            return True
        return "/" in name or len(name.encode()) >= 256

    # --- looking

    def get_dir_id_by_path(self, repo_id: str | None, path: str | None) -> str | None:
        found = self._found(repo_id, path)
        if found is None and path is not None and self._found(repo_id, path.rstrip("/").rpartition("/")[0]) is None:
            raise Refusal(NO_SUCH_PATH, "The path does not exist.")
        return self._model.id_of(found[1]) if found is not None and isinstance(found[1], Folder) else None

    def get_file_id_by_path(self, repo_id: str | None, path: str | None) -> str | None:
        found = self._found(repo_id, path)
        return found[1].id if found is not None and isinstance(found[1], File) else None

    def get_dirent_by_path(self, repo_id: str | None, path: str | None) -> dict[str, object] | None:
        found = self._found(repo_id, path)
        if found is None:
            return None
        name, entry = found
        modifier = entry.modifier if isinstance(entry, File) else ""
        return {**self._dirent(name, entry), "modifier": modifier, "permission": None}

    def list_dir(self, repo_id: str | None, folder_id: str | None, offset: int, limit: int) -> list[dict[str, object]]:
        _needed(repo_id, folder_id)
        if self._model.repo(_uuid(repo_id)) is None:
            raise Refusal(BAD_REPO, "Bad repo")
        listed = self._model.listing(str(repo_id), str(folder_id))
        if listed is None:
            raise Refusal(BAD_DIR_ID, "Bad dir id")
        first = max(offset, 0)
        last = first + limit if limit > 0 else None
        return [self._dirent(name, entry) for name, entry in listed[first:last]]

    def _found(self, repo_id: str | None, path: str | None) -> tuple[str, File | Folder] | None:
        _needed(repo_id, path)
        repo = self._model.repo(_uuid(repo_id))
        if repo is None or repo.hidden:
            raise Refusal(GENERAL, "Get repo error")
        return self._model.entry(str(repo_id), _nfc(path))

    def _dirent(self, name: str, entry: File | Folder) -> dict[str, object]:
        """As a listing shows it: it does not tell the modifier."""
        return {
            "obj-id": self._model.id_of(entry),
            "obj-name": name,
            "mode": 0o100644 if isinstance(entry, File) else 0o040000,
            "version": 1,
            "mtime": entry.mtime,
            "size": entry.size if isinstance(entry, File) else 0,
            "modifier": None,
            "permission": "",
            "is-locked": False,
            "lock-owner": None,
            "lock-time": 0,
            "is-shared": False,
        }

    # --- tokens and messages

    def web_get_access_token(
        self, repo_id: str | None, object_id: str | None, operation: str | None, user: str | None, onetime: int
    ) -> str:
        _needed(repo_id, object_id, operation, user)
        token = str(uuid.uuid4())
        self.tokens[token] = Token(str(repo_id), _parent_dir(str(object_id)), str(operation), str(user))
        return token

    def publish_event(self, channel: str | None, content: str | None) -> int:
        _needed(channel, content)
        self._model.publish(str(channel), str(content))
        return 0

    def pop_event(self, channel: str | None) -> dict[str, object] | None:
        _needed(channel)
        message = self._model.pop(str(channel))
        return None if message is None else {"content": message[0], "ctime": message[1]}

    # --- a library's object

    def _shown(self, repo: Repo) -> dict[str, object]:
        newer = self._model.habits.has_password_hash
        return {
            "id": repo.id,
            "name": repo.name,
            "desc": "",
            "version": 1,
            "last-modify": repo.last_modified,
            "size": repo.counted[0],
            "file-count": repo.counted[1],
            "last-modifier": repo.last_modifier,
            "head-cmmt-id": _hash(f"{repo.id} {repo.changed}", 40),
            "root": self._model.id_of(repo.root),
            "status": repo.status,
            **({"repo-type": None} if newer else {}),
            "repo-id": repo.id,
            "repo-name": repo.name,
            "repo-desc": "",
            "last-modified": repo.last_modified,
            **_encryption(repo, newer=newer),
            "worktree": None,
            "relay-id": None,
            "last-sync-time": 0,
            "auto-sync": False,
            "worktree-invalid": False,
            "is-virtual": False,
            "origin-repo-id": None,
            "origin-repo-name": None,
            "origin-path": None,
            "is-original-owner": False,
            "virtual-perm": None,
            "store-id": repo.id,
            "is-corrupted": repo.corrupted,
            "repaired": False,
            "share-type": None,
            "permission": None,
            "user": None,
            "group-id": 0,
            "group-name": None,
            "is-shared": False,
        }


def _encryption(repo: Repo, *, newer: bool) -> dict[str, object]:
    version, algorithm, parameters = repo.encryption or (0, None, None)
    hashed = _hash(repo.id, 64) if repo.encryption else ""
    shown: dict[str, object] = {
        "encrypted": repo.encryption is not None,
        "magic": "" if newer else hashed,
        "enc-version": version,
        "random-key": _hash(repo.id, 96) if repo.encryption else None,
        "salt": None,
    }
    if newer:
        shown |= {"pwd-hash": hashed, "pwd-hash-algo": algorithm, "pwd-hash-params": parameters}
    return shown


def _hash(text: str, digits: int) -> str:
    return hashlib.shake_128(text.encode()).hexdigest(digits // 2)


def _needed(*values: str | None) -> None:
    if None in values:
        raise Refusal(BAD_ARGUMENTS, "Argument should not be null")


def _uuid(value: str | None) -> str:
    if value is None:
        raise Refusal(BAD_ARGUMENTS, "Argument should not be null")
    try:
        if str(uuid.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise Refusal(BAD_ARGUMENTS, "Invalid repo id")


def _nfc(value: str | None) -> str:
    return unicodedata.normalize("NFC", value or "")


def _strings(text: str | None) -> list[str]:
    """A JSON list of strings. Raises Refusal."""
    try:
        values = json.loads(text or "")
    except ValueError:
        values = None
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise Refusal(BAD_ARGUMENTS, "Invalid files")
    return values


def _parent_dir(text: str) -> str:
    """Of the object that a token is for; "" if it names none."""
    try:
        described = json.loads(text)
    except ValueError:
        return ""
    return str(described.get("parent_dir", "")) if isinstance(described, dict) else ""


def _no_password(repo: Repo, parent: str | None) -> None:
    """Raises Refusal for a folder that is oddly written, and for an encrypted library: nobody's key is cached here."""
    if "//" in (parent or ""):
        raise Refusal(BAD_ARGUMENTS, "Invalid parent dir")
    if repo.encryption is not None:
        raise Refusal(GENERAL, "Passwd is not set")


def _post(name: str, path: str | None) -> Post:
    """The file, read in full. Raises Refusal."""
    try:
        return Post(name, *file_id(str(path)))
    except OSError as error:
        raise Refusal(GENERAL, "Failed to index blocks") from error
