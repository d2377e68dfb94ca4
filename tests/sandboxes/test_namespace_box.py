"""What ends a box, what it used, and what it was refused. All boxes are real."""

from __future__ import annotations

import asyncio

import pytest

from greedy import OPENS
from namespace_boxes import command, play, shell
from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, keeper
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Limits,
    Refused,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
PYTHON = "/usr/bin/python3"
needs_limits = pytest.mark.skipif(not cgroups.probe()[0], reason="needs cgroups (root, or v2)")

HOG = "b = bytearray(400 << 20)"
FORKS = "import os, time\nfor _ in range(99):\n if os.fork() == 0: time.sleep(9); os._exit(0)"
FILL = "f = open('/tmp/f', 'wb', 0)\nwhile f.write(b'x' * 65536): pass"
INODES = "for n in range(10**7): open(f'/tmp/{n}', 'w').close()"


@needs_limits
@pytest.mark.parametrize(
    ("code", "limits", "broke", "by", "says"),
    [
        (HOG, Limits(memory_bytes=100 << 20), ("memory",), "memory", ""),
        ("import os; os.kill(os.getpid(), 9)", Limits(memory_bytes=100 << 20), (), "", ""),
        ("import ctypes; ctypes.string_at(0)", Limits(memory_bytes=100 << 20), (), "", ""),
        ("while True: pass", Limits(cpu_ms=200), ("cpu",), "cpu", ""),
        (FORKS, Limits(processes=20), ("processes",), "", "temporarily unavailable"),
        (FILL, Limits(disk_bytes=4 << 20), ("disk",), "", "No space left"),
        (INODES, Limits(disk_bytes=4 << 20), ("disk",), "", "No space left"),
        (OPENS, Limits(open_files=32), ("open_files",), "", "Too many open files"),
    ],
    ids=["memory", "SIGKILL", "SIGSEGV", "cpu", "processes", "disk", "inodes", "files"],
)
async def test_limits_are_told_apart(
    namespace: NamespaceSandbox, code: str, limits: Limits, broke: tuple[str], by: str, says: str
) -> None:
    exit, ended, box = await play(namespace, command([PYTHON, "-c", code]), limits=limits)
    await box.close()
    assert exit.code != 0
    assert (ended.broke, ended.by, ended.held) == (broke, by, "enforced")
    assert says in exit.stderr.decode()
    assert ended.usage.disk_full == (broke == ("disk",))


@needs_limits
async def test_a_disk_has_the_promised_size(namespace: NamespaceSandbox) -> None:
    """All places that it may write to together, and what was deleted is given back."""
    script = (
        "head -c 3000000 /dev/zero > /tmp/a && rm /tmp/a && head -c 3000000 /dev/zero > ~/a && "
        "head -c 3000000 /dev/zero > /dev/shm/b || stat -c %s ~/a /dev/shm/b"
    )
    exit, ended, box = await play(namespace, shell(script), limits=Limits(disk_bytes=5 << 20))
    await box.close()
    first, second = map(int, exit.stdout.split())
    assert first == 3_000_000
    assert (5 << 20) - 200_000 < first + second <= 5 << 20
    assert ended.usage.disk_bytes is not None and ended.usage.disk_bytes > 5_000_000


@needs_limits
async def test_what_it_used(namespace: NamespaceSandbox) -> None:
    code = "import os\nb = bytearray(50 << 20)\nif os.fork() == 0: os._exit(0)\nos.wait()\n"
    code += "while os.times().user < 0.2: pass"
    _, ended, box = await play(namespace, command([PYTHON, "-c", code]))
    await box.close()
    usage = ended.usage
    assert usage.memory_peak_bytes is not None and usage.memory_peak_bytes > 50 << 20
    assert usage.memory_anon_peak_bytes is not None and usage.memory_anon_peak_bytes > 50 << 20
    assert usage.cpu_ms is not None and 200 <= usage.cpu_ms < 5000
    assert (usage.processes_peak, usage.oom_kills) == (2, 0)


async def test_out_of_time(namespace: NamespaceSandbox) -> None:
    exit, ended, box = await play(namespace, shell("sleep 99 & sleep 99", timeout_s=0.3))
    await box.close()
    assert (exit.timed_out, exit.signal, exit.strays) == (True, 9, 2)
    assert (ended.by, ended.broke) == ("wall", ("wall",))


async def test_kill_ends_what_runs(namespace: NamespaceSandbox) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m"))
    program = await box.exec(shell("trap '' TERM INT HUP; setsid sleep 99 & sleep 99"))
    while not keeper.tree(program.pid)[3:]:  # noqa: ASYNC110 - another process is at work
        await asyncio.sleep(0.01)
    ended = await box.kill()
    assert await box.kill() == ended
    assert (ended.by, ended.level) == ("kill", "namespace")
    assert (await program.wait()).stopped
    assert keeper.parent_and_state(program.pid) == (0, "")
    with pytest.raises(SandboxError, match="has ended"):
        await box.exec(shell("true"))
    await box.close()


async def test_reaches_the_rigs_ports_and_nothing_else(namespace: NamespaceSandbox) -> None:
    """What else it tries fails, and is told."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        writer.close()

    rig = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = rig.sockets[0].getsockname()[1]
    code = f"""
import ctypes, socket
def tries(family, *at):
    with socket.socket(family) as s:
        s.settimeout(9)
        try:
            s.connect(at); s.sendall(b"box\\n"); print(s.recv(99).decode().strip())
        except OSError as error: print(error.errno)
tries(socket.AF_INET, "127.0.0.1", {port})
tries(socket.AF_INET, "127.0.0.1", 22)
tries(socket.AF_INET, "169.254.169.254", 80)
tries(socket.AF_INET6, "2001:db8::1", 443)
ctypes.CDLL(None).ptrace(0, 0, 0, 0)
try: socket.socket(socket.AF_VSOCK)
except OSError as error: print(error.errno)
"""
    exit, ended, box = await play(namespace, command([PYTHON, "-c", code]), ports=(port,))
    await box.close()
    rig.close()
    await rig.wait_closed()
    assert exit.stdout.decode().split("\n")[:3] == ["hello box", "111", "111"]
    assert set(ended.refused) >= {
        Refused("connect", "tcp 169.254.169.254:80"),
        Refused("syscall", "ptrace"),
        Refused("syscall", "socket vsock"),
    }
    usage = ended.usage
    assert (usage.bytes_out, usage.bytes_in, usage.connections) == (4, 10, 1)


async def test_too_much_sent_ends_the_box(namespace: NamespaceSandbox) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass
        writer.close()

    rig = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = rig.sockets[0].getsockname()[1]
    code = f"""
import socket
while True:
    try: socket.create_connection(("127.0.0.1", {port})).sendall(b"x" * 100000)
    except OSError: pass
"""
    what = command([PYTHON, "-c", code])
    limits = Limits(egress_bytes=500_000)
    _, ended, box = await play(namespace, what, ports=(port,), limits=limits)
    await box.close()
    rig.close()
    await rig.wait_closed()
    assert (ended.by, ended.broke) == ("egress", ("egress",))
    assert ended.usage.bytes_out is not None and ended.usage.bytes_out <= 500_000
