"""Scenarios as a user runs them: what is launched, what is written down, and what a cut leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import case, command, ends, run_suite, write_suite
from proofrig.history.action import Entry
from proofrig.history.history import History
from proofrig.results import Row, RowsFold
from proofrig.suites import Suite

# Agents of one shared process, on the standard library: what is theirs comes with each trial.
SHARED = '''
import json, os, threading, time, urllib.request
from pathlib import Path

HERE = Path(__file__).parent
RUNNING, MOST = [0], [0]
LOCK = threading.Lock()

def post(url, token, body):
    headers = {"content-type": "application/json", "authorization": "Bearer " + token}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

def solve(task, env):
    url = env["OPENAI_BASE_URL"] + "/chat/completions"
    body = {"model": "sim-small", "messages": [{"role": "user", "content": task}]}
    answer = post(url, env["PROOFRIG_TOKEN"], body)
    return answer["choices"][0]["message"]["content"]

def held_up(task, env, trial):
    """Hangs in a burst until the test lets it go."""
    if "@burst:" in trial and not (HERE / "go").exists():
        (HERE / "began").touch()
        time.sleep(120)
    return "42"

def alone(task):
    """Right, unless it is not alone."""
    with LOCK:
        RUNNING[0] += 1
        MOST[0] = max(MOST[0], RUNNING[0])
    try:
        time.sleep(0.2)
        if MOST[0] > 1:
            raise RuntimeError("somebody else is here")
        return "42"
    finally:
        with LOCK:
            RUNNING[0] -= 1

def counts(task, env):
    return post(env["PROOFRIG_TOOLS_URL"] + "/count", env["PROOFRIG_TOKEN"], {})["result"]
'''

COUNTER = """
COUNT = [0]

def count() -> int:
    COUNT[0] += 1
    return COUNT[0]
"""


def shared(target: str, **more: Any) -> dict[str, Any]:
    return {"type": "python", "target": f"e2e_shared:{target}", "mode": "shared", **more}


def shared_suite(folder: Path, target: str = "solve", **changes: Any) -> Suite:
    (folder / "suite").mkdir(parents=True, exist_ok=True)
    (folder / "suite" / "e2e_shared.py").write_text(SHARED)
    (folder / "suite" / "counter.py").write_text(COUNTER)
    cases = [case("a"), case("b")]
    # How long the tail is says something of the machine that the tests run on, not of these agents.
    own = {"agent": shared(target), "scenarios": {"burst": {"tail_ratio": 50_000}}}
    return write_suite(folder / "suite", cases, **own | changes)


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = command(*words, folder=folder)
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def the_run(folder: Path) -> Path:
    [run_dir] = (folder / "kept" / "runs").iterdir()
    return run_dir


def notes(run_dir: Path, *names: str) -> list[Entry]:
    return [
        entry
        for entry in History(run_dir).entries()
        if entry.kind in ("note", "trial") and entry.name in names
    ]


def rows(run_dir: Path) -> list[Row]:
    fold = RowsFold()
    History(run_dir).fold(fold)
    return fold.result()


def test_a_burst_is_launched_at_once_after_what_the_agents_do_alone(tmp_path: Path) -> None:
    shared_suite(tmp_path)
    words = ["--scenario", "burst", "--agents", "10", "--tenants", "3", "--json"]
    done = typed(tmp_path, "run", str(tmp_path / "suite"), *words)
    assert done.returncode in (0, 4), done.stderr  # how well it was launched is the machine's
    told = json.loads(done.stdout)
    verdicts = {one["name"]: one["verdict"] for one in told["summary"]["scenarios"]}
    assert list(verdicts) == ["sequential", "burst"]
    assert done.returncode == (4 if "unknown" in verdicts.values() else 0)
    assert told["exit_code"] == done.returncode

    run_dir = the_run(tmp_path)
    frame = [
        (entry.name, entry.attrs.get("phase") or entry.attrs["scenario"], entry.attrs["state"])
        for entry in notes(run_dir, "scenario", "phase")
    ]
    assert frame == [
        ("scenario", "sequential", "begin"),
        ("phase", "alone", "begin"),
        ("phase", "alone", "end"),
        ("scenario", "sequential", "end"),
        ("scenario", "burst", "begin"),
        ("phase", "burst", "begin"),
        ("phase", "burst", "end"),
        ("scenario", "burst", "end"),
    ]
    [_, begun] = [e for e in notes(run_dir, "scenario") if e.attrs["state"] == "begin"]
    assert (begun.attrs["agents"], begun.attrs["seed"]) == (10, 0)
    assert begun.attrs["tenants"] == {"default": 1, "tenant-1": 1, "tenant-2": 1}
    assert begun.attrs["needs"] == ["launch", "burst"]
    assert begun.attrs["params"]["agents"] == 10
    _every_trial_was_launched(run_dir)

    found = rows(run_dir)
    assert Counter(row.scenario for row in found) == {"sequential": 2, "burst": 10}
    assert Counter(row.tenant for row in found if row.scenario == "burst").keys() == {
        *("default", "tenant-1", "tenant-2")
    }
    assert {(row.case, row.passed) for row in found} == {("a", True), ("b", True)}
    scores = [scenario["score"] for scenario in told["summary"]["scenarios"]]
    assert [(score["trials"], score["passed"]) for score in scores] == [(2, 2), (10, 10)]


def _every_trial_was_launched(run_dir: Path) -> None:
    """begin, arrival, launch, end: one of each for every trial, in the order of their times."""
    for trial in {entry.trial for entry in notes(run_dir, "begin")}:
        told = {
            entry.name: entry
            for entry in notes(run_dir, "begin", "arrival", "launch", "end")
            if entry.trial == trial
        }
        burst = "@burst:" in trial
        assert set(told) == {"begin", "launch", "end"} | ({"arrival"} if burst else set())
        launch, scenario = told["launch"].attrs, told["begin"].attrs["scenario"]
        assert launch["phase"] == {"burst": "burst", "sequential": "alone"}[scenario]
        assert launch["intended_ns"] <= launch["started_ns"] < told["end"].t
        if burst:
            assert launch["started_ns"] <= told["arrival"].attrs["arrived_ns"] < told["end"].t
    released = {e.attrs["intended_ns"] for e in notes(run_dir, "launch") if "@burst" in e.trial}
    assert len(released) == 1
    begun = [e.t for e in notes(run_dir, "begin") if "@burst" in e.trial]
    assert max(begun) <= released.pop()


async def test_without_baselines_the_scenario_is_run_alone(tmp_path: Path) -> None:
    suite = shared_suite(tmp_path)
    run_dir, conclusion = await run_suite(
        suite, tmp_path, scenarios=("burst",), agents=3, baselines=False
    )
    assert [scenario.name for scenario in conclusion.summary.scenarios] == ["burst"]
    assert {row.trial for row in rows(run_dir)} == {"a@burst:1", "b@burst:2", "a@burst:3"}


async def test_who_fails_only_in_company_fails_the_run(tmp_path: Path) -> None:
    suite = shared_suite(tmp_path, "alone")
    _, conclusion = await run_suite(suite, tmp_path, scenarios=("burst",), agents=4)
    alone, together = conclusion.summary.scenarios
    assert (alone.score.passed, together.score.passed) == (2, 0)
    assert (alone.verdict, together.verdict) == ("valid", "invalid")
    assert conclusion.exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scenario", "tenant_probe"], "two or more tenants, got only default"),
        (["--scenario", "burst,long_stream"], "expected a case for tag:long"),
        (["--scenario", "interleaved", "--case", "a"], "two or more cases"),
        (["--scenario", "brust"], "did you mean 'burst'?"),
        (["--scenario", ""], "expected a name after --scenario"),
        (["--scenario", "all"], "expected the suite to declare scenarios"),
        (["--agents", "5"], "--agents belongs to scenarios"),
        (["--tenants", "5"], "--tenants belongs to scenarios"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_runs(
    tmp_path: Path, words: list[str], said: str
) -> None:
    shared_suite(tmp_path, scenarios={})
    done = typed(tmp_path, "run", str(tmp_path / "suite"), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "kept" / "runs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_scenario_that_was_cut_off_is_run_again_whole_and_no_other(
    tmp_path: Path, number: signal.Signals
) -> None:
    shared_suite(tmp_path, "held_up")
    words = ["run", str(tmp_path / "suite"), "--scenario", "burst", "--agents", "4", "--quiet"]
    process = subprocess.Popen(command(*words, folder=tmp_path), stderr=subprocess.DEVNULL)
    _wait(lambda: (tmp_path / "suite" / "began").exists())
    process.send_signal(number)
    assert process.wait(20) == (130 if number is signal.SIGINT else -9)
    run_dir = the_run(tmp_path)
    assert {trial for trial in ends(run_dir) if "@burst" in trial} == set()
    assert [e.attrs["state"] for e in notes(run_dir, "scenario")] == ["begin", "end", "begin"]

    (tmp_path / "suite" / "go").touch()
    done = typed(tmp_path, "resume", "last", "--json")
    assert done.returncode in (0, 4), done.stderr
    told = json.loads(done.stdout)
    assert [(one["name"], one["score"]["passed"]) for one in told["summary"]["scenarios"]] == [
        ("sequential", 2),
        ("burst", 4),
    ]
    assert [one.get("complete", True) for one in told["summary"]["scenarios"]] == [True, True]
    assert [e.attrs["state"] for e in notes(run_dir, "scenario")][3:] == ["begin", "end"]
    begun = Counter(entry.trial.partition("~")[0] for entry in notes(run_dir, "begin"))
    assert begun == {
        **{"a@sequential:1": 1, "b@sequential:2": 1},
        **{"a@burst:1": 2, "b@burst:2": 2, "a@burst:3": 2, "b@burst:4": 2},
    }
    assert told["summary"]["wasted_attempts"] == 4
    assert told["summary"]["overall"]["passed"] == 6
    again = typed(tmp_path, "resume", "last", "--json")
    assert json.loads(again.stdout)["summary"] == told["summary"]


async def test_clean_trials_have_instances_of_their_own_and_used_ones_share_them(
    tmp_path: Path,
) -> None:
    suite = shared_suite(
        tmp_path,
        "counts",
        tools=[{"type": "python", "target": "counter:count"}],
        scenarios={"used_environment": {"repeats": 1, "rounds": 2, "cases": ["a"]}},
    )
    run_dir, conclusion = await run_suite(
        suite, tmp_path, scenarios=("used_environment",), baselines=False, compress=False
    )
    assert conclusion.status == "finished"
    parts = {e.trial: e.attrs["part"] for e in notes(run_dir, "begin")}
    counted = [
        (parts[action.trial], action.attr("result"))
        for action in History(run_dir).actions()
        if action.name == "tool.count"
    ]
    results = {digest: _payload(run_dir, digest) for _, digest in counted}
    assert [(part, results[digest]) for part, digest in counted] == [
        ("clean", b"1"),
        ("fill", b"1"),
        ("used", b"2"),
        ("used", b"3"),
    ]


def _payload(run_dir: Path, digest: str) -> bytes | None:
    from proofrig.history.payloads import PayloadReader

    return PayloadReader(run_dir).get(digest)


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


CRASHING = '''
import json, os, urllib.request

def writes(task, workdir, env):
    """Remembers the trial in a file and in the shared memory."""
    path = os.path.join(workdir, "state.json")
    with open(path + ".new", "w") as file:
        file.write(json.dumps({"by": "x" * 100}))
    os.replace(path + ".new", path)
    url = env["PROOFRIG_SERVICES_URL"] + "/memory/put"
    headers = {"content-type": "application/json",
               "authorization": "Bearer " + env["PROOFRIG_TOKEN"]}
    body = json.dumps({"key": "k", "value": task}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, headers)).read()
    return "42"
'''


LATER = ("after_write", "after_ack")
SIZE = len('{"by": "' + "x" * 100 + '"}')


@pytest.mark.parametrize(
    "left",
    [
        dict.fromkeys(("before_write", *LATER), ("state.json", SIZE)),
        {"mid_bytes": ("state.json.new", 16), "before_rename": ("state.json.new", SIZE)},
    ],
    ids=["in the rig", "in the agent"],
)
async def test_victims_are_killed_at_the_point_that_was_named_and_nobody_else(
    tmp_path: Path, left: dict[str, tuple[str, int]]
) -> None:
    """`left`: the one file that each victim leaves behind, and its size."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "crashing.py").write_text(CRASHING)
    suite = write_suite(
        tmp_path / "suite",
        [case("a", world={"files": {}})],
        agent={"type": "python", "target": "crashing:writes"},
        services=[{"type": "kv", "name": "memory"}],
        scenarios={"crash_mid_write": {"agents": 1, "points": list(left)}},
    )
    run_dir, conclusion = await run_suite(
        suite, tmp_path, scenarios=("crash_mid_write",), baselines=False
    )
    assert conclusion.status == "finished"
    told = ends(run_dir)
    parts = {entry.trial: entry.attrs["part"] for entry in notes(run_dir, "begin")}
    victims = [trial for trial, part in parts.items() if part == "victim"]
    killed = {entry.trial: entry.attrs["point"] for entry in notes(run_dir, "kill")}
    assert killed == dict(zip(victims, left, strict=True))
    endings = {killed.get(trial, "later"): told[trial].attrs["ending"] for trial in parts}
    assert endings.pop("later") == "ok"
    assert set(endings.values()) == {"killed"}
    for trial, point in killed.items():
        world = run_dir / told[trial].attrs["world"]
        assert [(path.name, path.stat().st_size) for path in world.iterdir()] == [left[point]]
    puts = {a.trial: a.outcome for a in History(run_dir).actions() if a.name == "kv.put"}
    done = [point for trial, point in killed.items() if puts.get(trial) == "ok"]
    assert done == [point for point in left if point in LATER]
    overall = conclusion.summary.overall
    assert (overall.trials, overall.passed) == (len(left), len(left))  # victims do not count
