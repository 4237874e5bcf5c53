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
            house(Path(own) / "d", download={"slots": 3}) as found,
        ):
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
            site = Site(found.daemon, found.base, origin, browser)
            await _fill(site)
            await _shoot(site, folder)


async def _fill(site: Site) -> None:
    names = [
        "debian-12.7.0-amd64-netinst.iso",
        "Vorlesung 04 – Graphen.mp4",
        "季度报告.pdf",
        "backup.tar.zst",
        "song.flac",
    ]
    for number, name in enumerate(names):
        gate = asyncio.Event() if number < 3 else None
        site.origin.pages[f"/{number}"] = Page(content(8 * MIB), gate=gate, gate_at=(2 + number * 2) * MIB)
        await site.daemon.add(site.origin.url(f"/{number}"), arguments=("--owner", "ann@example.org", "--name", name))
    await site.daemon.add(site.origin.url("/missing/thesis.pdf"), arguments=("--owner", "ann@example.org"))
    for number in range(4):
        site.origin.pages[f"/w{number}"] = Page(content(MIB))
        await site.daemon.add(
            site.origin.url(f"/w{number}"), arguments=("--owner", "ann@example.org", "--name", f"waits-{number}.zip")
        )


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
