"""Processes that stand still, and go on."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import psutil
import pytest

from fault_rig import CALL, Bench, call_at, whole
from proofrig.faults.pause import Pause
from proofrig.sandboxes.keeping import send


async def test_the_processes_stand_still_until_the_time_is_up() -> None:
    bench = Bench([Pause(for_s=0.01)])
    seen = await bench.through(lambda: whole(b"{}"))
    assert (seen.calls, bench.around.done) == (1, [("pause", "t")])
    await asyncio.sleep(0.05)
    assert bench.around.done == [("pause", "t"), ("resume", "t")]
    assert [fact["processes"] for fact in bench.facts] == [1]


async def test_they_go_on_when_their_trial_ends() -> None:
    bench = Bench([Pause()])
    await bench.through(lambda: whole(b"{}"), call_at("service", name="lock.acquire"))
    bench.injector.end(CALL.trial)
    assert bench.around.done == [("pause", "t"), ("resume", "t")]
    assert bench.facts[0]["lasts_ns"] > 30 * 10**9  # the time-to-live of a lock by default


async def test_an_agent_without_processes_is_not_struck(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench([Pause()])

    async def nobody(token: str) -> int:
        return 0

    monkeypatch.setattr(bench.around, "pause", nobody)
    assert (await bench.through(lambda: whole(b"{}"))).calls == 1
    assert bench.facts == []


async def test_a_real_process_stands_still_and_goes_on() -> None:
    token = "pause-test-0123456789abcdef"
    code = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdin=PIPE, stdout=PIPE, env={"TOKEN": token}
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"one\n")
        assert await process.stdout.readline() == b"one\n"
        bench = Bench([Pause()])

        async def pause(token: str) -> int:
            return send(signal.SIGSTOP, token)

        def resume(token: str) -> None:
            send(signal.SIGCONT, token)

        bench.around.pause = pause  # type: ignore[method-assign]
        bench.around.resume = resume  # type: ignore[method-assign]
        await bench.through(lambda: whole(b"{}"), call_at(token=token))
        assert bench.facts[0]["processes"] == 1
        await _until(process.pid, psutil.STATUS_STOPPED)
        bench.injector.close()
        process.stdin.write(b"two\n")
        assert await process.stdout.readline() == b"two\n"
    finally:
        process.kill()
        await process.wait()


async def _until(pid: int, status: str) -> None:
    """Wait for a process to be in this state; at most ten seconds."""
    for _ in range(1000):
        if psutil.Process(pid).status() == status:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"expected process {pid} to be {status}")
