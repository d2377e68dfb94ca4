"""Summaries of runs for the tests of gates: a score, and scenarios with what checkers came to.

summary(score(passed=8, measured=10), burst(leaks(probes=40)))
"""

from __future__ import annotations

from typing import Any

from proofrig.checkers.checker import Checked, Evidence, Finding, Verdict
from proofrig.results import ScenarioResult, Score, Summary
from proofrig.stats.intervals import wilson


def score(passed: int = 8, measured: int = 10, trials: int = 0, **more: Any) -> Score:
    """A score of so many trials; all were measured unless `trials` says that there were more."""
    rate = wilson(passed, measured) if measured else None
    given = {"trials": trials or measured, "measured": measured, "passed": passed, "rate": rate}
    return Score("all", **(given | more))


def summary(overall: Score | None = None, *scenarios: ScenarioResult, **more: Any) -> Summary:
    return Summary(overall=overall or score(), scenarios=list(scenarios), **more)


def scenario(
    name: str, *checked: Checked, overall: Score | None = None, complete: bool = True
) -> ScenarioResult:
    """A scenario, which is about the checkers that it has."""
    needs = [one.checker for one in checked]
    return ScenarioResult(
        name, "valid", overall or score(), list(checked), needs, complete=complete
    )


def burst(*checked: Checked, **more: Any) -> ScenarioResult:
    return scenario("burst", *checked, **more)


def checked(
    name: str, exposure: dict[str, int], verdict: Verdict = "valid", **measures: float
) -> Checked:
    """What a checker came to; further words are its measures."""
    return Checked(name, verdict, f"{name} says so", exposure=exposure, measures=measures)


def launch(lag_ms: float = 1.0, missed: int = 0) -> Checked:
    verdict: Verdict = "unknown" if missed or lag_ms > 20 else "valid"
    return checked("launch", {"missed": missed}, verdict, lag_p99_ms=lag_ms)


def pools(requests: int = 400, wait_ms: float = 180.0) -> Checked:
    waits = {f"pool_wait_p{q}_ms": wait_ms for q in (50, 95, 99)}
    waits["pool_wait_p95_ms:llm"] = wait_ms
    return checked("pool_starvation", {"short_requests": requests}, **waits, starvation_ratio=0.0)


def leaks(probes: int = 40, leaked: int = 0, verdict: Verdict = "valid", **more: float) -> Checked:
    measures = {"probe_leak_rate": leaked / probes} if probes else {}
    exposure = {"probes": probes, "cross_tenant_trials": 60, "shared_hits": 50}
    return checked("tenant_bleed", exposure, verdict, **(measures | more))


def updates(lost: int = 0, contended: int = 4) -> Checked:
    found = checked(
        "lost_update",
        {"contended_keys": contended},
        "invalid" if lost else "valid" if contended else "unknown",
        lost_updates=float(lost),
        write_conflicts=3.0,
    )
    for number in range(lost):
        steps = [Evidence(1, "kv.put", "wrote", trial=f"{who}:{number}") for who in ("a", "b")]
        found.findings.append(Finding("lost_update", f"key {number} was lost", tuple(steps)))
    found.found = lost
    return found


def requests(llm: bool = True, tool: bool = True, rate: float = 0.03) -> Checked:
    services = [name for name, there in (("llm", llm), ("tool.x", tool)) if there]
    return Checked(
        "retry_amplification",
        "unknown",
        "nothing was refused",
        exposure={
            "requests": 30 * len(services),
            "tool_requests": 30 * tool,
            "model_requests": 30 * llm,
        },
        measures={
            "tool_429_rate": rate if tool else 0.0,
            "llm_429_rate": rate if llm else 0.0,
            "retry_amplification": 1.5,
            **{f"amplification:{name}": 1.5 for name in services},
        },
    )
