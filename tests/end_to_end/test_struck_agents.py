"""Agents that real faults strike: killed at a point, paused, and what the history says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import case, run_suite, write_suite
from proofrig.history.action import Entry
from proofrig.history.history import History

AGENT = """
import json, os, time, urllib.request

def post(url, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

def service(path, **body):
    return post(os.environ["PROOFRIG_SERVICES_URL"] + "/" + path, body)["result"]

def solve(task):
    service("memory/put", key="seen", value=1)
    with open("state.json", "w") as file:
        file.write("a state that is not written at once")
    began = time.monotonic()
    fencing = service("jobs/acquire", key="j", ttl_s=0.2)["fencing"]
    try:
        service("jobs/renew", key="j", fencing=fencing)
    except urllib.error.HTTPError as error:
        return "lost"
    return "held"
"""


async def struck(
    tmp_path: Path, fault: dict[str, Any], mode: str = "isolated", **more: Any
) -> tuple[list[Entry], str, str]:
    """The entries of a run of one case under a fault, how its agent ended, what it answered."""
    (tmp_path / "s_agent.py").write_text(AGENT)
    suite = write_suite(
        tmp_path,
        [case("one", world={})],
        agent={"type": "python", "target": "s_agent:solve", "mode": mode},
        services=[{"type": "kv", "name": "memory"}, {"type": "lock", "name": "jobs"}],
        faults=[fault],
        **more,
    )
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False)
    entries = list(History(run_dir).entries())
    (end,) = [entry for entry in entries if entry.kind == "trial" and entry.name == "end"]
    return entries, end.attrs["ending"], end.attrs.get("answer", "")


def faults(entries: list[Entry]) -> list[tuple[str, str, Any]]:
    return [(e.name, e.attrs["at"], e.attrs["point"]) for e in entries if e.kind == "fault"]


@pytest.mark.parametrize(
    ("fault", "at", "done"),
    [
        ({"point": "before_call", "on": {"name": "kv.put"}}, "service", False),
        ({"point": "after_call", "on": {"name": "kv.put"}}, "service", True),
        ({"point": "after_write", "on": {"nth": 1}}, "service", True),
        ({"point": "mid_bytes", "path": "state.json", "bytes": 7}, "process", True),
    ],
)
async def test_an_agent_is_killed_at_a_point(
    tmp_path: Path, fault: dict[str, Any], at: str, done: bool
) -> None:
    entries, ending, _ = await struck(tmp_path, {"kind": "kill"} | fault)
    assert ending == "killed"
    assert faults(entries) == [("kill", at, fault["point"])]
    kept = [entry.attrs["outcome"] for entry in entries if entry.kind == "commit"]
    assert kept == (["ok"] if done else [])


async def test_an_agent_among_others_in_a_process_is_killed_in_a_write_alone(
    tmp_path: Path,
) -> None:
    fault = {"kind": "kill", "point": "after_write"}
    entries, ending, _ = await struck(tmp_path, fault, mode="shared")
    assert (ending, faults(entries)) == ("killed", [("kill", "service", "after_write")])


async def test_an_agent_that_stands_still_loses_its_lock(tmp_path: Path) -> None:
    fault = {"kind": "pause", "on": {"name": "lock.acquire"}, "for_s": 1.0}
    entries, ending, _ = await struck(tmp_path, fault)
    assert ending == "ok"
    (renew,) = [e for e in entries if e.kind == "commit" and e.name == "lock.renew"]
    assert (renew.attrs["outcome"], renew.attrs["expired"]) == ("fail", True)
    (entry,) = [e for e in entries if e.kind == "fault"]
    assert (entry.name, entry.attrs["lasts_ns"]) == ("pause", 1_000_000_000)
