"""What the settings ask for, as values and rooms: the library, what users may take and reach, further doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from odl_daemon.config import Config
from odl_daemon.config.settings import Limits
from odl_daemon.download.exchange import Dial
from odl_daemon.download.messenger import HttpMessenger
from odl_daemon.engine.desk import Desk
from odl_daemon.engine.hooks import Hooks
from odl_daemon.engine.news import News
from odl_daemon.guard.blocks import BLOCKS, read
from odl_daemon.guard.destination import Destination, destination
from odl_daemon.guard.resolver import LookUp, by_servers, name_server
from odl_daemon.guard.rules import Rules
from odl_daemon.health import Vitals
from odl_daemon.intake.events import ChannelTrouble, EventsDoor
from odl_daemon.library.fetched_files import HANDOVER
from odl_daemon.library.folder import FolderLibrary
from odl_daemon.library.seaf_server import SeafServer
from odl_daemon.library.seafile import SeafileLibrary
from odl_daemon.library.seafile_http import HttpPosting, RpcUploadLinks
from odl_daemon.library.seafile_rpc import Handover, RpcPosting, path_map_of
from odl_daemon.library.seafile_server import Server
from odl_daemon.library.seafile_writing import Posting
from odl_daemon.library.seahub import Seahub
from odl_daemon.library.seahub_accounts import SeahubAccounts
from odl_daemon.library.searpc import Refused, Searpc, ServerAway, Unanswered
from odl_daemon.library.tokens import Tokens
from odl_daemon.model.shares import Group, Share, Shares
from odl_daemon.ports import Library, Outbox

if TYPE_CHECKING:
    from odl_daemon.intake.http.people_api import Place
    from odl_daemon.intake.http.server import HttpDoor

DEFAULT_LIBRARY = "default"


CHANNEL_LIMIT = 10.0
"""Seconds for a call of the message channel: it only looks into the server's memory."""


def library_of(config: Config, small_jobs: Executor) -> Library:
    """Where files end up; a folder that is missing is made. Raises OSError."""
    if config.library.kind == "folder":
        return _folder_library(config, small_jobs)
    server, posting = _way_to_seafile(config)
    return SeafileLibrary(server, posting, small_jobs, block=config.library.block_size)


def _way_to_seafile(config: Config) -> tuple[Server, Posting]:
    """How the server is asked, and how bytes come to it. Raises TokensTrouble."""
    if config.library.socket is None:
        assert config.library.tokens_file is not None, "a config without it is refused"
        seahub = Seahub(config.library.seahub_url, Tokens(config.library.tokens_file))
        return seahub, HttpPosting(seahub)
    server = SeafServer(Searpc(config.library.socket))
    if config.library.kind == "seafile-http":
        return server, HttpPosting(RpcUploadLinks(server, config.library.file_server))
    handover = Handover(config.download.temp_dir.resolve() / HANDOVER)
    return server, RpcPosting(server, handover, path_map_of(config.library.path_map))


def _folder_library(config: Config, small_jobs: Executor) -> FolderLibrary:
    root = config.library.folder
    for folder in (root, root / DEFAULT_LIBRARY):
        if not folder.is_dir():
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # for its readers, whatever our own umask is
    return FolderLibrary(root, create=config.library.create, small_jobs=small_jobs)


def rules_of(config: Config) -> Rules:
    """What tasks may connect to."""
    return Rules(
        allow=_destinations(config.guard.allow),
        deny=_destinations(config.guard.deny),
        ports=frozenset(config.guard.ports),
    )


def _destinations(items: Sequence[str]) -> list[Destination]:
    return [found for found in map(destination, items) if found is not None]


def shares_of(config: Config) -> Shares:
    """What each user may take."""
    groups = [Group(name, group.users, _share(group)) for name, group in config.groups.items()]
    return Shares(_share(config.limits), groups)


def _share(limits: Limits) -> Share:
    return Share(
        running=limits.running,
        queued=limits.queued,
        bytes_per_day=limits.bytes_per_day,
        tasks_per_day=limits.tasks_per_day,
        max_size=limits.max_size,
    )


def look_up_of(config: Config) -> LookUp | None:
    """How hosts are looked up; None for the way of this host."""
    servers = [found for found in map(name_server, config.guard.resolvers) if found is not None]
    return by_servers(servers) if servers else None


def events_door_of(config: Config, desk: Desk) -> EventsDoor | None:
    """The door at a Seafile server's message channel; None if none is set."""
    if not config.intake.channel or config.library.socket is None:
        return None
    channel = SeafileChannel(SeafServer(Searpc(config.library.socket, limit=CHANNEL_LIMIT)), config.intake.channel)
    return EventsDoor(desk, channel, config.intake.channel, shared=config.intake.channel_mode == "share")


def hooks_of(config: Config, news: News, outbox: Outbox, dial: Dial, clock: Callable[[], datetime]) -> Hooks | None:
    """Who tells other programs of ended tasks; None if nobody wants to know."""
    if not config.hooks.urls:
        return None
    return Hooks(
        news=news,
        outbox=outbox,
        messenger=HttpMessenger(dial=dial),
        urls=config.hooks.urls,
        secret=config.hooks.secret,
        every=config.hooks.every,
        clock=clock,
        rng=Random(),
    )


def http_door_of(config: Config, desk: Desk, vitals: Vitals) -> HttpDoor | None:
    """The door for browsers and programs; None if none is set."""
    if not config.http.listen:
        return None
    from odl_daemon.intake.http.doorman import Doorman  # slow to import: only for those who open it
    from odl_daemon.intake.http.server import Address, HttpDoor
    from odl_daemon.intake.jsonrpc.door import Door

    accounts = SeahubAccounts(config.auth.seahub_url) if config.auth.seahub_url else None
    doorman = Doorman(desk.keyring, accounts, config.auth.admins)
    rpc = Door(desk, desk.news, doorman.recognise, DEFAULT_LIBRARY if config.library.kind == "folder" else "")
    return HttpDoor(
        desk=desk,
        doorman=doorman,
        place=_place(config),
        address=Address(config.http.listen, config.http.public_url, config.http.trusted_proxies),
        vitals=vitals,
        routes=rpc.routes,
        farewells=[rpc.hang_up],
    )


def _place(config: Config) -> Place:
    from odl_daemon.intake.http.people_api import Place

    local = config.library.kind == "folder"
    folder, file = config.library.folder, config.daemon.state_dir / BLOCKS

    def libraries() -> list[str] | None:
        return sorted(each.name for each in folder.iterdir() if each.is_dir()) if local and folder.is_dir() else None

    def blocks() -> list[Mapping[str, object]]:
        return [dict(block) for block in islice(read(file), 1000)]

    return Place(local=local, libraries=libraries, blocks=blocks)


class SeafileChannel:
    """intake.events.Channel: one channel of a Seafile server."""

    def __init__(self, server: SeafServer, name: str) -> None:
        self._server = server
        self._name = name

    async def pop(self) -> str | None:
        with _channel_troubles():
            return await self._server.pop(self._name)

    async def publish(self, content: str) -> None:
        with _channel_troubles():
            await self._server.publish(self._name, content)


@contextmanager
def _channel_troubles() -> Iterator[None]:
    try:
        yield
    except ServerAway as error:
        raise ChannelTrouble(str(error), again=True) from error
    except (Refused, Unanswered, ValueError) as error:
        raise ChannelTrouble(str(error), again=False) from error
