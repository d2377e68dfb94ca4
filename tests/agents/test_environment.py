from __future__ import annotations

import json
import logging

import anthropic
import openai
import pytest

from proofrig.agents import identity
from proofrig.agents.environment import (
    SHARED_KEY,
    TELEMETRY_OPT_OUTS,
    EnvironmentSettings,
    identity_headers,
    mcp_variable,
    trial_environment,
    trial_root,
)

PARENT = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "OPENAI_API_KEY": "sk-real",
    "ANTHROPIC_AUTH_TOKEN": "real",
    "AWS_SECRET_ACCESS_KEY": "real",
    "GITHUB_TOKEN": "real",
    "NO_PROXY": "corp.example, localhost",
}


def env(**changes: object) -> dict[str, str]:
    settings: dict[str, object] = {"port": 8123, "token": "tok", "parent": PARENT, **changes}
    return trial_environment(EnvironmentSettings(**settings))  # type: ignore[arg-type]


def test_isolated() -> None:
    made = env(seed=5, run="r1")
    expected = {
        "OPENAI_BASE_URL": "http://127.0.0.1:8123/t/tok/v1",
        "OPENAI_API_BASE": "http://127.0.0.1:8123/t/tok/v1",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8123/t/tok",
        "OPENAI_API_KEY": "tok",
        "ANTHROPIC_API_KEY": "tok",
        "PROOFRIG_TOKEN": "tok",
        "PROOFRIG_TOOLS_URL": "http://127.0.0.1:8123/t/tok/tools",
        "PROOFRIG_SERVICES_URL": "http://127.0.0.1:8123/t/tok/services",
        "PROOFRIG_REFRESH_URL": "http://127.0.0.1:8123/t/tok/auth/token",
        "PROOFRIG_SEED": "5",
        "PROOFRIG_RUN": "r1",
        "PYTHONUNBUFFERED": "1",
        "PATH": "/bin",
        "LC_ALL": "C",
        "NO_PROXY": "127.0.0.1,localhost,corp.example",
        "no_proxy": "127.0.0.1,localhost,corp.example",
    }
    assert made == {**TELEMETRY_OPT_OUTS, **expected}
    assert TELEMETRY_OPT_OUTS["OPENAI_AGENTS_DISABLE_TRACING"] == "1"


def test_the_root_of_the_gateways_names_a_trial_where_there_is_a_token() -> None:
    assert trial_root(8123) == "http://127.0.0.1:8123"
    assert trial_root(8123, "tok") == "http://127.0.0.1:8123/t/tok"


def test_nothing_secret_of_the_parent_is_passed_on() -> None:
    for made in (env(), env(shared=True)):
        assert not [name for name, value in made.items() if "real" in value]


def test_shared_names_no_trial() -> None:
    made = env(shared=True, mcp={"db": None})
    assert made["OPENAI_BASE_URL"] == "http://127.0.0.1:8123/v1"
    assert made["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8123"
    assert made["PROOFRIG_TOOLS_URL"] == "http://127.0.0.1:8123/tools"
    assert made["PROOFRIG_MCP_DB_URL"] == "http://127.0.0.1:8123/mcp/db"
    assert made["OPENAI_API_KEY"] == made["ANTHROPIC_API_KEY"] == SHARED_KEY
    assert [name for name, value in made.items() if value == "tok"] == ["PROOFRIG_TOKEN"]


def test_mcp_servers_by_url_and_by_command() -> None:
    made = env(mcp={"order-db": None, "files": ["tap", "--x", "a b"]})
    assert made["PROOFRIG_MCP_ORDER_DB_URL"] == "http://127.0.0.1:8123/t/tok/mcp/order-db"
    assert json.loads(made["PROOFRIG_MCP_FILES_COMMAND"]) == ["tap", "--x", "a b"]
    assert mcp_variable("order-db", "URL") == "PROOFRIG_MCP_ORDER_DB_URL"


def test_a_proxy_of_the_users_own_is_there_in_both_cases() -> None:
    rigs = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://rig")
    made = env(proxy=rigs, user={"HTTPS_PROXY": "http://mine", "no_proxy": "a.example"})
    assert (made["HTTPS_PROXY"], made["https_proxy"]) == ("http://mine", "http://mine")
    assert (made["HTTP_PROXY"], made["http_proxy"]) == ("http://rig", "http://rig")
    assert (made["NO_PROXY"], made["no_proxy"]) == ("a.example", "a.example")
    apart = env(proxy=rigs, user={"HTTPS_PROXY": "http://one", "https_proxy": "http://other"})
    assert (apart["HTTPS_PROXY"], apart["https_proxy"]) == ("http://one", "http://other")


def test_the_users_variables_win() -> None:
    assert env(user={"OPENAI_BASE_URL": "x", "MINE": "1"})["OPENAI_BASE_URL"] == "x"


def test_the_sdks_go_where_it_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    with caplog.at_level(logging.WARNING):
        first, second = openai.OpenAI(), anthropic.Anthropic()
    assert str(first.base_url) == "http://127.0.0.1:8123/t/tok/v1/"
    assert first.api_key == "tok"
    assert str(second.base_url).rstrip("/") == "http://127.0.0.1:8123/t/tok"
    assert second.api_key == "tok"
    assert caplog.records == []
    first.close()
    second.close()


def test_identity_headers_are_the_hosts() -> None:
    headers = identity_headers("tok", "case:1")
    assert headers["baggage"] == "proofrig.trial=tok"
    assert headers["traceparent"] == identity.traceparent("tok", "case:1")
    version, trace, span, flags = headers["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    other = identity_headers("tok", "case:2")["traceparent"].split("-")
    assert (other[1], other[2] == span) == (trace, False)
