"""A sandbox that does not hold ends the daemon, at its start or later."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.download.bench import benched

from odl_daemon.download import isolation, walls
from odl_daemon.download import server as server_module
from odl_daemon.download.sandbox import Breach


def breaches(group: BaseExceptionGroup[BaseException]) -> list[Breach]:
    found, _ = group.split(Breach)
    leaves: list[BaseException] = [found] if found is not None else []
    while any(isinstance(leaf, BaseExceptionGroup) for leaf in leaves):
        leaves = [
            inner for leaf in leaves for inner in (leaf.exceptions if isinstance(leaf, BaseExceptionGroup) else [leaf])
        ]
    return [leaf for leaf in leaves if isinstance(leaf, Breach)]


async def refused(root: Path) -> str:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with benched(root):
            await asyncio.Event().wait()
    (breach,) = breaches(caught.value)
    return breach.sentence


async def test_walls_that_hold_let_the_daemon_work(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    async with benched(tmp_path / "scratch") as bench:
        assert bench.server.up


async def test_a_sandbox_with_the_hosts_network_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shut_in = tuple(word for word in isolation._SHUT_IN if word != "--unshare-net")
    monkeypatch.setattr(isolation, "_SHUT_IN", shut_in)
    (tmp_path / "scratch").mkdir()
    assert await refused(tmp_path / "scratch") == (
        "somebody in the sandbox of aria2 can connect to this host past the daemon's proxy"
    )


async def test_a_sandbox_that_shows_our_files_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = isolation._system
    monkeypatch.setattr(isolation, "_system", lambda: [*system(), "--ro-bind", str(tmp_path), str(tmp_path)])
    (tmp_path / "scratch").mkdir()
    assert await refused(tmp_path / "scratch") == "somebody in the sandbox of aria2 can see the daemon's own files"


async def test_walls_that_fall_later_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["", "", "it fell"])

    async def breach(*_: object) -> str:
        return next(answers)

    monkeypatch.setattr(server_module, "breach", breach)
    monkeypatch.setattr(server_module, "WALLS_EVERY", 0.05)
    (tmp_path / "scratch").mkdir()
    assert await refused(tmp_path / "scratch") == "it fell"


async def test_a_bare_socket_that_comes_through_is_proof_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever aria2 itself did: nobody waits for the canary to look up."""

    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr(walls, "_by_aria2", nothing)
    monkeypatch.setattr(isolation, "_SHUT_IN", tuple(word for word in isolation._SHUT_IN if word != "--unshare-net"))
    (tmp_path / "scratch").mkdir()
    assert await refused(tmp_path / "scratch") == (
        "somebody in the sandbox of aria2 can connect to this host past the daemon's proxy"
    )
