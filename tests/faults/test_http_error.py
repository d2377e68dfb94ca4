"""Error statuses, before the call or after it."""

from __future__ import annotations

from pathlib import Path

import anthropic
import msgspec
import openai
import pytest
from pydantic import ValidationError

from answers_in_forms import APIS, PLAIN, tool_call, tool_result
from fault_rig import FaultRig, events_of, fault_rig, through, whole
from llm_rig import BINDING
from proofrig.faults.http_error import HttpError
from proofrig.wire import CODECS


@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize("status", [400, 408, 409, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("api", APIS)
async def test_a_status_in_the_vendors_form(
    tmp_path: Path, api: str, status: int, executed: bool
) -> None:
    async with fault_rig(tmp_path, [HttpError(status=status, executed=executed)]) as rig:
        got = await rig.ask(api)
        turn = CODECS[api].decode_response(got.body)
        assert (got.status, turn.finish, bool(turn.error)) == (status, "error", True)
        assert (rig.calls, rig.facts()[0]["executed"]) == (executed, executed)
        (commit,) = rig.ends()
        assert (commit.attrs["status"], commit.attrs["struck"]) == (status, ["http_error"])
        assert "infra" not in commit.attrs


def openai_of(rig: FaultRig, retries: int) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=rig.base, api_key="k", max_retries=retries)


def anthropic_of(rig: FaultRig, retries: int) -> anthropic.AsyncAnthropic:
    base = f"{rig.rig.url}/t/{BINDING.token}"
    return anthropic.AsyncAnthropic(base_url=base, api_key="k", max_retries=retries)


async def ask_openai(client: openai.AsyncOpenAI) -> str | None:
    done = await client.chat.completions.create(
        model="sim", messages=[{"role": "user", "content": "hi"}]
    )
    return done.choices[0].message.content


async def ask_anthropic(client: anthropic.AsyncAnthropic) -> str:
    done = await client.messages.create(
        model="sim", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
    )
    return getattr(done.content[0], "text", "")


async def test_sdks_raise_their_own_exceptions(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [HttpError(status=529)]) as rig:
        async with openai_of(rig, 0) as client:
            with pytest.raises(openai.InternalServerError, match="overloaded"):
                await ask_openai(client)
        async with anthropic_of(rig, 0) as other:
            with pytest.raises(anthropic.InternalServerError) as caught:
                await ask_anthropic(other)
    assert "Overloaded" in str(caught.value) and rig.calls == 0


async def test_sdks_try_again_unless_they_are_told_not_to(tmp_path: Path) -> None:
    once = HttpError(retry_after="milliseconds", wait_s=0.001, times=1)
    async with fault_rig(tmp_path / "a", [once]) as rig, openai_of(rig, 2) as client:
        assert (await ask_openai(client), rig.calls) == (
            "one two three four five six seven eight",
            1,
        )
        assert [one.attr("attempt") for one in rig.actions()] == [1, 2]
    never = HttpError(should_retry=False)
    async with fault_rig(tmp_path / "b", [never]) as rig, anthropic_of(rig, 2) as other:
        with pytest.raises(anthropic.InternalServerError):
            await ask_anthropic(other)
        assert len(rig.actions()) == 1


async def test_a_call_that_was_carried_out_is_made_twice(tmp_path: Path) -> None:
    lost = HttpError(executed=True, retry_after="milliseconds", wait_s=0.001, times=1)
    async with fault_rig(tmp_path, [lost]) as rig, openai_of(rig, 2) as client:
        await ask_openai(client)
        assert rig.calls == 2


async def test_a_stream_that_was_carried_out_is_read_to_its_end() -> None:
    seen = await through([HttpError(executed=True)], events_of(b"data: 1\n\n", b"data: 2\n\n"))
    assert (seen.status, seen.calls) == (503, 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (tool_call(), {"type": "service_unavailable", "message": "Service Unavailable."}),
        (PLAIN, {"code": 503, "message": "Service Unavailable."}),
        (
            tool_call("mcp"),
            {"code": -32603, "message": "Service Unavailable.", "data": {"status": 503}},
        ),
    ],
    ids=["tool", "egress", "mcp"],
)
async def test_the_other_forms(call: object, error: dict[str, object]) -> None:
    seen = await through([HttpError()], tool_result(1), call)  # type: ignore[arg-type]
    assert (seen.status, msgspec.json.decode(seen.body)["error"]) == (503, error)


async def test_its_own_words() -> None:
    seen = await through([HttpError(status=418, message="no coffee")], whole(b"{}"), tool_call())
    error = msgspec.json.decode(seen.body)["error"]
    assert (seen.status, error) == (418, {"type": "im_a_teapot", "message": "no coffee"})


async def test_an_error_stays_what_it_is() -> None:
    answer = whole(b"late", status=404)
    seen = await through([HttpError(executed=True)], answer, PLAIN)
    assert (seen.status, seen.body, seen.facts) == (404, b"late", [])


def test_a_status_is_an_error() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 400"):
        HttpError(status=200)
