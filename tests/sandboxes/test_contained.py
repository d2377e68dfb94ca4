"""Boxes of containers and of gVisor: what both promise, shown by programs that run in them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from greedy import OPENS
from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, leftovers, make_sandbox, owners
from proofrig.sandboxes.contained import ContainedBox, ContainedSandbox
from proofrig.sandboxes.keeper import processes
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Change,
    Command,
    Exit,
    Image,
    Level,
    Limits,
    Shown,
    Unavailable,
)
from small_image import small_image

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="limits are held as root"),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
LEVELS: tuple[Level, ...] = ("container", "gvisor")
MIB = 1 << 20


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return small_image(tmp_path_factory.mktemp("image") / "root")


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest_asyncio.fixture(params=LEVELS, scope="module", loop_scope="module")
async def prepared(request: pytest.FixtureRequest, image: Image) -> AsyncIterator[ContainedSandbox]:
    made = make_sandbox(request.param)
    assert isinstance(made, ContainedSandbox)
    key = await made.prepare(image)
    assert await made.prepare(image) == key
    yield made
    await made.close()
    left = leftovers.home()
    mine = [pid for pid in processes() if str(left) in command_line(pid)]
    leftovers.leave()
    assert mine == []


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(prepared: ContainedSandbox) -> AsyncIterator[ContainedSandbox]:
    """Whatever a test leaves open is closed, and then nothing is left of its boxes."""
    yield prepared
    for box in list(prepared.boxes):
        await box.close()
    assert left_of_boxes() == []


def left_of_boxes() -> list[str]:
    """Folders, mounts and groups of boxes of this process."""
    home, own = leftovers.home(), f"/{owners.tag()}/"
    folders = [str(path) for path in home.iterdir() if path.is_dir()]
    mounts = [line for line in MOUNTS.read_text().splitlines() if str(home) in line]
    groups = [str(path) for path in GROUPS.rglob("box-*") if own in str(path)]
    return [*folders, *mounts, *groups]


MOUNTS, GROUPS = Path("/proc/self/mountinfo"), Path("/sys/fs/cgroup")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "the world, and: more"
    (folder / "old").mkdir(parents=True)
    (folder / "kept").write_text("kept")
    (folder / "changed").write_text("before")
    (folder / "old" / "deleted").write_text("x")
    return folder


def of(world: Path | None = None, **settings: object) -> BoxSettings:
    marker = secrets.token_hex(12)
    where = str(world) if world else ""
    return BoxSettings(trial="trial", marker=marker, world=where, **settings)  # type: ignore[arg-type]


async def run(box: ContainedBox, *argv: str, cwd: str = "/", **more: object) -> Exit:
    env = {"PATH": "/usr/bin", "KEY": "value"}
    command = Command(list(argv), env, cwd, marker=box.settings.marker, **more)  # type: ignore[arg-type]
    return await (await box.exec(command)).wait()


async def python(box: ContainedBox, script: str, **more: object) -> Exit:
    return await run(box, box._sandbox.image.interpreter, "-B", "-c", script, **more)  # type: ignore[arg-type]


async def test_a_command_has_its_streams_and_nothing_of_the_host(
    sandbox: ContainedSandbox, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    box = await sandbox.start(of(world))
    script = 'env; pwd; cat; echo oops >&2; echo answer >&"$PROOFRIG_REPLY_FD"; exit 3'
    exit = await run(box, "sh", "-c", script, cwd=str(world), stdin=b"task", reply_cap=3)
    said = exit.stdout.decode().splitlines()
    variables = {line.split("=")[0] for line in said if "=" in line}
    assert variables == {"PATH", "KEY", "PROOFRIG_REPLY_FD", "PWD", "SHLVL"}
    assert said[-2:] == [str(world), "task"]
    assert (exit.code, exit.stderr, exit.reply, exit.reply_bytes) == (3, b"oops\n", b"ans", 7)
    with pytest.raises(SandboxError, match="cannot start 'nothing'"):
        await run(box, "nothing")
    seen = json.loads((await python(box, SEEN)).stdout)
    assert seen["groups"] in ([], [seen["gid"]])
    assert (seen["uid"], seen["capabilities"], seen["root"]) == (65433, 0, sorted(IN_ROOT))
    assert seen["processes"] == 2  # the first, and this one
    ended = await box.kill()
    assert (ended.level, ended.held, ended.by, ended.broke) == (sandbox.level, "enforced", "", ())


SEEN = """
import json, os, re
status = open("/proc/self/status").read()
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "capabilities": int(re.search("CapBnd:\\t(.*)", status)[1], 16),
    "root": sorted(set(os.listdir("/")) - {"root", "home", "lib", "lib64", "opt", "usr", "tmp"}),
    "processes": sum(name.isdigit() for name in os.listdir("/proc")),
}))
"""
IN_ROOT = {"bin", "etc", "proc", "sys", "dev", "run"}


async def test_programs_can_be_talked_to_and_killed(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of())
    heard = bytearray()
    first = asyncio.Event()

    def on_reply(data: bytes) -> None:
        heard.extend(data)
        first.set()

    argv = ["sh", "-c", 'while read line; do echo "got $line" >&"$PROOFRIG_REPLY_FD"; done']
    command = Command(argv, {"PATH": "/usr/bin"}, "/")
    program = await box.exec(command, keep_stdin=True, on_reply=on_reply)
    program.send(b"one\n")
    await asyncio.wait_for(first.wait(), 60)
    program.kill()
    exit = await program.wait()
    assert (bytes(heard), exit.signal, exit.stopped) == (b"got one\n", signal.SIGKILL, True)
    exit = await run(box, "sleep", "1000", timeout_s=0.2)
    assert (exit.signal, exit.timed_out, exit.stopped) == (signal.SIGKILL, True, False)


async def test_files_stay_and_processes_do_not(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of())
    script = "touch /tmp/file; sleep 1000 & setsid sleep 1001 >/dev/null 2>&1 & exit 0"
    exit = await run(box, "sh", "-c", script)
    assert (exit.code, exit.strays) == (0, 2)
    assert json.loads((await python(box, SEEN)).stdout)["processes"] == 2
    assert (await run(box, "ls", "/tmp")).stdout == b"file\n"
    assert (await box.kill()).strays == 2


async def test_what_was_changed_comes_home_only_when_it_is_asked_for(
    sandbox: ContainedSandbox, world: Path
) -> None:
    box = await sandbox.start(of(world))
    script = "echo after > changed; rm old/deleted; mkdir new; echo n > new/file; touch /tmp/else"
    assert (await run(box, "sh", "-c", script, cwd=str(world))).code == 0
    await box.put(f"{world}/put/it", b"bytes", 0o755)
    assert (world / "changed").read_text() == "before"
    assert (await box.get(f"{world}/changed", 3)) == b"aft"
    await box.kill()
    changes = await box.changes()
    assert [plain(entry, world) for entry in changes.entries] == [
        ("/tmp/else", "added", "file"),
        ("changed", "changed", "file"),
        ("new", "added", "folder"),
        ("new/file", "added", "file"),
        ("old/deleted", "deleted", "file"),
        ("put", "added", "folder"),
        ("put/it", "added", "file"),
    ]
    assert (changes.complete, changes.error, changes.within) == (True, "", "")
    assert below(world) == {"kept", "changed", "old", "new", "new/file", "put", "put/it"}
    assert (world / "changed").read_text() == "after\n"
    assert (world / "put" / "it").stat().st_mode & 0o777 == 0o755
    assert (world / "changed").stat().st_uid == os.getuid()
    assert await box.changes() is changes


async def test_what_was_installed_is_told(sandbox: ContainedSandbox, world: Path) -> None:
    box = await sandbox.start(of(world))
    for site in ("/usr/lib/python3/dist-packages", f"{world}/env/lib/python3.11/site-packages"):
        name = f"in{site.count('/')}"
        described = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n".encode()
        await box.put(f"{site}/{name}-1.0.dist-info/METADATA", described)
        await box.put(f"{site}/{name}-1.0.dist-info/RECORD", f"{name}.py,,\n".encode())
        await box.put(f"{site}/{name}.py", b"pass")
    await box.kill()
    told = {(each.manager, each.version) for each in (await box.changes()).packages}
    assert (len((await box.changes()).packages), told) == (2, {("pip", "1.0")})


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def plain(entry: Change, world: Path) -> tuple[str, str, str]:
    return entry.path.removeprefix(f"{world}/"), entry.change, entry.kind


@pytest.mark.parametrize(
    ("path", "error"),
    [("/nothing", FileNotFoundError), ("/tmp", SandboxError), ("/tmp/link", SandboxError)],
    ids=["missing", "folder", "link"],
)
async def test_only_regular_files_are_got(
    sandbox: ContainedSandbox, path: str, error: type[Exception]
) -> None:
    box = await sandbox.start(of())
    await python(box, "import os; os.symlink('/etc/passwd', '/tmp/link')")
    with pytest.raises(error):
        await box.get(path, 10)


async def test_what_is_shown_and_what_is_not(
    sandbox: ContainedSandbox, tmp_path: Path, world: Path
) -> None:
    shown, open_to = tmp_path / "shown", tmp_path / "open"
    for folder in (shown / "secret", open_to):
        folder.mkdir(parents=True)
    (shown / "secret" / "key").write_text("secret")
    (shown / "hidden").write_text("secret")
    (shown / "file").write_text("shown")
    (tmp_path / "beside").write_text("not shown")
    settings = of(
        world,
        shown=(Shown(str(shown)), Shown(str(open_to), writable=True)),
        hidden=(f"{shown}/secret", f"{shown}/hidden", f"{shown}/not-there"),
    )
    box = await sandbox.start(settings)
    assert (await run(box, "cat", f"{shown}/file")).stdout == b"shown"
    assert (await run(box, "cat", f"{shown}/hidden")).stdout == b""
    assert (await run(box, "ls", f"{shown}/secret")).stdout == b""
    assert (await run(box, "ls", str(tmp_path))).stdout.split()[:1] != [b"beside"]
    assert (await run(box, "touch", f"{shown}/new")).code != 0
    assert (await run(box, "sh", "-c", f"echo from the box > {open_to}/note")).code == 0
    assert (open_to / "note").read_text() == "from the box\n"


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo " + await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


TALK = """
import socket
with socket.create_connection(("127.0.0.1", PORT)) as s:
    s.sendall(b"hello"); s.shutdown(socket.SHUT_WR)
    print(s.makefile("rb").read())
for family, place in ((2, ("1.1.1.1", 443)), (2, ("169.254.169.254", 80)), (10, ("2606::1", 443))):
    with socket.socket(family) as other:
        other.settimeout(10)
        print(other.connect_ex(place) != 0)
for family in (40, 17, 38):
    try: print(socket.socket(family, socket.SOCK_STREAM))
    except OSError as error: print("refused")
"""


async def test_the_rigs_ports_and_nothing_else(sandbox: ContainedSandbox) -> None:
    async with echo() as port:
        box = await sandbox.start(of(ports=(port,)))
        exit = await python(box, TALK.replace("PORT", str(port)))
        assert exit.stdout.decode().split("\n")[:-1] == [
            "b'echo hello'",
            *["True"] * 3,
            *["refused"] * 3,
        ], exit.stderr
        usage = (await box.kill()).usage
        assert (usage.bytes_out, usage.bytes_in, usage.connections) == (5, 10, 1)
        seen = {(each.what, each.where) for each in (await box.kill()).refused}
        places = {"tcp 1.1.1.1:443", "tcp 169.254.169.254:80", "tcp [2606::1]:443"}
        told = {("connect", place) for place in places}
        told |= {("syscall", f"socket {family}") for family in ("vsock", "packet", "alg")}
        assert seen == (told if sandbox.level == "container" else set())


HOG = "held = []\nwhile True: held.append(b'x' * 1_000_000)"
FILL = "file = open('/tmp/file', 'wb')\nwhile True: file.write(b'x' * 100_000)"
FILL_AND_WAIT = f"""
import time
try:
    exec({FILL!r})
except OSError:
    time.sleep(1000)
"""
SEND = """
import socket
with socket.create_connection(("127.0.0.1", PORT)) as s:
    while True: s.sendall(b"x" * 1000)
"""
MANY_FILES = """
import time, itertools
try:
    for number in itertools.count(): open(f"/tmp/{number}", "w").close()
except OSError:
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("script", "limits", "broken"),
    [
        (HOG, Limits(memory_bytes=150 * MIB), "memory"),
        ("while True: pass", Limits(cpu_ms=500), "cpu"),
        (FILL_AND_WAIT, Limits(disk_bytes=10 * MIB), "disk"),
        (MANY_FILES, Limits(disk_bytes=2 * MIB), "disk"),
        (SEND, Limits(egress_bytes=50_000), "egress"),
    ],
    ids=["memory", "cpu", "disk", "inodes", "egress"],
)
async def test_a_broken_limit_ends_the_box(
    sandbox: ContainedSandbox, script: str, limits: Limits, broken: str
) -> None:
    async with echo() as port:
        box = await sandbox.start(of(limits=limits, ports=(port,)))
        exit = await python(box, script.replace("PORT", str(port)))
        assert exit.timed_out is False
        ended = await box.kill()
    assert (ended.by, ended.broke) == (broken, (broken,))
    if broken == "memory":
        assert ended.usage.oom_kills == 1
    if broken == "disk":
        assert ended.usage.disk_full


async def test_forks_beyond_the_limit_are_refused(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of(limits=Limits(processes=20)))
    script = "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(1000)"
    exit = await python(box, script)
    assert exit.code != 0
    ended = await box.kill()
    assert ended.broke == ("processes",)
    assert ended.usage.processes_refused
    if sandbox.level == "container":
        assert (ended.by, ended.usage.processes_peak) == ("", 20)


async def test_open_files_are_limited(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of(limits=Limits(open_files=40)))
    script = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    assert (await python(box, script)).stdout == b"(40, 40)\n"
    if sandbox.level == "container":  # gVisor's files are those of a kernel of its own
        await python(box, OPENS)
        ended = await box.kill()
        assert (ended.broke, ended.by, ended.usage.open_files_peak) == (("open_files",), "", 40)


ESCAPES = """
import ctypes, json, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def refused(work):
    try: return work() in (-1, None) and ctypes.get_errno() != 0
    except OSError: return True
print(json.dumps({
    "kill": refused(lambda: os.kill(1, signal.SIGKILL) or 0),
    "tkill": refused(lambda: libc.syscall(200, 1, 9)) if os.uname().machine == "x86_64" else True,
    "ptrace": refused(lambda: libc.ptrace(16, 1, 0, 0)),
    "user namespace": refused(lambda: libc.unshare(0x10000000)),
    "mount": refused(lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "chroot": refused(lambda: os.chroot("/tmp") or 0),
    "passwd": refused(lambda: os.remove("/etc/passwd") or 0),
    "own script": refused(lambda: os.remove("/run/proofrig/inside.py") or 0),
    "second": refused(second),
}))
"""
SECOND = """
def second():
    import socket
    socket.socket(socket.AF_UNIX).connect("/run/proofrig/control")
    return 0
"""


async def test_a_box_cannot_get_at_what_holds_it(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of())
    exit = await python(box, SECOND + ESCAPES)
    refused = json.loads(exit.stdout)
    assert [what for what, is_so in refused.items() if not is_so] == [], exit.stderr
    await python(box, "import os, signal; os.kill(-1, signal.SIGKILL)")
    assert (await run(box, "id", "-u")).stdout == b"65433\n"


async def test_boxes_do_not_see_each_other(sandbox: ContainedSandbox, tmp_path: Path) -> None:
    boxes = await asyncio.gather(*(sandbox.start(of()) for _ in range(3)))
    for number, box in enumerate(boxes):
        await box.put("/tmp/mine", str(number).encode())
    found = [await box.get("/tmp/mine", 10) for box in boxes]
    assert found == [b"0", b"1", b"2"]
    await asyncio.gather(*(box.close() for box in boxes))
    assert sandbox.boxes == set()


async def test_killing_a_box_ends_its_programs_quietly(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of())
    program = await box.exec(Command(["sleep", "1000"], {"PATH": "/usr/bin"}, "/"))
    ended = await box.kill()
    exit = await program.wait()
    assert (ended.by, exit.signal, exit.stopped) == ("kill", signal.SIGKILL, True)
    assert await box.kill() == ended
    with pytest.raises(SandboxError, match="the box has ended"):
        await run(box, "id")


async def test_a_box_whose_stage_is_lost_is_said_to_be(sandbox: ContainedSandbox) -> None:
    box = await sandbox.start(of())
    program = await box.exec(Command(["sleep", "1000"], {"PATH": "/usr/bin"}, "/"))
    stage = box._parts.stage
    assert stage is not None
    os.kill(stage.pid, signal.SIGKILL)
    with pytest.raises(SandboxError, match="the box ended while 'sleep' ran in it"):
        await asyncio.wait_for(program.wait(), 60)
    assert (await box.kill()).by == "lost"
    assert (await box.changes()).error


RUNNER = """
import asyncio, sys
from proofrig.sandboxes import make_sandbox
from proofrig.sandboxes.sandbox import BoxSettings, Command, Image
async def main():
    sandbox = make_sandbox(sys.argv[1])
    await sandbox.prepare(Image("small", "small", sys.argv[2], interpreter=sys.argv[3]))
    box = await sandbox.start(BoxSettings(trial="t", marker=sys.argv[4], world=sys.argv[5]))
    script = "setsid sleep 1000 & echo up; sleep 1000"
    argv = ["sh", "-c", script]
    program = await box.exec(Command(argv, {"PATH": "/usr/bin", "T": sys.argv[4]}, "/"))
    print("up", flush=True)
    await program.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("level", LEVELS)
async def test_nothing_lives_after_the_runner_was_killed(
    level: Level, image: Image, world: Path
) -> None:
    await asyncio.to_thread(kill_a_runner, level, image, world)


def kill_a_runner(level: Level, image: Image, world: Path) -> None:
    marker = secrets.token_hex(12)
    argv = [sys.executable, "-c", RUNNER, level, image.root, image.interpreter, marker, str(world)]
    runner = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert runner.stdout is not None
    with runner:
        assert runner.stdout.readline() == b"up\n"
        base = leftovers.usual_base()
        home = next(path for path in base.iterdir() if path.name.startswith(f"{runner.pid}-"))
        mine = [pid for pid in processes() if str(home) in command_line(pid)]
        runner.kill()
    assert mine
    for _ in range(3000):
        if not any(command_line(pid) for pid in mine) and not carriers(marker):
            break
        time.sleep(0.01)
    assert carriers(marker) == []
    assert str(home) not in Path("/proc/self/mountinfo").read_text()
    cgroups.sweep()
    leftovers.remove(home)


def carriers(marker: str) -> list[int]:
    found = []
    for pid in processes():
        try:
            if marker.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("level", LEVELS)
async def test_an_image_without_files_is_refused(level: Level) -> None:
    with pytest.raises(Unavailable, match="proofrig image build"):
        await make_sandbox(level).prepare(Image())


@pytest.mark.parametrize("level", LEVELS)
async def test_an_image_that_does_not_work_is_refused(level: Level, tmp_path: Path) -> None:
    for folder in ("proc", "dev", "sys", "tmp"):
        (tmp_path / folder).mkdir()
    sandbox = make_sandbox(level)
    with pytest.raises(Unavailable, match=f"isolation {level} does not work here"):
        await sandbox.prepare(Image("x", "x", str(tmp_path), interpreter="/usr/bin/python3"))
    await sandbox.close()
