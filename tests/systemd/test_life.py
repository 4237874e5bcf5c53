"""The service under a real systemd, from the first install to the last; each test leaves it installed and running."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.until import until
from tests.chaos.victims import strike
from tests.servers.daemon import Answer
from tests.servers.origin import Origin, Page
from tests.systemd.machine import CONFIG, Machine
from tests.systemd.scenes import BODY, LIBRARY, arrived, changed, drop_in, held, works

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="session")]

VERSION = "/root/project/src/odl_daemon/__init__.py"


# --- it is installed --------------------------------------------------------------------------------------


async def test_where_no_systemd_runs_all_is_installed_and_the_unit_is_not_started(first_install: Answer) -> None:
    assert first_install.code == 0, first_install
    assert "installing aria2 bubblewrap python3-venv" in first_install.err
    assert "systemd does not run here, so the service is not started" in first_install.err
    assert re.search(r"^ok +sandbox ", first_install.out, re.MULTILINE)


async def test_it_comes_up_with_the_machine_as_an_ordinary_user(machine: Machine) -> None:
    await works(machine)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{machine.pid_of('odl-daemon')}/status").read_text().splitlines()
    )
    uid = await machine.ok("id", "-u", "odl-daemon")
    assert status["Uid"].split() == [uid] * 4 and uid != "0"
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


async def test_the_config_is_closed_to_strangers(machine: Machine) -> None:
    told = await machine.ok("stat", "-c", "%a %U %G", CONFIG, "/etc/odl-daemon", "/var/lib/odl-daemon")
    assert told.splitlines() == ["640 root odl-daemon", "750 root odl-daemon", "700 odl-daemon odl-daemon"]


async def test_a_second_install_takes_seconds_and_changes_nothing(machine: Machine) -> None:
    before, running = inventory(machine), await machine.shown("MainPID", "ActiveEnterTimestamp")
    began = time.monotonic()
    answer = await machine.make("install")
    assert answer.code == 0, answer
    assert time.monotonic() - began < 30, "seconds, on a busy machine"
    assert inventory(machine) == before
    assert await machine.shown("MainPID", "ActiveEnterTimestamp") == running


# --- it works ---------------------------------------------------------------------------------------------


async def test_a_link_goes_through_the_sandbox_into_the_library(machine: Machine, origin: Origin) -> None:
    async with held(machine, origin, "sandboxed.bin") as task:
        daemon, aria2c = (Path(f"/proc/{machine.pid_of(name)}/ns/net").readlink() for name in ("odl-daemon", "aria2c"))
        assert daemon != aria2c, "aria2 has a network of its own"
    await arrived(machine, task, "sandboxed.bin")


@pytest.mark.parametrize("victim", ["odl-daemon", "aria2c", "python3", "bwrap"])
async def test_whatever_is_killed_comes_back_and_a_running_task_finishes(
    machine: Machine, origin: Origin, victim: str
) -> None:
    name = f"{victim}.bin"
    async with held(machine, origin, name) as task:
        before = machine.pid_of(victim)
        assert strike(machine.pid, victim)
        await until(lambda: machine.pid_of(victim) not in (0, before), what=f"another {victim}")
        await works(machine)
    await arrived(machine, task, name)


async def test_the_watchdog_ends_a_daemon_that_hangs(machine: Machine, origin: Origin) -> None:
    async with drop_in(machine, "watchdog", "WatchdogSec=3"), held(machine, origin, "hung.bin") as task:
        before = machine.pid_of("odl-daemon")
        os.kill(before, signal.SIGSTOP)
        await until(lambda: machine.pid_of("odl-daemon") not in (0, before), what="another daemon")
        await works(machine)
        assert "Watchdog timeout" in await machine.journal()
    await arrived(machine, task, "hung.bin")


async def test_a_restart_lets_a_running_task_go_on(machine: Machine, origin: Origin) -> None:
    async with held(machine, origin, "restarted.bin") as task:
        await machine.ok("systemctl", "restart", "odl-daemon")
    await arrived(machine, task, "restarted.bin")


async def test_a_reload_takes_over_what_can_change_and_refuses_mistakes(machine: Machine, origin: Origin) -> None:
    origin.pages["/paused.bin"] = Page(BODY)
    (pid,) = await machine.shown("MainPID")
    with changed(machine.file(CONFIG), "[daemon]", "[daemon]\nenabled = false"):
        await machine.ok("systemctl", "reload", "odl-daemon")
        task = await machine.add(origin.url("/paused.bin"))
        assert "enabled" in (await machine.odl("why", str(task))).out
    with changed(machine.file(CONFIG), "[daemon]", "[daemon]\nenabled = maybe"):
        await machine.ok("systemctl", "reload", "odl-daemon")
        assert "the settings stay as they were" in await machine.journal()
    assert (await machine.show(task))["phase"] == "waiting"
    await machine.ok("systemctl", "reload", "odl-daemon")
    await arrived(machine, task, "paused.bin")
    assert await machine.shown("MainPID") == (pid,)


# --- it becomes another -----------------------------------------------------------------------------------


async def test_an_upgrade_in_place_keeps_the_config_and_the_running_tasks(machine: Machine, origin: Origin) -> None:
    before, settings = await machine.shown("MainPID"), machine.file(CONFIG).read_bytes()
    with changed(machine.file(VERSION), '__version__ = "', '__version__ = "9.'):
        async with held(machine, origin, "upgraded.bin") as task:
            answer = await machine.make("install")
            assert answer.code == 0, answer
            await works(machine)
        await arrived(machine, task, "upgraded.bin")
        assert "odl 9." in (await machine.odl("--version")).out
    assert await machine.shown("MainPID") != before
    assert machine.file(CONFIG).read_bytes() == settings
    assert len(await versions(machine)) == 1


async def test_an_upgrade_that_cannot_be_built_leaves_the_old_version_at_work(machine: Machine) -> None:
    before, kept = await machine.shown("MainPID"), await versions(machine)
    with changed(
        machine.file("/root/project/pyproject.toml"), '"aiohttp>=', '"no-such-package-anywhere",\n    "aiohttp>='
    ):
        answer = await machine.make("install")
    assert answer.code != 0
    assert "what was installed before is as it was" in answer.err
    assert (await machine.shown("MainPID"), await versions(machine)) == (before, kept)
    await works(machine)


async def test_an_upgrade_that_was_cut_off_is_finished_by_the_next(machine: Machine) -> None:
    before = await machine.shown("MainPID")
    deaf = machine.file("/root/deaf/systemctl")
    deaf.parent.mkdir()
    deaf.write_text("#!/bin/sh\nexit 1\n")
    deaf.chmod(0o755)
    with changed(machine.file(VERSION), '__version__ = "', '__version__ = "8.'):
        cut_off = await machine.run("sh", "-c", "PATH=/root/deaf:$PATH make -C /root/project install")
        assert cut_off.code != 0
        assert await machine.shown("MainPID") == before
        await machine.accept(await machine.make("install"))
    await works(machine)
    assert await machine.shown("MainPID") != before


async def test_secrets_come_as_credentials(machine: Machine) -> None:
    secrets = machine.file("/etc/odl-daemon/credentials")
    secrets.mkdir(mode=0o700)
    (secrets / "url").write_text("sqlite:////var/lib/odl-daemon/credential.db\n")
    (secrets / "tokens").write_text("alice@example.org = 24fd3c026886e3121b2ca630805ed425c272cb96\n")
    load = "\n".join(
        f"LoadCredential={name}:/etc/odl-daemon/credentials/{file}"
        for name, file in (("database.url", "url"), ("library.tokens_file", "tokens"))
    )
    web = 'kind = "seafile-http"\nseahub_url = "http://127.0.0.1:9"'
    async with drop_in(machine, "credentials", load):
        with changed(machine.file(CONFIG), 'kind = "folder"', web):
            await machine.ok("systemctl", "restart", "odl-daemon")
            assert machine.file("/var/lib/odl-daemon/credential.db").exists()
            told = (await machine.make("install")).out
            assert "sqlite:////var/lib/odl-daemon/credential.db" in told, "the check has the credentials, too"
    await works(machine)


async def test_a_folder_that_the_config_names_is_opened_to_the_unit(machine: Machine, origin: Origin) -> None:
    await machine.ok("install", "-d", "-o", "odl-daemon", "/srv/files", "/home/files")
    for folder in ('/srv/files/a 100% "b": c', "/home/files/library"):
        written = folder.replace('"', '\\"')
        with changed(machine.file(CONFIG), '"/var/lib/odl-daemon/library"', f'"{written}"'):
            assert (await machine.make("install")).code == 0
            await machine.ok("systemctl", "restart", "odl-daemon")
            origin.pages["/elsewhere.bin"] = Page(BODY)
            await arrived(
                machine, await machine.add(origin.url("/elsewhere.bin")), "elsewhere.bin", folder + "/default"
            )
    assert (await machine.make("install")).code == 0
    assert not machine.file("/etc/systemd/system/odl-daemon.service.d/paths.conf").exists()


# --- it goes, and returns ---------------------------------------------------------------------------------


async def test_uninstall_leaves_the_data_and_install_takes_it_up_again(machine: Machine, origin: Origin) -> None:
    settings = machine.file(CONFIG).read_bytes()
    async with held(machine, origin, "taken-up.bin") as task:
        answer = await machine.make("uninstall")
        assert answer.code == 0, answer
        assert "the data: rm -r /var/lib/odl-daemon" in answer.err
        assert machine.pid_of("odl-daemon") == machine.pid_of("aria2c") == 0
        assert (await machine.run("systemctl", "cat", "odl-daemon")).code != 0
        assert not any(os.path.lexists(machine.file(path)) for path in ("/opt/odl-daemon", "/usr/local/bin/odl"))
        assert machine.file(CONFIG).read_bytes() == settings
        assert machine.file(LIBRARY + "/sandboxed.bin").read_bytes() == BODY
        assert "nothing is installed here" in (await machine.make("uninstall")).err
        answer = await machine.make("install")
        assert answer.code == 0, answer
        await works(machine)
    await arrived(machine, task, "taken-up.bin")


# --- what is there ----------------------------------------------------------------------------------------


def inventory(machine: Machine) -> dict[str, tuple[int, int]]:
    """Every file of an installation, and when it was last touched."""
    folders = ("/etc", "/opt/odl-daemon", "/usr/local/bin")
    files = [file for folder in folders for file in machine.file(folder).rglob("*")]
    return {
        str(file): (file.lstat().st_mtime_ns, file.lstat().st_ino) for file in files if "__pycache__" not in str(file)
    }


async def versions(machine: Machine) -> list[str]:
    return (await machine.ok("ls", "/opt/odl-daemon/versions")).split()
