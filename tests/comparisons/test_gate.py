"""Gates pass, fail, or say that they cannot know."""

from __future__ import annotations

import pytest

from proofrig.comparisons.gate import as_recorded, fail_under
from proofrig.results import Score


@pytest.mark.parametrize(
    ("passed", "measured", "trials", "percent", "state"),
    [
        (8, 10, 10, 80, "pass"),
        (7, 10, 10, 80, "fail"),
        (0, 10, 10, 0, "pass"),
        (8, 9, 10, 80, "pass"),  # even if the tenth failed
        (8, 9, 10, 85, "inconclusive"),
        (2, 9, 10, 80, "fail"),  # even if the tenth passed
        (0, 0, 10, 0, "inconclusive"),
    ],
)
def test_fail_under(passed: int, measured: int, trials: int, percent: float, state: str) -> None:
    score = Score("all", trials=trials, measured=measured, passed=passed)
    assert fail_under(score, percent).state == state


@pytest.mark.parametrize(("diverged", "state"), [(0, "pass"), (1, "fail")])
def test_a_strict_replay_fails_for_one_trial_that_left_its_recording(
    diverged: int, state: str
) -> None:
    failures = {"diverged": diverged} if diverged else {}
    found = as_recorded(Score("all", trials=3, measured=3, passed=2, failures=failures))
    assert found.state == state
    assert ("1 of 3 trials" in found.message) is bool(diverged)


def test_the_message_carries_the_figures() -> None:
    found = fail_under(Score("all", trials=4, measured=3, passed=2), 60)
    assert found.rule == "pass rate >= 60 %"
    assert found.message == (
        "66.7 % (2 of 3 measured trials), but 1 of 4 trials were not measured, enough to decide it"
    )
