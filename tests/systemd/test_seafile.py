"""`make install` on a host where Seafile runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.servers.origin import Origin, Page, sha256
from tests.systemd.machine import CONFIG, Machine
from tests.systemd.scenes import BODY, changed, works
from tests.systemd.seafile import CONF, seafile

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

ALICE = "alice@example.org"


async def test_it_becomes_seafiles_downloader_once_the_old_worker_is_off(
    machine: Machine, origin: Origin, tmp_path: Path
) -> None:
    await machine.accept(await machine.make("uninstall"))
    ours = machine.file(CONFIG).rename(machine.file("/root/config.toml"))
    async with seafile(machine, tmp_path) as server:
        early = await machine.make("install")
        assert early.code != 0
        assert re.search(r"^FAIL .*seafevents", early.err, re.MULTILINE), early
        assert "it is neither enabled nor started" in early.err
        assert await machine.shown("User", "ActiveState", "UnitFileState") == ("seafile", "inactive", "disabled")

        with changed(machine.file(CONF), "enabled = true", "enabled = false"):
            await machine.accept(await machine.make("install"))
            await works(machine)
            assert await machine.ok("stat", "-c", "%U %a", "/opt/seafile/odl-scratch") == "seafile 700"
            with machine.file(CONFIG).open("a") as config:
                config.write('[guard]\nallow = ["127.0.0.0/8"]\n')
            await machine.ok("systemctl", "restart", "odl-daemon")
            origin.pages["/a.bin"] = Page(BODY)
            repo = await server.create_repo(ALICE)
            task = await machine.done(await machine.add(origin.url("/a.bin"), "--library", repo, "--owner", ALICE))
            files = await server.files(repo)
            assert (list(files), files["/a.bin"].modifier) == (["/a.bin"], ALICE)
            assert (files["/a.bin"].size, task["sha256"]) == (len(BODY), sha256(BODY))
    # Back to what the other tests have; the data goes back to its first user.
    ours.rename(machine.file(CONFIG))
    await machine.accept(await machine.make("install", "SEAFILE_USER=odl-daemon"))
    await works(machine)
    assert await machine.ok("stat", "-c", "%U", "/var/lib/odl-daemon/odl.db") == "odl-daemon"
