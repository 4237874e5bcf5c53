"""Screenshots of the page in several states, for eyes: `python -m tests.page.look FOLDER`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from tests.http.conftest import house
from tests.page.conftest import CHROMIUM, PHONE, QUIET, Site
from tests.servers.origin import Origin, Page, content

MIB = 1 << 20


async def look(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as own:
        async with (
            Origin() as origin,
            async_playwright() as driver,
            house(Path(own) / "d", download={"slots": 2}) as found,
        ):
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
            site = Site(found.daemon, found.base, origin, browser)
            await _fill(site)
            await _shoot(site, folder)


async def _fill(site: Site) -> None:
    """Some that wait, move, are done, and failed."""
    done = ["Vorlesung 04 – Graphen.mp4", "季度报告.pdf", "song.flac"]
    moving = ["debian-12.7.0-amd64-netinst.iso", "backup.tar.zst"]
    for number, name in enumerate([*done, *moving]):
        gate = asyncio.Event() if name in moving else None
        site.origin.pages[f"/{number}"] = Page(content(9 * MIB), gate=gate, gate_at=(3 + number) * MIB)
    await _add(site, [f"/{number}" for number in range(len(done))], done)
    await _add(site, ["/missing/thesis.pdf"], [""])
    await asyncio.sleep(2)
    await _add(site, [f"/{len(done) + number}" for number in range(len(moving))], moving)
    await asyncio.sleep(1)
    site.origin.pages["/w"] = Page(content(MIB))
    await _add(site, ["/w"] * 2, ["photos-2026.zip", "lecture-notes.epub"])


async def _add(site: Site, paths: list[str], names: list[str]) -> None:
    for path, name in zip(paths, names, strict=True):
        named = ("--name", name) if name else ()
        await site.daemon.add(site.origin.url(path), arguments=("--owner", "ann@example.org", *named))


async def _shoot(site: Site, folder: Path) -> None:
    for name, size, scheme, locale in [
        ("desktop", None, "light", "en"),
        ("dark", None, "dark", "en"),
        ("phone", PHONE, "light", "en"),
        ("chinese", None, "light", "zh-CN"),
    ]:
        async with site.open("--admin", size=size, color_scheme=scheme, locale=locale) as page:
            await page.wait_for_selector("#list li")
            await page.wait_for_timeout(2500)
            await page.screenshot(path=folder / f"page-{name}.png")


if __name__ == "__main__":
    asyncio.run(look(Path(sys.argv[1])))
