"""A run's sample: what its trials came to, and which tools they called."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import TRIAL, entry, kept
from proofrig.checkers.checker import Checked, Evidence, Finding
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.comparisons.sampling import ToolsFold, known_tools, pool, sample_of
from proofrig.history.action import Entry
from proofrig.results import Row, RowsFold, ScenarioResult, Score, Summary
from proofrig.wire.turn import ToolCall, Turn

MANIFEST: dict[str, Any] = {
    "run": "r1",
    "started_ns": 5,
    "suite": "desk",
    "suite_path": "/somewhere/suite.yaml",
    "repeats": 4,
    "seed": 7,
    "branch": "main",
    "commit": "abc",
    "baseline": "main",
    "what": {"suite_digest": "d1", "cases": {"case": "c1"}, "limits": {"timeout_s": 30}},
    "where": {"cpus": 2},
}


def turn(payloads: dict[str, bytes], *names: str) -> dict[str, Any]:
    """The attributes of the commit of a turn that asks for these tools."""
    calls = tuple(ToolCall(f"call_{at}", name, "{}") for at, name in enumerate(names))
    answer = Turn("chat_completions", text="so", tool_calls=calls)
    return {"response": kept(payloads, msgspec.json.encode(answer)), "calls": len(names)}


def tools(payloads: dict[str, bytes], *entries: Entry) -> tuple[str, ...]:
    fold = ToolsFold(payloads.get)
    for one in entries:
        fold.step(one)
    return fold.result().get(TRIAL, ())


def test_tools_are_those_that_models_asked_for_and_gateways_saw_unasked() -> None:
    payloads: dict[str, bytes] = {}
    entries = [
        entry("commit", "llm.messages", id="a1", **turn(payloads, "look", "look")),
        entry("reserve", "tool.look", id="a2", asked_by="a1", decision="allow"),
        entry("reserve", "tool.clock", id="a3", decision="allow"),
        entry("reserve", "tool.drop_table", id="a4", decision="deny"),
        entry("commit", "llm.messages", id="a5", **turn(payloads, "refund")),
        entry("commit", "llm.messages", id="a6", **turn(payloads)),
        entry("commit", "tool.clock", id="a3", outcome="ok"),
    ]
    assert tools(payloads, *entries) == ("look", "look", "clock", "refund")
    rows = RowsFold()
    for one in [entry("trial", "begin", case="case", repeat=0, attempt=1), *entries]:
        rows.step(one)
    rows.step(entry("trial", "end", passed=True, failure=""))
    assert rows.result()[0].tool_calls == 4  # the two count alike


@pytest.mark.parametrize("answer", [None, b'{"tool_calls":[{"name":"lo', b"\xff\xfe", b""])
def test_an_answer_that_was_not_kept_whole_has_no_names(answer: bytes | None) -> None:
    payloads = {} if answer is None else {"d": answer}
    entries = [
        entry("commit", "llm.messages", response="d", calls=1),
        entry("reserve", "tool.clock", id="a3", decision="allow"),
    ]
    assert tools(payloads, *entries) == ("clock",)
    assert not known_tools(TrialSample("case", tool_calls=2, tools=("clock",)))
    assert known_tools(TrialSample("case", tool_calls=1, tools=("clock",)))


def test_a_sample_holds_the_agents_own_trials() -> None:
    rows = [
        Row("case:0", "case", passed=True, usd_micro=5, input_tokens=3, output_tokens=4),
        Row(
            "case:1", "case", repeat=1, failure="infra", tool_calls=1, duration_ns=9, tenant="acme"
        ),
        Row("case:null", "case", role="null", passed=False, failure="agent"),
        Row("case@burst:1", "case", role="helper", scenario="burst"),
    ]
    summary = Summary(overall=Score("all", trials=2, measured=1, passed=1))
    found = sample_of(MANIFEST, summary, rows, {"case:1": ("look",)})
    assert found.trials == [
        TrialSample("case", passed=True, usd_micro=5, tokens=7),
        TrialSample(
            "case",
            repeat=1,
            tenant="acme",
            failure="infra",
            tool_calls=1,
            duration_ns=9,
            tools=("look",),
        ),
    ]
    assert (found.suite, found.suite_digest, found.runs, found.infra) == ("desk", "d1", ["r1"], 1)
    assert (found.branch, found.commit, found.started_ns) == ("main", "abc", 5)
    assert found.cases == {"case": "c1"}
    assert found.settings == {"repeats": 4, "seed": 7}
    assert found.where == {"cpus": 2}
    assert found.measures[""]["accuracy"] == 1.0


def witness(*trials: str) -> tuple[Evidence, ...]:
    return tuple(Evidence(0, "kv.put", "wrote", trial=trial) for trial in trials)


def test_findings_are_counted_by_case_and_trial() -> None:
    found = [
        Finding("lost_update", "one", witness("a@burst:1", "b@burst:2")),
        Finding("lost_update", "again", witness("a@burst:1", "a@burst:3")),
        Finding("pool_starvation", "nobody's"),
    ]
    checked = Checked("lost_update", "invalid", findings=found)
    score = Score("burst", trials=1, measured=1, passed=1)
    scenario = ScenarioResult("burst", "invalid", score, [checked])
    plain = Checked("loops", "invalid", findings=[Finding("loop", "round", witness("b:0"))])
    summary = Summary(overall=score, scenarios=[scenario], checked=[plain])
    assert sample_of(MANIFEST, summary, [], {}).findings == {
        "": {"pool_starvation": 1},
        "a": {"lost_update": 2},
        "b": {"lost_update": 1, "loop": 1},
    }


def one(run: str, *trials: TrialSample, **fields: Any) -> Sample:
    return Sample(suite="desk", suite_digest="d1", runs=[run], trials=list(trials), **fields)


def test_pooling_keeps_all_trials_and_the_newest_manifest() -> None:
    old = one(
        "r1",
        TrialSample("a", passed=True),
        what={"model": "one"},
        measures={"": {"accuracy": 1.0, "gone": 3.0}},
        findings={"a": {"loop": 1}},
        infra=1,
    )
    new = one(
        "r2",
        TrialSample("a", passed=False),
        TrialSample("b"),
        what={"model": "two"},
        measures={"": {"accuracy": 0.5}, "burst": {"accuracy": 0.1}},
        findings={"a": {"loop": 2}, "b": {"drift": 1}},
        started_ns=9,
    )
    both = pool([old, new])
    assert both.runs == ["r1", "r2"]
    assert [(trial.case, trial.run) for trial in both.trials] == [("a", 0), ("a", 1), ("b", 1)]
    assert (both.what, both.started_ns, both.infra) == ({"model": "two"}, 9, 1)
    assert both.measures == {"": {"accuracy": 0.75, "gone": 3.0}, "burst": {"accuracy": 0.1}}
    assert both.findings == {"a": {"loop": 3}, "b": {"drift": 1}}
    assert [trial.run for trial in old.trials] == [0]


def test_pooling_a_pool_weighs_every_run_the_same() -> None:
    runs = [one(f"r{n}", measures={"": {"accuracy": value}}) for n, value in enumerate((1, 1, 0))]
    in_steps = pool([pool(runs[:2]), runs[2]])
    assert in_steps.measures[""]["accuracy"] == pytest.approx(2 / 3)
    assert in_steps.runs == pool(runs).runs == ["r0", "r1", "r2"]
    assert [
        trial.run
        for trial in pool([pool([one("r0"), one("r1")]), one("r2", TrialSample("a"))]).trials
    ] == [2]


def test_nothing_cannot_be_pooled() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        pool([])
