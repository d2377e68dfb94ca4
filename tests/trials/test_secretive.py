"""What of a suite a recording must not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from end_to_end.suites import case, write_suite
from proofrig.trials.secretive import secrets_of

KEY = "k-0123456789"


def found(tmp_path: Path, environ: dict[str, str] | None = None, **settings: Any) -> dict[str, str]:
    return secrets_of(write_suite(tmp_path / "suite", [case("a")], **settings), environ or {})


def test_headers_of_tools_and_servers_are_secret_but_for_harmless_ones(tmp_path: Path) -> None:
    tools = [
        {
            "type": "http",
            "name": "look",
            "url": "http://h.example/x?api_key=in-the-url",
            "headers": {"Authorization": f"Bearer {KEY}", "accept": "application/json"},
        },
        {"type": "mcp", "name": "crm", "url": "http://h.example/mcp", "headers": {"X-Team": KEY}},
    ]
    assert found(tmp_path, tools=tools) == {
        "look-Authorization": KEY,
        "look-api_key": "in-the-url",
        "crm-X-Team": KEY,
    }


def test_variables_are_where_they_are_called_or_look_like_keys(tmp_path: Path) -> None:
    env = {
        "SEARCH_API_KEY": "short-one",
        "PLAIN": "Zx8Qm2Lk9Vb4Nt7Rw1Py5",
        "MODEL": "gpt-4o-mini-2024-07-18",
        "DATA": "/srv/Data/2024/customers",
        "MAX_TOKENS_PER_CALL": "4096",
    }
    agent = {"type": "python", "target": "e2e_agent:behave", "env": env}
    assert found(tmp_path, agent=agent).keys() == {"SEARCH_API_KEY", "PLAIN"}


def test_what_agents_inherit_is_looked_at(tmp_path: Path) -> None:
    environ = {"CRM_TOKEN": KEY, "HOME": "/home/someone", "GH_PAT": KEY, "MONKEY": "banana-bread"}
    assert found(tmp_path, environ) == {"CRM_TOKEN": KEY, "GH_PAT": KEY}
