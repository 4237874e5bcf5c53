"""aria2's methods, done at the desk: each sees and touches the tasks of the client's own user alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from odl_daemon import __version__
from odl_daemon.engine.desk import Desk, Refusal
from odl_daemon.engine.news import News
from odl_daemon.intake.jsonrpc import gids, options, shown
from odl_daemon.intake.jsonrpc.options import Place
from odl_daemon.intake.jsonrpc.own_tasks import ACTIVE, MOST_LISTED, OwnTasks, part
from odl_daemon.intake.jsonrpc.params import Params
from odl_daemon.intake.jsonrpc.protocol import FAILED, NO_METHOD, Fault
from odl_daemon.model import source
from odl_daemon.model.source import Source
from odl_daemon.model.task import Task, Wish
from odl_daemon.ports import Filter, Request

SPOKEN: Final = "1.36.0"
"""The version of aria2 whose words these are."""

MOST_MIRRORS: Final = 100
"""Links of one addUri that are looked at."""

SYSTEM: Final = ("system.multicall", "system.listMethods", "system.listNotifications")
"""Methods that need no token."""

_REFUSED: Final[Mapping[str, str]] = {
    "aria2.addTorrent": "torrents are not taken here, only http and https links",
    "aria2.addMetalink": "metalinks are not taken here, only http and https links",
    "aria2.changePosition": "the line goes by turns here: a task cannot be moved in it",
    "aria2.changeUri": "the link of a task cannot be changed: hand over the new one",
    "aria2.changeGlobalOption": "the settings of this server are not yours to change",
    "aria2.shutdown": "this server is not yours to stop",
    "aria2.forceShutdown": "this server is not yours to stop",
}


@dataclass(frozen=True, slots=True)
class Client:
    """On whose behalf, and from which address, a call comes."""

    owner: str
    place: Place
    until: float
    """By the clock of the loop: so long its message may wait for what it asked to come true."""


Method = Callable[[Client, Params], Awaitable[object]]


class Methods:
    """What clients may call."""

    def __init__(self, desk: Desk, news: News) -> None:
        self._desk = desk
        self._news = news
        self._own = OwnTasks(desk)
        self._session = secrets.token_hex(20)
        self._served: Mapping[str, Method] = {
            "aria2.addUri": self._add_uri,
            "aria2.remove": self._remove,
            "aria2.forceRemove": self._remove,
            "aria2.pause": self._pause,
            "aria2.forcePause": self._pause,
            "aria2.pauseAll": self._pause_all,
            "aria2.forcePauseAll": self._pause_all,
            "aria2.unpause": self._unpause,
            "aria2.unpauseAll": self._unpause_all,
            "aria2.tellStatus": self._tell_status,
            "aria2.tellActive": self._tell_active,
            "aria2.tellWaiting": self._tell_waiting,
            "aria2.tellStopped": self._tell_stopped,
            "aria2.getUris": self._get_uris,
            "aria2.getFiles": self._get_files,
            "aria2.getServers": self._get_servers,
            "aria2.getPeers": self._get_peers,
            "aria2.getOption": self._get_option,
            "aria2.changeOption": self._change_option,
            "aria2.getGlobalOption": self._get_global_option,
            "aria2.getGlobalStat": self._get_global_stat,
            "aria2.removeDownloadResult": self._remove_download_result,
            "aria2.purgeDownloadResult": self._purge_download_result,
            "aria2.getVersion": self._get_version,
            "aria2.getSessionInfo": self._get_session_info,
            "aria2.saveSession": self._save_session,
        }

    @property
    def names(self) -> list[str]:
        return [*self._served, *SYSTEM]

    def away(self) -> bool:
        """Whether nothing can be done at present."""
        return self._desk.away()

    async def call(self, name: str, client: Client, params: Params) -> object:
        """Does what is asked and returns its result. Raises Fault, and StoreAway."""
        if name in _REFUSED:
            raise Fault(FAILED, _REFUSED[name])
        method = self._served.get(name)
        if method is None:
            raise Fault(NO_METHOD, f"No such method: {name}")
        return await method(client, params)

    # --- handing over

    async def _add_uri(self, client: Client, params: Params) -> object:
        link = _first_usable(params.texts(0))
        wanted = options.wanted(params.optional_struct(1), client.place)
        params.check_position(2)
        request = Request(
            owner=client.owner,
            library=wanted.place.library,
            path=wanted.place.folder,
            url=link.url,
            name=wanted.name,
            kind=link.kind,
            mkdir=True,
            paused=wanted.paused,
        )
        (task,) = await self._desk.submit([request])
        if isinstance(task, Refusal):
            raise Fault(FAILED, task.sentence)
        return gids.gid_of(task.id)

    # --- steering

    async def _remove(self, client: Client, params: Params) -> object:
        return await self._steer(client, params, Wish.CANCEL, "Active Download not found for GID#{gid}")

    async def _pause(self, client: Client, params: Params) -> object:
        return await self._steer(client, params, Wish.PAUSE, "GID#{gid} cannot be paused now")

    async def _unpause(self, client: Client, params: Params) -> object:
        return await self._steer(client, params, Wish.RESUME, "GID#{gid} cannot be unpaused now")

    async def _steer(self, client: Client, params: Params, wish: Wish, otherwise: str) -> str:
        task = await self._own.find(client.owner, params.text(0))
        gid = gids.gid_of(task.id)
        if not await self._wish(client, task, wish):
            raise Fault(FAILED, otherwise.format(gid=gid))
        return gid

    async def _wish(self, client: Client, task: Task, wish: Wish) -> bool:
        """Whether it is granted. Clients look at once whether it has come true, and of a task that nobody holds it
        does within milliseconds: that moment is waited for."""
        moved = asyncio.Event()

        def heard(other: Task) -> None:
            if other.id == task.id and other.phase is not task.phase:
                moved.set()

        with self._news.listening(heard):
            (answer,) = await self._desk.wish([task.id], wish)
            if answer.granted and not task.phase.held:
                with suppress(TimeoutError):  # another daemon may have done it, unheard
                    async with asyncio.timeout_at(client.until):
                        await moved.wait()
        return answer.granted

    async def _pause_all(self, client: Client, params: Params) -> object:
        await self._desk.wish_all(Filter(owner=client.owner), Wish.PAUSE)
        return "OK"

    async def _unpause_all(self, client: Client, params: Params) -> object:
        await self._desk.wish_all(Filter(owner=client.owner), Wish.RESUME)
        return "OK"

    async def _change_option(self, client: Client, params: Params) -> object:
        await self._own.find(client.owner, params.text(0))
        options.check_change(params.struct(1))
        return "OK"

    # --- looking

    async def _tell_status(self, client: Client, params: Params) -> object:
        keys = params.keys(1)
        return shown.status_of(await self._own.find(client.owner, params.text(0)), keys)

    async def _tell_active(self, client: Client, params: Params) -> object:
        keys = params.keys(0)
        return _structs(await self._own.active(client.owner), keys)

    async def _tell_waiting(self, client: Client, params: Params) -> object:
        offset, amount, keys = params.whole(0), params.amount(1), params.keys(2)
        return _structs(part(await self._own.waiting(client.owner), offset, amount), keys)

    async def _tell_stopped(self, client: Client, params: Params) -> object:
        offset, amount, keys = params.whole(0), params.amount(1), params.keys(2)
        return _structs(part(await self._own.stopped(client.owner), offset, amount), keys)

    async def _get_uris(self, client: Client, params: Params) -> object:
        return shown.uris_of(await self._own.find(client.owner, params.text(0)))

    async def _get_files(self, client: Client, params: Params) -> object:
        return shown.files_of(await self._own.find(client.owner, params.text(0)))

    async def _get_servers(self, client: Client, params: Params) -> object:
        task = await self._own.find(client.owner, params.text(0))
        if task.phase not in ACTIVE:
            raise Fault(FAILED, f"No active download for GID#{gids.gid_of(task.id)}")
        return shown.servers_of(task)

    async def _get_peers(self, client: Client, params: Params) -> object:
        await self._own.find(client.owner, params.text(0))
        return []

    async def _get_option(self, client: Client, params: Params) -> object:
        return shown.options_of(await self._own.find(client.owner, params.text(0)))

    async def _get_global_option(self, client: Client, params: Params) -> object:
        return {"dir": client.place.folder, "max-download-result": str(MOST_LISTED)}

    async def _get_global_stat(self, client: Client, params: Params) -> object:
        counts = await self._own.counts(client.owner)
        return {
            "downloadSpeed": str(sum(shown.speed_of(task) for task in self._news.live if task.owner == client.owner)),
            "numActive": str(counts.active),
            "numStopped": str(counts.stopped),
            "numStoppedTotal": str(counts.ended),
            "numWaiting": str(counts.waiting),
            "uploadSpeed": "0",
        }

    # --- clearing the list of what has ended

    async def _remove_download_result(self, client: Client, params: Params) -> object:
        task = await self._own.find(client.owner, params.text(0))
        if not task.final:
            raise Fault(FAILED, f"Could not remove download result of GID#{gids.gid_of(task.id)}")
        self._own.put_away(task)
        return "OK"

    async def _purge_download_result(self, client: Client, params: Params) -> object:
        await self._own.put_all_away(client.owner)
        return "OK"

    # --- about the server

    async def _get_version(self, client: Client, params: Params) -> object:
        return {"enabledFeatures": ["HTTPS"], "server": f"odl-daemon {__version__}", "version": SPOKEN}

    async def _get_session_info(self, client: Client, params: Params) -> object:
        return {"sessionId": self._session}

    async def _save_session(self, client: Client, params: Params) -> object:
        return "OK"  # what was accepted is saved


def _first_usable(links: Sequence[str]) -> Source:
    """Several links are mirrors of one file: the first that can be used is taken. Raises Fault."""
    unusable: source.Unusable | None = None
    for link in links[:MOST_MIRRORS]:
        try:
            return source.parse(link)
        except source.Unusable as error:
            unusable = unusable or error
    raise Fault(FAILED, "URI is not provided." if unusable is None else str(unusable))


def _structs(tasks: Iterable[Task], keys: frozenset[str]) -> list[object]:
    return [shown.status_of(task, keys) for task in tasks]
