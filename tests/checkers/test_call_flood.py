"""Floods in a history; what a flood is, is told in tests/anomalies/test_floods.py."""

from __future__ import annotations

from proofrig.checkers.checker import Checked
from specimens.plain_runs import Trial, judged, mixed


def check(*trials: Trial) -> Checked:
    return judged(trials)["call_flood"]


def slow(trial: Trial, minutes: float = 1.5) -> None:
    """One call every five seconds."""
    for step in range(round(minutes * 12)):
        trial.tool("note", f"{trial.now}", f"{step}", takes=0.1)
        trial.wait(4.9)


def fast(trial: Trial, seconds: float, *, takes: float = 0.05) -> list[str]:
    calls = range(round(seconds / takes))
    return [trial.tool("ping", f"{trial.now}", f"{call}", takes=takes) for call in calls]


def test_a_flood_is_one_finding_with_its_first_hot_and_its_last_call() -> None:
    trial = Trial(1)
    slow(trial)
    ids = fast(trial, 90)
    slow(trial)
    found = check(trial)
    assert (found.verdict, found.kinds) == ("invalid", {"calls_flood": 1})
    [finding] = found.findings
    assert "per minute for" in finding.says
    assert "had begun with 12" in finding.says
    first, hot, last = (one.id for one in finding.witness)
    assert first == f"{trial.name}/0"
    assert hot in ids
    assert last in ids


def test_a_burst_is_counted() -> None:
    trial = Trial(1)
    slow(trial)
    fast(trial, 30)
    slow(trial)
    found = check(trial)
    assert (found.verdict, found.exposure["bursts"]) == ("valid", 1)
    assert found.measures["flood_calls_per_minute"] > 1000


def test_two_trials_that_are_busy_at_once_are_no_flood() -> None:
    trials = [Trial(1, number) for number in range(30)]
    for trial in trials:
        slow(trial, 3)
    assert check(*trials).verdict == "valid"


def test_what_was_denied_floods_too() -> None:
    trial = Trial(1)
    slow(trial)
    for number in range(2000):
        trial.wait(0.05)
        trial.denied("pay", f"{number}")
    assert check(trial).kinds == {"calls_flood": 1}


def test_tokens_that_the_provider_had_cached_are_no_flood() -> None:
    def run(cached: int) -> Checked:
        trial = Trial(1)
        mixed(trial, 60)
        for _ in range(60):
            trial.model(usage={"input": 190_000, "output": 10, "cache_read": cached}, takes=2.0)
        return check(trial)

    assert run(0).kinds == {"tokens_flood": 1}
    assert run(189_000).verdict == "valid"


def test_a_run_that_is_over_before_its_pace_is_known_says_nothing() -> None:
    trial = Trial(1)
    fast(trial, 30)
    found = check(trial)
    assert (found.verdict, found.exposure["runs"]) == ("unknown", 1)
    assert "6 windows of 10 s" in found.says
