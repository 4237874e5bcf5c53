"""Writes what the settings say of themselves: docs/configuration.md, and the example config.toml.

`python -m odl_daemon.cli.settings_page FOLDER` writes both below FOLDER; a test holds them up to date.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from odl_daemon.cli.show_config import as_toml
from odl_daemon.config.settings import GROUP, SECTIONS, LimitsGroup, Setting, settings_of

PAGE = "docs/configuration.md"
EXAMPLE = "config.toml"


def written() -> dict[str, str]:
    """The files by their paths below the project's folder."""
    return {PAGE: "\n".join(_page()) + "\n", EXAMPLE: "\n".join(_example()) + "\n"}


def _page() -> Iterator[str]:
    yield _HEAD
    for section, kind in SECTIONS.items():
        yield f"\n## [{section}]\n\n{kind.__doc__}"
        for key, setting in settings_of(section).items():
            yield f"\n### {key} = {as_toml(setting.default)}\n"
            yield setting.meaning
            if setting.why:
                yield f"\n*Why this default:* {setting.why}"
            yield f"\nExpected: {setting.kind.expected}. In the environment: `ODL_{section.upper()}__{key.upper()}`."
        if section == "limits":
            users = GROUP["users"]
            yield f"\n### [limits.name]\n\n{LimitsGroup.__doc__}\n\n### users\n\n{users.meaning}"
            yield f"\nExpected: {users.kind.expected}."


def _example() -> Iterator[str]:
    yield _EXAMPLE_HEAD
    for section, kind in SECTIONS.items():
        yield f"\n[{section}]\n# {kind.__doc__}"
        for key, setting in settings_of(section).items():
            yield ""
            yield from _comment(setting)
            yield f"#{key} = {as_toml(setting.default)}"
        if section == "limits":
            yield ""
            yield from _comment(GROUP["users"])
            yield '# [limits.students]\n# users = ["*@students.example.org"]\n# running = 2'


def _comment(setting: Setting) -> list[str]:
    words = " ".join(word for word in (setting.meaning, setting.why) if word).replace("`", "")
    return textwrap.wrap(words, 100, initial_indent="# ", subsequent_indent="# ")


_HEAD = """\
# Settings

<!-- Made by `python -m odl_daemon.cli.settings_page .` from src/odl_daemon/config/settings.py: change it there. -->

The settings stand in one TOML file: the one that `--config FILE` names, else `$ODL_CONFIG`, else `./config.toml`, else
`/etc/odl-daemon/config.toml`. Without any of them the defaults below hold. `odl config` prints the settings in force
and where each comes from; `odl check` tries whether the daemon can work with them.

* **Environment.** Each key can be set by `ODL_<SECTION>__<KEY>` (two underscores), which wins over the file:
  `ODL_DOWNLOAD__SLOTS=20`. Lists are written as JSON or with commas between the items.
* **Credentials.** A secret need not stand in the file: a credential of systemd that is named like a key,
  `database.url`, sets that key, over the file and below the environment. The credential `library.tokens_file`
  is that file itself. docs/operations.md tells how to hand them over.
* **Durations** are seconds (`90`, `0.5`), or texts like `"500ms"`, `"90s"`, `"30m"`, `"1h30m"`, `"2d"`.
* **Sizes** are bytes, or texts like `"700M"`, `"5 GiB"` (powers of 1024) or `"5 GB"` (powers of 1000).
* **Paths** that are relative count from the folder of the config file; without a file, from the current folder.
* **Mistakes** (unknown sections and keys, bad values) are reported all at once, each with its file or variable, its key
  and what is expected; the daemon does not start with any.
* **Reload.** On SIGHUP the daemon reads the settings anew and takes over `[daemon] enabled`, `[log] level`, `[limits]`
  with its groups, `[guard]` egress, allow, deny and ports, and of `[download]` slots, time_limit, max_size, retries,
  retry_wait and keep_failed. The rest needs a restart. If there is a mistake, everything stays as it was.
* **Passwords** belong into a credential, or into a config file that only the daemon's user can read. `odl config` hides
  them."""

_EXAMPLE_HEAD = """\
# Settings of odl-daemon. Each key stands here with its default; remove the # before a key to change it.
# Durations: seconds, or "30m", "1h30m". Sizes: bytes, or "5 GiB". Relative paths count from this file's folder."""


def main(argv: list[str]) -> int:
    folder = Path(argv[1])
    for path, content in written().items():
        (folder / path).write_text(content, encoding="utf-8")
        print(folder / path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
