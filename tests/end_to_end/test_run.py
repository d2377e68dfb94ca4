"""A suite in, real agents through real gateways, one history, verdicts, a result out."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from end_to_end.suites import (
    actions,
    case,
    command,
    ends,
    failures,
    options,
    run_suite,
    write_suite,
)
from proofrig.errors import UsageError
from proofrig.evaluation import resume
from proofrig.history.format import folder_of
from proofrig.history.history import History
from proofrig.rescore import rescore
from proofrig.store import Store
from proofrig.trials import manifest as manifests


async def test_a_suite_runs_end_to_end(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite",
        [
            case("right", reference={"answer": "42"}, tags=["sum"], difficulty="easy"),
            case("wrong", verify=[{"type": "exact", "value": "43"}]),
        ],
        model={"provider": "simulated", "function": "e2e_model:adds"},
        tools=[{"type": "python", "target": "e2e_tools:add"}],
        repeats=2,
        fail_under=60,
    )
    run_dir, conclusion = await run_suite(suite, tmp_path)
    overall = conclusion.summary.overall
    assert (overall.trials, overall.passed, overall.measured) == (4, 2, 4)
    assert (overall.null_passed, overall.reference_passed) == (0, 1)
    assert overall.usd_micro > 0
    assert [gate.state for gate in conclusion.gates] == ["fail"]
    assert (conclusion.status, conclusion.exit_code) == ("finished", 1)
    assert [score.name for score in conclusion.summary.by_difficulty] == ["easy"]

    first, tool, second = actions(run_dir, "right:1")
    assert (first.name, tool.name) == ("llm.chat_completions", "tool.add")
    assert tool.attr("asked_by") == first.id
    assert tool.attr("call_id") == "c1"
    assert {action.outcome for action in (first, tool, second)} == {"ok"}
    for action in (first, tool, second):
        assert action.reserve and action.start and action.end
        assert action.reserve.t <= action.start.t <= action.end.t
        assert action.scope == "default/desk/subject/right:1"
    assert first.attr("usage")["input"] > 0
    assert {"queue_ns", "backoff_ns", "service_ns"} <= set(first.end.attrs)

    store = Store(options(tmp_path).store_url())
    assert store.rate(run_dir.name) == 0.5
    assert store.outcomes(run_dir.name) == {"right": [True, True], "wrong": [False, False]}
    store.close()
    manifest = manifests.read(run_dir)
    assert manifest.what["suite_digest"] == suite.digest()
    assert manifest.what["isolation"] == "process"
    assert all(path.suffix != ".jsonl" for path in folder_of(run_dir).iterdir())


async def test_badly_behaved_agents_are_told_apart_and_others_go_on(tmp_path: Path) -> None:
    tasks = ("crash", "hang", "exit", "flood", "fork", "stranger", "good")
    suite = write_suite(
        tmp_path / "suite",
        [case(task, task, timeout_s=1.0 if task == "hang" else 20.0) for task in tasks],
        agent={"type": "python", "target": "e2e_agent:behave"},
        concurrency=4,
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert failures(run_dir) == {
        "crash": "agent",
        "hang": "timeout",
        "exit": "agent",
        "flood": "",
        "fork": "",
        "stranger": "agent",
        "good": "",
    }
    told = {trial: entry.attrs.get("error", "") for trial, entry in ends(run_dir).items()}
    assert "the agent broke" in told["crash:1"]
    assert "7" in told["exit:1"]
    assert "401" in told["stranger:1"]
    assert conclusion.summary.unattributed == 1
    _nothing_is_left_running(run_dir)


async def test_a_provider_that_refuses_connections_is_infra_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2E_KEY", "sk-test")
    suite = write_suite(
        tmp_path / "suite",
        [case("a")],
        model={
            "provider": "upstream",
            "openai": {"base_url": "http://127.0.0.1:9/v1", "key_env": "E2E_KEY"},
        },
        retries={"infra": 1},
        fail_under=50,
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert [entry.attrs["failure"] for entry in ends(run_dir).values()] == ["infra", "infra"]
    assert set(ends(run_dir)) == {"a:1", "a:1~2"}
    assert conclusion.summary.overall.rate is None
    assert conclusion.summary.wasted_attempts == 1
    assert conclusion.exit_code == 6


async def test_a_budget_stops_an_agent_and_says_why(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite",
        [case("a")],
        model={"provider": "simulated", "function": "e2e_model:adds"},
        tools=[{"type": "python", "target": "e2e_tools:add"}],
        budgets={"run": {"calls:llm": 1}},
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    [end] = ends(run_dir).values()
    assert end.attrs["failure"] == "limit"
    denied = [action for action in actions(run_dir, "a:1") if action.denied]
    assert [action.attr("at") for action in denied] == ["default/desk/subject/a:1"]
    assert conclusion.summary.overall.llm_calls == 1
    assert conclusion.exit_code == 0


async def test_a_missing_module_is_the_users_to_mend_and_nothing_runs(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite", [case("a")], agent={"type": "python", "target": "no_such:solve"}
    )
    with pytest.raises(UsageError, match="no_such"):
        await run_suite(suite, tmp_path)


async def test_scoring_can_be_done_again_without_the_agent(tmp_path: Path) -> None:
    wrong = [{"type": "exact", "value": "43"}]
    suite = write_suite(tmp_path / "suite", [case("a", verify=wrong)], repeats=2)
    run_dir, conclusion = await run_suite(suite, tmp_path)
    assert conclusion.summary.overall.passed == 0
    mended = write_suite(tmp_path / "suite", [case("a")], repeats=2)
    (tmp_path / "suite" / "e2e_agent.py").write_text("raise RuntimeError('must not run')")
    again = rescore(mended, run_dir, options(tmp_path))
    assert (again.summary.overall.passed, again.summary.overall.trials) == (2, 2)
    assert again.summary.overall.null_passed == 0
    assert rescore(suite, run_dir, options(tmp_path)).summary.overall.passed == 0


def test_a_run_killed_at_random_moments_loses_no_finished_trial(tmp_path: Path) -> None:
    """SIGKILL, again and again; what had ended stays, what was missing is run, once."""
    dice = random.Random(7)
    write_suite(
        tmp_path / "suite",
        [case(f"c{n}") for n in range(6)],
        repeats=5,
        concurrency=4,
        model={
            "provider": "simulated",
            "function": "e2e_model:echo",
            "latency": {"first_token_ms": 100},
        },
    )
    words = ["run", str(tmp_path / "suite"), "--quiet"]
    kept: dict[str, object] = {}
    for _ in range(4):
        process = subprocess.Popen(command(*words, folder=tmp_path), stderr=subprocess.DEVNULL)
        time.sleep(1.5 + 2 * dice.random())  # the moment of the kill; any moment will do
        process.kill()
        process.wait()
        runs = sorted((tmp_path / "kept" / "runs").glob("*/manifest.json"))
        if not runs:
            continue
        words = ["resume", "last", "--quiet"]
        now = {trial: entry.attrs["answer"] for trial, entry in ends(runs[0].parent).items()}
        assert kept.items() <= now.items(), "a finished trial was lost"
        kept = now
    done = subprocess.run(command(*words[:2], "--json", folder=tmp_path), stdout=subprocess.PIPE)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert result["summary"]["overall"]["passed"] == 30
    [run_dir] = (tmp_path / "kept" / "runs").iterdir()
    final = ends(run_dir)
    assert {trial: final[trial].attrs["answer"] for trial in kept} == kept
    last = Counter(trial.partition("~")[0] for trial in final)
    assert set(last.values()) == {1}
    assert len(last) == 30 + 6  # the null agent ran as well
    _nothing_is_left_running(run_dir)


def test_ctrl_c_ends_a_run_gracefully_and_resume_finishes_it(tmp_path: Path) -> None:
    write_suite(
        tmp_path / "suite",
        [case(f"c{n}") for n in range(4)],
        repeats=4,
        concurrency=2,
        model={
            "provider": "simulated",
            "function": "e2e_model:echo",
            "latency": {"first_token_ms": 200},
        },
    )
    run = command("run", str(tmp_path / "suite"), "--quiet", "--no-baselines", folder=tmp_path)
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL)
    runs = tmp_path / "kept" / "runs"
    while not list(runs.glob("*/history/runner-1.jsonl")) and process.poll() is None:
        time.sleep(0.05)
    [run_dir] = runs.iterdir()
    while not ends(run_dir) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    before = ends(run_dir)
    assert 0 < len(before) < 16
    _nothing_is_left_running(run_dir)
    assert subprocess.run(command("resume", "last", "-q", folder=tmp_path)).returncode == 0
    assert len(ends(run_dir)) == 16


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    write_suite(tmp_path / "suite", [case(f"c{n}") for n in range(8)], repeats=8, concurrency=2)

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, resource.RLIM_INFINITY))

    run = command("run", str(tmp_path / "suite"), "-q", "--no-baselines", folder=tmp_path)
    full = subprocess.run(run, preexec_fn=little_room, capture_output=True, text=True)
    assert full.returncode == 6, full.stderr
    assert "resume" in full.stdout + full.stderr
    [run_dir] = (tmp_path / "kept" / "runs").iterdir()
    before = set(ends(run_dir))
    assert before
    assert not History(run_dir).problems
    assert subprocess.run(command("resume", "last", "-q", folder=tmp_path)).returncode == 0
    assert len({trial.partition("~")[0] for trial in ends(run_dir)}) == 64
    assert before <= set(ends(run_dir))


async def test_a_changed_suite_cannot_be_resumed(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    run_dir, _ = await run_suite(suite, tmp_path)
    other = write_suite(tmp_path / "suite", [case("a", "Something else?")])
    with pytest.raises(UsageError, match=r"begun with another suite.*Undo the change"):
        await resume(other, run_dir, options(tmp_path))


def _nothing_is_left_running(run_dir: Path) -> None:
    """No process of this machine works in the run's directory any more."""
    deadline = time.monotonic() + 10
    while left := _processes_of(run_dir):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _processes_of(run_dir: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if process.pid == os.getpid():
            continue
        try:
            if process.cwd().startswith(str(run_dir)):
                found.append(" ".join(process.info["cmdline"] or []))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
