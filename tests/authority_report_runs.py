"""A run under a policy for the tests of reports, enforced or in shadow mode.

    report = a_ruled_run(tmp_path).report(0)

Three agents with three cases: one that writes into `tests/`, one whose refunds are above its tier
and ask a person, and one that searches until its calls are used up and the watch stops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofrig.results import CaseFacts
from proofrig.rulings import Known, Mode
from report_runs import MS, Recorder, Trial

PRICE = "sim-1: invented for tests, 2026-01-01"
NO_TESTS = {"rule": "tests-are-read-only", "code": "forbidden"}
NO_TESTS |= {"fix": "change the code, not the tests"}
USED_UP = {"code": "budget_exceeded", "remaining": {"calls": 0}}
USED_UP |= {"fix": "asked 1 calls where 0 remain; ask for less"}


def limits(scope: str) -> Mapping[str, int]:
    if scope == "acme":
        return {"usd_micro": 1_000_000}
    return {"calls": 10, "calls:llm": 60} if scope.count("/") == 3 else {}


def scopes(name: str) -> tuple[str, ...]:
    return ("@writes",) if name.startswith(("tool.write", "tool.refund")) else ()


def a_ruled_run(run_dir: Path, mode: Mode = "enforce", *, repeats: int = 3) -> Recorder:
    """The run; in shadow mode the same was asked for, and nothing refused."""
    run = Recorder(run_dir, repeats=repeats)
    run.known = Known(mode, limits, scopes)
    shadow = mode == "shadow"
    for repeat in range(1, repeats + 1):
        for case, failure, act in (
            ("coding", "", _coding),
            ("refund", "", _refund),
            ("research", "limit", _research),
        ):
            failure = "" if shadow else failure
            with run.trial(case, repeat, failure, facts=CaseFacts(case, "easy")) as trial:
                act(trial, repeat, shadow)
    run.write(run.cursor, "note", "unattributed", attrs={"channel": "none", "method": "POST"})
    return run


def denied(trial: Trial, told: dict[str, Any], shadow: bool) -> dict[str, Any]:
    """What the reservation of a call that is denied says."""
    refused: dict[str, Any] = told | {"decision": "deny", "at": trial.scope}
    return {"decision": "allow", "shadow": refused} if shadow else refused


def _coding(trial: Trial, repeat: int, shadow: bool) -> None:
    trial.llm("I mend the test", calls=[("write_file", {"path": "tests/test_a.py"})], price=PRICE)
    reserve = denied(trial, NO_TESTS, shadow) | {"asked_by": "x"}
    trial.tool("write_file", {"path": "tests/test_a.py"}, "written", reserve=reserve)
    trial.llm("then the code", calls=[("write_file", {"path": "src/a.py"})], price=PRICE)
    trial.tool("write_file", {"path": "src/a.py"}, "written", reserve={"asked_by": "y"})
    usage = {"input": 400}
    if shadow:  # a call to the model that would not have fitted
        trial.llm("on it", price=PRICE, reserve=denied(trial, USED_UP, shadow))
    trial.llm("done", price=PRICE, source="partial", outcome="unknown", usage=usage)


def _refund(trial: Trial, repeat: int, shadow: bool) -> None:
    trial.llm("a refund", calls=[("refund", {"amount": 80})], price=PRICE)
    asks = {"decision": "ask", "rule": "refunds-ask"}
    if shadow:
        told = {"decision": "allow", "shadow": asks, "asked_by": "z"}
        trial.tool("refund", {"amount": 80}, "refunded", reserve=told)
        return
    action = f"{trial.name}/asking"
    trial.write("reserve", "tool.refund", action, **asks, asked_by="z")
    trial.t += 40 * MS
    answer = ("approve", "refuse", "timeout")[repeat % 3]
    told = {"rule": "refunds-ask", "answer": answer, "waited_ns": 40 * MS}
    trial.write("note", "approval", action, **told)
    if answer != "approve":
        reason = {"refuse": "approval_refused", "timeout": "approval_timeout"}[answer]
        fix = "rule refunds-ask asks for approval; do without it, or ask a person"
        trial.write("release", "tool.refund", action, reason=reason, rule="refunds-ask", fix=fix)
        return
    trial.write("start", "tool.refund", action)
    trial.t += 5 * MS
    trial.write("commit", "tool.refund", action, outcome="ok", actual={"calls": 1, "ms": 5})


def _research(trial: Trial, repeat: int, shadow: bool) -> None:
    for turn in range(12):
        trial.llm("", calls=[("search", {"q": "x"})], price=PRICE, ms=20)
        told = denied(trial, USED_UP, shadow) if turn >= 10 else {}
        trial.tool("search", {"q": "x"}, "nothing", ms=4, reserve=told | {"asked_by": str(turn)})
    says = "search was called 12 times with the same arguments and the same result; stop"
    anomaly = {"kind": "repeat", "step": "stop", "count": 12, "says": says}
    who = {"trial": trial.name, "tenant": trial.tenant, "scope": trial.scope}
    attrs = anomaly | ({"shadow": True} if shadow else {})
    trial.run.write(trial.t, "note", "anomaly", **who, attrs=attrs)
