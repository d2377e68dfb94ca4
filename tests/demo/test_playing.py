"""A run in a process of its own, followed on its history."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from end_to_end.suites import case, write_suite
from proofrig.demo.playing import Playing
from proofrig.errors import InfraError
from proofrig.history.history import History


def until_over(playing: Playing) -> None:
    while not playing.over:
        playing.poll()
        time.sleep(0.02)


def test_every_entry_is_handed_out_once(tmp_path: Path) -> None:
    write_suite(tmp_path / "suite", [case("right"), case("also")])
    with Playing(tmp_path / "suite" / "suite.yaml", tmp_path / "kept", "right") as playing:
        until_over(playing)
    whole = list(History(playing.folder).entries())
    assert sorted((one.t, one.seq, one.name) for one in playing.entries) == sorted(
        (one.t, one.seq, one.name) for one in whole
    )
    assert playing.ended_trials == 1
    [call] = [one for one in playing.actions() if one.name == "llm.chat_completions"]
    assert playing.payload(call.attr("request"))["messages"][0]["content"] == "What is 40 + 2?"
    assert playing.payload("none") is None
    assert playing.now_ns() > 0


def test_a_run_that_does_not_come_to_its_end_says_why(tmp_path: Path) -> None:
    with (
        Playing(tmp_path / "nothing.yaml", tmp_path) as playing,
        pytest.raises(InfraError, match=r"exit code 2: .*nothing\.yaml"),
    ):
        until_over(playing)


def test_a_run_that_is_not_wanted_any_more_is_interrupted(tmp_path: Path) -> None:
    agent = {"type": "python", "target": "e2e_agent:behave"}
    write_suite(tmp_path / "suite", [case("slow", task="hang")], agent=agent)
    with Playing(tmp_path / "suite" / "suite.yaml", tmp_path / "kept") as playing:
        while not any(one.name == "begin" for one in playing.entries):
            playing.poll()
            time.sleep(0.02)
    assert playing.ended_trials == 0
