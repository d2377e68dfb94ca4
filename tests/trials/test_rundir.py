"""A run's directory knows what is finished and who holds it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from proofrig.errors import InfraError, UsageError
from proofrig.history.journal import Journal
from proofrig.trials.rundir import Finished, finished_trials, is_held, locked, new_run, runs_below


def begin(journal: Journal, trial: str, attempt: int = 1) -> None:
    name = trial if attempt == 1 else f"{trial}~{attempt}"
    attrs = {"case": "a", "repeat": 1, "attempt": attempt}
    journal.write("trial", "begin", trial=name, attrs=attrs)


def end(journal: Journal, trial: str, **attrs: object) -> None:
    journal.write("trial", "end", trial=trial, attrs=attrs)


def test_a_trial_is_done_when_an_attempt_was_measured(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path, "runner", count().__next__)
    begin(journal, "a:1")
    end(journal, "a:1", failure="infra", retried=True)
    begin(journal, "a:1", 2)
    begin(journal, "a:2")
    end(journal, "a:2", failure="agent")
    begin(journal, "a:3")
    end(journal, "a:3", failure="infra")
    journal.close()
    attempts = {"a:1": 2, "a:2": 1, "a:3": 1}
    assert finished_trials(tmp_path) == Finished(frozenset({"a:2"}), attempts, ())


def test_runs_are_named_after_the_suite_and_are_unique(tmp_path: Path) -> None:
    first, second = new_run(tmp_path, "desk"), new_run(tmp_path, "desk")
    assert first != second
    assert "-desk-" in first.name


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(UsageError, match="being run by another process"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_runs_are_directories_with_a_manifest(tmp_path: Path) -> None:
    assert runs_below(tmp_path) == []
    first, second = new_run(tmp_path, "a"), new_run(tmp_path, "b")
    (second / "manifest.json").write_text("{}")
    assert runs_below(tmp_path) == [second]
    assert not is_held(first)


def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="cannot make the run's directory"):
        new_run(tmp_path / "file", "desk")


def test_a_directory_that_cannot_be_locked_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(InfraError, match="cannot write to the run's directory"), locked(tmp_path):
        pass


def test_a_scenario_is_finished_when_its_end_is_on_the_history(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "scenario", count().__next__)
    for scenario, states in (("sequential", ("begin", "end")), ("burst", ("begin",))):
        for state in states:
            journal.write("note", "scenario", attrs={"scenario": scenario, "state": state})
    begin(journal, "a@burst:1")
    end(journal, "a@burst:1", failure="agent")
    begin(journal, "a@burst:2", 2)
    journal.close()
    found = finished_trials(tmp_path)
    assert found.scenarios == {"sequential"}
    assert found.attempts == {"a@burst:1": 1, "a@burst:2": 2}


def test_what_was_cut_is_done_with_and_a_settled_run_has_no_more_repeats(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "work", count().__next__)
    begin(journal, "a:1")
    cut = {"reason": "usd", "why": "no money", "trials": ["a:1", "b:1"], "scenarios": ["burst"]}
    journal.write("note", "cut", attrs=cut)
    journal.write("note", "settled", attrs={"look": 2, "repeats": 2, "why": "regressed"})
    journal.close()
    found = finished_trials(tmp_path)
    assert found.done == {"a:1", "b:1"}
    assert found.scenarios == {"burst"}
    assert found.settled == 2
