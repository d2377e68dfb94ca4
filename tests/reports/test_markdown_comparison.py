"""A comparison in, the lines that a reviewer reads first out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proofrig.comparisons.comparison import Behaviour, CaseChange, Comparison, Effect
from proofrig.comparisons.gate import GateResult
from proofrig.reports.markdown import MOST, render
from proofrig.reports.markdown_comparison import CASES, LINES, ROWS, comparison, gates
from proofrig.reports.report import RunReport
from proofrig.stats.intervals import Interval
from report_runs import Recorder

FELL = "pass rate fell 12.0 points (87.0 % to 75.0 %), 1 case broke"
EVIL = "``` | <b>\n# @someone [x](http://y)"


def a_report(path: Path, code: int, gates: Any = (), held: Comparison | None = None) -> RunReport:
    run = Recorder(path)
    with run.trial("a", 1):
        pass
    return replace(run.report(code, gates=list(gates)), comparison=held)


def held(verdict: Any = "regressed", says: str = FELL, **more: Any) -> Comparison:
    return Comparison(run="r-2", base="main", verdict=verdict, says=says, **more)


def an_effect(metric: str, moved: float, **more: Any) -> Effect:
    change = Interval(moved, moved - 0.08, moved + 0.08)
    given = {"unit": "share", "better": "higher", "base": 0.87, "now": 0.87 + moved}
    return Effect(metric=metric, change=change, **(given | more))


def a_case(name: str, before: int, after: int, **more: Any) -> CaseChange:
    counts = {"base_passed": before, "base_measured": 20, "now_passed": after, "now_measured": 4}
    return CaseChange(case=name, **counts, **more)


PASS = GateResult("accuracy >= 70 %", "pass", "75.0 %")
FAIL = GateResult("accuracy >= 90 %", "fail", "75.0 %")
SAME = GateResult("regression: accuracy", "fail", FELL)
UNSURE = GateResult("regression: accuracy", "inconclusive", "too few trials")


@pytest.mark.parametrize(
    ("code", "gates", "comparison", "line"),
    [
        (1, [FAIL], None, "❌ Failed: accuracy \\>= 90 %: 75.0 %"),
        (1, [SAME], held(), f"❌ Regressed: {FELL}"),
        (1, [SAME, FAIL], held(), f"❌ Regressed: {FELL}; failed: accuracy \\>= 90 %"),
        (0, [PASS], held(), f"❌ Regressed: {FELL}"),
        (0, [PASS], held(says=f"Regressed: {FELL}"), f"❌ Regressed: {FELL}"),
        (0, [PASS], held("no worse", "within 5 points"), "✅ No worse: within 5 points"),
        (0, [], held("inconclusive", "too few"), "⚠️ Inconclusive: too few"),
        (
            *(0, [PASS], held("unreliable", "6 % infra")),
            "⚠️ Passed: accuracy \\>= 70 %: 75.0 %; unreliable: 6 % infra",
        ),
        (
            *(1, [FAIL], held("no worse", "within 5 points")),
            "❌ Failed: accuracy \\>= 90 %: 75.0 %; no worse: within 5 points",
        ),
        (
            *(4, [UNSURE], held("inconclusive", "too few trials")),
            "⚠️ Inconclusive: regression: accuracy: too few trials",
        ),
        (
            *(6, [], held()),
            "⚠️ Stopped: none of 1 trial could be measured",
        ),
    ],
)
def test_the_heading_is_the_verdict_and_the_fact_behind_it(
    tmp_path: Path, code: int, gates: list[GateResult], comparison: Comparison | None, line: str
) -> None:
    report = a_report(tmp_path, code, gates, comparison)
    assert render(report).decode().splitlines()[0] == f"## {line}"


def test_gates_are_a_table_with_the_failed_ones_first(tmp_path: Path) -> None:
    rows = gates(a_report(tmp_path, 1, [PASS, UNSURE, FAIL]))
    assert [row.split(" | ")[:2] for row in rows[2:5]] == [
        ["| ❌", "accuracy \\>= 90 %"],
        ["| ⚠️", "regression: accuracy"],
        ["| ✅", "accuracy \\>= 70 %"],
    ]


def test_a_gate_that_did_not_pass_shows_its_evidence(tmp_path: Path) -> None:
    more: dict[str, Any] = {"scenario": "burst", "evidence": ["a", "b|c", "d", "e"]}
    results = [
        GateResult("leak_rate == 0", "fail", "2.1 %", abort=True, **more),
        GateResult("tool_429_rate <= 5 %", "pass", "1.0 %", **more),
    ]
    rows = gates(a_report(tmp_path, 1, results))[2:4]
    assert rows == [
        "| ❌ | leak\\_rate == 0 (burst) | 2.1 %<br>a<br>b\\|c<br>d<br>the run was ended for it |",
        "| ✅ | tool\\_429\\_rate \\<= 5 % (burst) | 1.0 % |",
    ]


def test_one_gate_without_a_baseline_is_in_the_heading_already(tmp_path: Path) -> None:
    assert gates(a_report(tmp_path / "one", 1, [FAIL])) == []
    assert len(gates(a_report(tmp_path / "held", 1, [FAIL], held()))) == 4


def test_a_comparison_says_what_changed_and_where(tmp_path: Path) -> None:
    effects = [
        an_effect("retries", 0.0, verdict="inconclusive"),
        an_effect("tokens", 0.1, verdict="improved", p=0.004),
        an_effect("accuracy", -0.12, verdict="regressed", blocks=True, p=0.01, p_adjusted=0.02),
    ]
    more: dict[str, Any] = {
        "why": ["3 runs of the baseline are pooled"],
        "broken": [a_case("refund", 19, 0, p=0.0002, broken=True)],
        "flips": [a_case("refund", 19, 0), a_case("late", 18, 3), a_case("up", 1, 4, flaky=True)],
        "behaviour": [
            Behaviour(
                kind="tool_new", says="calls cancel", p=0.002, certain=True, cases=("a", "b")
            ),
            Behaviour(kind="trajectory", says="0.31 apart"),
        ],
        "differences": ["model: small | large"],
        "left_out": ["new/case"],
        "mde": 0.12,
        "repeats_needed": 4,
    }
    lines = comparison(a_report(tmp_path, 1, [SAME], held(effects=effects, **more)))
    assert lines[:2] == ["### Against main", ""] and FELL not in lines
    table = [line for line in lines if line.startswith(("| ❌", "| ✅"))]
    assert table == [
        "| ❌ | **Pass rate** | 87.0 % | 75.0 % | −12.0 points | −20.0 to −4.0 points "
        "| regressed, p 0.020 |",
        "| ✅ | Tokens of a trial | 87.0 % | 97.0 % | +10.0 points | +2.0 to +18.0 points "
        "| improved, p 0.004 |",
    ]
    for wanted in (
        "- 3 runs of the baseline are pooled",
        "and 1 more metric; the HTML report has all of them",
        "- `refund`: 19/20 → 0/4, p < 0.001",
        "- `late`: 18/20 → 3/4",
        "- `up`: 1/20 → 4/4, flaky",
        "- New tool: calls cancel (p 0.002); in a, b",
        "- Other steps: 0.31 apart (seen, not proved)",
        "- 4 more repeats of each case would decide it.",
        "- `model: small | large`",
        "- `new/case`",
    ):
        assert lines.count(wanted) == 1, wanted


def test_what_the_heading_does_not_say_stands_below_it(tmp_path: Path) -> None:
    stopped = comparison(a_report(tmp_path, 6, [], held()))
    assert stopped[2] == f"**Regressed**: {FELL}"


def test_other_peoples_text_stays_text(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "why": [EVIL],
        "effects": [an_effect(EVIL, -0.1, verdict="regressed")],
        "broken": [a_case(EVIL, 20, 0)],
        "behaviour": [Behaviour(kind="tool_new", says=EVIL, name=EVIL, cases=(EVIL,))],
        "differences": [EVIL],
    }
    text = render(a_report(tmp_path, 1, [GateResult(EVIL, "fail", EVIL)], held(says=EVIL, **more)))
    lines = text.decode().splitlines()
    spans = [line for line in lines if "# @someone [x](http://y)" in line]
    assert len(spans) == 2 and all("```` ``` | <b>" in line for line in spans)
    assert not any(line.startswith("# ") or " @someone" in line for line in set(lines) - {*spans})
    assert sum("\\[x\\](http://y)" in line for line in lines) == 4


def test_a_comparison_of_many_changes_is_counted_and_stays_below_the_limit(tmp_path: Path) -> None:
    wide = "\U0001f600" * 400
    more: dict[str, Any] = {
        "why": [wide] * 50,
        "effects": [an_effect(f"m{n}", -0.1, verdict="regressed") for n in range(100)],
        "flips": [a_case(f"c{n:03}", 20, 0) for n in range(100)],
        "differences": [wide] * 50,
    }
    results = [GateResult(f"{n} {wide}", "fail", wide) for n in range(60)]
    data = render(a_report(tmp_path, 1, results, held(says=wide, **more)))
    assert len(data) <= MOST and data.decode().rstrip().endswith("`")
    lines = comparison(a_report(tmp_path / "b", 1, [], held(**more)))
    assert sum(line.startswith("| ❌") for line in lines) == ROWS
    assert sum(line.startswith("- `c") for line in lines) == CASES
    assert lines.count(f"- and {100 - CASES} more") == 1
    assert lines.count(f"- and {50 - LINES} more") == 2
