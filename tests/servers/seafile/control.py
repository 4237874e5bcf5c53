"""The tests' way into the server: JSON lines over a socket of its own, one object per line both ways.

`{"do": name, ...arguments}` is answered by `{"ret": value}`, or by `{"error": sentence}`.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Sequence

from tests.servers.seafile.model import File, Model, Post, file_id
from tests.servers.seafile.traffic import Fault, How, Traffic


class Control:
    """One thread for each connection, so that a test can wait for one thing and do another."""

    def __init__(self, listener: socket.socket, model: Model, traffic: Traffic) -> None:
        self._listener = listener
        self._model = model
        self._traffic = traffic
        self._wishes: dict[str, Callable[..., object]] = {
            "ready": lambda: None,
            "create_repo": self.create_repo,
            "delete_repo": model.delete_repo,
            "set_status": model.set_status,
            "set_corrupted": model.set_corrupted,
            "share": model.share,
            "create_token": model.create_token,
            "deactivate": model.deactivate,
            "make_staff": model.make_staff,
            "sign_in": model.sign_in,
            "sign_out": model.sign_out,
            "set_quota": model.set_quota,
            "set_max_upload": model.set_max_upload,
            "make_folder": self.make_folder,
            "put": self.put,
            "delete": model.delete,
            "files": lambda repo: _told(model.files(repo)),
            "unreachable": lambda repo: _told(model.unreachable(repo)),
            "let_usage_lag": self.let_usage_lag,
            "count_usage": model.count,
            "calls": self.calls,
            "connections": self.connections,
            "fail": self.fail,
            "release": traffic.release,
            "gather": traffic.gather,
            "await_calls": self.await_calls,
            "await_connections": self.await_connections,
            "await_held": self.await_held,
        }

    def serve(self) -> None:
        """Does not return."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rw", encoding="utf-8") as lines:
            for line in lines:
                lines.write(json.dumps(self._answer(json.loads(line))) + "\n")
                lines.flush()

    def _answer(self, wish: dict[str, object]) -> dict[str, object]:
        try:
            return {"ret": self._wishes[str(wish.pop("do"))](**wish)}
        except Exception as error:  # it is the test that must hear of it
            return {"error": repr(error)}

    # --- what the server knows

    def create_repo(self, name: str, owner: str, *, encrypted: bool) -> str:
        return self._model.create_repo(name, owner, (2, "pbkdf2_sha256", "1000") if encrypted else None)

    def make_folder(self, repo: str, path: str) -> None:
        if not self._model.make_folders(repo, "/", path, self._owner(repo)):
            raise ValueError(f"{path} leads through a file")

    def put(self, repo: str, path: str, file: str, user: str | None) -> None:
        """A file of the library's owner, or of somebody else, replacing what has its name."""
        parent, _, name = path.rpartition("/")
        post = Post(name, *file_id(file))
        if self._model.post(repo, parent, lambda: [post], user or self._owner(repo), replace=True) is None:
            raise ValueError(f"there is no folder {parent}")

    def let_usage_lag(self, *, lag: bool) -> None:
        self._model.usage_lags = lag

    def _owner(self, repo: str) -> str:
        known = self._model.repo(repo)
        if known is None:
            raise ValueError(f"there is no library {repo}")
        return known.owner

    # --- what goes on at its socket

    def calls(self) -> dict[str, dict[str, int]]:
        return {"arrived": dict(self._traffic.arrived), "done": dict(self._traffic.done)}

    def connections(self) -> dict[str, int]:
        return {"now": self._traffic.connections, "most": self._traffic.most_connections}

    def fail(self, how: How, function: str, times: int, code: int, message: str) -> None:
        self._traffic.add(Fault(how, function, times, code, message))

    def await_calls(self, function: str, count: int, *, done: bool) -> None:
        counter = self._traffic.done if done else self._traffic.arrived
        self._traffic.wait(lambda: counter[function] >= count)

    def await_connections(self, count: int) -> None:
        self._traffic.wait(lambda: self._traffic.connections == count)

    def await_held(self, count: int) -> None:
        self._traffic.wait(lambda: self._traffic.held >= count)


def _told(files: Sequence[tuple[str, File]]) -> list[tuple[str, str, int, str]]:
    return [(path, file.id, file.size, file.modifier) for path, file in files]
