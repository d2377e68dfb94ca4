"""Runs held against runs, as a user types it: baselines, regression gates, `compare` and `gate`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from end_to_end.suites import MODEL, case, command, write_suite

Typed = Callable[..., subprocess.CompletedProcess[str]]
CASES = [case(f"sum-{n}", f"What is 40 + 2? ({n})") for n in range(6)]
FORGETFUL = MODEL.replace(
    '    return "42"', '    return "41" if prompt.user[-2] in "024" else "42"', 1
)


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """Types words after `proofrig` in a git repository on its branch main."""
    write_suite(tmp_path / "suite", CASES, repeats=4)
    (tmp_path / ".gitignore").write_text("*\n!suite/suite.yaml\n")
    as_me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "suite/suite.yaml", "-f"),
        (*as_me, "commit", "-q", "-m", "suite"),
    ):
        subprocess.run(("git", *words), cwd=tmp_path, check=True, timeout=30)

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        argv = command(*words, folder=tmp_path)
        return subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, timeout=60)

    return typed


def test_a_worse_agent_is_regressed_against_main_and_no_baseline(
    typed: Typed, tmp_path: Path
) -> None:
    first = typed("run", "suite", "--no-baselines", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["notes"] == ["kept as a baseline of main"]
    (tmp_path / "suite" / "e2e_model.py").write_text(FORGETFUL)
    worse = typed("run", "suite", "--no-baselines", "--baseline", "main", "--json")
    assert worse.returncode == 1, worse.stderr
    found = json.loads(worse.stdout)
    assert [gate["state"] for gate in found["gates"]] == ["fail"]
    assert found["comparison"]["verdict"] == "regressed"
    flips = {flip["case"] for flip in found["comparison"]["flips"]}
    assert flips == {"sum-0", "sum-2", "sum-4"}
    assert "not kept as a baseline of main" in found["notes"][0]

    again = typed("gate", "last", "--baseline", "main", "--gate", "accuracy >= 10 %", "--json")
    assert again.returncode == 1, again.stderr
    assert {gate["state"] for gate in json.loads(again.stdout)["gates"]} == {"pass", "fail"}
    compared = typed("compare", "main", "last")
    assert compared.returncode == 1, compared.stderr
    assert "Regressed" in compared.stdout
    back = typed("compare", "last", json.loads(first.stdout)["run"], "--json")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["verdict"] == "improved"
    assert len(json.loads(typed("baseline", "list", "--json").stdout)) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "suite", "--baseline", "nowhere"), "nowhere"),
        (("run", "suite", "--gate", "acuracy >= 1"), "accuracy"),
        (("run", "suite", "--repeat", "auto"), "--repeat auto needs a gate or a baseline"),
        (("run", "suite", "--lane", "pr"), "no lane 'pr'"),
        (("compare", "main", "last"), "last"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_runs(
    typed: Typed, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = typed(*words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert not list((tmp_path / "kept").glob("runs/*"))
