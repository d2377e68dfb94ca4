"""A history in, lanes and bars out."""

from __future__ import annotations

from array import array
from pathlib import Path

from proofrig.history.history import History
from proofrig.reports.actions import KINDS
from proofrig.reports.timeline import (
    DENIED,
    FAILED,
    FAULT,
    FLAGGED,
    LIMITED,
    MODEL,
    TOOL,
    UNENDED,
    Lane,
    TimelineFold,
    draw,
)
from report_runs import MS, Recorder


def lanes_of(run: Recorder) -> list[Lane]:
    fold = TimelineFold()
    History(run.report().run_dir).fold(fold)
    return fold.result()


def test_bars_have_their_parts_kinds_and_marks(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, at=7 * MS) as trial:
        trial.llm("x", ms=100, queue_ms=50)
        trial.tool("f", {}, "", ms=20, fault="slow", is_error=True)
        trial.tool("g", {}, "", deny="cap")
        trial.write("reserve", "llm.messages", "open", decision="allow")
        trial.t += 9 * MS
    (lane,) = lanes_of(run)
    assert (lane.begin_ns, lane.end_ns) == (7 * MS, 7 * MS + 181 * MS)
    assert lane.bars() == [
        (0, 50 * MS, 100 * MS, 150 * MS, MODEL),
        (151 * MS, 0, 20 * MS, 20 * MS, TOOL | FAULT | FAILED),
        (172 * MS, 0, 0, 0, TOOL | DENIED),
        (172 * MS, 0, 0, 9 * MS, MODEL | UNENDED),
    ]


def test_lanes_come_as_they_begin_and_retried_attempts_are_marked(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("late", 1, at=9 * MS) as trial:
        trial.llm("x")
    with run.trial("early", 1, "infra", at=1 * MS, retried=True) as trial:
        trial.llm("x")
    assert [(lane.trial, lane.retried) for lane in lanes_of(run)] == [
        ("early:1", True),
        ("late:1", False),
    ]


def lane(name: str, bars: int, code: int = MODEL) -> Lane:
    flat = array("q", [n for bar in range(bars) for n in (bar, 0, 0, bar % 10, code)])
    return Lane(name, 0, bars, flat=flat)


def test_everything_is_drawn_below_the_cap() -> None:
    drawing = draw([lane("a", 5), lane("b", 3)], bars=8)
    assert (drawing.bars, drawing.left_out()) == (8, "")


def test_above_the_cap_full_lanes_give_way_and_it_is_said() -> None:
    drawing = draw([lane("full", 1_000), lane("thin", 10)], bars=110)
    assert {held.trial: len(bars) for held, bars in drawing.lanes} == {"full": 100, "thin": 10}
    assert drawing.left_out() == "Drawn: 110 of 1,010 actions, the marked and longest first."


def test_marked_bars_stay_whatever_their_length() -> None:
    busy = lane("a", 50)
    busy.flat[4] = MODEL | FAILED
    ((_, bars),) = draw([busy], bars=5).lanes
    assert (0, 0, 0, 0, MODEL | FAILED) in bars
    assert bars == sorted(bars)


def test_too_many_lanes_are_thinned_evenly() -> None:
    drawing = draw([lane(str(n), 1) for n in range(1_000)], most_lanes=10)
    assert [held.trial for held, _ in drawing.lanes] == [str(n) for n in range(0, 1_000, 100)]
    assert "10 of 1,000 trials" in drawing.left_out()


def test_shared_actions_have_their_kind_their_wait_and_their_refusals(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1) as trial:
        trial.shared("lock.acquire", ms=30, waited_ns=28 * MS)
        refused = trial.shared("quota.take", ms=1, outcome="fail", status=429)
    fold = TimelineFold({refused})
    History(run.report().run_dir).fold(fold)
    (lane,) = fold.result()
    quota = KINDS.index("quota") | FAILED | LIMITED | FLAGGED
    assert [bar[1:] for bar in lane.bars()] == [
        (28 * MS, 2 * MS, 30 * MS, KINDS.index("lock")),
        (0, 1 * MS, 1 * MS, quota),
    ]


def test_evidence_stays_before_all_else() -> None:
    busy = lane("a", 50)
    for place in range(20):
        busy.flat[5 * place + 4] = MODEL | FAILED
    busy.flat[5 * 20 + 4] = MODEL | FLAGGED
    ((_, bars),) = draw([busy], bars=3).lanes
    assert (20, 0, 0, 0, MODEL | FLAGGED) in bars


def test_a_fault_lasts_as_it_says_or_to_the_end_of_its_action(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1) as trial:
        told = {"kind": "latency", "fault": "slow", "lasts_ns": 30 * MS}
        trial.llm("x", ms=100, fault=told)
        trial.tool("f", {}, "", ms=20, fault="reset")
        trial.write("reserve", "tool.g", "open", decision="allow")
        trial.write("fault", "reset", "open")
        trial.t += 9 * MS
        trial.write("fault", "pause", "", fault="paused", lasts_ns=5 * MS)
    fold = TimelineFold()
    History(run.report().run_dir).fold(fold)
    (lane,) = fold.result()
    assert fold.titles == ["slow", "reset", "paused"]
    regions = [tuple(lane.regions[n : n + 3]) for n in range(0, len(lane.regions), 3)]
    assert regions == [
        (0, 30 * MS, 0),
        (101 * MS, 20 * MS, 1),
        (131 * MS, 5 * MS, 2),
        (122 * MS, 9 * MS, 1),
    ]
