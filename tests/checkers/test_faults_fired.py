"""Whether what was declared struck anything."""

from __future__ import annotations

from typing import Any

from builders import entry
from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.faults_fired import FaultsFired
from proofrig.checkers.injected import declared_of
from struck_trials import StruckTrial


def checked(written: list[dict[str, Any]], *struck: str) -> Checked:
    checker = FaultsFired(Setting(faults=declared_of(written)))
    checker.note(entry("trial", "begin", case="case", role="subject"))
    trial = StruckTrial()
    for kind in struck:
        trial.llm(fault=kind)
    for fault in (fault for action in trial.actions for fault in action.faults):
        checker.note(fault)
    return checker.result()


def test_all_that_was_declared_struck() -> None:
    found = checked([{"kind": "reset"}], "reset", "reset")
    assert (found.verdict, found.says) == ("valid", "2 strikes in 1 trials: reset 2")
    assert found.exposure == {"faults": 1, "fired": 1, "strikes": 2, "trials": 1}
    assert found.measures == {"faults_never_fired": 0.0, "struck:reset": 2.0}


def test_one_that_never_struck_is_named_with_what_to_do() -> None:
    found = checked([{"kind": "reset"}, {"kind": "latency", "name": "slow"}], "reset")
    assert found.verdict == "unknown"
    assert found.says.startswith("1 of 2 faults never fired: slow; raise `probability`")
    assert found.measures["faults_never_fired"] == 1


def test_without_faults_nothing_can_be_said() -> None:
    found = checked([])
    assert (found.verdict, found.findings) == ("unknown", [])
    assert "no fault was declared" in found.says


PACK = [{"kind": "reset", "pack": "flaky"}, {"kind": "stall", "pack": "flaky"}]


def test_of_a_pack_that_struck_the_rest_is_named_and_nothing_is_unknown() -> None:
    found = checked(PACK, "reset")
    assert (found.verdict, found.measures["faults_never_fired"]) == ("valid", 0)
    assert found.says == "1 strikes in 1 trials: reset 1; of packs that struck, not: stall"


def test_a_pack_of_which_nothing_struck_is_one() -> None:
    found = checked([{"kind": "latency"}, *PACK], "latency")
    assert found.verdict == "unknown"
    assert found.says.startswith("1 of 2 faults never fired: the pack flaky; raise")
