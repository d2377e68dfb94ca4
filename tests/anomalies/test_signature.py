"""Samples in, signatures out; and what moved between two of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from proofrig.anomalies.signature import (
    Counts,
    Drift,
    Quartiles,
    Sample,
    Signature,
    case_of,
    drifts,
    signature_of,
)


def samples(
    seed: int, *, slower: float = 1, dearer: float = 1, more: float = 1, cases: int = 2
) -> Iterator[Sample]:
    """40 trials that call a model and search, about as long, dear and often as given."""
    chance = random.Random(seed)
    for number in range(40):
        trial = f"case{number % cases}:{number}"
        for _ in range(round(chance.randint(3, 5) * more)):
            ns = round(slower * chance.lognormvariate(0, 0.5) * 1e9)
            money = round(dearer * chance.uniform(800, 1600))
            yield Sample("llm.messages", trial, ns, money, money // 3)
            yield Sample("tool.search", trial, ns // 4)


def moved(before: Signature, after: Signature) -> set[tuple[str, str]]:
    return {(drift.name, drift.figure) for drift in drifts(before, after)}


@pytest.mark.parametrize("seed", range(30))
def test_the_same_agent_does_not_drift(seed: int) -> None:
    before, after = signature_of(samples(seed)), signature_of(samples(seed + 1000))
    assert drifts(before, after) == []


def test_what_moved_is_told_by_name_and_figure() -> None:
    before = signature_of(samples(1))
    both = {"llm.messages", "tool.search"}
    assert moved(before, signature_of(samples(2, slower=8))) == {(name, "ms") for name in both}
    dear = {("llm.messages", "usd_micro"), ("llm.messages", "tokens")}
    assert moved(before, signature_of(samples(2, dearer=3))) == dear
    assert moved(signature_of(samples(2, dearer=3)), before) == dear
    often = {(name, "per_trial") for name in both}
    assert moved(before, signature_of(samples(2, more=3))) == often


def test_a_name_that_comes_or_goes_is_a_drift() -> None:
    before = signature_of(samples(1))
    without = signature_of(one for one in samples(2) if one.name != "tool.search")
    assert moved(before, without) == {("tool.search", "per_trial")}
    [came] = drifts(without, before)
    assert (came.before.mid, came.ratio) == (0.0, float("inf"))


def test_other_cases_are_no_drift_of_the_mix() -> None:
    other = signature_of(samples(2, more=3, cases=3))
    assert moved(signature_of(samples(1)), other) == set()


def test_few_calls_have_no_drift() -> None:
    few = list(samples(1))[:20]
    dear = [msgspec.structs.replace(one, usd_micro=one.usd_micro * 50) for one in few]
    assert drifts(signature_of(few), signature_of(dear)) == []


def test_a_signature_is_what_its_quartiles_are() -> None:
    found = signature_of(Sample("tool.a", f"c:{n}", n * 1_000_000, n, 2 * n) for n in range(1, 41))
    named = found.names["tool.a"]
    assert (found.cases, found.trials) == (("c",), 40)
    assert named.usd_micro == Quartiles(40, 10, 20, 30)
    assert named.tokens == Quartiles(40, 20, 40, 60)
    assert named.ms.mid == pytest.approx(20, rel=0.05)
    assert named.per_trial == Quartiles(40, 1, 1, 1)


def test_a_signature_can_be_kept() -> None:
    found = signature_of(samples(3))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Signature) == found


def test_counts_keep_the_leading_bits() -> None:
    counts = Counts()
    for value in (0, 1, 63, 1000, 1_000_000):
        counts.add(value)
    assert counts.below(1) == 1
    assert counts.below(100) == 3
    quartiles = counts.quartiles()
    assert (quartiles.count, quartiles.low, quartiles.mid) == (5, 1, 63)
    assert quartiles.high == pytest.approx(1000, rel=1 / 32)
    assert Counts().quartiles() == Quartiles()


@pytest.mark.parametrize(
    ("trial", "case"), [("a:0", "a"), ("a:b:12~2", "a:b"), ("a@burst:3", "a"), ("", "")]
)
def test_the_case_of_a_trial(trial: str, case: str) -> None:
    assert case_of(trial) == case


def test_a_ratio() -> None:
    drift = Drift("a", "ms", Quartiles(20, 1, 2, 3), Quartiles(20, 4, 5, 6))
    assert drift.ratio == 2.5
