"""What a scenario's first note says; how scenarios are carried out is in
end_to_end/test_scenarios.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from proofrig.gateways.gateway import RunClock
from proofrig.scenarios.burst import Burst
from proofrig.suites import Suite
from proofrig.trials.performing import describe
from proofrig.trials.stage import StageSetting


def test_a_scenario_begins_with_all_that_its_checkers_need_to_know() -> None:
    written = {
        "suite": "demo",
        "agent": {"type": "null"},
        "tenants": {"acme": 2, "globex": 1},
        "services": [{"type": "kv", "name": "memory"}],
        "cases": [{"id": "a", "task": "do", "verify": [{"type": "exact", "value": "4"}]}],
    }
    suite = Suite.model_validate(written)
    setting = StageSetting(
        suite=suite, run_dir=Path(), clock=RunClock(0), concurrency=1, seed=9, lab=True
    )
    burst = Burst(agents=3, retry_budget=0.5, faults=[{"kind": "latency", "ms": 5}])
    setting = replace(setting, faults=burst.all_faults())
    told = describe(burst, burst.phases(suite.facts(9)), setting)
    assert told["scenario"] == "burst"
    assert (told["agents"], told["tenants"], told["seed"]) == (3, {"acme": 2, "globex": 1}, 9)
    assert told["needs"] == ["launch", "burst"]
    assert told["params"]["retry_budget"] == 0.5
    assert told["topology"]["memory"]["type"] == "kv"
    assert told["faults"] == [{"kind": "latency", "ms": 5.0, "on": {"scenario": "burst"}}]
