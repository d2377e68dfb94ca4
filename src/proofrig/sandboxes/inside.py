"""The first process of a container or gVisor box: starts the box's commands as its keeper.

Run as a script inside the box, by the image's interpreter; standard library only. Beside it lie
`keeper.py`, `seccomp_helper.py`, `settings.json` and the unix socket `control` to the runner.

    inside.py serve                keeper of the box, until the runner hangs up
    inside.py put PATH MODE        writes standard input to a file, with the folders it lies in
    inside.py get PATH MOST        writes at most so many bytes of a regular file; follows no link

Rules:
1. Standard input, output, error and reply of a command are pipes of the runner: the socket passes
   descriptors, also into gVisor.
2. What runs in the box cannot look into this process or end it: it is the first of its PID
   namespace, and not dumpable.
3. Where the kernel is the runner's own, system calls that are refused are seen: the first thing
   that goes over the socket is the descriptor that tells of them.
4. Where no listener can be planted from outside, it listens on the rig's ports itself and carries
   every connection to a unix socket of the runner.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import runpy
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
FILTER_MODE = 2
CHUNK = 1 << 16
UNMOVED = {  # these nobody can catch, or are about this process's own doings
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE),
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE),
}
MISSING, NO_FILE = 44, 45  # exit codes of `get`


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_char_p)]


def confine(program: bytes) -> None:
    """Take the filter's system calls from this process and from all that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    held = Program(len(program) // 8, program)
    if libc.prctl(PR_SET_SECCOMP, FILTER_MODE, ctypes.byref(held), 0, 0) != 0:
        sys.exit(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")


def serve() -> None:
    settings = json.loads((HERE / "settings.json").read_text())
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if settings["open_files"] is not None:
        most = min(settings["open_files"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for program in settings["filters"]:
        confine(base64.b64decode(program))
    for port in settings["ports"]:
        listener = aside(socket.create_server(("127.0.0.1", port), backlog=128))
        threading.Thread(target=carry, args=(listener, port), daemon=True).start()
    for number in signal.valid_signals() - UNMOVED:
        signal.signal(number, lambda *_: None)  # a handler: ignoring would be inherited
    os.umask(0o022)
    link = aside(socket.socket(socket.AF_UNIX))
    link.connect(str(HERE / "control"))
    if settings["watched"]:
        helper: Any = runpy.run_path(str(HERE / "seccomp_helper.py"))
        calls = helper["install_watched"](base64.b64decode(settings["watched"]))
        socket.send_fds(link, [b"."], [calls])
        os.close(calls)
    keeper: Any = runpy.run_path(str(HERE / "keeper.py"))
    keeper["Keeper"](link).serve()


def aside(made: socket.socket) -> socket.socket:
    """The same with a higher descriptor. Some shells know no reply pipe beyond 9."""
    with made:
        return socket.socket(fileno=fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, 10))


def carry(listener: socket.socket, port: int) -> None:
    """Every connection to a port of the rig goes to the runner's socket of that name."""
    while True:
        with contextlib.suppress(OSError, RuntimeError):
            accepted = aside(listener.accept()[0])
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                outer = aside(socket.socket(socket.AF_UNIX))
                outer.connect(str(HERE / f"port-{port}"))
            except OSError:
                accepted.close()
                continue
            for source, sink in ((accepted, outer), (outer, accepted)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """One direction of a connection; the end of what is said is passed on, too."""
    try:
        while data := source.recv(CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def put(path: str, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        while data := sys.stdin.buffer.read(CHUNK):
            file.write(data)
        os.fchmod(file.fileno(), mode)


def get(path: str, most: int) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        sys.exit(MISSING)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(NO_FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        sys.exit(NO_FILE)
    while most > 0 and (data := os.read(descriptor, min(most, CHUNK))):
        sys.stdout.buffer.write(data)
        most -= len(data)


def main() -> None:
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["put", path, mode]:
            put(path, int(mode, 8))
        case ["get", path, most]:
            get(path, int(most))


if __name__ == "__main__":
    main()
