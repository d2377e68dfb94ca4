"""The openai SDK, used as its documentation shows: a base URL and a key from the environment,
everything else by default."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Any

import openai
from shop import ASKED, CHAT_TOOLS, RESPONSES_TOOLS

# Imported before the fork: what the client loads lazily.
openai.OpenAI(api_key="x").chat.completions  # noqa: B018
openai.OpenAI(api_key="x").responses  # noqa: B018

MODEL = "gpt-4.1"


def versions() -> dict[str, str]:
    return {"openai": version("openai")}


def _client(told: dict[str, Any], kind: Any = openai.OpenAI) -> Any:
    return kind(timeout=told["timeout_s"]) if told["timeout_s"] else kind()


def _chat(told: dict[str, Any], **more: Any) -> dict[str, Any]:
    tools = {"tools": CHAT_TOOLS} if told["tool"] else {}
    return {"model": MODEL, "messages": [{"role": "user", "content": ASKED}], **tools, **more}


def _responses(told: dict[str, Any], **more: Any) -> dict[str, Any]:
    tools = {"tools": RESPONSES_TOOLS} if told["tool"] else {}
    return {"model": MODEL, "input": ASKED, **tools, **more}


def _said(completion: Any, reporter: Any) -> str:
    message = completion.choices[0].message
    for call in message.tool_calls or ():
        reporter.ran(**json.loads(call.function.arguments))
    return message.content or ""


def chat(told: dict[str, Any], reporter: Any) -> str:
    return _said(_client(told).chat.completions.create(**_chat(told)), reporter)


def chat_async(told: dict[str, Any], reporter: Any) -> str:
    async def ask() -> Any:
        async with _client(told, openai.AsyncOpenAI) as client:
            return await client.chat.completions.create(**_chat(told))

    return _said(asyncio.run(ask()), reporter)


class _Chunks:
    """What the loop around a chat stream keeps."""

    def __init__(self) -> None:
        self.text = ""
        self.arguments: dict[int, str] = {}

    def take(self, chunk: Any) -> None:
        if not chunk.choices:
            return
        delta = chunk.choices[0].delta
        self.text += delta.content or ""
        for call in delta.tool_calls or ():
            written = self.arguments.get(call.index, "")
            self.arguments[call.index] = written + (call.function.arguments or "")

    def said(self, reporter: Any) -> str:
        for arguments in self.arguments.values():
            reporter.ran(**json.loads(arguments))
        return self.text


def chat_stream(told: dict[str, Any], reporter: Any) -> str:
    chunks = _Chunks()
    for chunk in _client(told).chat.completions.create(**_chat(told, stream=True)):
        chunks.take(chunk)
    return chunks.said(reporter)


def chat_stream_async(told: dict[str, Any], reporter: Any) -> str:
    chunks = _Chunks()

    async def ask() -> None:
        async with _client(told, openai.AsyncOpenAI) as client:
            stream = await client.chat.completions.create(**_chat(told, stream=True))
            async for chunk in stream:
                chunks.take(chunk)

    asyncio.run(ask())
    return chunks.said(reporter)


def chat_helper(told: dict[str, Any], reporter: Any) -> str:
    with _client(told).chat.completions.stream(**_chat(told)) as stream:
        for _ in stream:
            pass
        return _said(stream.get_final_completion(), reporter)


def _answered(response: Any, reporter: Any) -> str:
    for item in response.output:
        if item.type == "function_call":
            reporter.ran(**json.loads(item.arguments))
    return response.output_text or ""


def responses(told: dict[str, Any], reporter: Any) -> str:
    return _answered(_client(told).responses.create(**_responses(told)), reporter)


def responses_stream(told: dict[str, Any], reporter: Any) -> str:
    text = ""
    for event in _client(told).responses.create(**_responses(told, stream=True)):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.function_call_arguments.done":
            reporter.ran(**json.loads(event.arguments))
    return text


def responses_helper(told: dict[str, Any], reporter: Any) -> str:
    with _client(told).responses.stream(**_responses(told)) as stream:
        for _ in stream:
            pass
        return _answered(stream.get_final_response(), reporter)
