"""What there is to set: for each key what it means, and why its default is what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from odl_daemon.config import kinds
from odl_daemon.config.kinds import Kind

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DAY = 86400.0


class Setting(NamedTuple):
    """One key."""

    kind: Kind
    default: object
    """As it would be written in the file."""
    meaning: str
    why: str = ""
    """Why this default, if that is not plain to see."""


def _key(kind: Kind, default: object, meaning: str, why: str = "") -> dict[str, Setting]:
    return {"setting": Setting(kind, default, meaning, why)}


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """The service as a whole."""

    enabled: bool = field(
        metadata=_key(
            kinds.flag(),
            True,
            "Whether waiting tasks are claimed. When false the daemon runs and accepts new tasks, and lets them wait.",
        )
    )
    name: str = field(
        metadata=_key(
            kinds.text(r"[A-Za-z0-9._@-]{0,64}", "up to 64 letters, digits, dots, dashes"),
            "",
            "What this daemon calls itself in the database. No two daemons of one database may share a name, and a "
            "daemon keeps its own over restarts: by it the daemon knows its interrupted work.",
            'With "" the name is made of the host\'s name, its machine id and the state folder.',
        )
    )
    state_dir: Path = field(
        metadata=_key(
            kinds.folder_path(),
            "state",
            "Where the daemon keeps what it needs from one start to the next, and its control socket. Made if it is "
            "not there. One daemon at a time may use it.",
        )
    )
    lease: float = field(
        metadata=_key(
            kinds.duration(5, 3600),
            20,
            "How long a task belongs to a daemon that gives no sign of life; then other daemons of the same database "
            "take the task over.",
            "Long enough for a short hiccup of the database, short enough that nobody waits long for a dead daemon's "
            "tasks.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where the table of tasks lives."""

    url: str = field(
        repr=False,  # it may hold a password
        metadata=_key(
            kinds.database_url(),
            "sqlite:///odl.db",
            "`sqlite:///file.db` counts from the folder of the config file, `sqlite:////folder/file.db` is absolute. A "
            "path with three slashes is taken as absolute, too, when more of its folders exist from the root on than "
            "from the config file on. For a Seafile server: `mysql://user:password@host:port/database` (MariaDB or "
            "MySQL); special characters of the password are written as %XX.",
            "An SQLite file needs no server; a single daemon beside a single library is well served by it.",
        ),
    )
    seafile_conf: Path | None = field(
        metadata=_key(
            kinds.optional_path(),
            "",
            "Instead of `url`: the folder `conf` of a Seafile installation, or the folder above it. At each start the "
            "credentials are read there that the server itself uses: `seafevents.conf`, section [DATABASE], up to "
            "Seafile 12; the variables SEAFILE_MYSQL_DB_..., in the environment or in `.env`, from Seafile 13 on. The "
            "daemon's user must be able to read the file.",
            "Credentials that stand in one place only cannot contradict each other.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Download:
    """How files are fetched."""

    slots: int = field(
        metadata=_key(
            kinds.whole(1, 256),
            10,
            "How many files are transferred at once. A task that is being put into the library holds no slot.",
            "More seldom make a line faster, and fewer leave it idle beside slow servers.",
        )
    )
    time_limit: float = field(
        metadata=_key(
            kinds.duration(0.1, 365 * DAY),
            "30m",
            "How long one task may transfer, all its attempts together. Waiting, pauses and the way into the library "
            "do not count. Beyond it the task ends as TLE; a retry starts from zero.",
        )
    )
    stall_limit: float = field(
        metadata=_key(
            kinds.duration(1, DAY),
            "2m",
            "A transfer that brings not a byte for so long is broken off and tried again.",
        )
    )
    max_size: int = field(
        metadata=_key(
            kinds.size(), 0, "The largest file that is accepted; 0 sets no limit. Looked at when the size is known."
        )
    )
    temp_dir: Path = field(
        metadata=_key(
            kinds.optional_path(),
            "",
            'Where files lie until they are complete. "" means the folder `scratch` inside state_dir. On the same disk '
            "as a library folder, a finished file is moved there instead of copied.",
        )
    )
    aria2c: str = field(
        metadata=_key(kinds.program(), "aria2c", "The program aria2c: a name that is looked up in PATH, or a path.")
    )
    retries: int = field(
        metadata=_key(
            kinds.whole(0, 100),
            5,
            "How many failures in a row a task survives, if another attempt can help and none of them brought a byte. "
            "Trouble with the library, or with this host, is tried four times as often: the bytes are here already.",
        )
    )
    retry_wait: float = field(
        metadata=_key(
            kinds.duration(0.05, 3600),
            10,
            "The wait before the first retry. It doubles with each further one, up to an hour, and is never shorter "
            "than what the server asks for.",
        )
    )
    keep_failed: float = field(
        metadata=_key(
            kinds.duration(0, 365 * DAY),
            0,
            "How long the bytes of a failed task stay in temp_dir, so that a retry can go on with them.",
            "0 frees the disk at once.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Library:
    """Where finished files end up."""

    kind: str = field(
        metadata=_key(
            kinds.choice("folder", "seafile-rpc", "seafile-http"),
            "folder",
            '"folder": each library is a folder on this host. "seafile-rpc": libraries of the Seafile server on this '
            'host, which takes the files out of temp_dir itself. "seafile-http": the same, with the files sent to its '
            "file server, for a server in a container.",
        )
    )
    socket: Path | None = field(
        metadata=_key(
            kinds.optional_path(),
            "",
            "For both kinds of Seafile: the socket of seaf-server, `seafile-server-latest/runtime/seafile.sock` in the "
            "folder where Seafile is installed. The daemon must run as the user of seaf-server. "
            '"seafile-http" can do without, with seahub_url and tokens_file.',
        )
    )
    path_map: str = field(
        metadata=_key(
            kinds.text(r"|/[^=\x00-\x1f]*=/[^=\x00-\x1f]*", '"/our/folder=/their/folder"'),
            "",
            'For "seafile-rpc": where the server finds what we have in a folder, as `/our/folder=/their/folder`, if '
            "the two see different paths.",
        )
    )
    file_server: str = field(
        metadata=_key(
            kinds.text(r"https?://[^\s@]+", "an http or https URL without a login"),
            "http://127.0.0.1:8082",
            'For "seafile-http" with a socket: the URL of Seafile\'s file server.',
        )
    )
    seahub_url: str = field(
        metadata=_key(
            kinds.text(r"|https?://[^\s@]+", "an http or https URL without a login"),
            "",
            'For "seafile-http" where no socket can be reached: the URL of the Seafile web site, as users see it. '
            "Everything is asked there, in the name of the task's user, with his token in tokens_file.",
        )
    )
    tokens_file: Path | None = field(
        metadata=_key(
            kinds.optional_path(),
            "",
            "The API tokens for seahub_url: a file that nobody but the daemon's user may read (mode 0600), with a line "
            '`user@example.org = "token"` for each user. It is read anew when it changes.',
            "Whoever has a token is that user: the file holds the keys of all its users.",
        )
    )
    block_size: int = field(
        metadata=_key(
            kinds.size(),
            "8 MiB",
            "For both kinds of Seafile: the length of the blocks into which the server cuts files. Set it if "
            "seafile.conf has `[fileserver] fixed_block_size`, to the same number of MiB.",
            "Files are found again after a crash by a hash that is made of the blocks.",
        )
    )
    folder: Path = field(
        metadata=_key(
            kinds.folder_path(),
            "library",
            'For "folder": each library is a folder in here. The folder itself, and in it the library `default`, are '
            "made at start.",
        )
    )
    create: bool = field(
        metadata=_key(
            kinds.flag(),
            False,
            'For "folder": whether a library that does not exist is made when a task names it.',
            "A mistyped name then ends in a sentence rather than in a new folder.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Intake:
    """How new tasks are noticed."""

    poll: float = field(
        metadata=_key(
            kinds.duration(0.1, 3600),
            5,
            "How often the table is looked at for rows that others put there. Tasks of `odl add` start at once.",
        )
    )
    take_over: str = field(
        metadata=_key(
            kinds.choice("start", "never"),
            "start",
            'What becomes of rows that stand at DOWNLOADING or QUEUING and are no daemon\'s. "start": at each start '
            "they are taken over as interrupted work of the old offline-download worker, and continued with the bytes "
            'that it left, if its folder lies in temp_dir. "never": they are left alone.',
            "The old worker is switched off before the daemon starts, and nobody else would finish its work.",
        )
    )
    channel: str = field(
        metadata=_key(
            kinds.text(r"[A-Za-z0-9._:@-]{0,100}", "up to 100 letters, digits, dots, dashes"),
            "",
            "A message channel of the Seafile server (see [library] socket) from which tasks are taken, too. Choose a "
            "name that nobody else reads, like `odl.intake`: any name works, if those who publish use the same. A "
            "message is `offline-file-upload`, repo_id, path, user, url with tabs between them, or the same in JSON. "
            '"" takes none.',
            "A message that is taken from a channel is gone for everybody else, and the table is the safer way: what "
            "waits in a channel is lost when the Seafile server restarts.",
        )
    )
    channel_mode: str = field(
        metadata=_key(
            kinds.choice("own", "share"),
            "own",
            '"own": nobody else reads the channel; messages that are not for the daemon are dropped. "share": they are '
            "put back for others, and dropped only when nobody took them for two seconds. This is for the channel "
            "`seahub.stats` on a server without seafevents: where seafevents runs, the two would take each other's "
            "messages.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What a download may reach."""

    allow: tuple[str, ...] = field(
        metadata=_key(
            kinds.listed(lambda item: _destination(item), 'networks ("10.1.0.0/16"), "host:port" or host names'),
            [],
            "Inner addresses that tasks may fetch from all the same: a network opens all ports, `host:port` that port, "
            "a name its inner addresses. Where clouds give out the keys of their machines nothing can be allowed.",
            "Strangers' links must not reach what only this host can see.",
        )
    )
    deny: tuple[str, ...] = field(
        metadata=_key(
            kinds.listed(lambda item: _destination(item), 'networks ("10.1.0.0/16"), "host:port" or host names'),
            [],
            "What tasks may not fetch from, whatever else is allowed.",
        )
    )
    ports: tuple[int, ...] = field(
        metadata=_key(
            kinds.ports(),
            [80, 443, 8080, 8443],
            "The ports that tasks may connect to, where `allow` says nothing else.",
            "On others sit mail servers, databases and control panels rather than files.",
        )
    )
    resolvers: tuple[str, ...] = field(
        metadata=_key(
            kinds.listed(lambda item: _name_server(item), 'name servers as "address:port"'),
            [],
            "The name servers that are asked for the hosts of links. [] asks as every program of this host does.",
            "A host's own resolver knows inner names, which a link has no business with; the addresses are judged "
            "either way.",
        )
    )
    egress: bool = field(
        metadata=_key(
            kinds.flag(),
            True,
            "The kill switch. When false nothing is fetched for anybody: set so and reloaded, every connection is cut "
            "at once, and tasks wait with the bytes that they have.",
        )
    )
    isolation: str = field(
        metadata=_key(
            kinds.choice("namespace", "proxy-only"),
            "namespace",
            '"namespace" shuts aria2 into a sandbox without a network and without your files. "proxy-only" is for '
            "hosts that forbid user namespaces: aria2 is then merely told to use the daemon's proxy, and the daemon "
            "warns of it at every start.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Http:
    """The door for browsers and programs: page, API, live progress, metrics, and JSON-RPC as aria2 speaks it."""

    listen: str = field(
        metadata=_key(
            kinds.listen(),
            "127.0.0.1:8098",
            '`host:port`, or `unix:/path` for a web server on this host; "" opens no such door. If the port is taken, '
            "the daemon says so, tries again, and works on.",
            "Only this host can reach it: others come through a web server that speaks TLS, see docs/operations.md.",
        )
    )
    public_url: str = field(
        metadata=_key(
            kinds.text(r"|https?://[^\s@?#]+", "an http or https URL without a login"),
            "",
            "How users reach the door through a web server, for example `https://seafile.example.org/odl/`. Requests "
            "that name another host are refused, but for localhost and addresses.",
        )
    )
    trusted_proxies: tuple[str, ...] = field(
        metadata=_key(
            kinds.listed(lambda item: item == "unix" or _is_address(item), 'addresses, or "unix"'),
            [],
            'Web servers whose X-Forwarded-For is believed: their addresses, or "unix" for whoever comes by the unix '
            "socket.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Auth:
    """Who may come through the HTTP door, besides those who have a key by `odl token create`."""

    seahub_url: str = field(
        metadata=_key(
            kinds.text(r"|https?://[^\s@?#]+", "an http or https URL without a login"),
            "",
            "The Seafile web site: its users come with their API token, or, where both are served under one host name, "
            "with the session that they have there. Whoever is staff there is an admin here. An answer is remembered "
            "for a minute.",
        )
    )
    admins: tuple[str, ...] = field(
        metadata=_key(
            kinds.listed(lambda item: item != "", "users"),
            [],
            "Users who see and steer everybody's tasks.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What each user may take; 0 sets no limit. `[limits.<name>]` with `users = [...]` gives some of them others."""

    running: int = field(
        metadata=_key(
            kinds.whole(0, 10_000),
            0,
            "How many of a user's tasks may run at once, on all daemons of the database together. The others wait.",
            "Turns are fair without it: a free slot goes to the user with the least running.",
        )
    )
    queued: int = field(
        metadata=_key(
            kinds.whole(0, 1_000_000_000),
            0,
            "How many tasks of a user may wait, the paused ones included. What is handed over beyond is refused.",
        )
    )
    bytes_per_day: int = field(
        metadata=_key(
            kinds.size(),
            0,
            "How much a user may fetch in 24 hours. Beyond it his tasks wait, and go on with the bytes that they have.",
        )
    )
    tasks_per_day: int = field(
        metadata=_key(
            kinds.whole(0, 1_000_000_000),
            0,
            "How many links a user may hand over in 24 hours. What is handed over beyond is refused.",
        )
    )
    max_size: int = field(
        metadata=_key(
            kinds.size(),
            0,
            "The largest file that a user may fetch; [download] max_size holds beside it, for everybody.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class LimitsGroup(Limits):
    """Some users' limits; what it does not name is as in [limits]."""

    users: tuple[str, ...] = field(
        metadata=_key(
            kinds.names(),
            [],
            "Who belongs to it: users as the table names them, or patterns with `*`. Who is in several groups belongs "
            "to the first.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Disk:
    """How much of the disk under temp_dir downloads may take."""

    floor: int | None = field(
        metadata=_key(
            kinds.optional_size(),
            "",
            "How much stays free, whatever is downloaded. A file that would not leave so much waits until it does, and "
            'beside the files that run already. "" means 1 GiB, and a twentieth of a disk below 20 GiB.',
            "A full disk would stop everything else on this host, too.",
        )
    )
    reserve: int = field(
        metadata=_key(
            kinds.size(),
            "64 MiB",
            "How much is set aside, again and again, for a download that does not say how large it is. On a small disk "
            "it is a twentieth of it at most.",
            "More wastes room beside many such downloads, less asks for the disk's state more often.",
        )
    )


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Which programs are told when tasks have ended, see docs/operations.md."""

    urls: tuple[str, ...] = field(
        metadata=_key(
            kinds.listed(lambda item: re.fullmatch(r"https?://[^\s@]+", item) is not None, "http or https URLs"),
            [],
            "Where a message is posted when tasks have ended: one for all that ended together, signed, and posted "
            "again until it is taken. The guard holds for them, too: allow inner addresses by [guard] allow.",
        )
    )
    secret: str = field(
        repr=False,
        metadata=_key(kinds.text(), "", "By what the messages are signed (HMAC-SHA256): 16 characters at least."),
    )
    every: float = field(
        metadata=_key(kinds.duration(0.1, 3600), 5, "For how long ended tasks are gathered into one message.")
    )


@dataclass(frozen=True, kw_only=True)
class Log:
    """What is written down."""

    level: str = field(
        metadata=_key(kinds.choice("debug", "info", "warning", "error"), "info", "The least weight of a line.")
    )
    file: Path | None = field(
        metadata=_key(kinds.optional_path(), "", 'The log file, rotated at 10 MiB; "" writes to standard error.')
    )
    aria2_file: Path | None = field(
        metadata=_key(
            kinds.optional_path(),
            "",
            'Where aria2\'s own words are kept, rotated, links without query and login; "" keeps none.',
        )
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings, checked; paths are absolute."""

    daemon: Daemon
    database: Database
    download: Download
    library: Library
    intake: Intake
    guard: Guard
    limits: Limits
    disk: Disk
    http: Http
    auth: Auth
    hooks: Hooks
    log: Log
    groups: Mapping[str, LimitsGroup] = field(default_factory=dict)
    """The groups of [limits], by their names, in their order."""
    file: Path | None = None
    """The file that was read; None if there was none."""
    came_from: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)
    """For each (section, key) that is not a default: the file or the environment variable that set it."""


SECTIONS: Mapping[str, type[DataclassInstance]] = {
    "daemon": Daemon,
    "database": Database,
    "download": Download,
    "library": Library,
    "intake": Intake,
    "guard": Guard,
    "limits": Limits,
    "disk": Disk,
    "http": Http,
    "auth": Auth,
    "hooks": Hooks,
    "log": Log,
}


def settings_of(section: str) -> dict[str, Setting]:
    """The keys of a section, in their order."""
    return {each.name: _setting(each) for each in fields(SECTIONS[section])}


def _setting(each: Field[object]) -> Setting:
    setting = each.metadata["setting"]
    assert isinstance(setting, Setting)
    return setting


GROUP: Mapping[str, Setting] = {each.name: _setting(each) for each in fields(LimitsGroup)}
"""The keys of a group of [limits]."""


def _name_server(item: str) -> bool:
    from odl_daemon.guard.resolver import name_server  # only here: the list is mostly empty

    return name_server(item) is not None


def _is_address(item: str) -> bool:
    import ipaddress  # only here: the list is mostly empty

    try:
        ipaddress.ip_address(item)
    except ValueError:
        return False
    return True


def _destination(item: str) -> bool:
    from odl_daemon.guard.destination import destination  # only here: the lists are mostly empty

    return destination(item) is not None
