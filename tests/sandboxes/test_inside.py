"""The first process of a box, here outside of one: keeper, carrier of ports, file clerk."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrig.sandboxes import inside, keeper

SCRIPT = str(Path(inside.__file__))


def script(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-I", "-S", SCRIPT, *words]
    return subprocess.run(argv, input=stdin, capture_output=True)


def test_put_makes_folders_and_sets_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert script("put", str(path), "750", stdin=b"bytes").returncode == 0
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"bytes", 0o750)


def test_get_gives_at_most_so_much(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert script("get", str(tmp_path / "file"), "4").stdout == b"0123"
    assert script("get", str(tmp_path / "file"), "99").stdout == b"0123456789"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", inside.MISSING),
        ("file/below", inside.MISSING),
        ("link", inside.NO_FILE),
        ("pipe", inside.NO_FILE),
        (".", inside.NO_FILE),
    ],
)
def test_get_takes_only_regular_files(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert script("get", str(tmp_path / name), "9").returncode == code


class Served:
    """`inside.py serve` as a child, and the runner's end of its socket."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        for name in ("inside.py", "keeper.py"):
            shutil.copy(Path(inside.__file__).with_name(name), folder)
        settings = {"ports": ports, "open_files": 64, "filters": [], "watched": ""}
        (folder / "settings.json").write_text(json.dumps(settings))
        with socket.socket(socket.AF_UNIX) as control:
            control.bind(str(folder / "control"))
            control.listen()
            argv = [sys.executable, "-I", "-S", str(folder / "inside.py"), "serve"]
            self.process = subprocess.Popen(argv)
            control.settimeout(60)
            self.link, _ = control.accept()

    def start(self, *argv: str) -> bytes:
        """What a command writes."""
        reading, writing = os.pipe()
        message = {"key": 1, "argv": argv, "env": {}, "cwd": "/", "marker": "", "fds": 3}
        data = json.dumps({**message, "reply_fd": "FD"}).encode()
        with open(os.devnull, "rb") as nothing:
            fds = [nothing.fileno(), writing, writing]
            socket.send_fds(self.link, [keeper.HEADER.pack(len(data)) + data], fds)
        os.close(writing)
        with open(reading, "rb") as output:
            return output.read()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("i")  # short: an address has 108 bytes


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
    return found


@pytest.fixture
def served(folder: Path, port: int) -> Iterator[Served]:
    made = Served(folder, [port])
    yield made
    made.link.close()
    assert made.process.wait(60) == 0


def test_commands_are_started_and_limited(served: Served) -> None:
    assert served.start("/bin/sh", "-c", "ulimit -n; ulimit -Hn") == b"64\n64\n"


def test_descriptors_that_every_shell_knows_are_left_to_commands(
    served: Served, port: int, folder: Path
) -> None:
    served.start("/bin/true")
    taken = {int(name) for name in os.listdir(f"/proc/{served.process.pid}/fd")}
    assert len(taken & set(range(3, 10))) <= 2, taken


def test_nobody_looks_into_it(served: Served) -> None:
    """Not dumpable: its files in /proc belong to root, even where it does not."""
    code = "import ctypes, sys; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    assert served.start(sys.executable, "-I", "-S", "-c", code) == b"1\n"
    libc_owner = os.stat(f"/proc/{served.process.pid}/environ").st_uid
    assert libc_owner == 0


def test_a_connection_to_a_port_is_carried_whole(served: Served, folder: Path, port: int) -> None:
    with socket.socket(socket.AF_UNIX) as outer:
        outer.bind(str(folder / f"port-{port}"))
        outer.listen()
        outer.settimeout(60)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            carried, _ = outer.accept()
            with carried:
                client.sendall(b"asked")
                client.shutdown(socket.SHUT_WR)
                assert carried.makefile("rb").read() == b"asked"
                carried.sendall(b"answered" * 100_000)
                carried.close()
                assert client.makefile("rb").read() == b"answered" * 100_000


def test_a_port_without_a_runner_is_closed_at_once(served: Served, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        assert client.recv(1) == b""
