"""How the agent acts otherwise at an equal pass rate."""

from __future__ import annotations

import pytest

from proofrig.comparisons.behaviour import TOOLS, behaviour_of, steps_of
from proofrig.comparisons.comparable import aligned
from proofrig.comparisons.comparison import Behaviour, Effect, Terms
from proofrig.comparisons.sample import Sample
from samples import Agent, a_sample, agent

USED = ("find_order", "refund", "answer")


def told(base: Sample, now: Sample, *effects: Effect) -> list[Behaviour]:
    return behaviour_of(aligned(base, now), (base, now), effects, Terms())


def runs(base: Agent, now: Agent, cases: int = 20, repeats: int = 4) -> list[Behaviour]:
    return told(
        a_sample(base, cases=cases, repeats=repeats),
        a_sample(now, cases=cases, repeats=repeats, seed=2),
    )


def of_kind(found: list[Behaviour], kind: str) -> dict[str, Behaviour]:
    return {one.name: one for one in found if one.kind == kind}


def test_the_same_agent_acts_the_same() -> None:
    assert runs(agent(tools=USED), agent(tools=USED)) == []


def test_steps_are_tools_and_what_follows_what() -> None:
    assert steps_of(()) == {("^", "$"): 1}
    assert steps_of(("a", "b", "a")) == {
        ("a",): 2,
        ("b",): 1,
        ("^", "a"): 1,
        ("a", "b"): 1,
        ("b", "a"): 1,
        ("a", "$"): 1,
    }


def test_a_tool_that_is_new_and_one_that_is_dropped() -> None:
    found = runs(agent(tools=USED), agent(tools=("find_order", "voucher", "answer")))
    new, dropped = of_kind(found, "tool_new"), of_kind(found, "tool_dropped")
    assert list(new) == ["voucher"]
    assert list(dropped) == ["refund"]
    assert new["voucher"].certain
    assert dropped["refund"].certain
    assert "of 80 trials, and was called in none" in new["voucher"].says
    assert "called in none of 80 trials, was in" in dropped["refund"].says
    [steps] = of_kind(found, "trajectory").values()
    assert steps.certain
    assert steps.distance is not None
    assert steps.distance > 0.2
    assert steps.cases


def test_a_tool_that_one_trial_calls_is_seen_and_not_certain() -> None:
    base, now = a_sample(agent(tools=USED)), a_sample(agent(tools=USED), seed=2)
    trial = now.trials[17]
    trial.tools, trial.tool_calls = (*trial.tools, "delete_all"), trial.tool_calls + 1
    [one] = told(base, now)
    assert (one.kind, one.name, one.certain) == ("tool_new", "delete_all", False)
    assert one.says == "delete_all is called in 1 of 80 trials, and was called in none"
    assert one.cases == (trial.case,)


def test_a_tool_that_is_used_less_is_told_when_it_is_certain() -> None:
    always = ("find_order", "answer")
    found = runs(agent(tools=always, skips=0.1), agent(tools=always, skips=0.6))
    used = of_kind(found, "tool_use")
    assert set(used) == set(always)
    assert all(one.certain for one in used.values())
    assert "trials, was in" in used["answer"].says
    assert len(used["answer"].cases) == 10  # those that called it more, before


def test_the_order_of_steps_counts() -> None:
    found = runs(agent(tools=("a", "b"), skips=0.0), agent(tools=("b", "a"), skips=0.0))
    [one] = found
    assert (one.kind, one.certain) == ("trajectory", True)


def test_of_one_trial_a_case_only_tools_can_be_told() -> None:
    found = runs(agent(tools=("a",), skips=0.0), agent(tools=("b",), skips=0.0), repeats=1)
    assert {one.kind for one in found if one.certain} == {"tool_new", "tool_dropped"}


def test_many_tools_are_no_reason_for_alarm() -> None:
    many = tuple(f"tool_{n:02}" for n in range(TOOLS + 20))
    found = runs(agent(tools=many, skips=0.5), agent(tools=many, skips=0.5))
    assert [one for one in found if one.certain] == []


def test_a_tool_beyond_the_most_used_is_told_when_one_side_alone_calls_it() -> None:
    many = tuple(f"tool_{n:02}" for n in range(TOOLS + 5))
    base, now = (a_sample(agent(tools=many, skips=0.1), seed=n) for n in (1, 2))
    assert told(base, now) == []
    trial = now.trials[17]
    trial.tools, trial.tool_calls = (*trial.tools, "delete_all"), trial.tool_calls + 1
    [one] = told(base, now)
    assert (one.kind, one.certain, one.p) == ("tool_new", False, None)
    assert one.says == "1 seldom used tool, called in no trial before: delete_all"
    assert [o.kind for o in told(now, base)] == ["tool_dropped"]


def test_tools_that_are_used_alike_are_told_by_name() -> None:
    """The order of a set of names differs from process to process."""
    names = [f"tool_{n}" for n in range(TOOLS - 1)]
    base, now = (a_sample(agent(tools=tools, skips=0.0)) for tools in ((), names))
    new = of_kind(told(base, now), "tool_new")
    assert list(new) == sorted(names)


def test_trials_whose_tools_are_not_known_say_nothing() -> None:
    base, now = a_sample(agent(tools=USED)), a_sample(agent(tools=USED), seed=2)
    for trial in now.trials[40:]:
        trial.tools = ()  # what the model answered was not kept
        trial.tool_calls = 3
    assert told(base, now) == []
    for trial in now.trials:
        trial.tools, trial.tool_calls = (), 3
    assert told(base, now) == []


def test_findings_of_cases_that_had_none() -> None:
    base, now = (a_sample(cases=["a", "b", "c"], repeats=8, seed=n) for n in (1, 1))
    base.findings = {"a": {"lost_update": 2}, "b": {"loop": 1}}
    now.findings = {"a": {"lost_update": 3}, "c": {"lost_update": 8, "leak": 1}, "": {"drift": 2}}
    new = of_kind(told(base, now), "finding_new")
    gone = of_kind(told(base, now), "finding_gone")
    assert set(new) == {"lost_update", "leak", "drift"}
    assert set(gone) == {"loop"}
    assert new["lost_update"].cases == ("c",)
    assert new["lost_update"].says == "lost update in 8 trials of cases that had none before"
    assert new["lost_update"].certain
    assert new["leak"].says == "leak in 1 trial, and in none before"
    assert not new["leak"].certain
    assert new["drift"].says == "drift 2 times, and never before"
    assert gone["loop"].says == "no loop any more, was in 1 trial"


def test_findings_of_other_cases_are_passed_over() -> None:
    base, now = a_sample(cases=["a"]), a_sample(cases=["a", "b"])
    now.findings = {"b": {"loop": 4}}
    assert told(base, now) == []


@pytest.mark.parametrize(
    ("metric", "kind"),
    [("cost", "cost"), ("tokens", "tokens"), ("llm_calls", "calls"), ("retries", "")],
)
def test_cost_and_tokens_that_moved_for_certain(metric: str, kind: str) -> None:
    sample = a_sample(agent(tools=USED))
    moved = Effect(metric=metric, base=100.0, now=125.0, p=0.001, verdict="regressed")
    still = Effect(metric=metric, base=100.0, now=101.0, p=0.2, verdict="no worse")
    found = told(sample, sample, moved, still)
    assert [one.kind for one in found] == ([kind] if kind else [])
    if found:
        assert "+25.0 %" in found[0].says


def test_what_is_certain_comes_first() -> None:
    found = runs(agent(tools=USED), agent(tools=(*USED, "voucher"), skips=0.2))
    assert [one.certain for one in found] == sorted((o.certain for o in found), reverse=True)
