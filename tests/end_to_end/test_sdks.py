"""Unmodified openai and anthropic SDKs through the gateway to the simulated provider's process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import openai
import pytest
import pytest_asyncio
from aiohttp import web

from llm_rig import BINDING, Rig, rig
from proofrig.providers.provider import Endpoint
from proofrig.providers.simulated import SimulatedProvider, SimulatedSettings
from proofrig.wire import CODECS
from proofrig.wire.trajectory import Call, Trajectory, rebuild
from proofrig.wire.turn import Api, Turn

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = """
def model(messages, tools, seed):
    results = [r.content for m in messages for r in m.tool_results]
    if results:
        return f"Order 7 was {results[-1]} ({len(messages)} messages)."
    calls = [{"name": "lookup", "arguments": {"order": 7}}]
    return {"text": "Let me look.", "tool_calls": calls if tools else []}
"""
SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}}
ASK = "Where is order 7?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoint]:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "sdk_model.py").write_text(MODEL)
    settings = SimulatedSettings(function="sdk_model:model")
    provider = SimulatedProvider(settings, folder, seed=1)
    try:
        yield (await provider.start())["chat_completions"]
    finally:
        await provider.close()


async def nobody(request: web.Request) -> web.StreamResponse:
    raise AssertionError("the provider answers")


def chat(url: str, stream: bool) -> str:
    client = openai.OpenAI(base_url=url, api_key="unused", max_retries=0)
    messages: list[Any] = [{"role": "user", "content": ASK}]
    tools: list[Any] = [{"type": "function", "function": {"name": "lookup", "parameters": SCHEMA}}]
    with client:
        while True:
            asked: Any = {"model": "sim-small", "messages": messages, "tools": tools}
            if stream:
                with client.chat.completions.stream(**asked) as events:
                    message = events.get_final_completion().choices[0].message
            else:
                message = client.chat.completions.create(**asked).choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for call in message.tool_calls:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "shipped"})


async def chat_async(url: str, stream: bool) -> str:
    messages: list[Any] = [{"role": "user", "content": ASK}]
    tools: list[Any] = [{"type": "function", "function": {"name": "lookup", "parameters": SCHEMA}}]
    async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        while True:
            asked: Any = {"model": "sim-small", "messages": messages, "tools": tools}
            if stream:
                async with client.chat.completions.stream(**asked) as events:
                    message = (await events.get_final_completion()).choices[0].message
            else:
                message = (await client.chat.completions.create(**asked)).choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for call in message.tool_calls:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "shipped"})


def responses(url: str, stream: bool) -> str:
    """Sends only what is new and names the response it goes on from."""
    tools: list[Any] = [{"type": "function", "name": "lookup", "parameters": SCHEMA}]
    asked: Any = {"input": ASK}
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        while True:
            if stream:
                with client.responses.stream(model="sim-small", tools=tools, **asked) as events:
                    answer: Any = events.get_final_response()
            else:
                answer = client.responses.create(model="sim-small", tools=tools, **asked)
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return str(answer.output_text)
            results = [
                {"type": "function_call_output", "call_id": call.call_id, "output": "shipped"}
                for call in calls
            ]
            asked = {"input": results, "previous_response_id": answer.id}


async def responses_async(url: str, stream: bool) -> str:
    """Sends everything every time."""
    tools: list[Any] = [{"type": "function", "name": "lookup", "parameters": SCHEMA}]
    items: list[Any] = [{"role": "user", "content": ASK}]
    async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        while True:
            asked: Any = {"model": "sim-small", "tools": tools, "input": items}
            if stream:
                async with client.responses.stream(**asked) as events:
                    answer: Any = await events.get_final_response()
            else:
                answer = await client.responses.create(**asked)
            items += [item.model_dump(exclude_none=True) for item in answer.output]
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return str(answer.output_text)
            for call in calls:
                call_id = call.call_id
                items.append(
                    {"type": "function_call_output", "call_id": call_id, "output": "shipped"}
                )


def _results(content: Any) -> list[Any]:
    return [
        {"type": "tool_result", "tool_use_id": block.id, "content": "shipped"}
        for block in content
        if block.type == "tool_use"
    ]


def messages(url: str, stream: bool) -> str:
    tools: list[Any] = [{"name": "lookup", "input_schema": SCHEMA}]
    said: list[Any] = [{"role": "user", "content": ASK}]
    base = url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=base, api_key="unused", max_retries=0) as client:
        while True:
            asked: Any = {"model": "sim-small", "max_tokens": 100} | {"messages": said}
            asked["tools"] = tools
            if stream:
                with client.messages.stream(**asked) as events:
                    message = events.get_final_message()
            else:
                message = client.messages.create(**asked)
            if message.stop_reason != "tool_use":
                return message.content[0].text  # type: ignore[union-attr]
            said.append({"role": "assistant", "content": message.content})
            said.append({"role": "user", "content": _results(message.content)})


async def messages_async(url: str, stream: bool) -> str:
    tools: list[Any] = [{"name": "lookup", "input_schema": SCHEMA}]
    said: list[Any] = [{"role": "user", "content": ASK}]
    base = url.removesuffix("/v1")
    async with anthropic.AsyncAnthropic(base_url=base, api_key="unused", max_retries=0) as client:
        while True:
            asked: Any = {"model": "sim-small", "max_tokens": 100} | {"messages": said}
            asked["tools"] = tools
            if stream:
                async with client.messages.stream(**asked) as events:
                    message = await events.get_final_message()
            else:
                message = await client.messages.create(**asked)
            if message.stop_reason != "tool_use":
                return message.content[0].text  # type: ignore[union-attr]
            said.append({"role": "assistant", "content": message.content})
            said.append({"role": "user", "content": _results(message.content)})


AGENTS: dict[str, tuple[Api, Callable[..., Any]]] = {
    "chat": ("chat_completions", chat),
    "chat_async": ("chat_completions", chat_async),
    "responses": ("responses", responses),
    "responses_async": ("responses", responses_async),
    "messages": ("messages", messages),
    "messages_async": ("messages", messages_async),
}


def trajectory(r: Rig, api: Api) -> Trajectory:
    """What the history says the agent did."""
    exchanges = []
    for action in r.actions():
        request = CODECS[api].decode_request(r.payload(action.attr("request")))
        turn = msgspec.json.decode(r.payload(action.attr("response")), type=Turn)
        exchanges.append((request, turn))
    return rebuild(exchanges)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("agent", list(AGENTS))
async def test_what_an_agent_did_is_rebuilt_from_the_history(
    tmp_path: Path, endpoint: Endpoint, agent: str, stream: bool
) -> None:
    api, run = AGENTS[agent]
    async with rig(
        tmp_path, nobody, endpoint_url=endpoint.base_url, key=endpoint.key, simulated=True
    ) as r:
        url = r.trial_url()
        if asyncio.iscoroutinefunction(run):
            said = await run(url, stream)
        else:
            said = await asyncio.to_thread(run, url, stream)
        actions, rebuilt = r.actions(), trajectory(r, api)
    assert said == "Order 7 was shipped (3 messages)."
    assert [turn.text for turn in rebuilt.turns] == ["Let me look.", said]
    (call,) = rebuilt.calls
    assert call == Call(
        "lookup", call.arguments, call.call_id, "shipped", call.is_error, "answered", turn=0
    )
    assert msgspec.json.decode(call.arguments) == {"order": 7}
    assert [(a.name, a.outcome, a.attr("source")) for a in actions] == [
        (f"llm.{api}", "ok", "measured")
    ] * 2
    assert all(a.attr("usage")["input"] > 0 and a.attr("usage")["output"] > 0 for a in actions)
    assert all(a.attr("stream") is stream for a in actions)
    assert r.reserved()["tokens"] == 0


async def test_a_stream_without_include_usage_is_measured_and_looks_as_asked(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    async with rig(tmp_path, nobody, endpoint_url=endpoint.base_url, simulated=True) as r:
        async with openai.AsyncOpenAI(base_url=r.trial_url(), api_key="x") as client:
            stream = await client.chat.completions.create(
                model="sim-small", messages=[{"role": "user", "content": ASK}], stream=True
            )
            chunks = [chunk async for chunk in stream]
        (action,) = r.actions()
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert (text, action.attr("amended")) == ("Let me look.", ["include_usage"])
    assert action.attr("usage")["output"] > 0


async def test_sdks_raise_their_own_errors_and_do_not_retry_a_denial(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    async with rig(
        tmp_path, nobody, endpoint_url=endpoint.base_url, simulated=True, budget={"calls": 0}
    ) as r:
        async with openai.AsyncOpenAI(base_url=r.trial_url(), api_key="x") as client:
            with pytest.raises(openai.RateLimitError) as chat_error:
                await client.chat.completions.create(model="sim-small", messages=[])
            with pytest.raises(openai.RateLimitError):
                await client.responses.create(model="sim-small", input="hi")
        base = r.trial_url(version="")
        async with anthropic.AsyncAnthropic(base_url=base, api_key="x") as claude:
            with pytest.raises(anthropic.RateLimitError) as claude_error:
                await claude.messages.create(model="sim-small", max_tokens=5, messages=[])
        denied = r.actions()
    assert [a.denied for a in denied] == [True] * 3
    assert "budget_exceeded at acme" in chat_error.value.message
    assert isinstance(claude_error.value.body, dict)
    assert claude_error.value.body["error"]["proofrig"]["remaining"] == {"calls": 0}


async def test_a_key_of_no_trial_is_an_authentication_error(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    async with rig(tmp_path, nobody, endpoint_url=endpoint.base_url, simulated=True) as r:
        async with openai.AsyncOpenAI(base_url=f"{r.url}/v1", api_key="sk-lost-9876") as client:
            with pytest.raises(openai.AuthenticationError, match=r"\.\.\.9876"):
                await client.chat.completions.create(model="sim-small", messages=[])
        async with anthropic.AsyncAnthropic(base_url=r.url, api_key=BINDING.token) as claude:
            message = await claude.messages.create(
                model="sim-small", max_tokens=50, messages=[{"role": "user", "content": ASK}]
            )
        note, reserve, *_ = r.entries()
    assert (note.name, note.attrs["agent"].split("/")[0]) == ("unattributed", "AsyncOpenAI")
    assert (reserve.trial, reserve.attrs["channel"]) == ("case:1", "key")
    assert message.content[0].type == "text"


async def test_an_sdks_own_retries_are_recognised(tmp_path: Path) -> None:
    answers = [500, 500, 200]

    async def flaky(request: web.Request) -> web.StreamResponse:
        turn = Turn("chat_completions", "r1", "sim", "done", finish="stop")
        body = CODECS["chat_completions"].encode_response(turn)
        return web.Response(
            status=answers.pop(0),
            body=body,
            content_type="application/json",
            headers={"retry-after-ms": "1"},
        )

    async with rig(tmp_path, flaky) as r:
        async with openai.AsyncOpenAI(base_url=r.trial_url(), api_key="x") as client:
            raw = await client.chat.completions.with_raw_response.create(model="sim", messages=[])
            assert raw.parse().choices[0].message.content == "done"
        actions = r.actions()
    assert [a.outcome for a in actions] == ["fail", "fail", "ok"]
    assert [a.attr("attempt") for a in actions] == [1, 2, 3]
    assert [a.attr("retry_of") for a in actions] == [None, actions[0].id, actions[1].id]
    assert all(a.attr("backoff_ns") > 0 for a in actions[1:])


async def test_a_tool_runner_that_sends_only_what_is_new_is_written_down_whole(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    @anthropic.beta_async_tool
    async def lookup(order: int) -> str:
        """Where an order is.

        Args:
            order: its number
        """
        return f"shipped {order}"

    async with rig(tmp_path, nobody, endpoint_url=endpoint.base_url, simulated=True) as r:
        base = r.trial_url(version="")
        async with anthropic.AsyncAnthropic(base_url=base, api_key="x") as client:
            runner = client.beta.messages.tool_runner(
                model="sim-small",
                max_tokens=100,
                tools=[lookup],
                messages=[{"role": "user", "content": ASK}],
            )
            last = await runner.until_done()
        actions, rebuilt = r.actions(), trajectory(r, "messages")
        whole = CODECS["messages"].decode_request(r.payload(actions[-1].attr("request")))
    assert last.content[0].type == "text" and last.content[0].text.startswith("Order 7 was")
    assert [message.role for message in whole.messages] == ["user", "assistant", "tool"]
    assert [(c.name, c.result, c.state) for c in rebuilt.calls if c.turn >= 0][-1:] == [
        ("lookup", "shipped 7", "answered")
    ]
    assert actions[-1].attr("continues") == r.turn(actions[-2]).id
