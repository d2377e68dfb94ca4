"""The verbs as a user types them: init, validate, run, list, show, report, rescore, doctor."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from end_to_end.suites import case, command, write_suite

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """Types words after `proofrig`, everything kept below `tmp_path`."""

    def typed(*words: str, kept: bool = True) -> subprocess.CompletedProcess[str]:
        argv = command(*words, folder=tmp_path)
        return subprocess.run(
            argv if kept else argv[: 3 + len(words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
        )

    return typed


def test_init_then_run_is_a_first_result_in_two_commands(typed: Typed, tmp_path: Path) -> None:
    made = typed("init", "first", kept=False)
    assert made.returncode == 0
    assert "Next: proofrig run first" in made.stdout
    first_line = (tmp_path / "first" / "suite.yaml").read_text().splitlines()[0]
    assert first_line == "# yaml-language-server: $schema=./suite.schema.json"
    assert "OK" in typed("validate", "first", kept=False).stdout
    done = typed("run", "first", "--repeat", "2")
    assert done.returncode in (0, 1), done.stderr
    assert "order_desk" in done.stdout
    assert "Pass rate" in done.stdout
    again = typed("init", "first", kept=False)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_a_run_is_listed_shown_reported_and_judged_again(typed: Typed, tmp_path: Path) -> None:
    wrong = [{"type": "exact", "value": "41"}]
    write_suite(tmp_path / "suite", [case("right"), case("wrong", verify=wrong)], repeats=2)
    outputs = [f"out.{suffix}" for suffix in ("html", "json", "xml", "md")]
    flags = [word for name in outputs for word in ("-o", name)]
    done = typed("run", "suite", "--fail-under", "60", "--json", *flags)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["summary"]["overall"]["passed"] == 2
    assert result["gates"][0]["state"] == "fail"

    assert "Failed" in (tmp_path / "out.md").read_text().splitlines()[0]
    page = (tmp_path / "out.html").read_text()
    assert "right" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://127.0.0.1", "")
    junit = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert [len(c.findall("failure")) for c in junit.iter("testcase")] == [0, 1, 1], "and the gate"
    assert json.loads((tmp_path / "out.json").read_text())["summary"]

    run = result["run"]
    [row] = json.loads(typed("list", "--json").stdout)
    assert (row["run"], row["verdict"], row["rate"]) == (run, "fail", 0.5)
    assert run[:15] in typed("list").stdout
    assert "wrong" in typed("show").stdout
    assert "wrong:2" in typed("show", "last", "wrong").stdout
    trace = typed("show", run[:20], "wrong:1").stdout
    assert "What is 40 + 2?" in trace
    assert "41" in trace
    assert typed("show", "last", "wrongg").returncode == 2
    assert typed("show", "last", "--against", run).stdout.strip() == (
        "the two runs differ in nothing that the manifest states"
    )

    write_suite(tmp_path / "suite", [case("right"), case("wrong")], repeats=2)
    assert typed("rescore", run, "--fail-under", "100").returncode == 0
    assert typed("report", "-o", "again.json").returncode == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["summary"]["overall"]["passed"] == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nowhere"], 2, "nowhere"),
        (["run", "suite", "--case", "rihgt"], 2, "did you mean 'right'?"),
        (["run", "suite", "-o", "report.pdf"], 2, ".html .json .xml .md"),
        (["run", "suite", "-k", "^nothing$"], 5, "nothing ran"),
        (["show", "2020"], 2, "no run '2020'"),
        (["resume"], 2, "there is none yet"),
        (["show"], 2, "start one with `proofrig run`"),
        (["report"], 2, "there is none yet"),
    ],
)
def test_what_cannot_be_done_is_said(
    typed: Typed, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    write_suite(tmp_path / "suite", [case("right")])
    done = typed(*words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr + done.stdout


def test_a_broken_suite_shows_every_problem_where_it_is(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(
        "suite: desk\n"
        "agnet: {type: python, target: 'a:b'}\n"
        "cases:\n"
        "  - id: a\n"
        "    task: hello\n"
        "    verify: [{type: exakt, value: x}]\n"
        "  - id: b\n"
        "    task: hello\n"
    )
    done = typed("validate", "suite.yaml", kept=False)
    assert done.returncode == 2
    for said in ("suite.yaml:2:1", "did you mean `agent`?", "suite.yaml:6:", "suite.yaml:7:"):
        assert said in done.stderr, done.stderr
    listed = json.loads(typed("validate", "suite.yaml", "--json", kept=False).stdout)
    assert listed["valid"] is False
    assert {problem["line"] for problem in listed["problems"]} >= {2, 6, 7}


def test_doctor_tries_each_thing(typed: Typed) -> None:
    done = typed("doctor", "--json")
    rows = {row["check"]: row["state"] != "FAIL" for row in json.loads(done.stdout)}
    assert rows["a run, end to end"] is True
    assert (done.returncode == 0) == all(rows.values())
