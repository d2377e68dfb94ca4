"""An agent that keeps its memory in Redis, unchanged: the proxy sees what its trials do to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import case, run_suite, write_suite
from proofrig.history.history import History
from redis_server import redis_server

AGENT = """
import os, time
import redis

def shared_url():
    return os.environ["PROOFRIG_REDIS_SESSIONS_URL"]

CLIENT = None

def client():
    global CLIENT
    if CLIENT is None:
        CLIENT = redis.Redis.from_url(shared_url(), decode_responses=True)
    return CLIENT

def lost(task):
    visits = int(client().get("visits") or 0)
    time.sleep(0.05)
    client().set("visits", visits + 1)
    return "42"

def kept(task):
    client().incr("visits")
    return "42"
"""


@pytest.mark.parametrize("mode", ["shared", "isolated"])
@pytest.mark.parametrize(("target", "verdict"), [("lost", "invalid"), ("kept", "valid")])
async def test_a_lost_update_in_redis_shows_and_a_kept_one_does_not(
    tmp_path: Path, mode: str, target: str, verdict: str
) -> None:
    with redis_server(tmp_path) as port:
        content: dict[str, Any] = {
            "agent": {"type": "python", "target": f"redis_agent:{target}", "mode": mode},
            "services": [
                {"type": "redis", "name": "sessions", "url": f"redis://127.0.0.1:{port}/0"}
            ],
            "tenants": {"a": 1, "b": 1},
        }
        (tmp_path / "redis_agent.py").write_text(AGENT)
        suite = write_suite(tmp_path, [case("one")], **content)
        run_dir, concluded = await run_suite(
            suite, tmp_path, scenarios=("burst",), agents=6, baselines=False
        )
    (burst,) = concluded.summary.scenarios
    found = next(one for one in burst.checked if one.checker == "lost_update")
    seen = [action for action in History(run_dir).actions() if action.name.startswith("kv.")]
    assert {action.trial.partition("@")[2].partition(":")[0] for action in seen} == {"burst"}
    assert len({action.trial for action in seen}) == 6
    if verdict == "invalid":
        assert found.verdict == "invalid", found
        assert len(found.findings[0].trials) == 2
    else:
        assert found.verdict != "invalid", found
