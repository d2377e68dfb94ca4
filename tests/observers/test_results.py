"""What an agent says of its tool results becomes notes of its trial."""

from __future__ import annotations

from proofrig.observers import accepted, superseded

from .conftest import Recorded


def test_results_that_were_taken_and_given_up(recorded: Recorded) -> None:
    accepted("rig-1.4", recorder=recorded.recorder)
    accepted("rig-1.5", given_as="rig-1.6", version=3, recorder=recorded.recorder)
    superseded("rig-1.6", by="rig-1.7", recorder=recorded.recorder)
    superseded("rig-1.8", recorder=recorded.recorder)
    assert [(e.kind, e.name, e.trial, e.attrs) for e in recorded.entries()] == [
        ("note", "accepted", "case:0", {"call": "rig-1.4"}),
        ("note", "accepted", "case:0", {"call": "rig-1.5", "given_as": "rig-1.6", "version": 3}),
        ("note", "superseded", "case:0", {"call": "rig-1.6", "by": "rig-1.7"}),
        ("note", "superseded", "case:0", {"call": "rig-1.8"}),
    ]
