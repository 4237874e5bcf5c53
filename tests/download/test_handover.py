"""What is laid out for a library's server is not shown to aria2."""

from __future__ import annotations

from pathlib import Path

from odl_daemon.download.conf import ARGUMENTS, Conf
from odl_daemon.download.isolation import HIDDEN, Isolation
from odl_daemon.download.sandbox import Sandbox
from odl_daemon.library.fetched_files import HANDOVER


async def test_the_sandbox_does_not_see_what_is_handed_over(tmp_path: Path) -> None:
    assert HIDDEN == HANDOVER
    root = tmp_path / "scratch"
    for name in (HIDDEN, "7"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_text("somebody's")
    async with Sandbox.opened(
        scratch=root,
        aria2c="aria2c",
        isolation=Isolation.NAMESPACE,
        arguments=ARGUMENTS,
        conf=Conf(secret="s", slots=1, silence=30).text(),
        memory=1 << 30,
        lock=tmp_path / "lock",
        heard=lambda line: None,
    ) as sandbox:
        assert await sandbox.sees(str(root / "7" / "file"))
        assert await sandbox.sees(str(root / HIDDEN))
        assert not await sandbox.sees(str(root / HIDDEN / "file"))
