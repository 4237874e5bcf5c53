"""The stand-in for a Seafile server, as a program."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from tests.servers.ports import port_of
from tests.servers.seafile.control import Control
from tests.servers.seafile.file_server import FileServer
from tests.servers.seafile.functions import Functions
from tests.servers.seafile.model import Model, habits_of
from tests.servers.seafile.server import Server
from tests.servers.seafile.traffic import Traffic
from tests.servers.seafile.web import WebSite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where it answers calls")
    parser.add_argument("--version", choices=("8.0", "12.0", "13.0"), required=True)
    parser.add_argument("--data", type=Path, required=True, help="a folder for what it must keep over a restart")
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--file-server-fd", type=int, help="a TCP socket that listens for uploads already")
    parser.add_argument("--web-fd", type=int, help="a TCP socket that listens for its web site already")
    way_in = parser.add_mutually_exclusive_group(required=True)
    way_in.add_argument("--control", type=Path, help="where it listens to tests")
    way_in.add_argument("--control-fd", type=int, help="a socket that listens there already")
    chosen = parser.parse_args()

    traffic = Traffic()
    model = Model(chosen.data, habits_of(chosen.version))
    functions = Functions(model, traffic.meet)
    server = Server(chosen.socket, functions, traffic, threads=chosen.threads, idle_pins=model.habits.idle_pins)
    server.serve()
    if chosen.file_server_fd is not None:
        uploads = socket.socket(fileno=chosen.file_server_fd)
        FileServer(uploads, functions, model, traffic).serve()
        if chosen.web_fd is not None:
            site = socket.socket(fileno=chosen.web_fd)
            url = f"http://127.0.0.1:{port_of(uploads)}"
            WebSite(site, functions, model, traffic, version=chosen.version, file_server=url).serve()
    if chosen.control_fd is not None:
        listener = socket.socket(fileno=chosen.control_fd)
    else:
        listener = listening_at(chosen.control)
    Control(listener, model, traffic).serve()


def listening_at(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


if __name__ == "__main__":
    main()
