"""What a rig makes of the faults in its plan, and what they may reach."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from proofrig.faults.injector import carry
from proofrig.gateways.gateway import Binding, Bindings, RunClock
from proofrig.gateways.leg import outbound
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.rig.faulting import Around, Strikes, injector
from proofrig.rig.protocol import Strike, Struck
from proofrig.wire.answer import Answer, Made

BINDING = Binding("tok-of-a-trial-0123", "case:1", "acme", "acme/flow/agent/run")


def context(path: Path) -> SimpleNamespace:
    clock = RunClock(0)
    return SimpleNamespace(
        journal=Journal(path, "rig", clock), bindings=Bindings(), clock=clock, admission=None
    )


def reach(made: SimpleNamespace) -> Around:
    return Around(made, {}, lambda *_: None, Strikes(print))


async def answered() -> Answer:
    return Made(200, b"{}")


async def test_a_fault_of_the_plan_strikes_and_stands_on_the_history(tmp_path: Path) -> None:
    made = context(tmp_path)
    made.bindings.add(BINDING)
    slow = {"kind": "latency", "ms": 1, "name": "slow"}
    faults = injector(made, [slow], 0, reach(made))
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
    assert injector(made, [], 0, reach(made)) is None
    made.journal.close()


def test_a_fault_that_cannot_be_is_refused(tmp_path: Path) -> None:
    made = context(tmp_path)
    with pytest.raises(ValidationError, match="latency"):
        injector(made, [{"kind": "latncy"}], 0, reach(made))
    made.journal.close()


async def test_the_end_of_a_trial_undoes_what_was_done_to_it(tmp_path: Path) -> None:
    made, undone = context(tmp_path), list[str]()
    made.bindings.add(BINDING)
    faults = injector(made, [{"kind": "latency"}], 0, reach(made))
    assert faults is not None
    call = outbound(BINDING, "llm", "messages", "rig-1.1", "llm.messages")
    ((_, hit),) = faults.upon(call)
    hit.undo(60, lambda: undone.append("once"))
    made.bindings.end(BINDING.token)
    made.bindings.end(BINDING.token)
    assert undone == ["once"]
    made.journal.close()


async def test_signals_to_the_processes_of_a_trial_are_asked_of_the_runner() -> None:
    """Several at once; each is answered by its own number."""
    asked: list[Strike] = []
    strikes = Strikes(asked.append)
    around = Around(context_of_bindings(), {}, lambda *_: None, strikes)
    waiting = [asyncio.ensure_future(each) for each in (around.pause("one"), around.kill("two"))]
    around.resume("one")
    await until(lambda: len(asked) == 3)
    assert [(one.token, one.signal) for one in asked] == [
        ("one", signal.SIGSTOP),
        ("two", signal.SIGKILL),
        ("one", signal.SIGCONT),
    ]
    for one in reversed(asked):
        strikes.told(Struck(one.number, one.signal))
    assert await asyncio.gather(*waiting) == [signal.SIGSTOP, signal.SIGKILL]


@pytest.mark.parametrize("processes", [0, 2])
async def test_who_is_killed_hangs_up_and_the_kill_is_told_all_the_same(processes: int) -> None:
    strikes = Strikes(lambda asked: None)
    killing = asyncio.ensure_future(strikes.send("one", signal.SIGKILL))
    await asyncio.sleep(0)
    killing.cancel()
    await asyncio.sleep(0)
    strikes.told(Struck(1, processes))
    if processes:
        assert await killing == processes
    else:
        with pytest.raises(asyncio.CancelledError):
            await killing


def test_keys_are_renewed_where_trials_are_known() -> None:
    made = context_of_bindings()
    made.bindings.add(BINDING)
    around = reach(made)
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
