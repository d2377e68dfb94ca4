"""Mistakes of the suite's author, and runs that are cut off: said where they are looked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from end_to_end.suites import case, command, ends, options, run_suite, write_suite
from proofrig.rescore import rescore
from proofrig.trials import manifest as manifests

BROKEN_MODEL = """
def broken(prompt):
    raise KeyError("no answer for this turn")
"""
SLOW_MODEL = """
import os, time
time.sleep(float(os.environ.get("SLOW", "0")))

def slow(prompt):
    return "42"
"""


async def test_a_model_without_a_price_is_the_suites_mistake(tmp_path: Path) -> None:
    prices = {"prices": {"other": {"input": 1, "output": 1, "source": "s", "as_of": "d"}}}
    suite = write_suite(tmp_path / "suite", [case("a")], prices=prices)
    agent = (suite.dir / "e2e_agent.py").read_text().replace("sim-small", "gpt-unheard-of")
    (suite.dir / "e2e_agent.py").write_text(agent)
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    [(trial, end)] = ends(run_dir).items()
    assert (trial, end.attrs["failure"], end.attrs["passed"]) == ("a:1", "harness", None)
    assert end.attrs["error"].startswith("no price for model 'gpt-unheard-of': add it")
    assert (conclusion.exit_code, conclusion.summary.overall.failures) == (6, {"harness": 1})
    again = rescore(suite, run_dir, options(tmp_path))
    assert again.summary.overall.failures == {"harness": 1}
    assert "harness: no price for model 'gpt-unheard-of'" in _said("show", folder=tmp_path)


async def test_a_simulated_model_that_raises_is_the_suites_mistake_and_is_not_tried_again(
    tmp_path: Path,
) -> None:
    model = {"provider": "simulated", "function": "broken_model:broken"}
    suite = write_suite(tmp_path / "suite", [case("a")], model=model)
    (suite.dir / "broken_model.py").write_text(BROKEN_MODEL)
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    [(trial, end)] = ends(run_dir).items()  # one attempt
    assert (trial, end.attrs["failure"]) == ("a:1", "harness")
    assert "KeyError: 'no answer for this turn'" in end.attrs["error"]
    assert "broken_model.py:3" in end.attrs["error"]
    assert conclusion.summary.overall.failures == {"harness": 1}


async def test_a_check_of_the_answer_alone_needs_no_world(tmp_path: Path) -> None:
    verify = [{"type": "python", "target": "own_checks:right"}]
    suite = write_suite(tmp_path / "suite", [case("a", verify=verify)])
    (suite.dir / "own_checks.py").write_text(
        "import threading\n"
        "def right(evidence):\n"
        "    apart = threading.current_thread() is not threading.main_thread()\n"
        "    return apart and evidence.answer == '42' and evidence.world is None\n"
    )
    _, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert conclusion.summary.overall.passed == 1


def test_a_run_that_was_killed_is_listed_with_how_to_go_on(tmp_path: Path) -> None:
    write_suite(tmp_path / "suite", [case("a", task="hang")], agent=_behave())
    argv = command("run", str(tmp_path / "suite"), "-q", "--no-baselines", folder=tmp_path)
    process = subprocess.Popen(argv, cwd=tmp_path)
    run_dir = _run_dir(tmp_path)
    _until(lambda: (run_dir / "lock").exists())
    [row] = json.loads(_said("list", "--json", folder=tmp_path))
    assert (row["run"], row["status"], row["rate"]) == (run_dir.name, "running", None)
    process.kill()
    process.wait(10)
    [row] = json.loads(_said("list", "--json", folder=tmp_path))
    assert row["status"] == "cut off"
    assert f"proofrig resume kept/runs/{run_dir.name}" in _said("list", folder=tmp_path)
    assert _said("list", "--suite", "other", "--json", folder=tmp_path).strip() == "[]"


def test_ctrl_c_while_the_stage_is_set_names_the_run_and_how_to_go_on(tmp_path: Path) -> None:
    model = {"provider": "simulated", "function": "slow_model:slow"}
    write_suite(tmp_path / "suite", [case("a")], model=model)
    (tmp_path / "suite" / "slow_model.py").write_text(SLOW_MODEL)
    argv = command("run", "suite", "-q", folder=tmp_path)
    slow = os.environ | {"SLOW": "30"}
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=slow)
    run_dir = _run_dir(tmp_path)
    _until(lambda: (run_dir / "lock").exists())
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"proofrig resume kept/runs/{run_dir.name}" in said
    assert Path(manifests.read(run_dir).suite_path) == tmp_path / "suite" / "suite.yaml"
    argv = command("resume", str(run_dir), "-q", folder=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(argv, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(ends(run_dir)) == {"a:1", "a:null"}


def test_a_missing_module_is_found_before_anything_is_run(tmp_path: Path) -> None:
    agent = {"type": "python", "target": "e2e_agnt:solve"}
    write_suite(tmp_path / "suite", [case("a")], agent=agent)
    for verb in ("validate", "run"):
        argv = [sys.executable, "-m", "proofrig", verb, "suite"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert "suite/suite.yaml:" in done.stderr
        assert "agent.target: there is no module 'e2e_agnt' in suite" in done.stderr
        assert "did you mean 'e2e_agent'?" in done.stderr
    assert not (tmp_path / ".proofrig").exists()


def _behave() -> dict[str, str]:
    return {"type": "python", "target": "e2e_agent:behave"}


def _wide() -> dict[str, str]:
    return os.environ | {"COLUMNS": "200"}


def _said(*words: str, folder: Path) -> str:
    argv = command(*words, folder=folder)
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, env=_wide())
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run_dir(folder: Path) -> Path:
    _until(lambda: any((folder / "kept" / "runs").glob("*/manifest.json")))
    (run_dir,) = (folder / "kept" / "runs").iterdir()
    return run_dir


def _until(holds: object) -> None:
    assert callable(holds)
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)
