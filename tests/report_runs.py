"""Runs for the tests of reports, written by the real journal from a few words.

    run = Recorder(tmp_path)
    with run.trial("refund", 1, failure="agent") as trial:
        trial.llm("let me look", calls=[("lookup", {"order": 7})])
        trial.tool("lookup", {"order": 7}, "shipped")
    report = run.report(exit_code=1)

Trials overlap: each has its own clock, and entries are written in the order of time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from proofrig.checkers.injected import Injected, declared_of
from proofrig.checkers.judge import ScenarioChecked
from proofrig.comparisons.comparison import Comparison
from proofrig.comparisons.gate import GateResult, fail_under
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.reports.report import RunReport, gather_report
from proofrig.resources import ResourcesFold
from proofrig.results import UNMEASURED, CaseFacts, RowsFold, Summary, summarise
from proofrig.rulings import Known, RulingsFold

MS = 1_000_000
MANIFEST = {
    "run": "20260301-120000-desk-ab12",
    "started_ns": 1_772_366_400_000_000_000,
    "suite": "support desk",
    "suite_path": "suites/support desk.yaml",
    "repeats": 4,
    "concurrency": 8,
    "seed": 7,
    "what": {
        "suite_digest": "5f2c9a7712de90ab",
        "agent": {"type": "python", "entry": "agent:run"},
        "model": {"type": "simulated", "script": "models.py:desk"},
        "isolation": "process",
    },
    "where": {
        "cpu": "Xeon",
        "cpus": 2,
        "memory_bytes": 8 << 30,
        "system": "Linux",
        "kernel": "6.8",
    },
}


@dataclass
class Concluded:
    """What an evaluation hands over."""

    run: str
    status: str
    exit_code: int
    summary: Summary
    gates: list[GateResult] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    comparison: Comparison | None = None
    cuts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Recorder:
    """Collects entries and writes them when the report is asked for."""

    def __init__(self, run_dir: Path, **manifest: Any) -> None:
        self.dir = run_dir
        self.now = 0
        self.manifest = MANIFEST | manifest
        self.events: list[tuple[int, int, str, str, dict[str, Any]]] = []
        self.journal = Journal(run_dir, "rig", lambda: self.now)
        self.facts: dict[str, CaseFacts] = {}
        self.cursor = 0
        self.scenarios: list[ScenarioChecked] = []
        self.known = Known()  # of the run's policy

    def write(self, at: int, kind: str, name: str, **more: Any) -> None:
        self.events.append((at, len(self.events), kind, name, more))

    def payload(self, data: bytes) -> str:
        return self.journal.payload(data)

    @contextmanager
    def trial(
        self, case: str, repeat: int = 1, failure: str = "", *, at: int | None = None, **end: Any
    ) -> Iterator[Trial]:
        """A trial that begins at `at` (or after the last one) and ends when the block does.
        `end` goes into its end entry, but for `role`, `attempt`, `facts`, `tenant`, `scenario`."""
        role, scenario = end.pop("role", "subject"), end.pop("scenario", "")
        attempt = end.pop("attempt", 1)
        self.facts.setdefault(case, end.pop("facts", CaseFacts(case)))
        name = f"{case}:{repeat}" if role == "subject" else f"{case}:{role}"
        name = f"{case}@{scenario}:{repeat}" if scenario else name
        name += f"~{attempt}" if attempt > 1 else ""
        trial = Trial(self, name, self.cursor if at is None else at, end.pop("tenant", "acme"))
        begin = {"case": case, "repeat": repeat, "attempt": attempt, "seed": 42, "role": role}
        begin |= {"scenario": scenario} if scenario else {}
        trial.write("trial", "begin", **begin)
        yield trial
        passed = None if failure in UNMEASURED else not failure
        answer = self.payload(end.pop("answer", "done").encode())
        facts = {"verdicts": [], "ending": "answer", "duration_ns": trial.t - trial.began}
        given = {"passed": passed, "failure": failure, "answer": answer} | facts | end
        trial.write("trial", "end", **given)
        self.cursor = max(self.cursor, trial.t)

    def report(self, exit_code: int = 0, status: str = "finished", **more: Any) -> RunReport:
        """Write everything and gather it, as the command line does."""
        for at, _, kind, name, fields in sorted(self.events, key=lambda event: event[:2]):
            self.now = at
            self.journal.write(kind, name, **fields)  # type: ignore[arg-type]
        self.journal.close()
        self.events.clear()
        (self.dir / "manifest.json").write_text(json.dumps(self.manifest))
        fold, rulings, used = RowsFold(), RulingsFold(self.known), ResourcesFold()
        injected = Injected(declared_of(self.manifest["what"].get("faults", ())))
        History(self.dir).fold(fold, rulings, injected, used)
        facts, repeats = list(self.facts.values()), self.manifest["repeats"]
        told, found = rulings.result(), {"struck": injected.result(), "used": used.result()}
        summary = summarise(fold, facts, repeats, self.scenarios, told, **found)
        gates = more.pop("gates", [])
        percent = more.pop("fail_under", None)
        gates += [] if percent is None else [fail_under(summary.overall, percent)]
        concluded = Concluded(
            self.manifest["run"], status, exit_code, summary, gates, more.pop("problems", [])
        )
        return gather_report(self.dir, concluded, facts=facts, **more)


class Trial:
    """Writes a trial's actions one after the other."""

    def __init__(self, run: Recorder, name: str, at: int, tenant: str) -> None:
        self.run, self.name, self.t, self.began, self.tenant = run, name, at, at, tenant
        self.actions = 0
        self.scope = f"{tenant}/desk/subject/{name.replace('/', '+')}"

    def write(self, kind: str, name: str, id: str = "", **attrs: Any) -> None:
        who = {"trial": self.name, "tenant": self.tenant, "scope": self.scope}
        self.run.write(self.t, kind, name, **who, id=id, attrs=attrs)

    def llm(self, text: str = "", calls: Any = (), *, asked: str = "hello", **attrs: Any) -> None:
        """A model call; `ms`, `queue_ms`, `fault` (its kind, or its attributes with the `kind`),
        `deny` and attributes of its commit."""
        ms, queue, fault = attrs.pop("ms", 100), attrs.pop("queue_ms", 0), attrs.pop("fault", "")
        request = {
            "model": "sim-1",
            "messages": [
                {"role": "system", "content": "You are a support agent."},
                {"role": "user", "content": asked},
            ],
        }
        tools = [
            {"id": f"c{n}", "name": name, "arguments": json.dumps(arguments)}
            for n, (name, arguments) in enumerate(calls)
        ]
        turn = {"api": "chat_completions", "text": text, "tool_calls": tools}
        reserve = {
            "decision": "allow",
            "model": "sim-1",
            "attempt": attrs.pop("attempt", 1),
            "request": self.run.payload(msgspec.json.encode(request)),
        } | attrs.pop("reserve", {})
        usage = {"input": 400 + 7 * len(asked), "output": 40 + len(text) // 4}
        commit = {
            "outcome": "ok",
            "status": 200,
            "actual": {"usd_micro": usage["input"] + 4 * usage["output"]},
            "usage": usage,
            "finish": "tool_calls" if calls else "stop",
            "response": self.run.payload(msgspec.json.encode(turn)),
            "queue_ns": queue * MS,
            "service_ns": ms * MS,
        }
        self._action("llm.chat_completions", reserve, commit | attrs, (ms + queue) * MS, fault)

    def tool(self, name: str, arguments: Any, result: str, **attrs: Any) -> None:
        """A tool call; `ms`, `deny` and attributes of its commit."""
        ms, fault = attrs.pop("ms", 20), attrs.pop("fault", "")
        reserve = {
            "decision": "allow",
            "arguments": self.run.payload(json.dumps(arguments).encode()),
        }
        if deny := attrs.pop("deny", ""):
            reserve |= {"decision": "deny", "code": deny, "at": "acme", "fix": "raise the limit"}
        reserve |= attrs.pop("reserve", {})
        content = {"content": [{"type": "text", "text": result}]}
        commit = {
            "outcome": "ok",
            "is_error": False,
            "actual": {"calls": 1, "ms": ms},
            "result": self.run.payload(json.dumps(content).encode()),
            "service_ns": ms * MS,
        }
        self._action(f"tool.{name}", reserve, commit | attrs, ms * MS, fault)

    def shared(self, name: str, *, ms: float = 2, **attrs: Any) -> str:
        """An action on something shared, as an observer writes it; `start` holds the attributes of
        its start, the rest are its commit's. Its id."""
        self.actions += 1
        action, begun = f"{self.name}/{self.actions}", attrs.pop("start", {})
        self.write("start", name, action, **begun)
        self.t += int(ms * MS)
        self.write("commit", name, action, **({"outcome": "ok"} | attrs))
        self.t += MS // 4
        return action

    def _action(
        self, name: str, reserve: dict[str, Any], commit: dict[str, Any], ns: int, fault: Any
    ) -> None:
        self.actions += 1
        action = f"{self.name}/{self.actions}"
        self.write("reserve", name, action, **reserve)
        if reserve["decision"] == "deny":
            return
        self.write("start", name, action)
        told = {"kind": fault} if isinstance(fault, str) else dict(fault)
        if kind := told.pop("kind"):
            self.write("fault", kind, action, **told)
        self.t += ns
        self.write("commit", name, action, **commit)
        self.t += MS


def a_run(run_dir: Path, *, cases: int = 12, repeats: int = 4, seed: int = 3) -> Recorder:
    """A support desk whose agent gets some cases wrong some of the time."""
    draw = random.Random(seed)
    run = Recorder(run_dir, repeats=repeats)
    levels = ("easy", "medium", "hard")
    kinds = ("refund", "address_change", "order_status", "exchange", "two_orders", "angry_customer")
    slots = [0] * 8
    for repeat in range(1, repeats + 1):
        for number in range(cases):
            case = f"{kinds[number % len(kinds)]}_{number + 1:02}"
            level = levels[number * 3 // cases]
            facts = CaseFacts(case, level, (kinds[number % 3], "orders"))
            slot = min(range(8), key=slots.__getitem__)
            chance = (0.95, 0.8, 0.5)[number * 3 // cases] if number % 6 else 1.0
            failure = "" if draw.random() < chance else draw.choice(["agent"] * 5 + ["timeout"])
            failure = "infra" if draw.random() < 0.03 else failure
            end = _ending(failure, case, number)
            with run.trial(case, repeat, failure, at=slots[slot], facts=facts, **end) as trial:
                _conversation(trial, draw, number, failure)
            slots[slot] = trial.t + draw.randint(5, 30) * MS
    for number in range(cases):
        case = f"{kinds[number % len(kinds)]}_{number + 1:02}"
        with run.trial(case, 1, "" if number == 2 else "agent", role="null", at=0):
            pass
        with run.trial(case, 1, "", role="reference", at=0) as trial:
            trial.tool("lookup_order", {"order": 1000 + number}, "shipped", ms=8)
    return run


def _ending(failure: str, case: str, number: int) -> dict[str, Any]:
    if failure == "agent":
        verdict = {
            "verifier": "sql_state",
            "passed": False,
            "message": f"expected orders.status = 'refunded' for order {1000 + number}; got 'open'",
            "expected": f"orders: (id={1000 + number}, status='refunded', refunded_cents=4990)",
            "got": f"orders: (id={1000 + number}, status='open', refunded_cents=0)",
        }
        passed = {"verifier": "protected_paths", "passed": True, "score": 1.0}
        return {"verdicts": [passed, verdict], "answer": "I have refunded your order."}
    if failure == "timeout":
        return {"error": "the agent was stopped after 30 s", "ending": "timeout"}
    if failure == "infra":
        return {"error": "the provider answered 503 to 3 attempts", "ending": "error"}
    return {"verdicts": [{"verifier": "sql_state", "passed": True, "score": 1.0}]}


def _conversation(trial: Trial, draw: random.Random, number: int, failure: str) -> None:
    order = {"order_id": 1000 + number}
    task = f"I want my money back for order {1000 + number}, it arrived broken."
    speed = {"ms": draw.randint(150, 700), "queue_ms": draw.choice([0, 0, 0, 120, 300])}
    trial.llm("I will look that up.", [("lookup_order", order)], asked=task, **speed)
    trial.tool("lookup_order", order, f"order {1000 + number}: shipped, 49.90 EUR, card")
    if failure == "infra":
        for attempt in (1, 2, 3):
            broken = {"outcome": "fail", "status": 503, "infra": True, "error": "503 overloaded"}
            trial.llm("", ms=90, fault="overloaded", attempt=attempt, **broken)
        return
    trial.llm("", [("refund", order)], asked=task, ms=draw.randint(200, 900))
    if number % 5 == 4:
        trial.tool("refund", order | {"cents": 990_000}, "", deny="cap")
    if failure != "agent":
        trial.tool("refund", order | {"cents": 4990}, "refunded", ms=draw.randint(20, 120))
    trial.llm("Your refund is on its way.", asked="refunded", ms=draw.randint(150, 900))


def a_trend(rates: list[float], last: str = MANIFEST["run"]) -> list[dict[str, Any]]:
    """Points as `Store.trend` gives them."""
    return [
        {
            "run": last if n == len(rates) - 1 else f"run-{n}",
            "started_ns": n,
            "rate": rate,
            "low": max(0, rate - 0.15),
            "high": min(1, rate + 0.12),
            "k": 4,
            "pass_hat_k": rate**2,
            "usd_micro": 1_000,
        }
        for n, rate in enumerate(rates)
    ]
