"""The clients: which function of which file, in which environment."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from frameworks.environments import environment

from proofrig.wire.turn import Api

ROOT = Path(__file__).parents[1].absolute()
CACHE = ROOT / ".cache" / "frameworks"


@dataclass(frozen=True, slots=True)
class Column:
    """A client. group: the table that it stands in. agent: it goes on after a tool call, by itself;
    framework: its folder in `frameworks/`, "" for what the development environment holds."""

    group: str
    title: str
    module: str
    function: str
    api: Api | None = None
    stream: bool = False
    agent: bool = False
    framework: str = ""

    def __str__(self) -> str:
        return f"{self.module}/{self.function}"

    def interpreter(self) -> Path:
        """Where its libraries are; made when they are not there yet."""
        if not self.framework:
            return Path(sys.executable)
        return environment(ROOT / "frameworks" / self.framework, CACHE) / "bin" / "python"


def _openai(title: str, function: str, api: Api, stream: bool = False) -> Column:
    return Column("openai", title, "openai_sdk", function, api, stream)


def _anthropic(title: str, function: str, stream: bool = False) -> Column:
    return Column("anthropic", title, "anthropic_sdk", function, "messages", stream)


def _agent(framework: str, title: str, function: str, api: Api) -> Column:
    streams = "stream" in function or function == "anthropic_messages"
    return Column(framework, title, f"{framework}_agent", function, api, streams, True, framework)


COLUMNS: tuple[Column, ...] = (
    _openai("chat", "chat", "chat_completions"),
    _openai("chat, async", "chat_async", "chat_completions"),
    _openai("chat `stream=True`", "chat_stream", "chat_completions", True),
    _openai("chat `stream=True`, async", "chat_stream_async", "chat_completions", True),
    _openai("chat `.stream()`", "chat_helper", "chat_completions", True),
    _openai("responses", "responses", "responses"),
    _openai("responses `stream=True`", "responses_stream", "responses", True),
    _openai("responses `.stream()`", "responses_helper", "responses", True),
    _anthropic("messages", "messages"),
    _anthropic("messages, async", "messages_async"),
    _anthropic("`stream=True`", "messages_stream", True),
    _anthropic("`stream=True`, async", "messages_stream_async", True),
    _anthropic("`.stream()`", "messages_helper", True),
    _agent("openai_agents", "`Runner.run`", "run", "responses"),
    _agent("openai_agents", "`Runner.run_streamed`", "run_streamed", "responses"),
    _agent("langgraph", "`invoke`, OpenAI", "openai_invoke", "chat_completions"),
    _agent("langgraph", "`stream`, OpenAI", "openai_stream", "chat_completions"),
    _agent("langgraph", "`invoke`, Anthropic", "anthropic_invoke", "messages"),
    _agent("langgraph", "`stream`, Anthropic", "anthropic_stream", "messages"),
    _agent("pydantic_ai", "`run_sync`, OpenAI chat", "openai_chat", "chat_completions"),
    _agent("pydantic_ai", "`run_sync`, OpenAI responses", "openai_responses", "responses"),
    _agent("pydantic_ai", "`run_sync`, Anthropic", "anthropic_messages", "messages"),
)
TOOL_COLUMNS: tuple[Column, ...] = (
    Column("tools", "HTTP, `requests`", "tool_callers", "over_requests"),
    Column("tools", "HTTP, `httpx`", "tool_callers", "over_httpx"),
    Column("tools", "MCP, `mcp`", "tool_callers", "over_mcp"),
)
