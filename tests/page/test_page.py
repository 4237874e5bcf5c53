"""The page in a real browser, against the real daemon: what users do with it, and what strangers' words do to it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.page.conftest import PHONE, Site
from tests.servers.origin import Page as File
from tests.servers.origin import content

pytestmark = pytest.mark.asyncio(loop_scope="session")  # one browser for all, which lives in one loop

MIB = 1 << 20
XSS = '<img src=x onerror="document.title=1">.html'


def row(page: Page, task_id: int) -> str:
    return f'li.task[data-id="{task_id}"]'


async def add(page: Page, *links: str) -> None:
    await page.fill("#links", "\n".join(links))
    await page.click("#add-go")


def gated(site: Site, path: str) -> asyncio.Event:
    gate = asyncio.Event()
    site.origin.pages[path] = File(content(4 * MIB), gate=gate, gate_at=2 * MIB, etag='"1"')
    return gate


async def test_a_link_is_added_its_bar_moves_and_it_is_done(site: Site) -> None:
    gate = gated(site, "/film.mkv")
    async with site.open() as page:
        assert "#token" not in page.url
        await add(page, site.origin.url("/film.mkv"), "ftp://example.org/no")
        await expect(page.locator("#links")).to_have_value("ftp://example.org/no")  # what was refused stays
        await expect(page.locator("#results")).to_contain_text("ftp")
        bar = page.locator(f"{row(page, 1)} progress")
        await expect(bar).to_be_visible()
        await expect(page.locator(f"{row(page, 1)} .name")).to_have_text("film.mkv")
        before = float(await bar.get_attribute("value") or 0)
        gate.set()
        await expect(page.locator(row(page, 1))).to_have_attribute("data-phase", "done")
        assert 0 < before < 1
        await expect(page.locator("#tabs")).to_contain_text("Done 1", use_inner_text=True)


async def test_a_task_is_paused_resumed_cancelled_and_brought_back(site: Site) -> None:
    gate = gated(site, "/a.iso")
    async with site.open() as page:
        await add(page, site.origin.url("/a.iso"))
        task = page.locator(row(page, 1))
        await expect(task).to_have_attribute("data-phase", "fetching")
        await task.locator('[data-act="pause"]').click()
        await expect(task).to_have_attribute("data-phase", "paused")
        await task.locator('[data-act="resume"]').click()
        await expect(task).to_have_attribute("data-phase", "fetching")
        await task.locator('[data-act="cancel"]').click()
        await page.locator("#dialog footer button").first.click()
        await expect(task).to_have_attribute("data-phase", "fetching")  # it was asked for first
        await task.locator('[data-act="cancel"]').click()
        await page.locator("#dialog .danger").click()
        await expect(task).to_have_attribute("data-phase", "cancelled")
        gate.set()
        await page.get_by_role("button", name="Undo").click()
        await expect(task).to_have_attribute("data-phase", "done")


async def test_a_failure_tells_its_sentence_and_its_one_action(site: Site) -> None:
    async with site.open() as page:
        await add(page, site.origin.url("/missing.pdf"))
        task = page.locator(row(page, 1))
        await expect(task.locator(".line")).to_contain_text("no such file")
        await task.locator('[data-act="new_link"]').click()
        await expect(page.locator("#links")).to_be_focused()
        site.origin.pages["/missing.pdf"] = File(content(1000))
        await task.locator('[data-act="retry"]').click()
        await expect(task).to_have_attribute("data-phase", "done")


async def test_many_are_picked_searched_and_steered_at_once(site: Site) -> None:
    gates = [gated(site, f"/{number}.bin") for number in range(3)]
    async with site.open() as page:
        await add(page, *[site.origin.url(f"/{number}.bin") for number in range(3)])
        await expect(page.locator('li.task[data-phase="fetching"]')).to_have_count(3)
        await page.fill("#search", "1.bin")
        await expect(page.locator("li.task")).to_have_count(1)
        await page.fill("#search", "")
        await expect(page.locator("li.task")).to_have_count(3)
        await page.check("#pick-all")
        await page.locator('#picked [data-wish="pause"]').click()
        await expect(page.locator('li.task[data-phase="paused"]')).to_have_count(3)
        for gate in gates:
            gate.set()
        await page.locator('#picked [data-wish="resume"]').click()
        await expect(page.locator('li.task[data-phase="done"]')).to_have_count(3)


async def test_everything_is_done_by_keys_alone(site: Site) -> None:
    gate = gated(site, "/a.bin")
    async with site.open() as page:
        await page.keyboard.press("n")
        await page.keyboard.type(site.origin.url("/a.bin"))
        await page.keyboard.press("Enter")
        task = page.locator(row(page, 1))
        await expect(task).to_have_attribute("data-phase", "fetching")
        await page.keyboard.press("Escape")
        await page.keyboard.press("j")
        await page.keyboard.press("p")
        await expect(task).to_have_attribute("data-phase", "paused")
        await page.keyboard.press("p")
        await expect(task).to_have_attribute("data-phase", "fetching")
        await page.keyboard.press("Delete")
        await page.keyboard.press("Enter")
        await expect(task).to_have_attribute("data-phase", "cancelled")
        gate.set()
        await page.keyboard.press("r")
        await expect(task).to_have_attribute("data-phase", "done")
        await page.keyboard.press("?")
        await expect(page.locator("#dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#dialog")).to_have_count(0)
        await page.keyboard.press("/")
        await expect(page.locator("#search")).to_be_focused()


async def test_it_speaks_two_languages_and_remembers_which(site: Site) -> None:
    async with site.open(locale="zh-CN") as page:
        await expect(page.locator("#add-go")).to_have_text("添加")
        await page.click("#language")
        await expect(page.locator("#add-go")).to_have_text("Add")
        await page.reload()
        await expect(page.locator("#add-go")).to_have_text("Add")
        assert await page.locator("html").get_attribute("lang") == "en"


async def test_it_goes_on_after_the_daemon_was_away(site: Site) -> None:
    gate = gated(site, "/a.bin")
    async with site.open() as page:
        await add(page, site.origin.url("/a.bin"))
        await expect(page.locator(row(page, 1))).to_have_attribute("data-phase", "fetching")
        await site.daemon.kill()
        await expect(page.locator("#banner")).to_be_visible()
        gate.set()
        await site.daemon.start()
        await expect(page.locator("#banner")).to_be_hidden()
        await expect(page.locator(row(page, 1))).to_have_attribute("data-phase", "done")


async def test_ten_thousand_tasks_stay_a_few_rows(site: Site) -> None:
    site.rows(10_000)
    async with site.open() as page:
        await expect(page.locator("li.task").first).to_be_visible()
        for _ in range(30):
            await page.mouse.wheel(0, 4000)
            assert await page.locator("li.task").count() < 120
        await page.keyboard.press("End")
        await expect(page.locator("li.task").first).to_be_visible()


@pytest.mark.parametrize("where", ["url", "name", "comment", "owner"])
async def test_a_strangers_words_are_words(site: Site, where: str) -> None:
    site.rows(1, owner="<b>x</b>" if where == "owner" else "ann@example.org")
    columns = {
        "url": f"http://example.org/{XSS}",
        "name": f"/{XSS}",
        "comment": XSS,
        "owner": "<script>alert(1)</script>",
    }
    column = {"name": "path"}.get(where, where)
    with closing(sqlite3.connect(site.daemon.folder / "odl.db", timeout=20)) as table, table:
        table.execute(f"UPDATE OfflineDownloadRecord SET {column} = ?, status = 5", (columns[where],))
    async with site.open("--admin") as page:
        await expect(page.locator("li.task")).to_have_count(1)
        await page.locator("li.task .name").click()
        await expect(page.locator("#dialog")).to_be_visible()
        assert await page.locator("li.task img, #dialog img, #dialog script").count() == 0
        assert await page.title() != "1"


@pytest.mark.parametrize(
    ("scheme", "locale", "size"), [("light", "en", None), ("dark", "zh-CN", None), ("light", "en", PHONE)]
)
async def test_nothing_serious_is_in_the_way_of_a_screen_reader(
    site: Site, scheme: str, locale: str, size: dict[str, int] | None
) -> None:
    gated(site, "/a.bin")
    still = {"color_scheme": scheme, "locale": locale, "reduced_motion": "reduce"}
    async with site.open("--admin", size=size, **still) as page:
        await add(page, site.origin.url("/a.bin"), site.origin.url("/missing"))
        await expect(page.locator('li.task[data-phase="fetching"]')).to_have_count(1)
        await expect(page.locator('li.task[data-phase="failed"]')).to_have_count(1)
        await _accessible(page)
        await page.locator("li.task .name").first.click()
        await expect(page.locator("#dialog")).to_be_visible()
        await _accessible(page)
        await page.keyboard.press("Escape")
        await page.click('#places [data-place="limits"]')
        await _accessible(page)


async def test_an_admin_sees_everybodys_tasks_limits_and_blocks(site: Site) -> None:
    site.rows(2, owner="bob@example.org")
    async with site.open("--admin") as page:
        await expect(page.locator("li.task .owner").first).to_have_text("bob@example.org")
        await add(page, "http://10.1.2.3/inside")
        await page.click('#places [data-place="limits"]')
        await expect(page.locator("#limits")).to_contain_text("ann@example.org")
        await page.click('#places [data-place="blocks"]')
        await expect(page.locator("#blocks")).to_contain_text("10.1.2.3")
    async with site.open(owner="eve@example.org") as page:
        await expect(page.locator("#places")).to_be_hidden()
        await expect(page.locator("li.task")).to_have_count(0)


async def _accessible(page: Page) -> None:
    found = (await Axe().run(page)).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], each["nodes"][0]["html"]) for each in serious]
