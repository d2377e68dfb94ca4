"""A trial's trace on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from contention_report_runs import a_contended_run
from proofrig.errors import UsageError
from proofrig.reports.console import make_console
from proofrig.reports.contention import kinds_of
from proofrig.reports.reading import find_row
from proofrig.reports.terminal_trace import print_trial
from report_runs import Recorder


def printed(run: Recorder, trial: str) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    print_trial(make_console(file, width=80), run.report(), trial)
    file.seek(0)
    return "\n".join(line.rstrip() for line in file.read().splitlines())


def test_turns_calls_results_and_verdicts_are_shown_in_order(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    said = {"expected": "4", "got": "5", "message": "expected 4; got 5 (off by 1)"}
    verdict = {"verifier": "exact", "passed": False} | said
    with run.trial("a", 1, "agent", verdicts=[verdict], answer="five") as trial:
        trial.llm("let me see", [("add", {"x": 2})], asked="2+2?", ms=120, queue_ms=30)
        trial.tool("add", {"x": 2}, "4", ms=15, fault="slow")
        trial.tool("pay", {"usd": 900}, "", deny="cap")
        trial.llm("", asked="4", ms=40, outcome="fail", status=503, error="overloaded", attempt=2)
    assert printed(run, "a:1") == (
        "✗ a:1 failed (agent)  208 ms, $0.0012\n"
        "  tenant acme, seed 42, ended by answer\n"
        "\n"
        "  llm sim-1  +0.0 ms, 150 ms, queued 30.0 ms, $0.0006, 428 in, 42 out,\n"
        "  tool_calls\n"
        "    system: You are a support agent.\n"
        "    user: 2+2?\n"
        "    said: let me see\n"
        '    asks for add: {"x": 2}\n'
        "\n"
        "  tool add  +151 ms, 15.0 ms\n"
        "    ▲ fault slow\n"
        '    arguments: {"x": 2}\n'
        "    result: 4\n"
        "\n"
        "  tool pay  denied  +167 ms\n"
        '    arguments: {"usd": 900}\n'
        "    denied: cap; at acme; raise the limit\n"
        "\n"
        "  llm sim-1  fail  +167 ms, 40.0 ms, $0.0006, 407 in, 40 out, stop, status 503,\n"
        "  retry 1\n"
        "    overloaded\n"
        "\n"
        "    answer: five\n"
        "  ✗ exact\n"
        "    expected: 4\n"
        "    got: 5\n"
        "    why: off by 1\n"
        "\n"
        "  Reproduce proofrig run 'suites/support desk.yaml' --case a --seed 7"
    )


def test_a_trial_that_could_not_be_measured_says_why(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, "harness", error="KeyError: x", detail="Traceback"):
        pass
    text = printed(run, "a:1")
    assert "? a:1 not measured (harness)" in text
    assert "error: KeyError: x" in text and "detail: Traceback" in text


def test_an_unknown_trial_is_refused(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("refund", 1):
        pass
    with pytest.raises(UsageError, match="did you mean 'refund:1'"):
        printed(run, "refund:11")


def test_a_trial_of_a_scenario_shows_shared_actions_and_the_scenarios_command(
    tmp_path: Path,
) -> None:
    run = a_contended_run(tmp_path / "runs" / "r")
    text = printed(run, "stock_count@interleaved:5")
    assert "memory · key stock/12 · value 50 · version 10" in text
    assert "killed at after write" in text
    assert text.rstrip().endswith("--scenario interleaved --agents 24 --tenants 3 --seed 7")


def test_a_trial_of_a_finding_names_it_and_a_helper_is_not_judged(tmp_path: Path) -> None:
    run = a_contended_run(tmp_path / "r")
    report = run.report()
    (kind, *_) = kinds_of(report)
    shown = kind.shown[0]
    trial = shown.finding.trials[-1]
    find_row(report, trial).role = "helper"
    file = io.StringIO()
    print_trial(make_console(file, width=300), report, trial)
    lines = file.getvalue().splitlines()
    assert f"{trial} not judged" in lines[0]
    assert f"  finding {shown.number}: {shown.finding.says}" in [line.rstrip() for line in lines]


def test_what_was_changed_on_disk_is_shown_and_the_rest_counted(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    entries = [{"path": f"/w/{n:02}", "change": "added", "size": n} for n in range(43)]
    packages = [{"manager": "pip", "name": "idna", "version": "3.7", "bytes": 9}]
    manifest = {"entries": entries, "packages": packages, "error": "the world was lost"}
    with run.trial("a", 1, changes=run.payload(json.dumps(manifest).encode())):
        pass
    shown = printed(run, "a:1").splitlines()
    at = shown.index("    changed on disk: 43 added, 1 package installed (9 B)")
    assert shown[at + 1 : at + 4] == [
        "    the world was lost",
        "      added  /w/00  0 B",
        "      added  /w/01  1 B",
    ]
    assert shown[at + 42 : at + 44] == ["    pip idna 3.7, 9 B", "    3 more paths"]


def test_what_a_box_was_refused_is_shown(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    refused = [{"what": "connect", "where": "tcp 1.1.1.1:443", "times": 2}]
    box = {"level": "namespace", "held": "enforced", "by": "memory", "refused": refused}
    with run.trial("a", 1, box=box):
        pass
    shown = printed(run, "a:1").splitlines()
    at = shown.index("    box: namespace, limits enforced, ended by its limit of memory")
    assert shown[at + 1] == "    refused: connect tcp 1.1.1.1:443, 2 times"
