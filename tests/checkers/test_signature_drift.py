"""A run against its baseline; what a drift is, is told in tests/anomalies/test_signature.py."""

from __future__ import annotations

from pathlib import Path

from proofrig.anomalies.signature import Sample, Signature, signature_of
from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.signature_drift import SignatureDrift, signature_of_run
from proofrig.history.action import Entry
from proofrig.history.format import VERSION, encoder, folder_of
from proofrig.history.history import History, pair
from specimens.plain_runs import Trial, judged


def run(seed: int, *, dearer: int = 1, steps: int = 4) -> list[Trial]:
    trials = []
    for number in range(30):
        trial = Trial(seed, number)
        for step in range(steps):
            usage = {"input": dearer * trial.random.randint(400, 700), "output": 20}
            trial.model(usage=usage)
            trial.tool("search", step, f"{step}")
        trial.end()
        trials.append(trial)
    return trials


def signature(trials: list[Trial]) -> Signature:
    """Of what the trials' histories say, as a store of baselines would make it."""
    samples = []
    for trial in trials:
        for action in pair(trial.entries):
            assert action.end is not None
            told = action.end.attrs
            money = told["actual"].get("usd_micro", 0)
            tokens = sum(told["usage"].values()) if "usage" in told else 0
            sample = Sample(action.name, action.trial, told["service_ns"], money, tokens)
            samples.append(sample)
    return signature_of(samples)


def check(trials: list[Trial], before: Signature | None) -> Checked:
    return judged(trials, before)["signature_drift"]


def test_without_a_baseline_nothing_can_be_said() -> None:
    found = check(run(1), None)
    assert (found.verdict, found.exposure["baseline"]) == ("unknown", 0)
    assert found.says == "no baseline signature was given, so nothing can be held against it"


def test_a_run_like_its_baseline_is_valid() -> None:
    found = check(run(2), signature(run(1)))
    assert (found.verdict, found.exposure["baseline"]) == ("valid", 1)
    assert found.exposure["compared_names"] == 2


def test_turns_that_became_dearer_are_found_with_examples() -> None:
    found = check(run(2, dearer=6), signature(run(1)))
    assert found.kinds == {"usd_micro_drift": 1, "tokens_drift": 1}
    for finding in found.findings:
        assert finding.says.startswith("llm.chat_completions: ")
        assert {one.name for one in finding.witness} == {"llm.chat_completions"}


def test_trials_that_make_more_calls_are_found() -> None:
    found = check(run(2, steps=12), signature(run(1)))
    assert found.kinds == {"per_trial_drift": 2}


def test_a_baseline_of_other_names_says_nothing() -> None:
    other = Signature(names={"llm.other": signature(run(1)).names["llm.chat_completions"]})
    found = check(run(2), other)
    assert (found.verdict, found.exposure["compared_names"]) == ("unknown", 0)


def scene(trials: list[Trial], before: Checked | None) -> Checked:
    checker = SignatureDrift(Setting(scenario="burst", baseline=before))
    for trial in trials:
        for action in pair(trial.entries):
            checker.action(action)
    return checker.result()


def test_in_scenarios_money_and_tokens_are_held_against_the_sequential_one() -> None:
    alone = scene(run(1), None)
    assert alone.verdict == "unknown"
    assert scene(run(2), alone).verdict == "valid"
    assert scene(run(2, dearer=6), alone).kinds == {"usd_micro_drift": 1, "tokens_drift": 1}
    assert scene(run(2, steps=12), alone).verdict == "valid", "its cases may be in another mix"


def test_a_recorded_run_is_a_baseline(tmp_path: Path) -> None:
    entries = sorted((one for trial in run(1) for one in trial.entries), key=lambda one: one.t)
    first = Entry(0, 0, "note", "segment", attrs={"version": VERSION, "writer": "rig"})
    segment = folder_of(tmp_path) / "rig-1.jsonl"
    segment.parent.mkdir()
    segment.write_bytes(b"\n".join([*map(encoder.encode, [first, *entries]), b""]))
    history = History(tmp_path)
    recorded = signature_of_run(history)
    assert history.problems == []
    assert recorded.trials == 30
    assert check(run(2), recorded).verdict == "valid"
    assert check(run(2, dearer=6), recorded).verdict == "invalid"
