"""The unmodified SDKs of both vendors against the real process."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from anthropic import beta_tool

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture(scope="module")
def desk(start: Any) -> str:
    return str(start(function="models:desk"))


@pytest.fixture
def openai_sdk(desk: str) -> Any:
    with openai.OpenAI(base_url=f"{desk}/v1", api_key="k1", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_sdk(desk: str) -> Any:
    with anthropic.Anthropic(base_url=desk, api_key="k1", max_retries=0) as client:
        yield client


CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("a", "b")
]


def test_chat_completions_with_tools(openai_sdk: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Go"}]
    first = openai_sdk.chat.completions.create(model="sim", messages=messages, tools=CHAT_TOOLS)
    choice = first.choices[0]
    calls = choice.message.tool_calls or []
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see.")
    assert [json.loads(call.function.arguments)["n"] for call in calls] == [0, 1]  # type: ignore[union-attr]
    assert len({call.id for call in calls}) == 2
    messages.append(choice.message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in calls]
    second = openai_sdk.chat.completions.create(model="sim", messages=messages, tools=CHAT_TOOLS)
    assert second.choices[0].message.content == "2 results, 1 questions: Go"
    assert second.usage and first.usage
    assert second.usage.prompt_tokens > first.usage.prompt_tokens > 0
    assert second.usage.completion_tokens == 7


async def test_chat_completions_streamed(desk: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{desk}/v1", api_key="k1") as client:
        messages: Any = [{"role": "user", "content": "Go"}]
        stream = await client.chat.completions.create(
            model="sim",
            messages=messages,
            tools=CHAT_TOOLS,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        plain = await client.chat.completions.create(model="sim", messages=messages, stream=True)
        no_usage = [chunk async for chunk in plain]
    fragments = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or ()]
    arguments: dict[int, str] = {}
    for call in fragments:
        assert call.function
        arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    assert [json.loads(text)["n"] for text in arguments.values()] == [0, 1]
    assert chunks[-1].usage and chunks[-1].usage.total_tokens > 0
    assert not any(chunk.usage for chunk in no_usage)
    text = "".join(c.choices[0].delta.content or "" for c in no_usage)
    assert text == "0 results, 1 questions: Go"


def test_responses_continue_by_id(openai_sdk: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "name": "a", "parameters": SCHEMA, "strict": False}]
    first = openai_sdk.responses.create(model="sim", input="Go", tools=tools)
    call = next(item for item in first.output if item.type == "function_call")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    second = openai_sdk.responses.create(
        model="sim", input=[result], tools=tools, previous_response_id=first.id
    )
    assert second.output_text == "1 results, 1 questions: Go"
    third = openai_sdk.responses.create(model="sim", input="And?", previous_response_id=second.id)
    assert third.output_text == "1 results, 2 questions: Go / And?"
    assert third.usage and second.usage and third.usage.input_tokens > second.usage.input_tokens


async def test_responses_streamed(desk: str) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{desk}/v1", api_key="k1") as client,
        client.responses.stream(model="sim", input="Go") as stream,
    ):
        text = "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert text == final.output_text == "0 results, 1 questions: Go"


def test_another_tenants_response_cannot_be_continued(openai_sdk: openai.OpenAI) -> None:
    mine = openai_sdk.responses.create(model="sim", input="Go")
    for key, previous in (("k2", mine.id), ("k1", "resp_gone")):
        with pytest.raises(openai.BadRequestError) as caught:
            openai_sdk.with_options(api_key=key).responses.create(
                model="sim", input="And?", previous_response_id=previous
            )
        assert caught.value.code == "previous_response_not_found"
        assert caught.value.param == "previous_response_id"


def test_messages_with_tools(anthropic_sdk: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "a", "input_schema": SCHEMA}]
    messages: list[Any] = [{"role": "user", "content": "Go"}]
    first = anthropic_sdk.messages.create(
        model="sim", max_tokens=500, messages=messages, tools=tools
    )
    assert first.stop_reason == "tool_use"
    call = first.content[1]
    assert call.type == "tool_use" and call.input["n"] == 0
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "42"}
    messages += [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    with anthropic_sdk.messages.stream(
        model="sim", max_tokens=500, messages=messages, tools=tools
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "1 results, 1 questions: Go"
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 7)


async def test_messages_streamed(desk: str) -> None:
    tools: Any = [{"name": "a", "input_schema": SCHEMA}]
    async with (
        anthropic.AsyncAnthropic(base_url=desk, api_key="k1") as client,
        client.messages.stream(
            model="sim",
            max_tokens=500,
            messages=[{"role": "user", "content": "Go"}],
            tools=tools,
        ) as stream,
    ):
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]


def test_a_tool_runner_that_sends_only_what_is_new(anthropic_sdk: anthropic.Anthropic) -> None:
    @beta_tool
    def a(n: int, seed: int) -> str:
        """Give 42."""
        return "42"

    runner = anthropic_sdk.beta.messages.tool_runner(
        model="sim", max_tokens=500, tools=[a], messages=[{"role": "user", "content": "Go"}]
    )
    final = runner.until_done()
    block = final.content[0]
    assert block.type == "text" and block.text == "1 results, 1 questions: Go"


def test_a_thread_that_nobody_holds(anthropic_sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        anthropic_sdk.beta.messages.create(
            model="sim",
            max_tokens=5,
            messages=[{"role": "user", "content": "And?"}],
            thread={"type": "continue", "previous_message_id": "msg_gone"},
        )
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"
    assert body["error"]["details"] == {"error_code": "thread_not_found"}


def test_a_limit_on_tokens_cuts_the_answer(
    openai_sdk: openai.OpenAI, anthropic_sdk: anthropic.Anthropic
) -> None:
    chat = openai_sdk.chat.completions.create(
        model="sim", messages=[{"role": "user", "content": "Go"}], max_completion_tokens=2
    )
    assert chat.choices[0].finish_reason == "length"
    assert chat.choices[0].message.content == "0 result"
    message = anthropic_sdk.messages.create(
        model="sim", max_tokens=2, messages=[{"role": "user", "content": "Go"}]
    )
    assert message.stop_reason == "max_tokens"


def test_models_and_token_counts(
    openai_sdk: openai.OpenAI, anthropic_sdk: anthropic.Anthropic
) -> None:
    assert [model.id for model in openai_sdk.models.list()] == ["simulated"]
    assert [model.id for model in anthropic_sdk.models.list()] == ["simulated"]
    assert openai_sdk.models.retrieve("m1").id == "m1"
    messages: Any = [{"role": "user", "content": "x" * 400}]
    counted = anthropic_sdk.messages.count_tokens(model="sim", messages=messages)
    sent = anthropic_sdk.messages.create(model="sim", max_tokens=9, messages=messages)
    assert counted.input_tokens == sent.usage.input_tokens >= 100
    assert openai_sdk.responses.input_tokens.count(model="sim", input="x" * 400).input_tokens >= 100
