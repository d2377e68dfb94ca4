"""The vm level, with real machines: copies of one template, each for one trial."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, leftovers
from proofrig.sandboxes.qemu.box import VmBox
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Command,
    Exit,
    Image,
    Limits,
    Shown,
    Unavailable,
)
from proofrig.sandboxes.vm import VmSandbox, room
from vm_image import needs_vm, plain_image

pytestmark = [needs_vm, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(280)]
PYTHON = "/usr/bin/python3"
SLOW_S = 100.0  # a deadline, not a measure: guests are emulated


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vm() -> AsyncIterator[VmSandbox]:
    made = VmSandbox(pool=1)
    await made.prepare(plain_image())
    yield made
    await made.close()
    leftovers.leave()


async def started(vm: VmSandbox, **settings: object) -> VmBox:
    return await vm.start(BoxSettings(trial="t", marker="m", **settings))  # type: ignore[arg-type]


async def run(box: VmBox, *argv: str, **fields: object) -> Exit:
    given = {"env": {"PATH": "/usr/bin:/bin"}, "cwd": "/tmp", "timeout_s": SLOW_S} | fields
    return await (await box.exec(Command(argv=list(argv), **given))).wait()  # type: ignore[arg-type]


async def test_programs_and_their_pipes(vm: VmSandbox, tmp_path: Path) -> None:
    """One box, several commands: what goes in and comes out, exits, signals, what is left."""
    script = tmp_path / "agent" / "main.py"
    script.parent.mkdir()
    script.write_text(
        "import os, sys\n"
        "print(sys.argv[1:], __name__, __file__, os.getcwd(), os.getuid() > 0)\n"
        "print(sorted(os.environ), sys.path[0])\n"
        "print(sys.stdin.read(), file=sys.stderr)\n"
        "os.write(int(os.environ['PROOFRIG_REPLY_FD']), b'answered')\n"
        "sys.exit(3)\n"
    )
    box = await started(vm, shown=(Shown(str(script.parent)),))
    warm = await run(
        *(box, PYTHON, str(script), "a"), env={"A": "1"}, stdin=b"in", reply_cap=100, cwd="/usr"
    )
    assert (warm.code, warm.reply, warm.stderr.strip()) == (3, b"answered", b"in"), warm
    assert warm.stdout.decode().splitlines() == [
        f"['a'] __main__ {script} /usr True",
        f"['A', 'PROOFRIG_REPLY_FD'] {script.parent}",
    ]
    flood = await run(box, "head", "-c", "3000000", "/dev/zero", stdout_cap=1000)
    assert (len(flood.stdout), flood.stdout_bytes, flood.code) == (1000, 3_000_000, 0)
    killed = await run(box, "sh", "-c", "kill -9 $$")
    assert (killed.code, killed.signal) == (None, 9)
    late = await run(box, "sleep", "1000", timeout_s=0.2)
    assert (late.timed_out, late.signal) == (True, 9)
    both = await asyncio.gather(*(run(box, "sh", "-c", f"echo {n}") for n in range(3)))
    assert [each.stdout for each in both] == [b"0\n", b"1\n", b"2\n"]
    stray = await run(box, "sh", "-c", "setsid sleep 1000 & exit 0")
    assert (stray.code, stray.strays) == (0, 1)
    with pytest.raises(SandboxError, match=r"no-such-program.* in /tmp"):
        await run(box, "no-such-program")
    program = await box.exec(
        Command(argv=["cat"], env={}, cwd="/", timeout_s=SLOW_S), keep_stdin=True
    )
    program.send(b"one ")
    program.kill()
    assert (await program.wait()).stopped
    ended = await box.kill()
    assert (ended.level, ended.held, ended.emulated) == ("vm", "enforced", vm.emulated)
    assert (ended.by, ended.broke, ended.start) == ("wall", ("wall",), "fork")
    assert ended.usage.cpu_ms and ended.usage.memory_peak_bytes
    await box.close()


async def test_a_script_that_raises_is_told_as_python_does(vm: VmSandbox, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("import atexit\natexit.register(print, 'bye')\n1 / 0\n")
    box = await started(vm, shown=(Shown(str(script)),))
    for argv in ([PYTHON, str(script)], [PYTHON, "-u", str(script)]):  # a fork, an exec
        exit = await run(box, *argv)
        assert (exit.code, exit.stdout) == (1, b"bye\n")
        lines = exit.stderr.decode().splitlines()
        assert lines[0] == "Traceback (most recent call last):" and lines[-1].startswith("ZeroDiv")
        assert lines[1] == f'  File "{script}", line 3, in <module>'
    await box.close()


async def test_copies_are_unlike_each_other(vm: VmSandbox, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import os, random, time, uuid\n"
        "print(os.urandom(8).hex(), random.random(), uuid.uuid4(), round(time.time()))\n"
    )
    seen: list[list[bytes]] = []
    for _ in range(2):
        box = await started(vm, shown=(Shown(str(script)),))
        before = time.time()
        seen.append((await run(box, PYTHON, str(script))).stdout.split())
        assert before - 2 <= int(seen[-1][3]) <= time.time() + 2
        await box.close()
    assert all(one != other for one, other in zip(seen[0][:3], seen[1][:3], strict=True))


async def test_files_in_and_out(vm: VmSandbox, tmp_path: Path) -> None:
    world, shown = tmp_path / "world", tmp_path / "shown"
    for folder in (world / "sub", shown / "secret"):
        folder.mkdir(parents=True)
    (world / "kept").write_text("kept")
    (world / "gone").write_text("gone")
    (world / "sub" / "changed").write_text("before")
    (shown / "open.txt").write_text("for all")
    (shown / "open.txt").chmod(0o666)
    (shown / "secret" / "answer").write_text("42")
    (tmp_path / "neighbour").write_text("not shown")
    box = await started(
        *(vm,), world=str(world), shown=(Shown(str(shown)),), hidden=(str(shown / "secret"),)
    )
    exit = await run(
        *(box, "sh", "-c"),
        f"cat {shown}/open.txt; echo; ls {shown}; ls {tmp_path};"
        f"echo x > {shown}/open.txt; touch {shown}/new;"
        "rm gone; echo after > sub/changed; ln -s /etc/passwd link; mkfifo pipe; echo n > new;"
        "echo mine > /tmp/mine; touch /etc/mine",
        cwd=str(world),
    )
    assert exit.stdout.decode().split() == [*("for", "all", "open.txt", "shown", "world")]
    assert exit.stderr.decode().lower().count("permission denied") == 3, exit.stderr
    await box.put(f"{world}/put/deep", b"x" * 1_500_000)
    assert await box.get(f"{world}/put/deep", 1_200_000) == b"x" * 1_200_000
    with pytest.raises(FileNotFoundError):
        await box.get(f"{world}/gone", 10)
    for no_file in (f"{world}/link", f"{world}/sub", f"{world}/pipe"):
        with pytest.raises(SandboxError):
            await box.get(no_file, 10)
    with pytest.raises(SandboxError, match="still runs"):
        await box.changes()
    assert (world / "gone").exists(), "the host's world changes with `changes`, not before"
    await box.kill()
    changes = await box.changes()
    assert (changes.error, changes.complete) == ("", True)
    assert {(one.path, one.change, one.kind) for one in changes.entries} == {
        (f"{world}/gone", "deleted", "file"),
        (f"{world}/link", "added", "link"),
        (f"{world}/new", "added", "file"),
        (f"{world}/pipe", "added", "special"),
        (f"{world}/put", "added", "folder"),
        (f"{world}/put/deep", "added", "file"),
        (f"{world}/sub/changed", "changed", "file"),
        ("/tmp/mine", "added", "file"),
    }
    left = {str(path.relative_to(world)) for path in world.rglob("*")}
    assert left == {"kept", "link", "new", "put", "put/deep", "sub", "sub/changed"}
    assert (world / "sub" / "changed").read_text() == "after\n"
    await box.close()


TALK = """
import socket, sys
port = int(sys.argv[1])
with socket.create_connection(("127.0.0.1", port)) as link:
    link.sendall(b"x" * 1_000_000)
    link.shutdown(socket.SHUT_WR)
    got = b"".join(iter(lambda: link.recv(65536), b""))
print(len(got), set(got) == {ord("x")})
for family, address in ((2, ("1.1.1.1", 443)), (10, ("2001:db8::1", 80)), (2, ("127.0.0.1", 1))):
    try:
        socket.socket(family).connect(address)
    except OSError as error:
        print(error.errno)
socket.socket(2, socket.SOCK_DGRAM).sendto(b"?", ("8.8.8.8", 53))
try:
    socket.socket(40)
except OSError:
    print("no vsock")
print(socket.if_nameindex())
"""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_the_only_way_out_are_the_ports(vm: VmSandbox) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    box = await started(vm, ports=(port,))
    exit = await run(box, PYTHON, "-c", TALK, str(port))
    assert exit.stdout.decode().splitlines() == [
        *("1000000 True", "111", "111", "111", "no vsock", "[(1, 'lo')]")
    ], exit
    ended = await box.kill()
    usage = ended.usage
    assert (usage.bytes_out, usage.bytes_in, usage.connections) == (1_000_000, 1_000_000, 1)
    assert {(one.what, one.where) for one in ended.refused} == {
        ("connect", "tcp 1.1.1.1:443"),
        ("connect", "tcp [2001:db8::1]:80"),
        ("send", "udp 8.8.8.8:53"),
    }
    await box.close()
    box = await started(vm, ports=(port,), limits=Limits(egress_bytes=1000))
    await run(box, PYTHON, "-c", TALK, str(port))
    ended = await box.kill()
    assert (ended.broke, ended.by) == (("egress",), "egress")
    await box.close()
    server.close()
    await server.wait_closed()


HOG = "b = []\nwhile True: b.append(bytearray(1 << 20))"
FORKS = """
import os, time
for _ in range(60):
    try: os.fork() or time.sleep(1000)
    except OSError: break
"""
SPIN = "while True: pass"
FILL = "f = open('/tmp/f', 'wb')\ntry:\n while True: f.write(bytes(1 << 20))\nexcept OSError: pass"


@pytest.mark.parametrize(
    ("limits", "code", "broke", "by"),
    [
        (Limits(memory_bytes=64 << 20), HOG, "memory", "memory"),
        (Limits(processes=20), FORKS, "processes", ""),
        (Limits(cpu_ms=1500), SPIN, "cpu", "cpu"),
        (Limits(disk_bytes=4 << 20), FILL, "disk", ""),
    ],
    ids=["memory", "processes", "cpu", "disk"],
)
async def test_limits_are_told_from_counters(
    vm: VmSandbox, limits: Limits, code: str, broke: str, by: str
) -> None:
    box = await started(vm, limits=limits)
    await run(box, PYTHON, "-c", f"import os\nif os.fork(): os.wait()\nelse:\n exec({code!r})")
    ended = await box.kill()
    assert (ended.broke, ended.by) == ((broke,), by), ended
    assert ended.usage.disk_full == (broke == "disk")
    await box.close()


async def test_what_does_not_fit_is_refused(vm: VmSandbox) -> None:
    with pytest.raises(SandboxError, match="larger than its vm"):
        await started(vm, limits=Limits(memory_bytes=64 << 30))
    with pytest.raises(SandboxError, match="writing"):
        await started(vm, shown=(Shown("/tmp", writable=True),))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), (512, 4096)),
        (Limits(memory_bytes=1 << 30), (2048, 4096)),
        (Limits(disk_bytes=5 << 30), (512, 16384)),
    ],
    ids=["usual", "memory", "disk"],
)
async def test_a_guest_has_room_for_the_largest_limits(
    limits: Limits, expected: tuple[int, int]
) -> None:
    assert room(limits) == expected


async def test_a_lost_machine_is_told_as_such(vm: VmSandbox) -> None:
    box = await started(vm)
    program = await box.exec(Command(argv=["sleep", "1000"], env={}, cwd="/"))
    os.kill(box.machine.process.pid, signal.SIGKILL)
    with pytest.raises(SandboxError, match="lost"):
        await program.wait()
    ended = await box.kill()
    assert (ended.by, ended.broke) == ("lost", ())
    assert "lost" in (await box.changes()).error
    await box.close()


RUNNER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from proofrig.sandboxes.vm import VmSandbox
from proofrig.sandboxes.sandbox import BoxSettings
from vm_image import plain_image

async def main():
    vm = VmSandbox(pool=0)
    await vm.prepare(plain_image())
    box = await vm.start(BoxSettings(trial="t", marker="m"))
    print(box.machine.process.pid, vm._launcher.process.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def _alive(pids: list[bytes]) -> list[bytes]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid.decode()}")]


async def test_nothing_survives_a_killed_runner(vm: VmSandbox) -> None:
    tests = str(Path(__file__).parents[1])
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, tests, stdout=subprocess.PIPE
    )
    assert runner.stdout is not None
    pids = (await runner.stdout.readline()).split()
    runner.kill()
    await runner.communicate()
    deadline = time.monotonic() + SLOW_S
    while alive := _alive(pids):
        assert time.monotonic() < deadline, alive
        await asyncio.sleep(0.02)
    assert len(pids) == 2
    cgroups.sweep()
    for home in leftovers.usual_base().glob(f"{runner.pid}-*"):
        assert not [path for path in home.iterdir() if path.name != leftovers.OWNER]
        leftovers.remove(home)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (Image(), "proofrig image build"),
        (Image(name="x", disk="/no/disk", kernel="/no/kernel"), "its disk, kernel, initrd"),
    ],
    ids=["host", "missing"],
)
async def test_an_image_without_a_kernel_is_unavailable(image: Image, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        await VmSandbox().prepare(image)


async def test_without_qemu_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="qemu-system-x86"):
        await VmSandbox(cache=tmp_path).prepare(plain_image())
