"""A run in, a step summary out."""

from __future__ import annotations

from pathlib import Path

from proofrig.places import run_name
from proofrig.reports.markdown import MOST, render
from report_runs import Recorder, a_run


def test_the_first_line_is_the_verdict(tmp_path: Path) -> None:
    lines = render(a_run(tmp_path).report(1, fail_under=85)).decode().splitlines()
    assert lines[0] == "## ❌ Failed: pass rate \\>= 85 %: 72.9 % (35 of 48 measured trials)"
    assert "| pass@1 / pass^4 | 72.9 % / 41.7 % |" in lines
    assert "| Null agent | 1 of 12 (8.3 %) |" in lines
    assert "- `order_status_09`: 1 of 4 passed, flaky" in lines
    assert "  - got `orders: (id=1008, status='open', refunded_cents=0)`" in lines


def test_a_run_without_failures_lists_no_case(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1):
        pass
    text = render(run.report(0, fail_under=50)).decode()
    assert text.startswith("## ✅ Passed")
    assert "to look at" not in text


def test_text_of_an_agent_stays_inside_its_code_span(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    evil = "``` \n\n# hi <b> | @someone [x](http://y)"
    verdict = {"verifier": "exact", "passed": False, "expected": "4", "got": evil}
    with run.trial("a", 1, "agent", verdicts=[verdict]):
        pass
    text = render(run.report(1, problems=[evil])).decode()
    assert "  - got ```` ``` # hi <b> | @someone [x](http://y) ````" in text.splitlines()
    assert "> \\`\\`\\` \\# hi \\<b\\> \\| @\u2060someone \\[x\\](http://y)" in text.splitlines()


def test_a_run_of_failures_stays_below_the_limit_and_counts_the_rest(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    verdict = {"verifier": "exact", "passed": False, "expected": "é" * 200, "got": "y" * 200}
    for number in range(300):
        with run.trial(f"case_{number:03}", 1, "agent", verdicts=[verdict]):
            pass
    data = render(run.report(1, fail_under=50))
    text = data.decode()
    show = f"proofrig show {run_name(tmp_path)}"
    assert MOST - 2_000 < len(data) <= MOST
    listed = text.count("\n- `case_")
    assert f"and {300 - listed} more: `{show}`" in text
