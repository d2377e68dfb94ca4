"""Progress in words, and plain lines now and then where there is no terminal."""

from __future__ import annotations

import pytest

from proofrig.cli.progress import Reporter, counts
from proofrig.trials.runner import Progress


def test_counts_name_the_unusual_only_where_there_is_any() -> None:
    assert counts(Progress(passed=3, failed=1)) == "3 passed, 1 failed"
    some = Progress(passed=3, failed=1, unmeasured=2, retried=4)
    assert counts(some) == "3 passed, 1 failed, 2 not measured, 4 retried"


def test_without_a_terminal_a_short_run_prints_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Reporter("desk") as reporter:
        for done in range(1, 101):
            reporter.update(Progress(total=100, passed=done))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("desk  100/100 trials  100 passed, 0 failed")


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("desk", silent=True) as reporter:
        reporter.update(Progress(total=1, passed=1))
    assert capsys.readouterr().err == ""
