"""A suite in, real agents through real gateways, one history, verdicts, a result out."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiohttp import web

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
from proofrig.authority.authority import recover
from proofrig.errors import UsageError
from proofrig.evaluation import resume
from proofrig.history.format import folder_of
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.rescore import rescore
from proofrig.store import Store
from proofrig.suites import Suite
from proofrig.trials import manifest as manifests
from proofrig.wire import CODECS
from proofrig.wire.turn import Turn, Usage


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


async def test_an_outage_is_made_good_by_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.Response:
        turn = Turn("chat_completions", text="42", finish="stop", usage=Usage(5, 1))
        body = CODECS["chat_completions"].encode_response(turn)
        return web.Response(body=body, content_type="application/json")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("E2E_KEY", "sk-test")
    endpoint = {"base_url": f"http://127.0.0.1:{port}/v1", "key_env": "E2E_KEY"}
    suite = write_suite(
        tmp_path / "suite",
        [case("a"), case("b")],
        model={"provider": "upstream", "openai": endpoint},
        retries={"infra": 0},
    )
    run_dir, down = await run_suite(suite, tmp_path, baselines=False)
    assert (down.exit_code, down.summary.overall.measured) == (6, 0)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    up = await resume(suite, run_dir, options(tmp_path, baselines=False))
    await runner.cleanup()
    assert (up.exit_code, up.summary.overall.passed, up.summary.overall.trials) == (0, 2, 2)
    assert up.summary.wasted_attempts == 2


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


@pytest.mark.parametrize("budget", [{"seconds": 0}, {"bytes": 1}])
async def test_no_time_and_no_bytes_stop_the_first_call(
    tmp_path: Path, budget: dict[str, int]
) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")], budgets={"run": budget})
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    [end] = ends(run_dir).values()
    assert end.attrs["failure"] == "limit"
    assert [action.denied for action in actions(run_dir, "a:1")] == [True]
    assert conclusion.summary.overall.llm_calls == 0


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


COUNTING = """
import threading
from proofrig import ToolContext
from proofrig.wire.turn import ToolCall, Turn

both = threading.Barrier(2)  # a call waits for one of the other trial

def count(context: ToolContext) -> int:
    context.state["calls"] += 1
    context.state["trials"].append(context.trial)
    both.wait(30)
    return context.state["calls"]

def spoil(context: ToolContext) -> None:
    context.state["thread"] = threading.current_thread()

def asks(prompt):
    task = prompt.messages[0].text  # "count" or "spoil": the tool to call twice
    done = sum(len(message.tool_results) for message in prompt.messages)
    if done == 2:
        return "42"
    call = ToolCall(f"c{done}", task, "{}")
    return Turn("chat_completions", tool_calls=(call,), finish="tool_calls")
"""


def counting_suite(folder: Path, task: str, wanted: dict[str, object]) -> Suite:
    verify = [{"type": "json_subset", "of": "state", "value": wanted}]
    (folder / "suite").mkdir(exist_ok=True)
    (folder / "suite" / "counting.py").write_text(COUNTING)
    return write_suite(
        folder / "suite",
        [case("a", task, world={"state": {"calls": 0, "trials": []}}, verify=verify)],
        model={"provider": "simulated", "function": "counting:asks"},
        tools=[{"type": "python", "target": f"counting:{name}"} for name in ("count", "spoil")],
        repeats=2,
        concurrency=2,
    )


async def test_each_trial_has_a_tool_state_of_its_own_that_is_judged(tmp_path: Path) -> None:
    suite = counting_suite(tmp_path, "count", {"calls": 2})
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert conclusion.summary.overall.passed == 2
    left = {
        entry.trial: json.loads(PayloadReader(run_dir).get(entry.attrs["state"]) or b"")
        for entry in History(run_dir).entries()
        if entry.name == "tool_state"
    }
    assert left == {trial: {"calls": 2, "trials": [trial] * 2} for trial in ("a:1", "a:2")}
    assert {entry.attrs.get("world") for entry in ends(run_dir).values()} == {None}
    assert rescore(suite, run_dir, options(tmp_path)).summary.overall.passed == 2
    other = counting_suite(tmp_path, "count", {"calls": 2, "trials": ["a:2", "a:2"]})
    assert rescore(other, run_dir, options(tmp_path)).summary.overall.passed == 1


async def test_a_tool_state_that_is_not_json_is_not_measured(tmp_path: Path) -> None:
    suite = counting_suite(tmp_path, "spoil", {"calls": 0})
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert conclusion.status == "finished"
    for end in ends(run_dir).values():
        assert (end.attrs["passed"], end.attrs["failure"]) == (None, "harness")
        [verdict] = end.attrs["verdicts"]
        assert "got no state (expected tools to leave a state that is JSON" in verdict["message"]
        assert "got under 'thread'" in verdict["message"]
    assert rescore(suite, run_dir, options(tmp_path)).summary.overall.measured == 0


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


@pytest.mark.parametrize("victim", ["rig.process", "simulated_server"])
def test_a_process_that_is_lost_stops_the_run_and_its_books_stay_even(
    tmp_path: Path, victim: str
) -> None:
    write_suite(
        tmp_path / "suite",
        [case(f"c{n}") for n in range(4)],
        repeats=4,
        concurrency=4,
        model={
            "provider": "simulated",
            "function": "e2e_model:echo",
            "latency": {"first_token_ms": 400},
        },
    )
    run = command("run", str(tmp_path / "suite"), "--quiet", "--no-baselines", folder=tmp_path)
    process = subprocess.Popen(run, stdout=subprocess.PIPE, text=True)
    runs = tmp_path / "kept" / "runs"
    while not list(runs.glob("*/history/rig-1.pack")) and process.poll() is None:
        time.sleep(0.02)  # until the first call has started
    [run_dir] = runs.iterdir()
    [found] = [
        child
        for child in psutil.Process(process.pid).children()
        if any(victim in word for word in child.cmdline())
    ]
    found.kill()
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, "resume" in said) == (6, True), said
    assert not [end for end in ends(run_dir).values() if end.attrs["failure"]]
    assert subprocess.run(command("resume", "last", "-q", folder=tmp_path)).returncode == 0
    assert [end.attrs["failure"] for end in ends(run_dir).values()] == [""] * 16
    every = list(History(run_dir).actions())
    assert all(action.end is not None for action in every)
    booked = recover(run_dir / "authority.db", time.time_ns)
    spent = sum(booked.balances("default")[unit].spent for unit in ("usd_micro", "tokens"))
    booked.close()
    actual = [action.attr("actual", {}) for action in every]
    assert spent == sum(amounts.get(u, 0) for amounts in actual for u in ("usd_micro", "tokens"))
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


async def test_scoring_a_run_that_was_cut_off_leaves_it_to_be_resumed(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a"), case("b")])
    run_dir, _ = await run_suite(suite, tmp_path, only=("a",), fail_under=90.0)
    manifest = manifests.read(run_dir)
    manifest.only = []  # as if it had been cut off after the first case
    manifests.write(run_dir, manifest)
    again = rescore(suite, run_dir, options(tmp_path))
    assert (again.status, again.exit_code) == ("interrupted", 130)
    assert "1 trials have not been run; `proofrig resume" in again.problems[0]
    whole = await resume(suite, run_dir, options(tmp_path))
    assert (whole.status, whole.exit_code, whole.summary.overall.trials) == ("finished", 0, 2)
    assert [gate.state for gate in whole.gates] == ["pass"]  # --fail-under is remembered
    more = write_suite(tmp_path / "suite", [case("a"), case("b", reference={"answer": "42"})])
    assert rescore(more, run_dir, options(tmp_path)).status == "finished"


async def test_long_answers_are_cut_where_the_suite_says_and_judged_again_as_before(
    tmp_path: Path,
) -> None:
    agent = "def long(task): return 'x' * 600_000 + 'end'\n"
    ends_well = [{"type": "regex", "pattern": "end$"}]
    for limit, passed in ((1_000_000, 1), (400_000, 0)):
        folder = tmp_path / str(limit)
        suite = write_suite(
            folder / "suite",
            [case("a", verify=ends_well)],
            agent={"type": "python", "target": "talker:long"},
            limits={"answer_bytes": limit},
        )
        (folder / "suite" / "talker.py").write_text(agent)
        run_dir, conclusion = await run_suite(suite, folder, baselines=False)
        assert conclusion.summary.overall.passed == passed
        assert ends(run_dir)["a:1"].attrs.get("truncated", False) is not bool(passed)
        assert rescore(suite, run_dir, options(folder)).summary.overall.passed == passed


async def test_cases_whose_ids_are_alike_have_worlds_and_budgets_of_their_own(
    tmp_path: Path,
) -> None:
    names = ("a/b", "a.b", "a-b")
    suite = write_suite(
        tmp_path / "suite",
        [case(name, world={"files": {"who.txt": name}}) for name in names],
        model={"provider": "simulated", "function": "e2e_model:adds"},
        tools=[{"type": "python", "target": "e2e_tools:add"}],
        budgets={"run": {"calls": 3}},
        concurrency=3,
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert conclusion.summary.overall.passed == 3
    worlds = {trial: run_dir / entry.attrs["world"] for trial, entry in ends(run_dir).items()}
    found = {trial: (world / "who.txt").read_text() for trial, world in worlds.items()}
    assert found == {f"{name}:1": name for name in names}


async def test_a_declared_rate_limit_is_no_failure_of_the_provider(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite",
        [case("a")],
        model={
            "provider": "simulated",
            "function": "e2e_model:echo",
            "limits": {"requests_per_minute": 1},
        },
        concurrency=1,
        repeats=3,
    )
    _, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert conclusion.summary.overall.failures == {"limit": 2}


async def test_a_store_that_means_nothing_is_said_before_anything_runs(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    with pytest.raises(UsageError, match="PROOFRIG_STORE"):
        await run_suite(suite, tmp_path, store="nonsense")
    assert not (tmp_path / "kept").exists()


async def test_no_secret_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2E_KEY", "sk-of-the-account")
    agent = {"type": "python", "target": "teller:tell", "env": {"DATABASE": "password-of-agent"}}
    suite = write_suite(
        tmp_path / "suite",
        [case("a")],
        agent=agent,
        model={
            "provider": "upstream",
            "openai": {"base_url": "http://127.0.0.1:9/v1", "key_env": "E2E_KEY"},
        },
        retries={"infra": 0},
    )
    (tmp_path / "suite" / "teller.py").write_text(
        "import os, e2e_agent\n"
        "def tell(task):\n"
        f"    open({str(tmp_path / 'token')!r}, 'w').write(os.environ['PROOFRIG_TOKEN'])\n"
        "    assert os.environ['DATABASE'] == 'password-of-agent'\n"
        "    return e2e_agent.solve(task)\n"
    )
    run_dir, _ = await run_suite(suite, tmp_path, compress=False, baselines=False)
    token = (tmp_path / "token").read_bytes()
    files = [path for path in (*run_dir.rglob("*"), tmp_path / "store.db") if path.is_file()]
    assert {"manifest.json", "rig-1.jsonl", "authority.db"} <= {path.name for path in files}
    for secret in (b"sk-of-the-account", b"password-of-agent", token):
        assert [path for path in files if secret in path.read_bytes()] == []


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
