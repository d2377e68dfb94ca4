"""Samples for the tests of comparisons: runs of an agent that does what it is told to, by chance.

base = a_sample(agent(0.9), cases=20, repeats=4)
now = a_sample(agent(0.9, tools=("look", "answer")), seed=2)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from proofrig.comparisons.sample import Sample, TrialSample

TOOLS = ("find_order", "refund", "answer")
Agent = Callable[[str, random.Random], TrialSample]


def agent(
    rate: float | dict[str, float] = 0.9,
    *,
    tools: Sequence[str] = TOOLS,
    skips: float = 0.2,
    cost: float = 600.0,
    **fields: Any,
) -> Agent:
    """What one trial of an agent comes to: it passes at `rate` (of all cases, or by case), calls
    `tools` in order, each passed over with chance `skips`, and costs about `cost`; further words
    are fields of the trial."""

    def attempt(case: str, chance: random.Random) -> TrialSample:
        own = rate if isinstance(rate, float) else rate.get(case, 0.9)
        passed = chance.random() < own
        called = tuple(tool for tool in tools if chance.random() >= skips)
        spread = chance.lognormvariate(0.0, 0.2)
        given: dict[str, Any] = {
            "passed": passed,
            "failure": "" if passed else "agent",
            "usd_micro": round(cost * spread),
            "tokens": round(4 * cost * spread),
            "llm_calls": len(called) + 1,
            "tool_calls": len(called),
            "duration_ns": round(4e8 * chance.lognormvariate(0.0, 0.4)),
            "tools": called,
        }
        return TrialSample(case, **given | fields)

    return attempt


def a_sample(
    attempt: Agent | None = None,
    *,
    cases: int | Sequence[str] = 20,
    repeats: int = 4,
    seed: int = 1,
    run: str = "20261120-101010-desk-0001",
    scenarios: Sequence[str] = ("",),
    **fields: Any,
) -> Sample:
    """The sample of a run: every case so often, in every scenario ("" is the plain plan); further
    words are fields of the sample."""
    attempt = attempt or agent()
    names = [f"case_{n:03}" for n in range(cases)] if isinstance(cases, int) else list(cases)
    chance = random.Random(seed)
    trials = [
        msgspec.structs.replace(attempt(case, chance), repeat=repeat, scenario=scenario)
        for scenario in scenarios
        for case in names
        for repeat in range(1, repeats + 1)
    ]
    digests = {case: f"digest of {case}" for case in names}
    named = [scenario for scenario in scenarios if scenario]
    settings = {"scenarios": named, "plain": "" in scenarios} if named else {}
    given: dict[str, Any] = {
        "suite": "desk",
        "suite_digest": "d1",
        "runs": [run],
        "cases": digests,
        "settings": {"repeats": repeats, "seed": seed} | settings,
        "what": {"suite_digest": "d1", "cases": digests, "limits": {"timeout_s": 30}},
        "where": {"cpus": 2},
        "infra": sum(trial.failure in ("infra", "harness") for trial in trials),
    }
    return Sample(trials=trials, **given | fields)
