"""Process boxes: real commands, real strays, real kills."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import secrets
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes import keeper
from proofrig.sandboxes.keeping import FILES, sweep
from proofrig.sandboxes.process import ProcessSandbox
from proofrig.sandboxes.sandbox import Command, Exit

MARKER_NAME = "PROOFRIG_TOKEN"


@pytest.fixture
async def sandbox() -> AsyncIterator[ProcessSandbox]:
    made = ProcessSandbox()
    yield made
    await made.close()


def shell(script: str, cwd: Path, **changes: object) -> Command:
    marker = str(changes.pop("marker", secrets.token_hex(12)))
    env = {"PATH": os.environ["PATH"], MARKER_NAME: marker}
    settings: dict[str, object] = {"timeout_s": 20.0, "marker": marker, **changes}
    return Command(argv=["sh", "-c", script], env=env, cwd=str(cwd), **settings)  # type: ignore[arg-type]


def carriers(marker: str) -> list[int]:
    return [
        pid
        for pid in keeper.processes()
        if keeper.carries(pid, marker) and keeper.parent_and_state(pid)[1] not in ("", "Z")
    ]


def lives(pid: int) -> bool:
    return keeper.parent_and_state(pid)[1] not in ("", "Z", "X")


async def gone(pids: list[int]) -> bool:
    for _ in range(500):
        if not any(lives(pid) for pid in pids):
            return True
        await asyncio.sleep(0.01)
    return False


def pids_of(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


async def pids_in(file: Path, count: int) -> list[int]:
    for _ in range(1000):
        if len(found := pids_of(file)) >= count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{file} never held {count} pids")


async def test_feeds_and_reads(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    exit = await sandbox.run(shell("pwd; cat; echo oops >&2; exit 3", tmp_path, stdin=b"task"))
    assert (exit.code, exit.signal, exit.timed_out) == (3, None, False)
    assert exit.stdout == f"{tmp_path}\ntask".encode()
    assert exit.stderr == b"oops\n"
    assert exit.strays == 0


async def test_environment_is_exactly_the_commands(
    sandbox: ProcessSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    exit = await sandbox.run(Command(argv=["env"], env={"A": "1"}, cwd=str(tmp_path)))
    assert exit.stdout == b"A=1\n"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
async def test_standard_input_of_any_size(
    sandbox: ProcessSandbox, tmp_path: Path, size: int
) -> None:
    exit = await sandbox.run(shell("wc -c", tmp_path, stdin=b"x" * size))
    assert int(exit.stdout) == size


async def test_a_command_that_never_reads_its_input(
    sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    exit = await sandbox.run(shell("exec 0<&-; echo done", tmp_path, stdin=b"x" * 3_000_000))
    assert (exit.code, exit.stdout) == (0, b"done\n")


async def test_a_flood_is_counted_and_cut(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    before = psutil.Process().memory_info().rss
    exit = await sandbox.run(
        shell(
            "head -c 100000000 /dev/zero; head -c 5000000 /dev/zero | tr '\\0' e >&2; echo END >&2",
            tmp_path,
            stdout_cap=1000,
            stderr_cap=500,
        )
    )
    assert exit.code == 0
    assert (len(exit.stdout), exit.stdout_bytes) == (1000, 100_000_000)
    assert exit.stderr == b"e" * 496 + b"END\n"
    assert psutil.Process().memory_info().rss - before < 20_000_000


async def test_the_reply_pipe_is_apart_from_what_is_printed(
    sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    script = 'echo noise; eval "echo answer >&$PROOFRIG_REPLY_FD"'
    exit = await sandbox.run(shell(script, tmp_path, reply_cap=3))
    assert (exit.stdout, exit.reply, exit.reply_bytes) == (b"noise\n", b"ans", 7)


async def test_a_started_box_can_be_talked_to(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    heard: list[bytes] = []
    first = asyncio.Event()

    def on_reply(data: bytes) -> None:
        heard.append(data)
        first.set()

    script = 'while read line; do eval "echo got $line >&$PROOFRIG_REPLY_FD"; done'
    box = await sandbox.launch(shell(script, tmp_path), keep_stdin=True, on_reply=on_reply)
    box.send(b"one\n")
    await first.wait()
    box.kill()
    exit = await box.wait()
    assert b"".join(heard) == b"got one\n"
    assert (exit.signal, exit.stopped, exit.timed_out) == (9, True, False)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("kill -SEGV $$", Exit(code=None, signal=11)),
        ("kill -TERM $$", Exit(code=None, signal=15)),
        ("exec 0<&- 1<&- 2<&-; sleep 0.05; exit 7", Exit(code=7)),
    ],
)
async def test_how_it_ended(
    sandbox: ProcessSandbox, tmp_path: Path, script: str, expected: Exit
) -> None:
    exit = await sandbox.run(shell(script, tmp_path))
    assert (exit.code, exit.signal, exit.timed_out) == (expected.code, expected.signal, False)


STRAYS = {
    "background": "sleep 300 & echo $! >> pids",
    "own session": "setsid sh -c 'echo $$ >> pids; exec sleep 300' &",
    "daemon": "(setsid sh -c 'echo $$ >> pids; (sleep 300 & echo $! >> pids; wait)' &) ",
    "clean environment": "setsid env -i sh -c 'echo $$ >> pids; /bin/sleep 300' &",
    "holds the output open": "setsid sh -c 'echo $$ >> pids; sleep 300; echo late' &",
}


@pytest.mark.parametrize("kind", STRAYS)
@pytest.mark.parametrize("ending", ["exits", "killed"])
async def test_nothing_outlives_the_box(
    sandbox: ProcessSandbox, tmp_path: Path, kind: str, ending: str
) -> None:
    wait = "while ! [ -s pids ]; do sleep 0.01; done; "
    command = shell(
        f"{STRAYS[kind]}\n{wait}" + ("exit 0" if ending == "exits" else "sleep 300"), tmp_path
    )
    box = await sandbox.launch(command)
    if ending == "killed":
        await pids_in(tmp_path / "pids", 1)
        box.kill()
    exit = await box.wait()
    assert (exit.code, exit.stopped) == ((0, False) if ending == "exits" else (None, True))
    assert exit.strays >= 1
    pids = pids_of(tmp_path / "pids")
    assert pids and not [pid for pid in pids if lives(pid)]
    assert carriers(command.marker) == []


async def test_a_timeout_ends_the_box(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    exit = await sandbox.run(shell("setsid sleep 300 & sleep 300", tmp_path, timeout_s=0.3))
    assert (exit.code, exit.signal, exit.timed_out, exit.stopped) == (None, 9, True, False)


async def test_strays_of_one_box_leave_the_others_alone(
    sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    keeps = "setsid sh -c 'echo $$ > pids; exec sleep 300' & while ! [ -s pids ]; do sleep 0.01; "
    slow = await sandbox.launch(
        shell(keeps + "done; read line; exit 0", tmp_path / "a"), keep_stdin=True
    )
    (mine,) = await pids_in(tmp_path / "a" / "pids", 1)
    quick = await sandbox.run(shell(keeps + "done; exit 0", tmp_path / "b"))
    assert quick.strays == 1
    assert lives(mine)
    slow.send(b"\n")
    assert (await slow.wait()).strays == 1
    assert not lives(mine)


async def test_peak_memory_and_cpu_are_the_commands_own(
    sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    ballast = bytearray(os.urandom(4096) * 25_000)  # 100 MB here must not show there
    small = await sandbox.run(shell("true", tmp_path))
    code = "x = b'x' * 60_000_000; n = sum(range(3_000_000))"
    large = await sandbox.run(Command(argv=[sys.executable, "-c", code], env={}, cwd=str(tmp_path)))
    assert len(ballast) == 102_400_000
    assert small.max_rss_bytes < 40_000_000
    assert 60_000_000 < large.max_rss_bytes < 120_000_000
    assert large.cpu_ms > small.cpu_ms


@pytest.mark.parametrize(
    ("argv", "cwd", "said"),
    [
        (["/no/such/program"], ".", "'/no/such/program'"),
        (["true"], "/no/such/folder", "/no/such/folder"),
        (["a\0b"], ".", "null byte"),
    ],
)
async def test_what_cannot_be_started(
    sandbox: ProcessSandbox, tmp_path: Path, argv: list[str], cwd: str, said: str
) -> None:
    with pytest.raises(SandboxError, match="cannot start") as caught:
        await sandbox.run(Command(argv=argv, env={}, cwd=str(tmp_path / cwd)))
    assert said in str(caught.value)
    assert caught.value.definite


async def test_hundreds_started_in_one_turn(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    command = Command(argv=["true"], env={"PAD": "x" * 5000}, cwd=str(tmp_path))
    exits = await asyncio.gather(*(sandbox.run(command) for _ in range(400)))
    assert [exit.code for exit in exits] == [0] * 400


def use_up_descriptors(leave: int) -> list[int]:
    taken: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for _ in range(leave):
        os.close(taken.pop())
    return taken


@pytest.mark.parametrize("leave", [0, 2, 3, 5, 6])
async def test_without_descriptors_it_says_so(
    sandbox: ProcessSandbox, tmp_path: Path, leave: int
) -> None:
    await sandbox.run(shell("true", tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 30, hard))
    taken = use_up_descriptors(leave)
    try:
        with pytest.raises(SandboxError, match="ulimit -n"):
            await sandbox.run(shell("true", tmp_path, stdin=b"x", reply_cap=1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_boxes_keep_the_runners_limit_of_files(
    sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    assert (await sandbox.run(shell("ulimit -n", tmp_path))).stdout == b"%d\n" % FILES[0]


async def test_many_at_once(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    exits = await asyncio.gather(*(sandbox.run(shell(f"echo {n}", tmp_path)) for n in range(60)))
    assert [int(exit.stdout) for exit in exits] == list(range(60))


async def test_no_descriptor_is_left(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    await sandbox.run(shell("true", tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await sandbox.run(shell("echo x", tmp_path, stdin=b"y", reply_cap=10))
        with pytest.raises(SandboxError):
            await sandbox.run(Command(argv=["/nope"], env={}, cwd="/", stdin=b"x"))
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_cancelled_run_ends_its_box(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    command = shell("echo $$ > pids; sleep 300", tmp_path)
    task = asyncio.create_task(sandbox.run(command))
    pids = await pids_in(tmp_path / "pids", 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [pid for pid in pids if lives(pid)]


async def test_close_ends_what_is_left(tmp_path: Path) -> None:
    sandbox = ProcessSandbox()
    box = await sandbox.launch(shell("setsid sleep 300 & sleep 300", tmp_path))
    await sandbox.close()
    exit = await box.wait()
    assert (exit.signal, exit.stopped) == (9, True)
    assert carriers(box.command.marker) == []


async def test_a_lost_keeper_is_replaced(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    box = await sandbox.launch(shell("echo $$ > pids; sleep 300", tmp_path))
    pids = await pids_in(tmp_path / "pids", 1)
    keeper_pid, _ = keeper.parent_and_state(box.pid)
    os.kill(keeper_pid, signal.SIGKILL)
    with pytest.raises(SandboxError, match="keeper"):
        await box.wait()
    assert await gone(pids)
    assert (await sandbox.run(shell("echo again", tmp_path))).stdout == b"again\n"


RUNNER = """
    import asyncio, sys
    from proofrig.sandboxes.process import ProcessSandbox
    from proofrig.sandboxes.sandbox import Command

    async def main():
        script = "setsid sh -c 'echo $$ >> pids; exec sleep 300' & echo $$ >> pids; sleep 300"
        env = {"PATH": "/usr/bin:/bin", "PROOFRIG_TOKEN": sys.argv[1]}
        command = Command(["sh", "-c", script], env, sys.argv[2], marker=sys.argv[1])
        await ProcessSandbox().run(command)

    asyncio.run(main())
"""


async def test_boxes_die_with_a_killed_runner(tmp_path: Path) -> None:
    marker = secrets.token_hex(12)
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(RUNNER), marker, str(tmp_path)
    )
    pids = await pids_in(tmp_path / "pids", 2)
    runner.kill()
    await runner.wait()
    assert await gone(pids)


def test_sweep_finds_what_an_earlier_runner_left() -> None:
    marker, other = secrets.token_hex(12), secrets.token_hex(12)
    left = [
        subprocess.Popen(["sleep", "300"], env={"ANY": value}, start_new_session=True)
        for value in (marker, marker, other, marker + "x")
    ]
    try:
        assert sweep(marker) == 2
        assert [process.wait() for process in left[:2]] == [-9, -9]
        assert left[2].poll() is None and left[3].poll() is None
        assert sweep(marker) == 0
        assert sweep("") == 0
    finally:
        for process in left:
            process.kill()
            process.wait()
