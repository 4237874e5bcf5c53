"""How the settings are read: the file, over it credentials, over them the environment, all mistakes told at once."""

from __future__ import annotations

import os
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from odl_daemon.config.settings import GROUP, SECTIONS, Config, LimitsGroup, Setting, settings_of

SYSTEM_FILE: Final = Path("/etc/odl-daemon/config.toml")
HIDDEN: Final = {("database", "url"), ("hooks", "secret")}
"""Values that no sentence repeats: they may hold a password."""
READ_WHERE_THEY_LIE: Final = {("library", "tokens_file")}
"""Keys that name a file of secrets: a credential of such a name is that file."""


SHORTEST_SECRET: Final = 16


class ConfigError(Exception):
    """The settings cannot be used; one sentence for each mistake."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class _Written(NamedTuple):
    """A value that somebody wrote, and where."""

    value: object
    origin: str
    """The file or the variable."""
    place: str
    """How a mistake names it."""
    secret: bool = False
    """Whether no sentence repeats it, whatever it is."""


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The settings in force: `path` or what `find` finds, over it the credentials that the service manager hands over
    in $CREDENTIALS_DIRECTORY, and over them the environment.

    Without a file the defaults hold, and relative paths count from the current folder. Raises ConfigError.
    """
    file = find(path, environ)
    folder = file.parent.absolute() if file else Path.cwd()
    mistakes: list[str] = []
    content = _content(file) if file else {}
    written = _from_file(content, file, mistakes) if file else {}
    written |= _from_credentials(environ, mistakes)
    written |= _from_environment(environ, mistakes)
    values = {section: dict(_read_section(section, written, folder, mistakes)) for section in SECTIONS}
    groups = _groups(content.get("limits"), values["limits"], f"{file}", mistakes)
    _borrow_credentials(values["database"], written, environ, mistakes)
    if not mistakes:
        _relate(values)
        mistakes += _contradictions(values)
    if mistakes:
        raise ConfigError(mistakes)
    came_from = {where: found.origin for where, found in written.items()}
    sections = {section: SECTIONS[section](**values[section]) for section in SECTIONS}
    return _config(sections, groups, file, came_from)


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The config file: `path`, $ODL_CONFIG, ./config.toml, the system's; None if there is none of them.

    Raises ConfigError if a file that was asked for by name is not there.
    """
    named = path or (Path(environ["ODL_CONFIG"]) if environ.get("ODL_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            by = "--config" if path else "$ODL_CONFIG"
            raise ConfigError([f"the config file {named}, which {by} names, does not exist"])
        return named
    for candidate in (Path("config.toml"), SYSTEM_FILE):
        if candidate.is_file():
            return candidate
    return None


# --- what was written -------------------------------------------------------------------------------------


def _content(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise ConfigError([f"{file} cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file} is not valid TOML: {error}"]) from error


def _from_file(content: Mapping[str, Any], file: Path, mistakes: list[str]) -> dict[tuple[str, str], _Written]:
    written: dict[tuple[str, str], _Written] = {}
    for section, keys in content.items():
        if section not in SECTIONS:
            mistakes.append(f"{file}: there is no section [{section}]{_meant(section, SECTIONS)}")
        elif not isinstance(keys, dict):
            mistakes.append(f"{file}: {section} is a section: write [{section}], and its keys below")
        else:
            for key, value in keys.items():
                place = f"{file}: [{section}] {key}"
                if key in settings_of(section):
                    written[section, key] = _Written(value, str(file), place)
                elif not (section == "limits" and isinstance(value, dict)):  # that is a group
                    mistakes.append(f"{place} is no key that there is{_meant(key, settings_of(section), section)}")
    return written


def _from_credentials(environ: Mapping[str, str], mistakes: list[str]) -> dict[tuple[str, str], _Written]:
    """Files that are named like a key, `database.url`; the service manager may put others there for others."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        mistakes.append(f"the credentials in {folder} cannot be read: {error.strerror}")
        return {}
    written: dict[tuple[str, str], _Written] = {}
    for file in files:
        section, _, key = file.name.partition(".")
        if section in SECTIONS and key in settings_of(section):
            try:
                written[section, key] = _credential(file, (section, key))
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "expected text in UTF-8"
                mistakes.append(f"the credential {file.name} cannot be read: {why}")
        elif section in SECTIONS or any(key in settings_of(each) for each in SECTIONS):
            names = [f"{section}.{key}" for section in SECTIONS for key in settings_of(section)]
            mistakes.append(f"the credential {file.name} is no setting{_meant(file.name, names)}")
    return written


def _credential(file: Path, where: tuple[str, str]) -> _Written:
    place = f"credential {file.name}"
    if where in READ_WHERE_THEY_LIE:
        return _Written(str(file.absolute()), place, place)
    return _Written(file.read_text(encoding="utf-8").rstrip("\r\n"), place, place, secret=True)


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> dict[tuple[str, str], _Written]:
    written: dict[tuple[str, str], _Written] = {}
    ours = sorted(name for name in environ if name.startswith("ODL_") and "__" in name)
    for name in ours:
        section, _, key = name.removeprefix("ODL_").lower().partition("__")
        if section in SECTIONS and key in settings_of(section):
            written[section, key] = _Written(environ[name], name, name)
        else:
            mistakes.append(f"the environment variable {name} is no setting{_meant(name, _variables())}")
    return written


def _variables() -> list[str]:
    return [f"ODL_{section}__{key}".upper() for section in SECTIONS for key in settings_of(section)]


def _meant(word: str, words: Iterable[str], section: str = "") -> str:
    """A question that names the nearest of the right words, or where the key would be at home."""
    from difflib import get_close_matches  # only here: mistakes are rare, starts are not

    if near := get_close_matches(word, list(words), 1):
        return f"; did you mean {near[0]}?"
    homes = [home for home in SECTIONS if section and word in settings_of(home)]
    return f"; it belongs to [{homes[0]}]" if homes else f"; there is: {', '.join(words)}"


# --- what it means ----------------------------------------------------------------------------------------


def _read_section(
    section: str, written: Mapping[tuple[str, str], _Written], folder: Path, mistakes: list[str]
) -> Iterator[tuple[str, object]]:
    for key, setting in settings_of(section).items():
        found = written.get((section, key))
        try:
            yield key, setting.kind.read(found.value if found else setting.default, folder)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            if found is None:
                raise AssertionError(f"the default of [{section}] {key} is none") from error
            mistakes.append(_mistake(found, setting, hidden=found.secret or (section, key) in HIDDEN))


def _groups(limits: object, everybody: Mapping[str, object], file: str, mistakes: list[str]) -> dict[str, LimitsGroup]:
    """The groups of [limits]: tables in it, each with its users; what a group does not name is as for everybody."""
    groups: dict[str, LimitsGroup] = {}
    for name, keys in limits.items() if isinstance(limits, dict) else ():
        if not isinstance(keys, dict) or name in settings_of("limits"):
            continue
        values = dict(everybody)
        for key, value in keys.items():
            place = f"{file}: [limits.{name}] {key}"
            if key not in GROUP:
                mistakes.append(f"{place} is no key that there is{_meant(key, GROUP)}")
                continue
            try:
                values[key] = GROUP[key].kind.read(value, Path())
            except (ValueError, TypeError, KeyError, OverflowError):
                mistakes.append(_mistake(_Written(value, file, place), GROUP[key], hidden=False))
                values.setdefault(key, ())
        if "users" not in keys:
            mistakes.append(f"{file}: [limits.{name}] needs users: {GROUP['users'].kind.expected}")
        elif len(values) == len(GROUP):
            groups[name] = _group(values)
    return groups


def _group(values: Mapping[str, Any]) -> LimitsGroup:
    """Any: each value was read by its own kind just before."""
    return LimitsGroup(**values)


def _mistake(found: _Written, setting: Setting, *, hidden: bool) -> str:
    shown = "this value" if hidden else repr(found.value)
    return f"{found.place}: expected {setting.kind.expected}, not {shown}"


def _borrow_credentials(
    database: dict[str, object],
    written: dict[tuple[str, str], _Written],
    environ: Mapping[str, str],
    mistakes: list[str],
) -> None:
    """Takes the database's URL from the Seafile installation, if one is named."""
    conf = database.get("seafile_conf")
    if not isinstance(conf, Path):
        return
    place = written["database", "seafile_conf"].place
    if url := written.get(("database", "url")):
        mistakes.append(f"{url.place} and {place}: only one of url and seafile_conf can name the database; remove one")
        return
    from odl_daemon.config.seafile_conf import SeafileConfError, credentials  # only here: most have none

    try:
        found = credentials(conf, environ)
    except SeafileConfError as error:
        mistakes.append(f"{place}: {error}")
        return
    database["url"] = found.url
    written["database", "url"] = _Written(found.url, found.origin, place)


def _relate(values: dict[str, dict[str, object]]) -> None:
    """Fills in what follows from other settings."""
    state_dir = values["daemon"]["state_dir"]
    assert isinstance(state_dir, Path)
    values["download"]["temp_dir"] = values["download"]["temp_dir"] or state_dir / "scratch"


def _contradictions(values: dict[str, dict[str, object]]) -> Iterator[str]:
    temp_dir, state_dir = values["download"]["temp_dir"], values["daemon"]["state_dir"]
    library = values["library"]["folder"]
    assert isinstance(temp_dir, Path)
    assert isinstance(state_dir, Path)
    assert isinstance(library, Path)
    kind = values["library"]["kind"]
    if kind != "folder":
        yield from _ways_to_seafile(values["library"], temp_dir)
    channel, mode = values["intake"]["channel"], values["intake"]["channel_mode"]
    if channel and values["library"]["socket"] is None:
        yield "[intake] channel needs [library] socket, the path of seaf-server's seafile.sock"
    if channel == "seahub.stats" and mode == "own":
        yield '[intake] channel "seahub.stats" is seafevents\' too: set [intake] channel_mode = "share", or use another'
    if kind == "folder" and _lies_in(library, temp_dir):
        yield f"[library] folder {library} lies in [download] temp_dir {temp_dir}, which is swept: keep them apart"
    if values["hooks"]["urls"] and len(str(values["hooks"]["secret"])) < SHORTEST_SECRET:
        yield f"[hooks] secret: expected {SHORTEST_SECRET} characters at least, or nobody could trust the messages"
    if _lies_in(state_dir, temp_dir):
        yield (
            f"[daemon] state_dir {state_dir} is, or lies in, [download] temp_dir {temp_dir}, where aria2 may write: "
            "let temp_dir be a folder of its own"
        )


def _ways_to_seafile(library: dict[str, Any], temp_dir: object) -> Iterator[str]:
    kind, tokens = library["kind"], {key for key in ("seahub_url", "tokens_file") if library[key]}
    if library["socket"] is None:
        if kind == "seafile-rpc" or not tokens:
            other = "" if kind == "seafile-rpc" else "; or [library] seahub_url and tokens_file"
            yield f'[library] kind = "{kind}" needs [library] socket, the path of seaf-server\'s seafile.sock{other}'
        elif len(tokens) == 1:
            yield "[library] seahub_url and tokens_file belong together: set both, or a socket"
    temp_dir = str(temp_dir)
    if kind == "seafile-rpc" and not unicodedata.is_normalized("NFC", temp_dir):
        yield f"[download] temp_dir {temp_dir}: seaf-server spells its accents otherwise and finds nothing; rename it"
    if library["block_size"] < 1 << 20:
        yield "[library] block_size: expected 1 MiB at least, as seafile.conf has it; without an entry there, 8 MiB"


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether it is the folder, or below it, by whatever links they are named."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _config(
    sections: Mapping[str, Any],
    groups: Mapping[str, LimitsGroup],
    file: Path | None,
    came_from: Mapping[tuple[str, str], str],
) -> Config:
    """Any: each section was made by its own class just before."""
    return Config(**sections, groups=groups, file=file.absolute() if file else None, came_from=came_from)
