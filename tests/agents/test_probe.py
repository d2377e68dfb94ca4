"""Settings of the probe agent; that it reaches the rig at once is shown by bench_launch.py."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from proofrig.agents.probe import ProbeAgentSettings, make_probe_agent
from proofrig.sandboxes.process import ProcessSandbox


def test_a_path_is_below_the_trials_url() -> None:
    with pytest.raises(ValidationError):
        ProbeAgentSettings(type="probe", path="http://elsewhere/x")


async def test_the_settings_reach_the_hosts() -> None:
    settings = ProbeAgentSettings(type="probe", path="/tools/x", body={"a": "{task}"}, workers=3)
    agent = make_probe_agent(settings, ProcessSandbox(), {"PATH": "/bin"})
    hosts = agent._hosts  # type: ignore[attr-defined]
    assert len(hosts) == 3
    told = json.loads(hosts[0]._settings.env["PROOFRIG_PROBE"])
    assert told == {"path": "/tools/x", "method": "POST", "body": {"a": "{task}"}, "headers": {}}
