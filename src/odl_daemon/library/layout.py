"""Where the files of one task go inside the folder that holds them: safe names, no two alike. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from odl_daemon.model.names import free_name, name_of_url, safe_name

TEMPORARY = ".odl-"
"""What the names of our copies under way begin with; nothing else in a library may."""


def name_here(text: str) -> str:
    """A safe name that cannot be taken for a copy under way."""
    name = safe_name(text)
    return name.removeprefix(".") if name.startswith(TEMPORARY) else name


def wanted_name(url: str, sources: Sequence[str]) -> str:
    """What the one file, or the folder of several, would be called if nothing were in its way; not yet safe."""
    if len(sources) == 1:
        return sources[0].rpartition("/")[2]
    return common_folder(sources) or name_of_url(url)


def common_folder(sources: Sequence[str]) -> str:
    """The folder that all files lie in at their source, or ""."""
    tops = {source.strip("/").partition("/")[0] if "/" in source.strip("/") else "" for source in sources}
    return tops.pop() if len(tops) == 1 else ""


def layout(sources: Sequence[str]) -> list[str]:
    """For each source path a relative path of safe names, the common folder left out.

    Files of one source folder stay together, and no two get one place: `a:b` and `a?b` become `a_b` and `a_b (1)`.
    """
    top = common_folder(sources)
    known: dict[tuple[str, str], str] = {}
    taken: defaultdict[str, set[str]] = defaultdict(set)
    places: list[str] = []
    for source in sources:
        here = ""
        for part in _parts(source, top):
            if (here, part) not in known:
                known[here, part] = free_name(name_here(part), taken[here])
                taken[here].add(known[here, part])
            here = f"{here}/{known[here, part]}"
        places.append(here.strip("/"))
    return places


def _parts(source: str, top: str) -> list[str]:
    parts = [part for part in source.split("/") if part]
    return parts[1:] if top else parts or [""]
