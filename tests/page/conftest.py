"""A browser, and a daemon whose page it opens."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.http.conftest import house
from tests.servers.daemon import Daemon
from tests.servers.origin import Origin

CHROMIUM = shutil.which("chromium") or "chromium"

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Root may have no sandbox of Chromium's, and nobody but the daemon is to be asked for anything."""

DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        yield await driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))


@dataclass
class Site:
    """The daemon and its page."""

    daemon: Daemon
    base: str
    origin: Origin
    browser: Browser

    async def token(self, owner: str = "ann@example.org", *more: str) -> str:
        return (await self.daemon.odl("token", "create", "--owner", owner, *more)).out.strip()

    @asynccontextmanager
    async def open(
        self, *more: str, owner: str = "ann@example.org", size: dict[str, int] | None = None, **options: Any
    ) -> AsyncIterator[Page]:
        """The page, signed in by a link; nothing may have gone wrong in it when it is left."""
        context = await self.browser.new_context(viewport=size or DESKTOP, **options)  # type: ignore[arg-type]
        page = await context.new_page()
        page.set_default_timeout(20_000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if _is_bad(said.text) else None)
        try:
            await page.goto(f"{self.base}/#token={await self.token(owner, '--once', *more)}")
            await page.wait_for_selector("#view-downloads:not([hidden])")
            yield page
            assert not wrong
        finally:
            await context.close()

    def rows(self, count: int, owner: str = "ann@example.org", **columns: object) -> None:
        """So many more rows of tasks that are done, as the table would have them after years."""
        with closing(sqlite3.connect(self.daemon.folder / "odl.db", timeout=20)) as table, table:
            first = table.execute("SELECT COALESCE(MAX(odr_id), 0) FROM OfflineDownloadRecord").fetchone()[0] + 1
            table.executemany(
                "INSERT INTO OfflineDownloadRecord VALUES (?, 'default', ?, ?, ?, '2026-01-02 03:04:05', 1000, 4, '')",
                [
                    (number, f"/file {number}.bin", f"http://example.org/{number}", owner)
                    for number in range(first, first + count)
                ],
            )


def _is_bad(said: str) -> bool:
    return "Content Security Policy" in said or "Refused" in said


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path: Path, browser: Browser) -> AsyncIterator[Site]:
    async with Origin() as origin, house(tmp_path / "daemon") as found:
        yield Site(found.daemon, found.base, origin, browser)
