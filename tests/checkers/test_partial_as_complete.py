"""Incomplete texts and answers in, those that were passed off out."""

from __future__ import annotations

from builders import entry, kept
from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.partial_as_complete import PartialAsComplete
from struck_trials import StruckTrial

PART = "The three biggest cities are Berlin with 3.7 million, Hamburg with"


def checked(trial: StruckTrial, answer: str) -> Checked:
    checker = PartialAsComplete(Setting(payload=trial.payloads.get))
    for action in trial.actions:
        checker.action(action)
    digest = kept(trial.payloads, answer.encode())
    checker.note(entry("trial", "end", t=trial.now, answer=digest))
    return checker.result()


def test_the_turn_and_the_answer_are_the_witness() -> None:
    trial = StruckTrial()
    trial.llm(PART, fault="drop_terminal", complete=False, outcome="fail")
    found = checked(trial, PART)
    assert (found.verdict, found.kinds) == ("invalid", {"partial_as_complete": 1})
    shown = [(one.id, one.says) for one in found.findings[0].witness]
    assert shown == [
        ("a0", "came incomplete (struck by drop_terminal)"),
        ("", "the agent answered with it"),
    ]


def test_a_turn_that_broke_off_by_itself_counts_too() -> None:
    trial = StruckTrial()
    trial.llm(PART, complete=False, outcome="fail")
    assert checked(trial, PART).verdict == "invalid"


def test_one_that_asked_again_is_right_and_was_looked_at() -> None:
    trial = StruckTrial()
    trial.llm(PART, fault="reset", complete=False, outcome="fail")
    trial.llm(f"{PART} 1.9 million.")
    found = checked(trial, f"{PART} 1.9 million.")
    assert (found.verdict, found.exposure) == ("valid", {"incomplete": 1, "trials": 1})


def test_what_was_only_late_is_whole() -> None:
    trial = StruckTrial()
    trial.llm(PART, fault="stall")
    assert checked(trial, PART).verdict == "unknown"
    trial.llm(PART, fault="stall", complete=False, outcome="fail")  # its agent did not wait
    assert checked(trial, PART).verdict == "invalid"


def test_a_trial_counts_once_and_texts_that_never_came_not_at_all() -> None:
    trial = StruckTrial()
    for text in (PART, PART, ""):
        trial.llm(text, fault="reset", complete=False, outcome="fail")
    found = checked(trial, PART)
    assert (found.found, found.exposure["incomplete"]) == (1, 2)


def test_where_everything_came_whole_nothing_can_be_said() -> None:
    trial = StruckTrial()
    trial.llm(PART)
    assert checked(trial, PART).verdict == "unknown"
