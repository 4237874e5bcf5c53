"""aria2's client for JavaScript, unmodified, drives the house: by HTTP, then by websocket with notifications."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from odl_daemon.model.task import Phase
from tests.jsonrpc.house import House

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / ".cache" / "node" / "node_modules"
"""Where tools/setup.sh has put it."""

FAULT = {"code": 1, "message": "Invalid GID nonsense"}


async def test_the_client_for_javascript_finds_an_aria2(house: House) -> None:
    node = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "drive.js"),
        str(house.port),
        "odl_ann",
        env=os.environ | {"NODE_PATH": str(MODULES)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await node.communicate()
    assert node.returncode == 0, err.decode()
    met = json.loads(out)
    for part, stopped in (("overHttp", "2"), ("overSocket", "4")):
        assert (met[part]["stopped"], met[part]["fault"], met[part]["lists"]) == (stopped, FAULT, True)
        assert met[part]["batch"] == ["1.36.0", FAULT["message"]]
    quick, slow = met["overSocket"]["quick"], met["overSocket"]["slow"]
    assert met["heard"] == [
        f"onDownloadStart {quick}",
        f"onDownloadComplete {quick}",
        f"onDownloadStart {slow}",
        f"onDownloadPause {slow}",
        f"onDownloadStart {slow}",
        f"onDownloadStop {slow}",
    ]
    phases = [task.phase for task in await house.tasks()]
    assert phases == [Phase.DONE, Phase.CANCELLED] * 2
