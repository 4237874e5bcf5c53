"""`odl config`: the settings in force, and where each comes from."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from odl_daemon.config import Config
from odl_daemon.config.database_url import without_password
from odl_daemon.config.reading import HIDDEN
from odl_daemon.config.settings import GROUP, SECTIONS, settings_of


def show_config(words: Namespace, config: Config) -> int:
    """As TOML that could be used as a config file, apart from the hidden password; or as JSON."""
    values = in_force(config)
    if words.json:
        limits = {**values["limits"], **groups_in_force(config)}
        print(json.dumps({**values, "limits": limits}, indent=2, ensure_ascii=False))
        return 0
    print(f"# {config.file or 'no config file: defaults'}")
    for section, keys in values.items():
        print(f"\n[{section}]")
        for key, value in keys.items():
            origin = config.came_from.get((section, key), "default")
            borrowed = (section, key) == ("database", "url") and config.database.seafile_conf is not None
            print(f"{'# ' if borrowed else ''}{key} = {as_toml(value)}  # {origin}")
        if section == "limits":
            _print_groups(config)
    return 0


def _print_groups(config: Config) -> None:
    for name, group in groups_in_force(config).items():
        print(f"\n[limits.{as_toml(name)}]")
        for key, value in group.items():
            print(f"{key} = {as_toml(value)}  # {config.file}")


def in_force(config: Config) -> dict[str, dict[str, object]]:
    """Every setting, without secrets."""
    return {
        section: {key: _shown(section, key, getattr(getattr(config, section), key)) for key in settings_of(section)}
        for section in SECTIONS
    }


def groups_in_force(config: Config) -> dict[str, dict[str, object]]:
    """The groups of [limits], each with all its keys."""
    return {
        name: {key: _shown("limits", key, getattr(group, key)) for key in GROUP}
        for name, group in config.groups.items()
    }


def as_toml(value: object) -> str:
    """A value as TOML writes it. JSON writes texts, lists and numbers in the same way."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(section: str, key: str, value: object) -> object:
    if (section, key) == ("database", "url"):
        return without_password(str(value))
    if (section, key) in HIDDEN:
        return "***" if value else ""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
