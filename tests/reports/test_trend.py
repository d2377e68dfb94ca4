"""Lines in, one page out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from html_page import EVIL, Page
from proofrig.comparisons.gate import State
from proofrig.reports.trend import (
    MOST,
    Bound,
    Line,
    Point,
    interval,
    main_of,
    on_main,
    render_trend,
    shifts,
    suite_changes,
    when,
    where,
)
from proofrig.thresholds import Op
from trend_lines import BEGAN, fallen, missing, points


def page_of(*lines: Line, main: str | None = None) -> Page:
    return Page(render_trend("desk", lines, main).decode())


def test_numbers_stand_where_they_are_read_first() -> None:
    page = page_of(fallen(), missing())
    for said in (
        "desk over its runs 24 runs 2026-03-01 to 2026-03-24 the line is main",
        "Accuracy 75.6 % 70.6 to 80.6 % · 00000017 · 2026-03-24",
        "+1.7 points against the run before −9.4 points against the baseline, 85.0 %",
        "accuracy >= 80 %",
        "85.0 % → 75.1 % −10.0 points on average since run-12, main · 0000000c · 2026-03-13",
        "24 values as a table",
        "run-00 2026-03-01 12:00 main · 00000000 85.0 % 80.0 to 90.0 %",
    ):
        assert said in page, said


def test_runs_of_one_day_are_told_apart_by_their_time() -> None:
    day = [replace(one, started_ns=BEGAN + n * 60 * 10**9) for n, one in enumerate(points([1, 2]))]
    assert "2026-03-01 12:00 to 2026-03-01 12:01" in page_of(Line(name="x", points=day))


def test_a_bound_far_off_is_said_and_not_drawn() -> None:
    bound = Bound(text="p95(duration) < 30 s", op="<", value=3e10)
    page = page_of(Line(name="p95(duration)", points=points([3e8, 4e8]), bounds=[bound]))
    assert "p95(duration) < 30 s far off, not drawn" in page
    assert "300 ms" in page and "30.0 s" not in page


def test_times_on_a_scale_have_no_zeros_behind_the_point() -> None:
    page = page_of(Line(name="p95(duration)", points=points([1e9, 3e10])))
    assert "0 ms 5 s 10 s 15 s 20 s 25 s 30 s" in page


def test_what_was_not_measured_says_how_to_measure_it() -> None:
    page = page_of(missing())
    assert "429 rate under burst not measured yet" in page
    assert "To measure it: proofrig run desk --scenario burst" in page
    assert "0.0 %" not in page and "no run was stored yet" in page


def test_every_chart_has_the_same_runs_at_the_same_places() -> None:
    few = Line(name="leak_rate", points=points([None, 0.0, None, 0.1]))
    text = render_trend("desk", [Line(name="accuracy", points=points([0.5] * 4)), few]).decode()
    first, second = re.findall(r"<section.*?</section>", text, re.DOTALL)
    places = re.findall(r'cx="([\d.]+)%"', first)
    assert places == ["12.5", "37.5", "62.5", "87.5"]
    assert re.findall(r'cx="([\d.]+)%"', second) == [places[1], places[3]]


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    text = render_trend("desk", [fallen(), missing()]).decode()
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"}
    assert not any(attrs.get("src") for _, attrs in page.tags)
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in page.tags)
    assert "url(" not in text and "@import" not in text and "http" not in text.replace("http-e", "")
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in page.tags)


def test_names_of_others_are_only_ever_text() -> None:
    told = Point(run=EVIL, value=0.5, started_ns=BEGAN, branch=EVIL, commit=EVIL, digest=EVIL)
    bound = Bound(text=EVIL, op="<", value=0.1)
    evil = Line(name=EVIL, scenario=EVIL, title=EVIL, points=[told], bounds=[bound], todo=EVIL)
    unmeasured = replace(evil, points=[])
    page = Page(render_trend(EVIL, [evil, unmeasured]).decode())
    assert not any(tag in ("script", "img") or "onerror" in attrs for tag, attrs in page.tags)
    assert EVIL in page


def test_runs_of_other_branches_are_beside_the_line() -> None:
    branches = ["main", "feature", "main", "main"]
    line = Line(name="accuracy", points=points([0.8, 0.1, 0.82, 0.81], branches=branches))
    assert [point.run for point in on_main(line, "main")] == ["run-00", "run-02", "run-03"]
    text = render_trend("desk", [line]).decode()
    assert re.findall(r'<circle class="(beside|on)[^"]*" cx="[\d.]+%"', text) == [
        "on",
        "beside",
        "on",
        "on",
    ]
    assert "−1.0 points against the run before" in Page(text)
    assert "other branches" in Page(text)


@pytest.mark.parametrize(
    ("branches", "main"),
    [
        (["feature", "feature", "feature", "main"], "main"),
        (["trunk", "x", "x"], "trunk"),
        (["x", "y", "y"], "y"),
        ([""], ""),
    ],
)
def test_the_main_branch_is_known_by_its_name_or_its_runs(branches: list[str], main: str) -> None:
    values = [0.5] * len(branches)
    assert main_of([Line(name="accuracy", points=points(values, branches=branches))]) == main
    assert main_of([]) == ""


def test_a_change_of_level_is_found_on_the_main_branch_and_noise_is_not() -> None:
    (shift,) = shifts(fallen().points)
    assert shift.first.run == "run-12"
    assert (round(shift.before, 2), round(shift.after, 2)) == (0.85, 0.75)
    assert shifts(fallen().points[:12]) == []
    assert shifts(points([0.9, 0.1, 0.1])) == []
    assert shifts(points([0.5] * 30)) == []


def test_a_change_that_came_with_another_suite_says_so() -> None:
    digests = ["aaaa"] * 12 + ["bbbb"]
    line = replace(
        fallen(),
        points=[replace(p, digest=digests[min(n, 12)]) for n, p in enumerate(fallen().points)],
    )
    assert suite_changes([line], "main") == {"run-12": "bbbb"}
    page = page_of(line)
    assert "; the suite changed with it" in page
    assert "the suite is another from here on: bbbb" in page
    assert suite_changes([fallen()], "main") == {}


@pytest.mark.parametrize(
    ("op", "value", "state"),
    [
        (">=", 0.8, "pass"),
        (">=", 0.79, "fail"),
        ("<", 0.8, "fail"),
        ("<=", 0.8, "pass"),
        ("==", 0.8, "pass"),
        ("!=", 0.8, "fail"),
        (">", 0.81, "pass"),
    ],
)
def test_a_bound_holds_or_not(op: Op, value: float, state: State) -> None:
    assert Bound(text="x", op=op, value=0.8).state(value) == state
    assert Bound(text="x", op=op, value=None).state(value) == "inconclusive"


def test_points_outside_a_gate_are_marked() -> None:
    text = render_trend("desk", [fallen()]).decode()
    kinds = re.findall(r'<circle class="(on[^"]*)" cx="[\d.]+%"', text)
    assert kinds[:12] == ["on"] * 12
    assert kinds[12:] == ["on outside"] * 11 + ["on outside last"]


def test_changes_are_in_points_or_relative() -> None:
    wait = Line(name="p99(pool_wait)")
    assert wait.moved(2.2e8, 2e8) == "+10.0 %"
    assert wait.moved(0.0, 0.0) == "no change"
    assert wait.moved(2e8, 0.0) == "from 0.0 ms"
    assert Line(name="accuracy").moved(0.7, 0.75) == "−5.0 points"
    assert interval(wait, Point(run="r", value=2e8, low=1e8, high=3e8)) == "100 ms to 300 ms"


def test_the_latest_runs_are_drawn_and_the_others_counted() -> None:
    line = Line(name="accuracy", points=points([0.5 + n % 3 / 100 for n in range(MOST + 30)]))
    old = Line(name="leak_rate", points=points([0.0]))
    page = page_of(line, old)
    assert f"{MOST} runs" in page and "30 earlier runs not drawn" in page
    assert "Leak rate not measured lately" in page


def test_a_single_run_is_a_page_too() -> None:
    page = page_of(Line(name="accuracy", points=points([0.5], spread=0.1)))
    assert "50.0 % 40.0 to 60.0 %" in page and "first run" in page
    assert [attrs["class"] for tag, attrs in page.tags if attrs.get("class") == "alone"]
    assert "No figure was asked for." in page_of()


def test_times_and_places_are_short() -> None:
    assert when(BEGAN) == "2026-03-01" and when(BEGAN, minutes=True) == "2026-03-01 12:00"
    assert when(0) == ""
    told = Point(run="r", value=1.0, branch="main", commit="0123456789abcdef-dirty")
    assert where(told) == "main · 01234567-dirty"
    assert where(Point(run="r", value=1.0)) == ""
