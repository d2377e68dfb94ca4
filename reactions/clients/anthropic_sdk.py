"""The anthropic SDK, used as its documentation shows: a base URL and a key from the environment,
everything else by default."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Any

import anthropic
from shop import ASKED, MESSAGES_TOOLS

anthropic.Anthropic(api_key="x").messages  # noqa: B018 - imported before the fork

MODEL = "claude-sonnet-4-5"


def versions() -> dict[str, str]:
    return {"anthropic": version("anthropic")}


def _client(told: dict[str, Any], kind: Any = anthropic.Anthropic) -> Any:
    return kind(timeout=told["timeout_s"]) if told["timeout_s"] else kind()


def _asked(told: dict[str, Any], **more: Any) -> dict[str, Any]:
    tools = {"tools": MESSAGES_TOOLS} if told["tool"] else {}
    messages = [{"role": "user", "content": ASKED}]
    return {"model": MODEL, "max_tokens": 200, "messages": messages, **tools, **more}


def _said(message: Any, reporter: Any) -> str:
    for block in message.content:
        if block.type == "tool_use":
            reporter.ran(**block.input)
    return "".join(block.text for block in message.content if block.type == "text")


def messages(told: dict[str, Any], reporter: Any) -> str:
    return _said(_client(told).messages.create(**_asked(told)), reporter)


def messages_async(told: dict[str, Any], reporter: Any) -> str:
    async def ask() -> Any:
        async with _client(told, anthropic.AsyncAnthropic) as client:
            return await client.messages.create(**_asked(told))

    return _said(asyncio.run(ask()), reporter)


class _Events:
    """What the loop around a stream keeps."""

    def __init__(self, reporter: Any) -> None:
        self.text = self.arguments = ""
        self._reporter = reporter

    def take(self, event: Any) -> None:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            self.text += event.delta.text
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            self.arguments += event.delta.partial_json
        elif event.type == "content_block_stop" and self.arguments:
            written, self.arguments = self.arguments, ""
            self._reporter.ran(**json.loads(written))


def messages_stream(told: dict[str, Any], reporter: Any) -> str:
    events = _Events(reporter)
    for event in _client(told).messages.create(**_asked(told, stream=True)):
        events.take(event)
    return events.text


def messages_stream_async(told: dict[str, Any], reporter: Any) -> str:
    events = _Events(reporter)

    async def ask() -> None:
        async with _client(told, anthropic.AsyncAnthropic) as client:
            async for event in await client.messages.create(**_asked(told, stream=True)):
                events.take(event)

    asyncio.run(ask())
    return events.text


def messages_helper(told: dict[str, Any], reporter: Any) -> str:
    with _client(told).messages.stream(**_asked(told)) as stream:
        return _said(stream.get_final_message(), reporter)
