"""A run under faults for the tests of reports.

    report = a_struck_run(tmp_path).report(0)

A support desk whose model is slow in a window of time, whose refunds are carried out and their
answers lost, whose streams end early, and of which one fault never fires.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from proofrig.results import CaseFacts
from report_runs import MANIFEST, MS, Recorder, Trial

FAULTS: list[dict[str, Any]] = [
    {
        "kind": "latency",
        "name": "slow-model",
        "on": {"at": "llm"},
        "probability": 0.3,
        "when": {"after_s": 0.3, "for_s": 1.0, "every_s": 2.0},
        "ms": 800.0,
    },
    {"kind": "reset", "on": {"tool": "refund", "nth": 1}, "times": 1},
    {"kind": "drop_terminal", "on": {"model": "sim*", "nth": {"from": 2, "every": 3}}},
    {"kind": "rate_limit", "on": {"at": "llm", "tenant": "globex"}, "retry_after": "seconds"},
    {"kind": "stall", "probability": 0.001, "after_events": 3},
]
PART = "Your refund of 49.90 EUR for order 1003 was booked on"


def met(number: int, nth: int = 1, **more: Any) -> dict[str, Any]:
    """What the entry of a fault says."""
    fault = FAULTS[number]
    at = "tool" if number == 1 else "llm"
    title = fault.get("name", fault["kind"])
    return {"kind": fault["kind"], "fault": title, "number": number, "at": at, "nth": nth} | more


def a_struck_run(run_dir: Path, *, cases: int = 8, repeats: int = 4, seed: int = 5) -> Recorder:
    """The run."""
    draw = random.Random(seed)
    run = Recorder(run_dir, repeats=repeats, what=MANIFEST["what"] | {"faults": FAULTS})
    slots = [0] * 6
    for repeat in range(1, repeats + 1):
        for number in range(cases):
            case = f"refund_{number + 1:02}"
            slot = min(range(6), key=slots.__getitem__)
            tenant = ("acme", "globex")[number % 2]
            plan = draw.choice(["slow", "lost", "cut", "limited", "plain", "plain"])
            failure = "agent" if plan in ("lost", "cut") and draw.random() < 0.6 else ""
            end: dict[str, Any] = {"at": slots[slot], "tenant": tenant}
            end |= {"facts": CaseFacts(case, "easy"), **_ending(plan, failure)}
            with run.trial(case, repeat, failure, **end) as trial:
                _work(trial, draw, plan, failure)
            slots[slot] = trial.t + draw.randint(5, 40) * MS
    with run.trial("refund_01", 9, "unfired", at=slots[0], answer="refunded") as trial:
        trial.llm("refunded", ms=90)
    return run


def _ending(plan: str, failure: str) -> dict[str, Any]:
    if plan == "cut" and failure:
        expected = "nothing incomplete presented as complete, under drop_terminal"
        verdict = {"verifier": "expect.no_partial", "passed": False, "expected": expected}
        return {"verdicts": [verdict | {"got": f"an answer that ends in {PART!r}"}], "answer": PART}
    if plan == "lost" and failure:
        expected = "no equal calls of refund carried out twice, under reset"
        verdict = {"verifier": "expect.acts_once", "passed": False, "expected": expected}
        return {"verdicts": [verdict | {"got": "tool.refund was carried out 2 times"}]}
    return {"answer": "Your refund is on its way."}


def _work(trial: Trial, draw: random.Random, plan: str, failure: str) -> None:
    order = {"order_id": 1003}
    slow = {"fault": met(0, lasts_ns=800 * MS), "struck": ["slow-model"]} if plan == "slow" else {}
    speed = draw.randint(120, 400) + (800 if slow else 0)
    trial.llm("I will refund it.", [("refund", order)], asked="my money back", ms=speed, **slow)
    if plan == "limited":
        limited = {"outcome": "fail", "status": 429, "struck": ["rate_limit"], "error": "slow down"}
        for nth in (2, 3):
            fault = met(3, nth, status=429, retry_after="1")
            trial.llm("", ms=8, fault=fault, attempt=nth - 1, **limited)
            trial.t += 200 * MS
    if plan == "lost":
        lost = {"undelivered": True, "struck": ["reset"], "error": "a fault broke the connection"}
        fault = met(1, how="reset", after_bytes=0)
        trial.tool("refund", order, "", ms=60, fault=fault, is_error=True, **lost)
    if plan != "lost" or failure:
        trial.tool("refund", order, "refunded", ms=draw.randint(20, 120))
    if plan == "cut":
        cut = {"complete": False, "outcome": "fail", "struck": ["drop_terminal"]}
        trial.llm(PART, ms=300, fault=met(2, 2, after_events=14), **cut)
        if failure:
            return
    trial.llm("Your refund is on its way.", asked="refunded", ms=draw.randint(120, 500))
