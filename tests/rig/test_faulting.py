"""What a rig makes of the faults in its plan, and what they may reach."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from pydantic import ValidationError

from proofrig.faults.injector import carry
from proofrig.gateways.gateway import Binding, Bindings, RunClock
from proofrig.gateways.leg import outbound
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.rig.faulting import Around, injector
from proofrig.wire.answer import Answer, Made

BINDING = Binding("tok-of-a-trial-0123", "case:1", "acme", "acme/flow/agent/run")


def context(path: Path) -> SimpleNamespace:
    clock = RunClock(0)
    return SimpleNamespace(
        journal=Journal(path, "rig", clock), bindings=Bindings(), clock=clock, admission=None
    )


async def answered() -> Answer:
    return Made(200, b"{}")


async def test_a_fault_of_the_plan_strikes_and_stands_on_the_history(tmp_path: Path) -> None:
    made = context(tmp_path)
    made.bindings.add(BINDING)
    faults = injector(made, [{"kind": "latency", "ms": 1, "name": "slow"}], 0, {}, lambda *_: None)
    assert faults is not None
    call = outbound(BINDING, "tool", "tool", "rig-1.1", "tool.refund", tool="refund")
    assert (await carry(faults.upon(call), answered)).status == 200
    made.journal.flush()
    (entry,) = (one for one in History(tmp_path).entries() if one.kind == "fault")
    assert (entry.name, entry.id, entry.trial) == ("latency", "rig-1.1", "case:1")
    assert entry.attrs == {
        "fault": "slow",
        "number": 0,
        "at": "tool",
        "nth": 1,
        "lasts_ns": 1_000_000,
    }
    made.journal.close()


async def test_a_plan_without_faults_has_no_injector(tmp_path: Path) -> None:
    made = context(tmp_path)
    assert injector(made, [], 0, {}, lambda *_: None) is None
    made.journal.close()


def test_a_fault_that_cannot_be_is_refused(tmp_path: Path) -> None:
    made = context(tmp_path)
    with pytest.raises(ValidationError, match="latency"):
        injector(made, [{"kind": "latncy"}], 0, {}, lambda *_: None)
    made.journal.close()


async def test_the_end_of_a_trial_undoes_what_was_done_to_it(tmp_path: Path) -> None:
    made, undone = context(tmp_path), list[str]()
    made.bindings.add(BINDING)
    faults = injector(made, [{"kind": "latency"}], 0, {}, lambda *_: None)
    assert faults is not None
    call = outbound(BINDING, "llm", "messages", "rig-1.1", "llm.messages")
    ((_, hit),) = faults.upon(call)
    hit.undo(60, lambda: undone.append("once"))
    made.bindings.end(BINDING.token)
    made.bindings.end(BINDING.token)
    assert undone == ["once"]
    made.journal.close()


async def test_the_processes_of_a_trial_can_be_halted_and_let_go_on() -> None:
    around = Around(context_of_bindings(), {}, lambda *_: None)
    token = f"proofrig-test-{os.getpid()}-token"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import time; time.sleep(60)", env={"PROOFRIG_TOKEN": token}
    )
    try:
        seen = psutil.Process(process.pid)
        assert around.pause(token) == 1
        await until(lambda: seen.status() == psutil.STATUS_STOPPED)
        assert around.resume(token) == 1
        await until(lambda: seen.status() != psutil.STATUS_STOPPED)
        assert around.kill(token) == 1
        assert await process.wait() == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_keys_are_renewed_where_trials_are_known() -> None:
    made = context_of_bindings()
    made.bindings.add(BINDING)
    around = Around(made, {}, lambda *_: None)
    key = around.renew(BINDING.token)
    assert around.expired(BINDING.token, BINDING.token)
    assert not around.expired(BINDING.token, key)


def context_of_bindings() -> SimpleNamespace:
    return SimpleNamespace(bindings=Bindings())


async def until(holds: object) -> None:
    for _ in range(500):
        if holds():  # type: ignore[operator]
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")
