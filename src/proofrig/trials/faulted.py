"""The faults of a stage, as far as its runner has to do with them: most are the rig's business."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from proofrig.faults._kill_points import IN_THE_AGENT, KillPoint
from proofrig.faults.fault import Fault
from proofrig.faults.kill import kill_point
from proofrig.suites import Planned, Suite
from proofrig.trials.baseline import role_of
from proofrig.wire.outbound import Outbound

_DISORDERS = frozenset({"late_result", "reordered_results", "duplicate_delivery"})

__all__ = ["IN_THE_AGENT", "disorder", "kill_of", "scenario_faults", "written_faults"]


def disorder(faults: Iterable[Fault]) -> bool:
    """True when results of tools may come late, twice or out of order."""
    return any(fault.kind in _DISORDERS for fault in faults)


def kill_of(faults: Sequence[Fault], seed: int, planned: Planned, scope: str) -> KillPoint | None:
    """Where in a write a trial is killed: by its scenario, or by a fault of the run."""
    start = planned.start
    if start is not None and start.kill is not None:
        return start.kill
    if not faults or role_of(planned) in ("null", "reference"):
        return None
    trial = Outbound(
        surface="service",
        form="plain",
        action="",
        name="",
        token="",
        trial=planned.trial,
        tenant=planned.tenant,
        scope=scope,
        case=planned.case,
        scenario=start.scenario if start is not None else "",
    )
    return kill_point(faults, seed, trial)


def written_faults(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """Faults as they are kept, without what is a default; their numbers are their places."""
    return [
        fault.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        | {"kind": fault.kind}
        | ({"pack": fault.pack} if fault.pack else {})
        for fault in faults
    ]


def scenario_faults(suite: Suite) -> dict[str, list[dict[str, Any]]]:
    """What is declared for each scenario, each with its `number` on the scenario's stage; without
    the disturbances that a scenario is made of."""
    found: dict[str, list[dict[str, Any]]] = {}
    before = len(suite.all_faults())
    for name in suite.scenarios.declared():
        scenario = suite.scenarios.of(name)
        own = len(scenario.disturbances())
        declared = enumerate(written_faults(scenario.all_faults()), before)
        if listed := [fault | {"number": number} for number, fault in declared][own:]:
            found[name] = listed
    return found
