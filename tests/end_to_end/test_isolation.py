"""Runs whose trials have boxes: what agents get at, what they leave, what breaks them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from end_to_end.suites import actions, ends, failures, options, run_suite, write_suite
from proofrig.errors import UsageError
from proofrig.evaluation import resume
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.rescore import rescore
from proofrig.sandboxes.sandbox import Changes
from proofrig.suites import Suite
from proofrig.trials import manifest as manifests

# Does what its task names, and says what came of it.
AGENT = """
import json, os, socket, subprocess, sys, urllib.request
import wording

def solve(task, workdir):
    return globals()[task](workdir) or "42"

def answers(workdir):
    return wording.ANSWER

def asks(workdir):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": "x"}]})
    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers)) as said:
        return json.load(said)["choices"][0]["message"]["content"]

def works(workdir):
    with open("kept.txt", "a") as file: file.write("edited")
    os.remove("old.txt")
    os.mkdir("new")
    with open("new/file.txt", "w") as file: file.write("made")

def peeks(workdir):
    suite = os.path.dirname(os.path.abspath(__file__))
    seen = sorted(os.listdir(suite))
    above = sorted(os.listdir(os.path.dirname(workdir)))
    others = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    return json.dumps({"suite": seen, "trial": above, "processes": len(others)})

def escapes(workdir):
    try:
        socket.create_connection(("192.0.2.7", 443), timeout=5)
    except OSError as error:
        return type(error).__name__

def eats(workdir):
    block = bytearray(400 << 20)
    block[::4096] = b"1" * len(block[::4096])

def lingers(workdir):
    subprocess.Popen(["sh", "-c", "setsid sleep 300 &"])

def remembers(workdir):
    cache = os.path.join(os.environ["HOME"], "seen")
    if os.path.exists(cache):
        return "stale"
    open(cache, "w").close()
"""
LINKS = {"kept.txt": "as it was ", "old.txt": "x"}


def boxed(folder: Path, *tasks: str, **more: Any) -> Suite:
    """A suite with a case per task; beside the agent lies what it must not see."""
    place = folder / "suite"
    place.mkdir(parents=True)
    (place / "boxed_agent.py").write_text(AGENT)
    (place / "wording.py").write_text('ANSWER = "42"\n')
    (place / "hidden_answers.txt").write_text("42")
    cases = [
        {"id": task, "task": task, "verify": [{"type": "exact", "value": "42"}]}
        | more.get(task, {})
        for task in tasks
    ]
    settings = {
        "agent": {"type": "python", "target": "boxed_agent:solve"},
        "sandbox": {"isolation": "namespace"},
    }
    return write_suite(place, cases, **settings | more.get("suite", {}))


def box_of(run_dir: Path, trial: str) -> dict[str, Any]:
    found: dict[str, Any] = ends(run_dir)[trial].attrs["box"]
    return found


async def test_an_agent_in_a_box_imports_asks_and_answers(tmp_path: Path) -> None:
    suite = boxed(tmp_path, "answers", "asks")
    run_dir, conclusion = await run_suite(suite, tmp_path, repeats=2, baselines=False)
    assert failures(run_dir) == {"answers": "", "asks": ""}
    assert conclusion.summary.overall.llm_calls == 2
    box = box_of(run_dir, "asks:1")
    assert (box["level"], box["held"], box.get("broke")) == ("namespace", "enforced", None)
    assert box["usage"]["bytes_out"] > 100
    assert box["usage"]["bytes_in"] > 100
    assert manifests.read(run_dir).what["isolation"] == "namespace"


async def test_its_world_comes_back_with_what_was_changed_in_it(tmp_path: Path) -> None:
    world = {"world": {"files": LINKS}}
    files = {"kept.txt": {"equals": "as it was edited"}, "new/file.txt": {"equals": "made"}}
    files["old.txt"] = {"absent": True}  # type: ignore[dict-item]
    verify = [
        {"type": "file_state", "files": files},
        {"type": "protected_paths", "paths": ["/usr/**"]},
        {"type": "command", "run": ["cat", "new/file.txt"]},
    ]
    suite = boxed(tmp_path, "works", works={**world, "verify": verify})
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    end = ends(run_dir)["works:1"]
    assert end.attrs["failure"] == "", end.attrs["verdicts"]
    payload = PayloadReader(run_dir).get(end.attrs["changes"])
    assert payload is not None
    changes = msgspec.json.decode(payload, type=Changes)
    place = run_dir / "trials" / "works:1" / "world"
    told = {(str(Path(one.path).relative_to(place)), one.change) for one in changes.entries}
    assert told == {
        ("kept.txt", "changed"),
        ("new", "added"),
        ("new/file.txt", "added"),
        ("old.txt", "deleted"),
    }
    again = rescore(suite, run_dir, options(tmp_path))
    assert again.summary.overall.passed == 1


async def test_it_sees_its_own_files_and_processes_and_no_others(tmp_path: Path) -> None:
    verify = [{"type": "regex", "pattern": "suite"}]
    suite = boxed(tmp_path, "peeks", peeks={"verify": verify, "world": {"files": LINKS}})
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    answer = PayloadReader(run_dir).get(ends(run_dir)["peeks:1"].attrs["answer"])
    seen = json.loads(answer or b"{}")
    assert seen["suite"] == ["boxed_agent.py", "wording.py"]
    assert seen["trial"] == ["world"]
    assert seen["processes"] <= 3


async def test_a_way_out_is_refused_and_told(tmp_path: Path) -> None:
    verify = [{"type": "exact", "value": "ConnectionRefusedError"}]
    suite = boxed(tmp_path, "escapes", escapes={"verify": verify})
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    assert failures(run_dir) == {"escapes": ""}
    refused = box_of(run_dir, "escapes:1")["refused"]
    assert {"what": "connect", "where": "tcp 192.0.2.7:443", "times": 1} in refused


async def test_a_limit_that_breaks_is_told_from_a_crash(tmp_path: Path) -> None:
    limits = {"suite": {"limits": {"memory_mb": 128, "timeout_s": 60}}}
    suite = boxed(tmp_path, "eats", "answers", **limits)
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    assert failures(run_dir) == {"eats": "limit", "answers": ""}
    end = ends(run_dir)["eats:1"]
    assert end.attrs["box"]["broke"] == ["memory"]
    assert end.attrs["error"].startswith("limit: memory (128")
    assert box_of(run_dir, "answers:1").get("broke") is None


async def test_what_it_leaves_running_ends_with_it(tmp_path: Path) -> None:
    run_dir, _ = await run_suite(boxed(tmp_path, "lingers"), tmp_path, baselines=False)
    assert failures(run_dir) == {"lingers": ""}
    assert box_of(run_dir, "lingers:1")["strays"] >= 1


async def test_a_shared_agent_gets_a_box_per_trial_when_boxes_are_asked_for(tmp_path: Path) -> None:
    agent = {"type": "python", "target": "boxed_agent:solve", "mode": "shared"}
    suite = boxed(tmp_path, "remembers", suite={"agent": agent, "repeats": 3})
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert conclusion.summary.overall.passed == 3
    assert manifests.read(run_dir).what["agent"]["mode"] == "isolated"


async def test_what_a_box_keeps_from_trial_to_trial_is_found(tmp_path: Path) -> None:
    scenarios = {"used_environment": {"repeats": 2, "rounds": 4}}
    world = {"world": {"files": LINKS}}
    suite = boxed(tmp_path, "remembers", remembers=world, suite={"scenarios": scenarios})
    run_dir, conclusion = await run_suite(
        suite, tmp_path, scenarios=("used_environment",), baselines=False
    )
    parts = {
        entry.trial: entry.attrs["part"]
        for entry in History(run_dir).entries()
        if entry.kind == "trial" and entry.name == "begin"
    }
    passed: dict[str, list[bool]] = {}
    for trial, entry in ends(run_dir).items():
        passed.setdefault(parts[trial], []).append(entry.attrs["passed"])
    assert passed == {"clean": [True] * 2, "fill": [True], "used": [False] * 4}
    [scenario] = conclusion.summary.scenarios
    verdicts = {one.checker: one.verdict for one in scenario.checked}
    assert verdicts["leftover_state"] != "valid"  # so few trials may not tell


async def test_a_command_agent_is_boxed_as_well(tmp_path: Path) -> None:
    agent = {"type": "command", "argv": ["python3", "say.py"], "answer": "stdout"}
    suite = boxed(tmp_path, "answers", suite={"agent": agent})
    script = "import os\nprint('42' if os.listdir(os.path.dirname(__file__)) == ['say.py'] else 0)"
    (suite.dir / "say.py").write_text(script)
    agent["argv"] = ["python3", str(suite.dir / "say.py")]
    suite = boxed(tmp_path / "again", "answers", suite={"agent": agent})
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    assert box_of(run_dir, "answers:1")["level"] == "namespace"


async def test_a_run_goes_on_at_the_level_it_was_begun_with(tmp_path: Path) -> None:
    suite = boxed(tmp_path, "answers", suite={"sandbox": {}})
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False, isolation="namespace")
    conclusion = await resume(suite, run_dir, options(tmp_path))
    assert conclusion.summary.overall.passed == 1
    assert box_of(run_dir, "answers:1")["level"] == "namespace"
    assert actions(run_dir, "answers:1") == []


async def test_files_that_are_named_and_not_there_are_told_before_anything_runs(
    tmp_path: Path,
) -> None:
    sandbox = {"isolation": "namespace", "files": ["prompts/*.md"]}
    suite = boxed(tmp_path, "answers", suite={"sandbox": sandbox})
    with pytest.raises(UsageError, match=r"sandbox\.files: nothing is at prompts/\*\.md"):
        await run_suite(suite, tmp_path)
    assert not list((tmp_path / "kept").glob("runs/*"))
