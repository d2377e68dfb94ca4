"""Boxes of the namespace level: what they see, what they keep, what ends them. All are real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from namespace_boxes import command, files, home, play, said, shell
from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, keeper, leftovers, owners, volumes
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Command,
    Image,
    Limits,
    Shown,
    Unavailable,
)
from proofrig.sandboxes.scene import BOX_UID

pytestmark = pytest.mark.asyncio(loop_scope="module")
SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "world"
    (folder / "src").mkdir(parents=True)
    (folder / "a").write_text("A")
    (folder / "src" / "b").write_text("B")
    return folder


async def test_runs_a_program(namespace: NamespaceSandbox, world: Path) -> None:
    """Descriptors, current directory and reply pipe as on the host."""
    box = await namespace.start(BoxSettings(trial="t", marker="m", world=str(world)))
    what = shell(
        "pwd; cat; echo oops >&2; eval echo reply '>&'$PROOFRIG_REPLY_FD; exit 3",
        str(world),
        stdin=b"task",
        reply_cap=99,
    )
    exit = await (await box.exec(what)).wait()
    await box.close()
    assert (exit.code, exit.signal, exit.timed_out, exit.strays) == (3, None, False, 0)
    assert exit.stdout == f"{world}\ntask".encode()
    assert (exit.stderr, exit.reply) == (b"oops\n", b"reply\n")


async def test_input_and_replies_as_they_come(namespace: NamespaceSandbox) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m"))
    came: asyncio.Queue[bytes] = asyncio.Queue()
    what = shell("while read line; do eval echo got $line '>&'$PROOFRIG_REPLY_FD; done")
    program = await box.exec(what, keep_stdin=True, on_reply=came.put_nowait)
    for word in (b"one", b"two"):
        program.send(word + b"\n")
        assert await came.get() == b"got " + word + b"\n"
    program.kill()
    assert (await program.wait()).stopped
    await box.close()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (command(["no-such-program"]), "no program 'no-such-program'"),
        (command(["/usr/no/such"]), "no program '/usr/no/such'"),
        (command(["true"], "/no/such/folder"), "no folder /no/such/folder"),
        (command(["/usr/bin"]), "no program '/usr/bin'"),
    ],
    ids=["name", "path", "cwd", "folder"],
)
async def test_what_cannot_be_started(
    namespace: NamespaceSandbox, what: Command, says: str
) -> None:
    with pytest.raises(SandboxError, match=f"cannot start '{what.argv[0]}' in {what.cwd}.*{says}"):
        await play(namespace, what)


async def test_what_the_kernel_refuses_to_execute(namespace: NamespaceSandbox) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m"))
    await box.put("/tmp/bad", b"#!/no/such/interpreter\n", 0o755)
    program = await box.exec(command(["/tmp/bad"]))
    with pytest.raises(SandboxError, match=r"cannot start '/tmp/bad' in /tmp: .*No such file"):
        await program.wait()
    await box.close()


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("exit 7", 7, None),
        ("kill -9 $$", None, 9),
        ("kill -TERM $$", None, 15),
        ("exit 255", 255, None),
    ],
    ids=["code", "SIGKILL", "SIGTERM", "255"],
)
async def test_how_it_ended(
    namespace: NamespaceSandbox, script: str, code: int | None, number: int | None
) -> None:
    exit, ended, box = await play(namespace, shell(script))
    await box.close()
    assert (exit.code, exit.signal) == (code, number)
    assert (ended.by, ended.broke) == ("", ())


async def test_sees_its_own_only(namespace: NamespaceSandbox, world: Path) -> None:
    """Not the other world, the runner's files, environment or processes."""
    other = world.parent / "other"
    other.mkdir()
    source = Path(__file__)
    script = f"""
        ls {world.parent}; ls -A {home()} /run /var/tmp /dev/shm; cat {source}; cat /etc/shadow
        ls /sys; cat /proc/[0-9]*/comm; hostname; env | sort; cat /proc/{os.getpid()}/environ
    """
    seen = await said(namespace, shell(script, str(world)), world=str(world))
    lines = seen.splitlines()
    assert "world" in lines and "other" not in lines
    assert "The namespace level" not in seen and "real" not in seen
    for gone in (str(source), "/etc/shadow", "/sys", f"/proc/{os.getpid()}/environ"):
        assert f"'{gone}': No such file" in seen or f"{gone}: No such file" in seen
    found = {line for line in lines if line in ("bwrap", "sh", "cat", "python3", "pytest")}
    assert found == {"bwrap", "sh"}
    variables = [line for line in lines if "=" in line]
    assert variables == [f"HOME={home()}", "PATH=/usr/bin:/bin", f"PWD={world}"]
    assert "box" in lines


async def test_has_no_rights(namespace: NamespaceSandbox) -> None:
    script = (
        "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; "
        "unshare -U true || echo A; mount -t tmpfs none /tmp || echo B; touch /usr/x || echo C; "
        "touch /dev/x || echo D; id -u"
    )
    seen = await said(namespace, shell(script))
    assert seen.startswith("CapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\nSec")
    assert f"\nA\nB\nC\nD\n{os.getuid()}\n" in seen, "it finds itself to be who the runner is"


async def test_what_it_is_shown(namespace: NamespaceSandbox, tmp_path: Path, world: Path) -> None:
    """Read-only or writable, also where only their owner may look; without what is hidden."""
    for name in ("kit", "desk"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "kit" / "secret").write_text("secret")
    (tmp_path / "kit" / "vault").mkdir()
    (tmp_path / "kit" / "vault" / "key").write_text("key")
    (tmp_path / "note").write_text("note\n")
    seen = await said(
        namespace,
        shell(
            "cat kit/file note; echo; echo more >> desk/file; echo x > kit/x; "
            "cat kit/secret; ls -A kit/vault; echo done",
            str(tmp_path),
        ),
        world=str(world),
        shown=(
            Shown(str(tmp_path / "kit")),
            Shown(str(tmp_path / "desk"), writable=True),
            Shown(str(tmp_path / "note")),
        ),
        hidden=(str(tmp_path / "kit" / "secret"), str(tmp_path / "kit" / "vault"), "/no/such"),
    )
    assert seen.startswith("kitnote\n\ndone\n")
    assert "kit/x: Read-only file system" in seen
    assert (tmp_path / "desk" / "file").read_text() == "deskmore\n"
    # never root's: it could be made a program of root's, setuid
    assert (tmp_path / "desk" / "file").stat().st_uid == (os.getuid() or BOX_UID)


async def test_a_world_in_shared_memory(namespace: NamespaceSandbox) -> None:
    """On a file system in memory, below a folder that every box has of its own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        world = Path(name) / "world"
        world.mkdir()
        (world / "a").write_text("A")
        (Path(name) / "other").write_text("other")
        script = "cat a; rm a; echo b > b; ls /dev/shm; ls ..; echo c > /dev/shm/c; touch /dev/x"
        exit, _, box = await play(namespace, shell(script, str(world)), world=str(world))
        changes = await box.changes()
        await box.close()
        assert exit.stdout.decode() == f"A{Path(name).name}\nworld\n"
        assert b"/dev/x" in exit.stderr
        assert list(files(world)) == ["b"]
        assert [(one.path, one.change) for one in changes.entries] == [
            (f"{world}/a", "deleted"),
            (f"{world}/b", "added"),
        ]


async def test_a_world_with_a_very_long_path(namespace: NamespaceSandbox, tmp_path: Path) -> None:
    world = tmp_path / Path(*["p" * 200] * 16)
    world.mkdir(parents=True)
    (world / "a").write_text("A")
    assert await said(namespace, shell("cat a", str(world)), world=str(world)) == "A"


@pytest.mark.parametrize("path", ["/", "/dev", "/proc", "/proc/sys"])
async def test_what_a_box_has_of_its_own_is_not_shown(
    namespace: NamespaceSandbox, path: str
) -> None:
    with pytest.raises(SandboxError, match=f"it is to see {path}, and has that of its own"):
        await namespace.start(BoxSettings(trial="t", marker="m", shown=(Shown(path),)))


@pytest.mark.parametrize("folder", ["/no/such", "", "/", "relative", "/proc/x", None])
async def test_any_home(monkeypatch: pytest.MonkeyPatch, folder: str | None) -> None:
    """The runner's own, and a command's: a folder that is made, or none that anything is about."""
    monkeypatch.delenv("HOME")
    if folder is not None:
        monkeypatch.setenv("HOME", folder)
    sandbox = NamespaceSandbox()
    await sandbox.prepare(Image())
    script = "touch ~/x && echo made; echo here"
    env = {"PATH": "/usr/bin:/bin", "HOME": folder or ""}
    what = Command(argv=["sh", "-c", script], env=env, cwd="/tmp")
    exit, _, box = await play(sandbox, what)
    await box.close()
    await sandbox.close()
    assert exit.stdout in {"/no/such": [b"made\nhere\n"]}.get(
        folder or "", [b"here\n", b"made\nhere\n"]
    )


async def test_what_is_not_there_cannot_be_shown(namespace: NamespaceSandbox) -> None:
    with pytest.raises(SandboxError, match="/no/such, which is not there"):
        await namespace.start(BoxSettings(trial="t", marker="m", shown=(Shown("/no/such"),)))


async def test_changes_come_home_when_asked_for(namespace: NamespaceSandbox, world: Path) -> None:
    script = "echo more >> a; rm -r src; mkdir new; echo n > new/n; echo h > ~/h; echo t > /tmp/t"
    _, _, box = await play(namespace, shell(script, str(world)), world=str(world))
    before = sorted(files(world))
    changes = await box.changes()
    await box.close()
    after = files(world)
    assert before == ["a", "src", "src/b"]
    assert sorted(after) == ["a", "new", "new/n"]
    assert after["a"].read_text() == "Amore\n"
    assert {path.stat().st_uid for path in after.values()} == {os.getuid()}
    found = {(one.path, one.change) for one in changes.entries if one.kind == "file"}
    assert found == {
        (f"{world}/a", "changed"),
        (f"{world}/src/b", "deleted"),
        (f"{world}/new/n", "added"),
        (f"{home()}/h", "added"),
        ("/tmp/t", "added"),
    }
    assert (changes.complete, changes.error) == (True, "")


async def test_files_stay_processes_do_not(namespace: NamespaceSandbox, world: Path) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m", world=str(world)))
    cwd = str(world)
    first = await (
        await box.exec(shell("echo 1 > x; echo 2 > ~/y; echo 3 > /dev/shm/z; sleep 99 &", cwd))
    ).wait()
    second = await (await box.exec(shell("cat x ~/y /dev/shm/z; pgrep sleep", cwd))).wait()
    await box.close()
    assert first.strays == 1
    assert second.stdout == b"1\n2\n3\n"


async def test_put_and_get(namespace: NamespaceSandbox, world: Path, tmp_path: Path) -> None:
    """Also before anything ran; and no link of the box leads to the host."""
    (tmp_path / "host").write_text("of the host")
    box = await namespace.start(BoxSettings(trial="t", marker="m", world=str(world)))
    await box.put(f"{world}/deep/er/file", b"data", 0o640)
    await box.put("/tmp/data", b"x" * 3_000_000)
    script = (
        f"stat -c %a:%U deep/er/file; ln -s {tmp_path}/host l; mkfifo p; echo mine >> deep/er/file"
    )
    exit = await (await box.exec(shell(script, str(world)))).wait()
    assert exit.stdout.startswith(b"640:")
    assert await box.get(f"{world}/deep/er/file", 99) == b"datamine\n"
    assert len(await box.get("/tmp/data", 1 << 20)) == 1 << 20
    for path in (f"{world}/l", f"{world}/p", str(world)):
        with pytest.raises(SandboxError, match=f"cannot read {path}"):
            await box.get(path, 99)
    for path in ("/tmp/none", f"{tmp_path}/host"):
        with pytest.raises(FileNotFoundError):
            await box.get(path, 99)
    with pytest.raises(SandboxError, match=r"cannot write /usr/none in the box: Read-only"):
        await box.put("/usr/none", b"")
    await box.close()
    assert (tmp_path / "host").read_text() == "of the host"


async def test_many_at_once(namespace: NamespaceSandbox, world: Path) -> None:
    async def one(number: int) -> bytes:
        exit, _, box = await play(namespace, shell(f"echo {number}"), world=str(world))
        await box.close()
        return exit.stdout

    assert await asyncio.gather(*map(one, range(12))) == [b"%d\n" % n for n in range(12)]


async def test_nothing_is_left(namespace: NamespaceSandbox, world: Path) -> None:
    settings = BoxSettings(trial="t", marker="m", world=str(world), ports=(8080,))
    limits = Limits(disk_bytes=4 << 20)
    folder = leftovers.home()

    def left() -> list[object]:
        mounts = Path("/proc/self/mountinfo").read_text()
        ours = [file for file in loop_files() if file.startswith(f"{folder}/")]
        boxes = [p.name for p in folder.glob("namespace-*/*") if not p.name.startswith("empty-")]
        return [sorted(boxes), mounts, len(ours)]  # one device waits for the next box

    async def settled(wanted: list[object]) -> list[object]:
        for _ in range(3000):
            if left() == wanted:
                break
            await asyncio.sleep(0.01)
        return left()

    first = await namespace.start(msgspec.structs.replace(settings, limits=limits))
    await first.close()  # makes the template of this size
    loop = volumes.loops()
    before = await settled([[], left()[1], int(loop)])
    fds = len(os.listdir("/proc/self/fd"))
    boxes = [
        await namespace.start(settings),
        await namespace.start(msgspec.structs.replace(settings, limits=limits)),
    ]
    for box in boxes:
        await (await box.exec(shell("echo x > ~/x; sleep 99 &", str(world)))).wait()
    for box in boxes:
        await box.close()
        await box.close()
    assert await settled(before) == before
    assert len(os.listdir("/proc/self/fd")) == fds


async def test_two_at_once_in_threads() -> None:
    """Each with an event loop and boxes of its own; none knows of the other."""

    async def one() -> tuple[int, bytes]:
        sandbox = NamespaceSandbox()
        await sandbox.prepare(Image())
        exit, _, box = await play(sandbox, shell("echo here"), limits=Limits(disk_bytes=1 << 20))
        await box.close()
        await sandbox.close()
        return exit.code or 0, exit.stdout

    threads = [asyncio.to_thread(asyncio.run, one()) for _ in range(4)]
    assert await asyncio.gather(*threads) == [(0, b"here\n")] * 4


async def test_who_gives_up_leaves_nothing(namespace: NamespaceSandbox, world: Path) -> None:
    """At any moment of the start, or of the first command."""
    settings = BoxSettings(trial="given-up", marker="m", world=str(world), ports=(8080,))

    async def run() -> None:
        box = await namespace.start(settings)
        try:
            await (await box.exec(shell("sleep 99"))).wait()
        finally:
            await box.close()

    for moment in range(24):
        task = asyncio.create_task(run())
        await asyncio.sleep(moment * 0.004)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [path.name for path in leftovers.home().glob("*/*given-up*")] == []
    assert [name for name in groups() if "given-up" in name] == []
    assert namespace._boxes == set()
    assert await said(namespace, shell("echo next")) == "next\n"


def loop_files() -> Iterator[str]:
    """The files of all loop devices, which may go meanwhile."""
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            yield path.read_text()


def groups() -> list[str]:
    """The groups of this runner."""
    return [str(path) for path in Path("/sys/fs/cgroup").rglob(f"proofrig/{owners.tag()}/*")]


async def test_forty_boxes_leave_nothing(namespace: NamespaceSandbox, tmp_path: Path) -> None:
    """Eight at a time, as trials run. `benchmarks/bench_sandboxes.py --soak 500` runs more."""
    (tmp_path / "world").mkdir()
    gate, grouped = asyncio.Semaphore(8), cgroups.probe()[0] > 0
    mounts, fds = text("/proc/self/mountinfo"), len(os.listdir("/proc/self/fd"))

    async def one(number: int) -> bytes:
        async with gate:
            what = shell(f"sleep 98765 & echo {number} > x; cat x", str(tmp_path / "world"))
            memory = 64 << 20 if grouped else None
            limits = Limits(memory_bytes=memory, disk_bytes=4 << 20)
            exit, _, box = await play(
                namespace, what, world=str(tmp_path / "world"), limits=limits, ports=(8080,)
            )
            await box.close()
            return exit.stdout

    assert await asyncio.gather(*map(one, range(40))) == [b"%d\n" % n for n in range(40)]
    assert [pid for pid in keeper.processes() if b"98765" in cmdline(pid)] == []
    assert [path.name for path in leftovers.home().glob("namespace-*/*-t")] == []
    assert [path for path in groups() if path.endswith("-t")] == []
    assert text("/proc/self/mountinfo") == mounts
    assert len(os.listdir("/proc/self/fd")) <= fds + 2  # threads of the loop may have come


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def started(argv: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


async def living(pids: list[int]) -> list[int]:
    """Those that still live after a while."""
    for _ in range(1000):
        left = [pid for pid in pids if keeper.parent_and_state(pid)[1] not in ("", "Z", "X")]
        if not left:
            break
        await asyncio.sleep(0.01)
    return left


def text(*path: str) -> str:
    return Path(*path).read_text()


RUNNER = """
import asyncio, os, sys
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import BoxSettings, Command, Image, Limits

async def main():
    sandbox = NamespaceSandbox()
    await sandbox.prepare(Image())
    box = await sandbox.start(BoxSettings(trial="t", marker="m", limits=Limits(disk_bytes=4 << 20)))
    program = await box.exec(Command(["sh", "-c", "setsid sleep 99 & sleep 99"],
                                     {"PATH": "/usr/bin:/bin"}, "/"))
    print(program.pid, sandbox._link.process.pid, flush=True)
    await program.wait()

asyncio.run(main())
"""


@pytest.fixture
def own_tmp() -> Iterator[Path]:
    """A folder that others may pass through, as boxes of another user have to. Folders of pytest
    are not, and their modes are not ours to change."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.mark.parametrize("victim", ["runner", "keeper"])
async def test_a_killed_runner_leaves_nothing_alive(victim: str, own_tmp: Path) -> None:
    """Neither a process nor a mount; what is on disk is known to be left."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SRC), *sys.path]),
        "TMPDIR": str(own_tmp),
    }
    runner = started([sys.executable, "-c", RUNNER], env)
    try:
        assert runner.stdout is not None
        first, parent = map(int, runner.stdout.readline().split())
        while len(keeper.tree(first)) < 4:  # noqa: ASYNC110 - another process is at work
            await asyncio.sleep(0.01)
        alive = keeper.tree(parent)
        assert first in alive
        os.kill(runner.pid if victim == "runner" else parent, signal.SIGKILL)
        left = await living(alive)
    finally:
        runner.kill()
        runner.communicate()
    assert left == []
    assert str(own_tmp) not in text("/proc/self/mountinfo")
    base = own_tmp / f"proofrig-boxes-{os.geteuid()}"
    cleaned = leftovers.clean(base)
    assert "storage" in {one.leftover.kind for one in cleaned}
    assert [one.error for one in cleaned if one.error] == []
    assert not base.exists()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A root file system of one static program."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox: apt-get install busybox-static")
    root = tmp_path_factory.mktemp("image") / "root"
    for name in ("bin", "usr/bin", "etc", "tmp", "var"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("sh", "cat", "ls", "id", "rm", "mkdir", "touch", "true"):
        (root / "bin" / name).symlink_to("/bin/busybox")
    (root / "etc" / "release").write_text("image\n")
    (root / "var" / "run").symlink_to("/etc")  # a link that means another place in the box
    return Image(name="small", digest="d1", root=str(root))


async def test_boxes_of_an_image(image: Image, world: Path, tmp_path: Path) -> None:
    """Its files are there and no others; all of it may be written to, and none is changed."""
    sandbox = NamespaceSandbox()
    assert await sandbox.prepare(image) == "d1"
    (tmp_path / "shown").write_text("shown\n")
    script = (
        f"cat /etc/release {tmp_path}/shown a; ls /usr/bin /usr/local; rm /etc/release; id -u; "
        "echo new > /usr/new; mkdir -p /opt/x; cat /var/run/release"
    )
    shown = (Shown(str(tmp_path / "shown")),)
    exit, _, box = await play(sandbox, shell(script, str(world)), world=str(world), shown=shown)
    changes = await box.changes()
    await box.close()
    await sandbox.close()
    assert exit.stdout.startswith(b"image\nshown\nA"), exit.stderr
    assert exit.stderr.count(b"/usr/local") == 1 and exit.stderr.count(b"release") == 1
    found = {one.path: one.change for one in changes.entries}
    assert (
        found.items()
        >= {
            "/etc/release": "deleted",
            "/usr/new": "added",
            "/opt/x": "added",
        }.items()
    )
    assert not [path for path in found if path.startswith(str(tmp_path))]
    assert text(image.root, "etc", "release") == "image\n"
    assert "usr/new" not in files(Path(image.root))


async def test_an_image_that_is_not_there() -> None:
    sandbox = NamespaceSandbox()
    with pytest.raises(Unavailable, match="proofrig image build"):
        await sandbox.prepare(Image(name="gone", digest="d", root="/no/such"))
    await sandbox.close()


async def test_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox = NamespaceSandbox()
    with pytest.raises(Unavailable, match="install the package bubblewrap"):
        await sandbox.prepare(Image())
    await sandbox.close()


async def test_a_box_needs_a_prepared_sandbox() -> None:
    with pytest.raises(SandboxError, match="call `prepare` first"):
        await NamespaceSandbox().start(BoxSettings(trial="t", marker="m"))
