"""A real nginx that serves a folder and counts what it sent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.servers.child import Child
from tests.servers.ports import listening, port_of


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that nginx has answered, or that its client left."""

    method: str
    path: str
    """Decoded, without query."""
    status: int
    sent: int
    """Bytes of the body that went out."""
    range: str
    """The Range header, or ""."""


class Nginx:
    """`async with Nginx(folder) as nginx`: what lies in `nginx.root` is served under `nginx.url(path)`, and once more
    under /slow/ with `slow_rate` bytes per second and connection. ETag, Last-Modified and ranges are on."""

    def __init__(self, folder: Path, *, slow_rate: int = 64 * 1024) -> None:
        self.root = folder / "www"
        self.port = 0
        self._prefix = folder / "nginx"
        self._slow_rate = slow_rate
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._prefix.mkdir(parents=True)
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def url(self, path: str) -> str:
        """The URL of a path below the root."""
        return f"http://127.0.0.1:{self.port}/{quote(path.lstrip('/'))}"

    def slow_url(self, path: str) -> str:
        """The same file, slowly."""
        return self.url("slow/" + path.lstrip("/"))

    async def asked(self, path: str = "") -> list[Asked]:
        """The requests that ended so far: all, or those for one path (a slow one has its own)."""
        await self._settled()
        lines = await asyncio.to_thread(self._log.read_text)
        every = [Asked(**json.loads(line)) for line in lines.splitlines()]
        return [one for one in every if one.path != _MARK and path in ("", one.path)]

    async def sent(self, path: str = "") -> int:
        """Bytes of bodies that went out: in all, or for one path."""
        return sum(one.sent for one in await self.asked(path))

    def start(self) -> None:
        """Starts it, again on the same port. A connection made from now on is answered."""
        with listening(self.port) as sock:
            self.port = port_of(sock)
            conf = self._prefix / "nginx.conf"
            conf.write_text(self._conf())
            argv = ["nginx", "-p", str(self._prefix), "-e", "error.log", "-c", str(conf)]
            # The way in which nginx hands its sockets to a newer binary: this one finds its port open already.
            env = {**os.environ, "NGINX": f"{sock.fileno()};"}
            self._child = Child(argv, output=self._prefix / "output", env=env, pass_fds=[sock.fileno()])

    async def kill(self) -> None:
        """Ends it as a crash does: connections are reset, new ones refused."""
        if self._child is not None:
            await self._child.kill()

    async def stop(self) -> None:
        """Ends it in order: what is being sent is sent to its end."""
        if self._child is not None:
            await self._child.stop(signal.SIGQUIT)

    def _conf(self) -> str:
        # Started by root, its worker would become nobody, who cannot read our folder.
        user = "user root;" if os.geteuid() == 0 else ""
        return _CONF.format(user=user, port=self.port, root=self.root, slow_rate=self._slow_rate)

    @property
    def _log(self) -> Path:
        return self._prefix / "access.log"

    async def _settled(self) -> None:
        """Returns when every answer that a client has read is in the log: there is one worker, in order."""
        if self._child is None or self._child.ended.is_set():
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {_MARK} HTTP/1.0\r\n\r\n".encode())
        await reader.read()
        writer.close()
        await writer.wait_closed()


_MARK = "/.mark"

_CONF = """
daemon off;
{user}
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    log_format line escape=json '{{"method":"$request_method","path":"$uri","status":$status,'
        '"sent":$body_bytes_sent,"range":"$http_range"}}';
    access_log access.log line;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {root};
        location / {{ }}
        location /slow/ {{
            alias {root}/;
            limit_rate {slow_rate};
        }}
        location = /.mark {{ return 204; }}
    }}
}}
"""
