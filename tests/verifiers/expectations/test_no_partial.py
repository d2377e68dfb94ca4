"""Struck texts and an answer in, whether it was passed off out."""

from __future__ import annotations

import pytest

from proofrig.verifiers.expectations.no_partial import no_partial
from struck_trials import StruckTrial

PART = "The three biggest cities are Berlin with 3.7 million, Hamburg with"


def cut_turn(fault: str = "drop_terminal", complete: bool = False) -> StruckTrial:
    trial = StruckTrial()
    trial.llm(PART, fault=fault, complete=complete, outcome="ok" if complete else "fail")
    return trial


def test_a_partial_turn_as_the_answer_is_flagged() -> None:
    found = no_partial(cut_turn().hits(PART))
    assert found.passed is False
    assert "llm.messages brought incomplete" in found.got


@pytest.mark.parametrize("kind", ["partial_response", "truncated_body", "close_early"])
def test_what_a_fault_cut_counts_though_it_looks_whole(kind: str) -> None:
    assert no_partial(cut_turn(kind, complete=True).hits(PART)).passed is False


def test_a_whole_turn_that_a_fault_only_delayed_is_no_partial_text() -> None:
    assert no_partial(cut_turn("latency", complete=True).hits(PART)).passed is True


def test_saying_so_is_right() -> None:
    said = f"The connection was lost, so this list is incomplete: {PART}"
    assert no_partial(cut_turn().hits(said)).passed is True


def test_asking_again_is_right() -> None:
    trial = cut_turn()
    trial.llm(f"{PART} 1.9 million, Munich with 1.5 million.")
    assert no_partial(trial.hits(PART)).passed is True
    assert no_partial(trial.hits(f"{PART} 1.9 million, Munich with 1.5 million.")).passed is True


def test_a_cut_result_of_a_tool_is_a_partial_text_too() -> None:
    trial = StruckTrial()
    trial.tool("read", {"page": 1}, PART, fault="partial_response")
    trial.llm("ignored")
    assert no_partial(trial.hits(f"The page says: {PART}")).passed is False
    assert no_partial(trial.hits("The page is not whole.")).passed is True


def test_faults_that_are_not_meant_are_not_looked_at() -> None:
    trial = cut_turn("mine:drop_terminal")
    trial.llm("x", fault="other:latency")
    assert no_partial(trial.hits(PART, "other")).passed is True
