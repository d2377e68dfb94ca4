"""Whatever two runs of a suite came to, holding one against the other says something sound."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.comparisons.comparing import compare
from proofrig.comparisons.comparison import Comparison
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.comparisons.sampling import pool
from proofrig.errors import UsageError

AMOUNT = st.one_of(st.just(0), st.integers(0, 10**12))
FAILURES = {None: ["infra", "unfired"], False: ["agent", "timeout", "limit"], True: [""]}


@st.composite
def trials(draw: st.DrawFn) -> TrialSample:
    passed = draw(st.sampled_from([True, False, None]))
    tools = tuple(draw(st.lists(st.sampled_from("abc"), max_size=4)))
    return TrialSample(
        case=draw(st.sampled_from(["one", "two", "three"])),
        scenario=draw(st.sampled_from(["", "burst"])),
        passed=passed,
        failure=draw(st.sampled_from(FAILURES[passed])),
        usd_micro=draw(AMOUNT),
        duration_ns=draw(AMOUNT),
        tool_calls=len(tools) + draw(st.integers(0, 1)),
        tools=tools,
    )


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    every = draw(st.lists(trials(), max_size=30))
    kinds = st.dictionaries(st.sampled_from(["loop", "leak"]), st.integers(1, 9), max_size=2)
    return Sample(
        suite="desk",
        suite_digest="d",
        runs=["r"],
        cases=dict.fromkeys(["one", "two"], draw(st.sampled_from(["x", "y"]))),
        settings={"scenarios": ["burst"], "plain": True},
        trials=every,
        findings=draw(st.dictionaries(st.sampled_from(["", "one"]), kinds, max_size=2)),
        measures={"": {"accuracy": 1.0, "flaky_rate": draw(st.floats(0, 1))}},
        infra=sum(trial.failure == "infra" for trial in every),
    )


def held(base: Sample, now: Sample) -> Comparison | None:
    try:
        return compare(base, now)
    except UsageError:
        return None  # no case in common


@settings(max_examples=60, deadline=None)
@given(samples(), samples())
def test_any_two_runs_can_be_held_against_each_other(base: Sample, now: Sample) -> None:
    found, back = held(base, now), held(now, base)
    assert (found is None) is (back is None)
    if found is None or back is None:
        return
    assert found.cases == back.cases
    assert (found.verdict == "unreliable") is bool(found.cases == 0 or back.verdict == "unreliable")
    for one, other in zip(found.effects, back.effects, strict=True):
        assert (one.metric, one.base, one.now) == (other.metric, other.now, other.base)
        assert one.p is None or 0 <= one.p <= 1
        if one.change is not None:
            assert one.change.low <= one.change.estimate <= one.change.high
            assert not math.isnan(one.change.low + one.change.estimate)
        if not found.broken and not back.broken:
            assert {one.verdict, other.verdict} != {"regressed"}
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison).says == found.says


@settings(max_examples=20, deadline=None)
@given(samples())
def test_a_run_held_against_itself_has_not_changed(sample: Sample) -> None:
    found = held(sample, sample)
    if found is None:
        return
    assert found.verdict in ("no worse", "inconclusive", "unreliable")
    assert found.flips == []
    assert not any(one.certain for one in found.behaviour)
    assert all(one.verdict in ("no worse", "inconclusive") for one in found.effects)


@settings(max_examples=20, deadline=None)
@given(samples(), samples())
def test_a_pool_of_one_is_that_one(base: Sample, now: Sample) -> None:
    assert held(pool([base]), now) == held(base, now)
