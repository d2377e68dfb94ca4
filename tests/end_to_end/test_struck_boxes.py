"""Faults that stop or kill the processes of a trial, at every level: they reach what runs in its
box, and leave the box itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.suites import case, ends, failures, run_suite, write_suite
from proofrig.history.history import History
from proofrig.sandboxes.sandbox import LEVELS, Level
from security.levels import image_for

# Says how long its model took, in whole seconds.
AGENT = """
import json, os, time, urllib.request

def solve(task):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": task}]})
    headers = {"content-type": "application/json", "authorization": "Bearer x"}
    began = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers)) as answer:
        json.load(answer)
    return f"{time.monotonic() - began:.0f}"
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", LEVELS)
async def test_who_is_struck(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, level: Level
) -> None:
    image_for(level, tmp_path_factory)  # skips where the level cannot be had
    cases = [
        case("killed", faults=[{"kind": "kill"}]),
        case("paused", faults=[{"kind": "pause", "for_s": 2}]),
    ]
    suite = write_suite(
        tmp_path, cases, agent={"type": "python", "target": "timed:solve"}, limits={"timeout_s": 60}
    )
    (tmp_path / "timed.py").write_text(AGENT)
    run_dir, _ = await run_suite(suite, tmp_path, baselines=False, isolation=level)
    struck = [entry for entry in History(run_dir).entries() if entry.kind == "fault"]
    assert {(entry.trial, entry.name) for entry in struck} == {
        ("killed:1", "kill"),
        ("paused:1", "pause"),
    }
    assert len(struck) == 2 and all(entry.attrs["processes"] for entry in struck)
    assert failures(run_dir) == {"killed": "agent", "paused": "agent"}
    ended = ends(run_dir)
    assert "SIGKILL" in ended["killed:1"].attrs["error"]
    (verdict,) = ended["paused:1"].attrs["verdicts"]
    assert float(verdict["got"].strip('"')) >= 1, "it did not stand still"
    assert all(end.attrs["box"].get("by", "") == "" for end in ended.values())
