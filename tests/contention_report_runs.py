"""A run of scenarios for the tests of reports: a desk whose infrastructure is shared and bugged.

    report = a_contended_run(tmp_path).report(0)

Five scenarios: `sequential`, in which nothing goes wrong, and `tenant_probe` (a leak),
`interleaved` (lost updates), `burst` (a retry storm), `long_stream` (pool starvation), each with
the findings that its checkers would have.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proofrig.checkers.checker import Checked, Evidence, Finding
from proofrig.checkers.judge import ScenarioChecked
from proofrig.results import CaseFacts
from report_runs import MS, Recorder, Trial

TENANTS = {"acme": 3, "blue": 2, "corp": 1}
CASES = {
    "refund": CaseFacts("refund", "medium", ("money",)),
    "order_status": CaseFacts("order_status", "easy", ("orders",)),
    "stock_count": CaseFacts("stock_count", "hard", ("orders",)),
}
NEEDS = {
    "sequential": [],
    "tenant_probe": ["tenant_bleed"],
    "interleaved": ["lost_update", "lock_order"],
    "burst": ["retry_amplification", "burst"],
    "long_stream": ["pool_starvation"],
    "drain": ["retry_amplification"],
}
Evidences = list[Evidence]


class Lab:
    """Records scenarios one after another."""

    def __init__(self, run: Recorder, agents: int, seed: int) -> None:
        self.run, self.agents, self.draw = run, agents, random.Random(seed)
        self.checked: list[Checked] = []
        self.begun = 0

    @contextmanager
    def scenario(self, name: str, agents: int = 0) -> Iterator[None]:
        """A scenario; what is put into `checked` meanwhile is what its checkers found."""
        self.run.cursor += 40 * MS
        self.begun, self.checked = self.run.cursor, []
        tenants = TENANTS if agents else {"acme": 1}
        begun: dict[str, Any] = {"state": "begin", "scenario": name, "seed": 7}
        begun |= {"agents": agents or 1, "tenants": tenants, "needs": NEEDS[name]}
        self.run.write(self.begun, "note", "scenario", attrs=begun)
        yield
        end = {"state": "end", "scenario": name}
        self.run.write(self.run.cursor + MS, "note", "scenario", attrs=end)
        self.run.cursor += 2 * MS
        self.run.scenarios.append(ScenarioChecked(name, begun, self.checked))

    @contextmanager
    def trial(
        self, scenario: str, number: int, failure: str = "", *, at: int | None = None, **end: Any
    ) -> Iterator[Trial]:
        """Trial `number` of a scenario; its case and its tenant come from its number."""
        case = list(CASES)[number % 3]
        tenant = "acme" if scenario == "sequential" else list(TENANTS)[number % 6 % 3]
        given = {"facts": CASES[case], "tenant": tenant, "scenario": scenario} | _ending(failure)
        with self.run.trial(case, number, failure, at=at, **given | end) as trial:
            launch = {"intended_ns": trial.t, "started_ns": trial.t, "phase": "launch"}
            trial.write("note", "launch", **launch)
            yield trial

    def phase(self, name: str, begin: int, end: int) -> None:
        for state, t in (("begin", begin), ("end", end)):
            attrs = {"phase": name, "state": state, "target_ns": 5 * MS}
            self.run.write(t, "note", "phase", attrs=attrs)

    def check(self, checker: str, says: str, *found: Finding, **more: Any) -> None:
        """What a checker came to: invalid when it found something, else `verdict` or valid."""
        verdict = "invalid" if found else more.pop("verdict", "valid")
        count = more.pop("found", len(found))
        self.checked.append(
            Checked(checker, verdict, says, found=count, findings=list(found), **more)
        )


def _ending(failure: str) -> dict[str, Any]:
    if failure == "agent":
        says = {"expected": "stock: (id=12, left=40)", "got": "stock: (id=12, left=41)"}
        says["message"] = "expected stock 12 = 40; got 41"
        verdict = {"verifier": "sql_state", "passed": False} | says
        return {"verdicts": [verdict]}
    if failure == "timeout":
        return {"error": "the agent was stopped after 30 s", "ending": "timeout"}
    return {"verdicts": [{"verifier": "sql_state", "passed": True, "score": 1.0}]}


def seen(trial: Trial, id: str, name: str, says: str) -> Evidence:
    """The last action of a trial as evidence, at its end."""
    return Evidence(trial.t - MS // 4, name, says, id, trial.name, trial.tenant)


def a_contended_run(run_dir: Path, *, agents: int = 24, seed: int = 5, **manifest: Any) -> Recorder:
    """The desk, bugged: four kinds of findings that its sequential scenario does not have."""
    run = Recorder(run_dir, repeats=1, **manifest)
    lab = Lab(run, agents, seed)
    sequential(lab)
    tenant_probe(lab)
    interleaved(lab)
    burst(lab)
    long_stream(lab)
    return run


def a_sound_run(run_dir: Path, **manifest: Any) -> Recorder:
    """The same desk without findings; one scenario could not be told."""
    run = Recorder(run_dir, repeats=1, **manifest)
    lab = Lab(run, 6, 1)
    sequential(lab)
    with lab.scenario("drain", 6):
        with lab.trial("drain", 1, at=lab.begun) as trial:
            trial.llm("done", ms=80)
        says = "no retries were seen, so nothing can be said"
        lab.check("retry_amplification", says, verdict="unknown", exposure={"retries": 0})
        lab.check("lost_update", "no updates were seen, so nothing can be said", verdict="unknown")
    return run


def sequential(lab: Lab) -> None:
    with lab.scenario("sequential"):
        for number in range(1, 13):
            with lab.trial("sequential", number, "agent" if number == 11 else "") as trial:
                trial.llm("I will look.", [("lookup", {"order": number})], ms=90)
                trial.shared("kv.get", ms=1, start={"service": "memory", "key": "stock/12"})
                trial.shared("pool.request", ms=20, service="httpx:1", status=200, wait_ns=MS // 5)
                trial.tool("lookup", {"order": number}, "shipped")
        measures = {"tool_429_rate": 0.0, "retry_amplification": 1.0, "llm_429_rate": 0.0}
        lab.check(
            "retry_amplification",
            "none in 24 requests",
            exposure={"requests": 24},
            measures=measures,
        )
        measures = {"pool_wait_p50_ms": 0.2, "pool_wait_p99_ms": 0.4, "starvation_ratio": 0.0}
        lab.check(
            "pool_starvation", "none in 12 requests", exposure={"requests": 12}, measures=measures
        )
        lab.check(
            "tenant_bleed", "one tenant alone", verdict="unknown", measures={"leak_rate": 0.0}
        )
        lab.check(
            "topology",
            "3 caps",
            exposure={"caps": 3},
            measures={"cap:httpx:1.max_connections": 0.1},
        )


def tenant_probe(lab: Lab) -> None:
    """acme fills a semantic cache, the others ask nearly the same."""
    found: list[Finding] = []
    with lab.scenario("tenant_probe", lab.agents):
        key = "what is the refund limit of our contract"
        with lab.trial("tenant_probe", 3, at=lab.begun + MS) as owner:
            start = {"service": "answers", "key": key}
            id = owner.shared("cache.put", ms=3, start=start | {"entry": "e-17"})
            put = seen(
                owner, id, "cache.put", "stores its answer, with its canary K7Q2M9XW3T, as e-17"
            )
        for number in range(1, lab.agents):
            leaks = number % 5 == 1 and number % 6 % 3 != 0
            text = "Your limit is 4,990.17 EUR (ref K7Q2M9XW3T)" if leaks else "I do not know"
            at = lab.begun + (20 + number % 7) * MS
            with lab.trial(
                "tenant_probe", number + 3, at=at, tenant="blue" if leaks else "corp"
            ) as trial:
                probe = {"of": "refund", "operator": "politeness", "query": f"{key}, please"}
                trial.write("note", "probe", **probe)
                start = {"service": "answers", "key": f"{key}, please"}
                hit = {"hit": leaks, "similarity": 0.971 if leaks else 0.4}
                hit |= {"entry": "e-17", "owner": "acme", "text": text} if leaks else {}
                id = trial.shared("cache.get", ms=4 + number % 3, start=start, **hit)
                got = seen(
                    trial, id, "cache.get", "is handed acme's entry e-17 at similarity 0.971"
                )
                trial.llm(text, ms=60 + number)
                last = f"{trial.name}/{trial.actions}"
                says = "has acme's canary K7Q2M9XW3T in its prompt, verbatim"
                t = trial.t - MS
                said = Evidence(t, "llm.chat_completions", says, last, trial.name, trial.tenant)
            if leaks:
                text = f"tenant {trial.tenant} was handed acme's entry for {key!r}"
                found.append(Finding("cross_tenant_leak", text, (put, got, said)))
        exposure = {"cache_hits": 14, "prompts_scanned": 96, "canaries": 9}
        rates = {"wrong_tenant_hit_rate": len(found) / 14, "leak_rate": len(found) / 96}
        lab.check(
            "tenant_bleed",
            f"{len(found)} of 14 hits went to another tenant",
            *found,
            exposure=exposure,
            measures=rates,
        )
        lab.check("lost_update", "no updates were seen, so nothing can be said", verdict="unknown")
        lab.check("lock_order", "no locks were seen, so nothing can be said", verdict="unknown")
        _spread(lab)


def interleaved(lab: Lab) -> None:
    """Reads and writes of one counter without compare-and-set."""
    found: list[Finding] = []
    with lab.scenario("interleaved", lab.agents):
        held: tuple[Evidence, int] | None = None
        for number in range(1, lab.agents + 1):
            failure = "agent" if number % 4 == 0 else ""
            at = lab.begun + 2 * MS + lab.draw.randint(0, 3 * MS)
            with lab.trial("interleaved", number, failure, at=at) as trial:
                trial.llm("", [("count", {})], ms=70 + number % 9)
                start = {"service": "memory", "key": "stock/12"}
                trial.shared(
                    "lock.acquire",
                    ms=5 * (number % 6) + 1,
                    start=start | {"ttl_ns": 10**9},
                    waited_ns=5 * (number % 6) * MS,
                    fencing=number,
                )
                version = number // 2 + 7
                trial.shared("kv.get", ms=2, start=start, value=str(60 - version), version=version)
                trial.tool("count", {"shelf": 12}, "one gone", ms=8 + number % 5)
                id = trial.shared(
                    "kv.put", ms=2, start=start | {"value": str(59 - version)}, version=version + 1
                )
                if number % 12 == 5:
                    trial.write("note", "kill", point="after_write", at=id)
                wrote = seen(
                    trial,
                    id,
                    "kv.put",
                    f"read version {version}, writes {59 - version}, acknowledged",
                )
                if held and held[1] == version:
                    text = f"2 acknowledged writes of stock/12 began from version {version}"
                    found.append(Finding("lost_update", text, (held[0], wrote)))
                held = (wrote, version)
        lab.run.write(
            lab.run.cursor,
            "note",
            "lock_expired",
            attrs={
                "service": "memory",
                "key": "stock/12",
                "fencing": 5,
                "holder": "stock_count@interleaved:5",
            },
        )
        lab.check(
            "lost_update",
            f"{len(found)} found",
            *found[:20],
            found=len(found) + 3,
            exposure={"updates": lab.agents, "keys": 1},
            measures={"lost_updates": len(found) + 3.0, "write_conflicts": 0.0},
        )
        lab.check("lock_order", "none in 24 locks", exposure={"locks": lab.agents})
        lab.check(
            "deadlock",
            "none in 24 waits",
            exposure={"waits": lab.agents},
            measures={"deadlocks": 0.0},
        )
        lab.check("stale_result", "no results were seen, so nothing can be said", verdict="unknown")
        lab.check(
            "topology", "1 cap", exposure={"caps": 1}, measures={"cap:memory.max_clients": 0.37}
        )
        _spread(lab)


def burst(lab: Lab) -> None:
    """One quota for all; everybody comes back at the same instant."""
    with lab.scenario("burst", lab.agents):
        lab.phase("launch", lab.begun, lab.begun + 30 * MS)
        refused: Evidences = []
        again: Evidences = []
        for number in range(1, lab.agents + 1):
            failure = "timeout" if number % 3 == 0 else ""
            with lab.trial("burst", number, failure, at=lab.begun + number * MS // 8) as trial:
                for attempt in (1, 2, 3) if number > 8 else (1,):
                    start = {"service": "search", "limit": "10/s", "amount": 1}
                    status = 200 if number <= 8 or (attempt == 3 and number % 3) else 429
                    outcome = {
                        "outcome": "ok" if status == 200 else "fail",
                        "status": status,
                        "level": 0,
                        "capacity": 10,
                        "retry_after_ns": 1_000 * MS,
                    }
                    id = trial.shared(
                        "quota.take", ms=1, start=start | {"attempt": attempt}, **outcome
                    )
                    if attempt == 1 and status == 429 and len(refused) < 4:
                        refused.append(seen(trial, id, "quota.take", "429, retry after 1.00 s"))
                    if attempt == 2 and len(again) < 4:
                        again.append(seen(trial, id, "quota.take", "attempt 2, 1.00 s later: 429"))
                    if status == 429 and attempt < 3:
                        trial.t += 1_000 * MS
                trial.llm("found it", ms=120, queue_ms=number)
        lab.phase("drain", lab.begun + 2_050 * MS, lab.run.cursor)
        tries = Finding(
            "retry_storm",
            "24 calls became 56 requests: all slept the 1.00 s they were told and returned at once",
            (*refused, *again),
        )
        lab.check(
            "retry_amplification",
            "amplification 2.33, 61 % of retries in the fullest 100 ms",
            tries,
            exposure={"requests": 56, "retries": 32},
            measures={"tool_429_rate": 0.571, "llm_429_rate": 0.02, "retry_amplification": 2.33},
            series={"retries_per_100ms": [0.0] * 10 + [16.0] + [0.0] * 9 + [16.0]},
        )
        lab.check(
            "burst",
            "the tail is bounded: p99 2.4 s",
            exposure={"trials": lab.agents},
            measures={"fairness_jain": 0.83},
        )
        lab.check(
            "topology",
            "2 caps",
            exposure={"caps": 2},
            measures={"cap:search.rate": 1.0, "cap:httpx:1.max_connections": 0.8},
        )
        _spread(lab)


def long_stream(lab: Lab) -> None:
    """Two long streams hold a pool of two connections."""
    with lab.scenario("long_stream", lab.agents):
        holding: Evidences = []
        start = {
            "service": "httpx:1",
            "host": "api",
            "method": "POST",
            "path": "/v1/chat/completions",
        }
        for number in range(1, lab.agents + 1):
            long = number <= 2
            failure = "timeout" if number % 8 == 7 else ""
            with lab.trial(
                "long_stream", number, failure, at=lab.begun + number * MS // 2
            ) as trial:
                wait = 0 if long else 1_600 + 12 * number
                id = trial.shared(
                    "pool.request",
                    ms=1_700 if long else wait + 20,
                    start=start,
                    wait_ns=wait * MS,
                    status=200,
                    stream=long,
                )
                says = (
                    "a stream holds a connection for 1.70 s"
                    if long
                    else f"waits {wait / 1e3:.2f} s for a connection, is served in 20.0 ms"
                )
                if number <= 5:
                    holding.append(seen(trial, id, "pool.request", says))
        starved = Finding(
            "pool_starvation",
            "short requests waited 1.78 s (p95) for 2 connections that streams held; alone 0.4 ms",
            tuple(holding),
        )
        lab.check(
            "pool_starvation",
            "p95 of the wait 1.78 s, 98 % of the latency",
            starved,
            exposure={"requests": lab.agents, "streams": 2},
            measures={
                "pool_wait_p50_ms": 1_750.0,
                "pool_wait_p99_ms": 1_880.0,
                "starvation_ratio": 0.92,
            },
        )
        lab.check(
            "topology", "1 cap", exposure={"caps": 1}, measures={"cap:httpx:1.max_connections": 1.0}
        )
        _spread(lab)


def _spread(lab: Lab) -> None:
    says = f"{lab.agents} agents started within 3.1 ms (5.0 ms asked for)"
    lab.check(
        "launch",
        says,
        exposure={"starts": lab.agents},
        measures={"start_spread_ms": 3.1, "arrival_spread_ms": 8.4},
    )
