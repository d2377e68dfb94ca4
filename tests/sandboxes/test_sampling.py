"""Looking at processes from outside: real trees, real strays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from proofrig.sandboxes import keeper
from proofrig.sandboxes.sampling import Sampler
from proofrig.sandboxes.sandbox import Limits

MB = 1 << 20
HOLD = "x = bytearray({} << 20); print(flush=True); import sys; sys.stdin.read()"
BURN = "import time\nwhile time.process_time() < {}: pass\n"


@contextlib.contextmanager
def program(*argv: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has said a line; its whole session is ended afterwards."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **env},
        start_new_session=True,
    )
    assert process.stdout
    process.stdout.readline()
    try:
        yield process
    finally:
        for pid in keeper.tree(process.pid):
            keeper.kill(pid)
        process.communicate()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


def until(true: Callable[[], object]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("never came true")


def test_nothing_was_seen_yet() -> None:
    sampler = Sampler(lambda: [])
    sampler.look()
    usage = sampler.usage()
    assert (usage.memory_anon_peak_bytes, usage.cpu_ms, usage.processes_peak) == (0, 0, 0)
    assert usage.memory_peak_bytes is None and usage.oom_kills is None


def test_memory_is_the_peak_of_the_sum_of_the_tree() -> None:
    fork = "import os; os.fork(); " + HOLD.format(30)
    with program(*python(fork)) as process:
        assert process.stdout
        process.stdout.readline()  # of the other one
        sampler = Sampler(lambda: [process.pid])
        sampler.look()
        assert 60 * MB < (sampler.usage().memory_anon_peak_bytes or 0) < 120 * MB
        assert sampler.usage().processes_peak == 2
    sampler.look()
    assert (sampler.usage().memory_anon_peak_bytes or 0) > 60 * MB


def test_threads_count_as_processes() -> None:
    code = (
        "import threading, sys\n"
        "for _ in range(9): threading.Thread(target=sys.stdin.read, daemon=True).start()\n"
        "print(flush=True); threading.Event().wait()"
    )
    with program(*python(code)) as process:
        sampler = Sampler(lambda: [process.pid])
        sampler.look()
        assert sampler.usage().processes_peak == 10


@pytest.mark.parametrize("waits", [True, False], ids=["parent waits", "parent does not wait"])
def test_time_of_children_that_are_gone_is_kept_and_counted_once(waits: bool) -> None:
    wait = "os.wait(); " if waits else ""
    code = (
        "import os, sys\nif not os.fork():\n  "
        + BURN.format(0.3).replace("\n", "\n  ")
        + "\n  print(flush=True); sys.stdin.read(1); os._exit(0)\n"
        + f"{wait}print(flush=True); sys.stdin.read()"
    )
    with program(*python(code)) as process:
        assert process.stdin and process.stdout
        sampler = Sampler(lambda: [process.pid])
        until(lambda: (sampler.look(), (sampler.usage().cpu_ms or 0) >= 250)[1])
        if waits:
            process.stdin.write(b"x")
            process.stdin.flush()
            process.stdout.readline()
        else:
            (child,) = keeper.tree(process.pid)[1:]
            keeper.kill(child)
            until(lambda: keeper.parent_and_state(child)[1] in ("", "Z"))
        sampler.look()
        sampler.look()
        assert 250 <= (sampler.usage().cpu_ms or 0) < 480


def test_a_daemon_is_followed_and_a_stray_is_found_by_its_marker() -> None:
    marker = secrets.token_hex(8)
    daemon = "setsid sh -c 'echo; exec sleep 300' & exec sleep 300"
    with program("sh", "-c", daemon, PROOFRIG_TOKEN=marker) as process:
        (stray,) = keeper.tree(process.pid)[1:]
        sampler, blind = Sampler(lambda: [process.pid], marker), Sampler(lambda: [process.pid])
        blind.look()
        keeper.kill(process.pid)
        until(lambda: keeper.parent_and_state(process.pid)[1] in ("", "Z"))
        try:
            for each in (sampler, blind, Sampler(lambda: [], "another")):
                each.look()
            assert sampler.usage().processes_peak == 1
            assert blind.usage().processes_peak == 2
            blind.look()
            assert stray in blind._known
        finally:
            keeper.kill(stray)


def test_a_marker_that_came_with_another_program_is_seen() -> None:
    marker = secrets.token_hex(8)
    change = f"echo; read go; PROOFRIG_TOKEN={marker} exec sh -c 'echo; read go'"
    with program("sh", "-c", change) as process:
        sampler = Sampler(lambda: [], marker)
        sampler.look()
        assert sampler.usage().processes_peak == 0
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        sampler.look()
        assert sampler.usage().processes_peak == 1


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        (Limits(), ()),
        (Limits(memory_bytes=10 * MB), ("memory",)),
        (Limits(memory_bytes=500 * MB, cpu_ms=100_000, processes=1), ()),
        (Limits(memory_bytes=10 * MB, cpu_ms=0, processes=0), ("memory", "cpu", "processes")),
    ],
    ids=["none", "memory", "within", "all"],
)
def test_limits_that_were_exceeded(limits: Limits, over: tuple[str, ...]) -> None:
    with program(*python(BURN.format(0.05) + HOLD.format(40))) as process:
        sampler = Sampler(lambda: [process.pid])
        sampler.look()
        assert sampler.over(limits) == over


async def test_it_looks_by_itself_until_it_is_closed() -> None:
    with program(*python(HOLD.format(40))) as process:
        samplers = [Sampler(lambda: [process.pid]) for _ in range(20)]
        for sampler in samplers:
            sampler.start()
        for _ in range(1000):
            if all((each.usage().memory_anon_peak_bytes or 0) > 40 * MB for each in samplers):
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("it never looked")
        for sampler in samplers:
            await sampler.close()
        await Sampler(lambda: []).close()
