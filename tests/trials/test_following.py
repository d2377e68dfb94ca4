"""Each open trial gets its entries once; nothing is kept of the others."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from proofrig.history.journal import Journal
from proofrig.trials.following import Following


def test_entries_go_to_their_trial(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "rig", count().__next__)
    following = Following(tmp_path, journal.segment)
    following.open("a:1")
    following.open("b:1")
    for name, trial in (("one", "a:1"), ("two", "b:1"), ("three", "a:1"), ("late", "gone:1")):
        journal.write("note", name, trial=trial)
    journal.flush()
    assert [entry.name for entry in following.take("a:1")] == ["one", "three"]
    journal.write("note", "four", trial="b:1")
    journal.write("note", "five", trial="a:1")
    journal.flush()
    assert [entry.name for entry in following.take("b:1")] == ["two", "four"]
    assert following.take("a:1") == []
