"""The first program in the sandbox: it opens the proxy's door, starts aria2c, hands out sockets and tells the end.

It runs as `python -I -S keeper.py CONTROL LOCK` inside the sandbox, so it knows the standard library only. CONTROL
and LOCK are inherited descriptors: a SOCK_SEQPACKET socket to the daemon with one JSON object a packet, and a
locked file that stays open in aria2c too, so that the lock lasts as long as anybody of the sandbox lives.

    daemon  {"aria2c", "arguments", "conf", "folder", "alone",   the order to start, first and once
             "memory", "scratch", "identity"}
    keeper  {"listening": true, "proxy_port", "rpc_port"}        with the listening socket
    keeper  {"ready": true}                                      aria2 answers on its port
    daemon  {"sockets": 3}
    keeper  {"sockets": 3}                                       with three unconnected sockets
    daemon  {"sees": "/a/path"}
    keeper  {"seen": false}                                      whether anything is there
    keeper  {"ended": 7}                                         the exit code, or minus the signal
    keeper  {"failed": "..."}                                    it could not start, in words

The end of CONTROL means that the daemon is gone or has had enough: everything here ends too.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 1 << 20
"""Bytes of a packet, at most."""

PROXY_PORT, RPC_PORT = 8118, 6800
"""Ports where the whole network is ours; elsewhere free ones are taken."""

OPEN_FILES = 8192
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def main(control_fd: int, lock_fd: int) -> None:
    """Keeps one aria2c from its start to its death."""
    os.umask(0o077)
    limit_ourselves()
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    os.set_inheritable(lock_fd, True)
    packet = control.recv(LARGEST)
    if packet:
        try:
            keep(control, json.loads(packet))
        except OSError as error:
            tell(control, {"failed": str(error)})


def limit_ourselves() -> None:
    """No core files: they would hold passwords. Enough descriptors for many connections."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def keep(control: socket.socket, order: dict[str, Any]) -> None:
    make_sure_of(order["scratch"], order["identity"])
    alone = bool(order["alone"])
    with open_door(alone) as door:
        rpc_port = RPC_PORT if alone else free_port()
        listening = {"listening": True, "proxy_port": door.getsockname()[1], "rpc_port": rpc_port}
        socket.send_fds(control, [packed(listening)], [door.fileno()])
    with written(order["conf"], order["folder"]) as conf:
        argv = [order["aria2c"], f"--conf-path={conf}", f"--rpc-listen-port={rpc_port}", *order["arguments"]]
        child = start(argv, order["memory"])
        ended = os.pidfd_open(child)
        try:
            asked_to_end = wait_until_it_answers(control, ended, rpc_port)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
    if not asked_to_end:
        serve(control, ended)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    tell(control, {"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})


def make_sure_of(folder: str, identity: list[int]) -> None:
    """Raises OSError if another folder was shown to us than the one that was meant: whoever can write beside it could
    have put a link in its place at the last moment."""
    found = Path(folder).stat()
    if [found.st_dev, found.st_ino] != identity:
        raise OSError("another folder lies in the place of the scratch folder")


def open_door(alone: bool) -> socket.socket:
    """The proxy's listening socket; in a network of our own it answers on all of 127.0.0.0/8."""
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits that
    door.bind(("0.0.0.0", PROXY_PORT) if alone else ("127.0.0.1", 0))
    door.listen(1024)
    return door


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def written(conf: str, folder: str) -> Iterator[Path]:
    """The conf as a file that only we can read, as long as aria2c needs it: it holds the secret."""
    own = Path(folder, f"odl-{os.urandom(8).hex()}")
    own.mkdir(mode=0o700)
    path = own / "aria2.conf"
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(conf, encoding="utf-8")
        yield path
    finally:
        path.unlink(missing_ok=True)
        own.rmdir()


def start(argv: list[str], memory: int) -> int:
    """Starts aria2c with so much memory at most, and returns its process id."""
    keeper = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        tie_to(keeper)
        limit_memory(memory)
        os.execve(argv[0], argv, ENVIRONMENT)
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error}\n".encode())
    finally:  # nothing of the keeper may go on in the child
        os._exit(127)


def tie_to(keeper: int) -> None:
    """Has the kernel kill us when the keeper dies, and never give us more rights than we have."""
    import ctypes  # only here: the start is quicker without

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    die_with_parent, no_new_privileges = 1, 38
    if prctl(die_with_parent, signal.SIGKILL, 0, 0, 0) or prctl(no_new_privileges, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != keeper:
        raise ProcessLookupError("the keeper died")


def limit_memory(most: int) -> None:
    """No more address space than these bytes: aria2c asks at once for all that the length of a file takes, and what it
    does not get ends it, instead of keeping this whole host busy."""
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    room = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))


def wait_until_it_answers(control: socket.socket, ended: int, rpc_port: int) -> bool:
    """Returns whether it ended, or shall end, before it ever answered."""
    watched = select.poll()
    watched.register(control, select.POLLIN)
    watched.register(ended, select.POLLIN)
    while not answers(rpc_port):
        if watched.poll(5):
            return True
    tell(control, {"ready": True})
    return False


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(control: socket.socket, ended: int) -> None:
    """Hands out sockets until aria2c is dead or the daemon has had enough."""
    watched = select.poll()
    watched.register(control, select.POLLIN)
    watched.register(ended, select.POLLIN)
    while True:
        for fd, _ in watched.poll():
            if fd == ended:
                return
            packet = control.recv(LARGEST)
            if not packet:
                return
            obey(control, json.loads(packet))


def obey(control: socket.socket, wish: dict[str, Any]) -> None:
    if "sees" in wish:
        tell(control, {"seen": os.path.lexists(wish["sees"])})
    else:
        hand_out(control, wish["sockets"])


def hand_out(control: socket.socket, count: int) -> None:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    socket.send_fds(control, [packed({"sockets": count})], [each.fileno() for each in sockets])
    for each in sockets:
        each.close()


def tell(control: socket.socket, message: dict[str, object]) -> None:
    """Tells the daemon, if it is still there to hear it."""
    with contextlib.suppress(OSError):
        control.send(packed(message))


def packed(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
