"""Kills between calls, and which trials are killed in a write."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fault_rig import Bench, call_at, whole
from proofrig.faults._kill_points import KillPoint
from proofrig.faults.kill import Kill, kill_point
from proofrig.faults.latency import Latency
from proofrig.wire.outbound import Outbound


def trial(number: int = 1, **more: Any) -> Outbound:
    named = {"name": "", "trial": f"c:{number}", "tenant": "acme", "case": "c", "scenario": "burst"}
    return call_at("service", **named | more)


@pytest.mark.parametrize(("point", "carried_out"), [("before_call", 0), ("after_call", 1)])
@pytest.mark.parametrize("surface", ["llm", "tool", "egress", "service"])
async def test_killed_around_a_call(surface: str, point: Any, carried_out: int) -> None:
    bench = Bench([Kill(point=point)])
    seen = await bench.through(lambda: whole(b"{}"), call_at(surface))
    assert (seen.calls, seen.cut, bench.around.done) == (carried_out, "reset", [("kill", "t")])
    assert [(fact["point"], fact["processes"]) for fact in bench.facts] == [(point, 1)]


@pytest.mark.parametrize("point", ["before_call", "after_call"])
async def test_who_cannot_be_killed_goes_on(point: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench([Kill(point=point)])

    async def nobody(token: str) -> int:
        return 0

    monkeypatch.setattr(bench.around, "kill", nobody)
    seen = await bench.through(lambda: whole(b"{}"))
    assert (seen.calls, seen.body, seen.cut, bench.facts) == (1, b"{}", "", [])


async def test_a_kill_in_a_write_does_nothing_to_calls() -> None:
    bench = Bench([Kill(point="after_write")])
    assert (await bench.through(lambda: whole(b"{}"))).body == b"{}"
    assert (bench.around.done, bench.facts) == ([], [])


def test_a_trial_is_killed_in_a_write_by_the_first_fault_that_fits_it() -> None:
    faults = [
        Latency(),
        Kill(point="after_write", on={"tenant": "globex"}),
        Kill(point="mid_bytes", on={"case": "c*", "nth": 3}, path="*.json", bytes=4, name="torn"),
        Kill(point="before_write"),
    ]
    assert kill_point(faults, 1, trial()) == KillPoint("mid_bytes", 3, "*.json", 4, "torn", 2)
    assert kill_point(faults, 1, trial(tenant="globex")) == KillPoint(
        "after_write", fault="kill", number=1
    )
    assert kill_point(faults[:2], 1, trial()) is None
    assert kill_point([Kill()], 1, trial()) is None


def test_which_trials_depends_on_the_seed_alone() -> None:
    fault = Kill(point="after_ack", probability=0.3)

    def killed(seed: int) -> list[int]:
        return [n for n in range(200) if kill_point([fault], seed, trial(n)) is not None]

    assert killed(1) == killed(1) != killed(2)
    assert 35 <= len(killed(1)) <= 85


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"on": {"tool": "refund"}}, "it names tool"),
        ({"on": {"nth": [1, 2]}}, "one number"),
        ({"when": {"after_s": 1}}, "no `when`"),
    ],
)
def test_a_kill_in_a_write_is_aimed_at_trials(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Kill.model_validate({"point": "after_write"} | given)
    Kill.model_validate({"point": "after_call"} | given)
