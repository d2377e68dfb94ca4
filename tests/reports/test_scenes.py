"""A history in, the times of its scenarios out."""

from __future__ import annotations

from proofrig.history.action import Entry
from proofrig.reports.scenes import MARKS, Mark, Scene, ScenesFold


def note(t: int, name: str, trial: str = "", **attrs: object) -> Entry:
    return Entry(0, t, "note", name, trial=trial, attrs=attrs)


def begin(t: int, name: str) -> Entry:
    return note(t, "scenario", state="begin", scenario=name)


def end(t: int, name: str) -> Entry:
    return note(t, "scenario", state="end", scenario=name)


def scenes(*entries: Entry) -> list[Scene]:
    fold = ScenesFold()
    for entry in entries:
        fold.step(entry)
    return fold.result()


def test_a_scenario_has_its_time_its_phases_and_what_struck_it() -> None:
    (scene,) = scenes(
        note(1, "kill", "before:1", point="after_ack"),
        begin(10, "burst"),
        note(11, "phase", phase="launch", state="begin", target_ns=5),
        note(14, "kill", "a@burst:1", point="mid_bytes"),
        note(19, "phase", phase="launch", state="end"),
        note(20, "phase", phase="drain", state="begin"),
        note(25, "lock_expired", key="k", holder="a@burst:2"),
        end(30, "burst"),
    )
    assert (scene.name, scene.begin_ns, scene.end_ns) == ("burst", 10, 30)
    assert scene.phases == [("launch", 11, 19), ("drain", 20, 30)]
    assert scene.marks == [
        Mark("kill", "a@burst:1", 14, "killed mid bytes"),
        Mark("lock_expired", "a@burst:2", 25, "its lock k expired and was freed"),
    ]


def test_a_scenario_that_was_cut_off_ends_with_the_history_and_counts_where_it_was_last() -> None:
    found = scenes(begin(1, "a"), begin(5, "b"), note(6, "x"), begin(7, "a"), note(9, "y"))
    assert [(scene.name, scene.begin_ns, scene.end_ns) for scene in found] == [
        ("b", 5, 7),
        ("a", 7, 9),
    ]


def test_marks_are_kept_up_to_a_number_and_all_counted() -> None:
    kills = [note(2 + n, "kill", f"t:{n}", point="after_ack") for n in range(MARKS + 7)]
    (scene,) = scenes(begin(1, "a"), *kills)
    assert (len(scene.marks), scene.struck) == (MARKS, MARKS + 7)
