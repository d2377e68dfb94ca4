"""Two samples held against each other, whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.comparisons.comparing import compare
from proofrig.comparisons.comparison import Comparison, Effect, Terms, Word
from proofrig.comparisons.sample import Sample
from proofrig.comparisons.sampling import pool
from proofrig.errors import UsageError
from samples import Agent, a_sample, agent

TOOLS = ("find_order", "refund", "answer")


def compared(base: Agent, now: Agent, terms: Terms | None = None, **how: Any) -> Comparison:
    before, after = a_sample(base, run="r1", **how), a_sample(now, seed=2, run="r2", **how)
    return compare(before, after, terms or Terms())


def effect_of(comparison: Comparison, metric: str) -> Effect:
    [found] = [effect for effect in comparison.effects if effect.metric == metric]
    return found


@pytest.mark.parametrize(
    ("base", "now", "verdict"),
    [(0.95, 0.6, "regressed"), (0.6, 0.95, "improved"), (1.0, 1.0, "no worse")],
)
def test_verdicts(base: float, now: float, verdict: Word) -> None:
    found = compared(agent(base), agent(now), cases=60)
    assert found.verdict == verdict
    assert (found.run, found.base, found.cases) == ("r2", "r1", 60)
    assert found.says.startswith("pass rate ")
    assert found.why == []
    accuracy = found.effects[0]
    assert (accuracy.metric, accuracy.verdict, accuracy.blocks) == ("accuracy", verdict, True)
    assert accuracy.base is not None
    assert accuracy.now is not None
    assert accuracy.change is not None
    assert accuracy.change.estimate == pytest.approx(accuracy.now - accuracy.base)


def test_too_little_is_inconclusive_and_says_what_it_takes() -> None:
    found = compared(agent(0.8), agent(0.8), cases=10, repeats=1)
    assert found.verdict == "inconclusive"
    assert found.effects[0].needs
    assert found.mde is not None


def test_one_broken_case_regresses_the_whole() -> None:
    names = [f"case_{n:03}" for n in range(60)]
    broken = dict.fromkeys(names, 1.0) | {"case_007": 0.0}
    found = compared(agent(dict.fromkeys(names, 1.0)), agent(broken), cases=names, repeats=8)
    assert found.verdict == "regressed"
    [one] = found.broken
    assert (one.case, one.base_passed, one.now_passed, one.now_measured) == ("case_007", 8, 0, 8)
    assert one in found.flips
    assert "1 case broke" in found.says


def test_flips_and_flaky_cases_are_named() -> None:
    base = a_sample(agent(1.0), cases=["a", "b", "c"], repeats=8)
    now = a_sample(agent(1.0), cases=["a", "b", "c"], repeats=8)
    for trial in now.trials:
        trial.passed = trial.case == "a" or (trial.case == "b" and trial.repeat % 2 == 0)
    found = compare(base, now)
    assert [one.case for one in found.flips] == ["b", "c"]
    assert [one.fixed for one in found.flips] == [False, False]
    assert found.flaky == ["b"]
    back = compare(now, base)
    assert [one.case for one in back.flips if one.fixed] == ["c"]


def test_a_pool_is_said_and_used_whole() -> None:
    base = pool([a_sample(agent(0.9), seed=n, run=f"r{n}") for n in range(5)])
    found = compare(base, a_sample(agent(0.9), seed=9, run="now"))
    assert found.base == "r4"
    assert "against 5 pooled runs, the newest r4" in found.why
    assert found.verdict != "unreliable"


def test_what_was_not_measured_alike_is_unreliable_whatever_it_shows() -> None:
    now = a_sample(agent(0.2), cases=60, seed=2)
    for trial in now.trials[:40]:
        trial.passed, trial.failure = None, "infra"
    now.infra = 40
    found = compare(a_sample(agent(0.9), cases=60), now)
    assert found.verdict == "unreliable"
    assert len(found.why) == 2
    assert found.effects[0].verdict == "regressed"  # still shown


def test_nothing_measured_is_unreliable() -> None:
    nothing = agent(passed=None, failure="unfired")
    found = compare(a_sample(agent(0.9)), a_sample(nothing))
    assert (found.verdict, found.cases, found.effects) == ("unreliable", 0, [])
    assert found.says == "no case was measured in both"
    assert found.why


def test_what_has_nothing_in_common_is_refused() -> None:
    with pytest.raises(UsageError, match="suite"):
        compare(a_sample(), a_sample(suite="shop"))


def test_what_differs_and_what_is_left_out_is_said() -> None:
    base, now = a_sample(cases=["a", "b"]), a_sample(cases=["b", "c"], seed=2)
    now.what = now.what | {"model": {"name": "two"}}
    found = compare(base, now)
    assert found.cases == 1
    assert found.left_out == ["a: only the base has it", "c: only this run has it"]
    assert "what.model: nothing | {'name': 'two'}" in found.differences
    assert "seed: 1 | 2" in found.differences


def test_a_metric_that_blocks_regresses_the_whole() -> None:
    dear = agent(1.0, cost=900.0)
    free = compared(agent(1.0), dear, cases=60)
    asked = compared(agent(1.0), dear, Terms(metrics={"cost": 0.1}), cases=60)
    assert (free.verdict, asked.verdict) == ("no worse", "regressed")
    assert effect_of(free, "cost").verdict == effect_of(asked, "cost").verdict == "regressed"
    assert effect_of(asked, "cost").blocks
    assert asked.says.endswith("; cost regressed")


def test_a_metric_that_blocks_and_cannot_be_told_leaves_the_whole_open() -> None:
    found = compared(agent(1.0), agent(1.0), Terms(metrics={"cost": 0.001}), cases=60)
    assert found.verdict == "inconclusive"
    assert found.says.endswith("; cost cannot be told")


def test_metrics_that_block_share_alpha() -> None:
    terms = Terms(metrics={"cost": 0.1, "tokens": 0.1, "retries": 0.1})
    found = compared(agent(0.9), agent(0.9), terms)
    accuracy = found.effects[0]
    assert accuracy.p is not None
    assert accuracy.p_adjusted == pytest.approx(min(1.0, 4 * accuracy.p))
    dear = compared(agent(0.9), agent(0.9, cost=2000.0), terms).effects[0]
    assert dear.p is not None  # cost and tokens are rejected, and leave it their share
    assert dear.p_adjusted == pytest.approx(min(1.0, 2 * dear.p))


def test_a_planted_tool_is_reported_at_an_equal_pass_rate() -> None:
    found = compared(agent(1.0, tools=TOOLS), agent(1.0, tools=(*TOOLS, "voucher")))
    assert found.verdict != "regressed"
    assert ("tool_new", "voucher", True) in [
        (one.kind, one.name, one.certain) for one in found.behaviour
    ]


def test_tools_that_are_not_known_are_said() -> None:
    now = a_sample(agent(tools=TOOLS), seed=2)
    for trial in now.trials[:7]:
        trial.tools, trial.tool_calls = (), 2
    found = compare(a_sample(agent(tools=TOOLS)), now)
    assert [line for line in found.why if line.startswith("of 7 trials of this run the tools")]


def test_measures_are_beside_each_other() -> None:
    base = a_sample(scenarios=("burst",), measures={"burst": {"tool_429_rate": 0.1}})
    now = a_sample(scenarios=("burst",), seed=2, measures={"burst": {"tool_429_rate": 0.4}})
    found = effect_of(compare(base, now), "burst:tool_429_rate")
    assert (found.base, found.now, found.verdict, found.blocks) == (0.1, 0.4, "inconclusive", False)


def test_the_same_samples_compare_the_same() -> None:
    pair = a_sample(agent(0.8)), a_sample(agent(0.7), seed=2)
    assert compare(*pair) == compare(*pair)


def test_neither_the_order_of_trials_nor_of_names_matters() -> None:
    base, now = a_sample(cases=9, repeats=3), a_sample(cases=9, repeats=3, seed=2)
    base.findings = {"case_001": {"loop": 1, "leak": 2}, "case_002": {"loop": 1}}
    turned = [
        msgspec.structs.replace(
            one,
            trials=one.trials[::-1],
            findings={
                case: dict(reversed(kinds.items()))
                for case, kinds in reversed(one.findings.items())
            },
        )
        for one in (base, now)
    ]
    assert msgspec.json.encode(compare(*turned)) == msgspec.json.encode(compare(base, now))


def test_a_run_held_against_itself_has_not_changed() -> None:
    for cases, repeats in ((1, 1), (1, 8), (20, 1), (30, 4)):
        same = a_sample(cases=cases, repeats=repeats)
        found = compare(same, same)
        assert found.verdict in ("no worse", "inconclusive")
        assert ": no change" in found.says
        assert not found.behaviour
        for effect in found.effects:
            assert effect.verdict in ("no worse", "inconclusive")
            assert effect.change is None or effect.change.estimate == 0


@pytest.mark.parametrize("alpha", [0.5, 1e-5])
@pytest.mark.parametrize("cases", ["fixed", "sampled"])
def test_an_alpha_at_either_end(alpha: float, cases: Any) -> None:
    terms = Terms(alpha=alpha, cases=cases, metrics={"cost": 0.1, "p95(duration)": 0.1})
    found = compare(a_sample(repeats=2), a_sample(repeats=2, seed=2), terms)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


def test_it_survives_json() -> None:
    found = compared(agent(0.9), agent(0.5))
    data = msgspec.json.encode(found)
    assert msgspec.json.decode(data, type=Comparison) == found


def test_the_samples_are_left_as_they_were() -> None:
    base, now = a_sample(agent(0.8)), a_sample(agent(0.7), seed=2)
    before = msgspec.json.encode([base, now])
    compare(base, now)
    assert msgspec.json.encode([base, now]) == before


@pytest.mark.parametrize("cases", ["fixed", "sampled"])
def test_runs_in_which_nothing_changed_seldom_regress(cases: Any) -> None:
    verdicts = [
        compare(
            a_sample(agent(0.85), seed=2 * n),
            a_sample(agent(0.85), seed=2 * n + 1),
            Terms(cases=cases),
        )
        for n in range(40)
    ]
    assert sum(one.verdict == "regressed" for one in verdicts) <= 5
    assert sum(any(b.certain for b in one.behaviour) for one in verdicts) <= 5
    moved = [e for one in verdicts for e in one.effects[1:] if e.verdict == "regressed"]
    assert len(moved) <= 5


def test_a_large_sample_of_many_scenarios() -> None:
    names: tuple[str, ...] = ("", "sequential", "burst")
    base, now = (a_sample(cases=30, repeats=2, scenarios=names, seed=n) for n in (1, 2))
    found = compare(base, now)
    assert found.cases == 90
    assert {"sequential:accuracy", "burst:accuracy"} <= {one.metric for one in found.effects}
    assert isinstance(base, Sample)
