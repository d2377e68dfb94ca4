"""Arguments of a tool call that end in their middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from answers_in_forms import APIS, heard, model_call, said
from fault_rig import fault_rig, says, through
from llm_rig import turn
from proofrig.faults.truncated_arguments import TruncatedArguments
from proofrig.wire.turn import ToolCall

TEXT = '{"order":7,"reason":"too late"}'
CALLS = (ToolCall("c0", "look", '{"order":7}'), ToolCall("c1", "refund", TEXT))
HANDLER = says("", tool_calls=CALLS, finish="tool_calls")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_the_last_call_is_cut(tmp_path: Path, api: str, stream: bool) -> None:
    async with fault_rig(tmp_path, [TruncatedArguments(chars=22)], handler=HANDLER) as rig:
        turn = (await rig.ask(api, stream=stream)).turn(api)
        whole, cut = turn.tool_calls
        assert (whole, turn.finish, turn.complete) == (CALLS[0], "length", True)
        as_object = api == "messages" and not stream
        assert cut.arguments == ('{"order":7}' if as_object else '{"order":7,"reason":"t')
        assert (cut.id, cut.name) == ("c1", "refund")
        (fact,) = rig.facts()
        assert (fact["call"], fact["left"], fact["of"]) == ("refund", 22, len(TEXT))
        (action,) = rig.actions()
        assert (action.outcome, action.attr("struck")) == ("ok", ["truncated_arguments"])


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
async def test_a_share_is_left_and_never_all(share: float) -> None:
    answer = said("responses", turn("responses", tool_calls=CALLS[1:], finish="tool_calls"))
    seen = await through([TruncatedArguments(share=share)], answer, model_call("responses"))
    (call,) = heard("responses", seen.body).tool_calls
    assert call.arguments == TEXT[: max(1, int(len(TEXT) * share))]
    assert call.parsed() is None


async def test_the_finish_can_lie() -> None:
    fault = TruncatedArguments(finish="tool_calls")
    answer = said("messages", turn("messages", tool_calls=CALLS, finish="tool_calls"), stream=True)
    seen = await through([fault], answer, model_call("messages", stream=True))
    assert heard("messages", seen.body, stream=True).finish == "tool_calls"
    assert b'"tool_use"' in seen.body and b"max_tokens" not in seen.body


@pytest.mark.parametrize(
    ("text", "cut", "left"),
    [
        ('{"a":{"b":[1,2]},"c":3}', 13, '{"a":{"b":[1]}}'),
        ('{"a":1}', 2, "{}"),
        ('{"INVALID_JSON":"so"}', 18, "{}"),
    ],
)
async def test_messages_holds_the_members_that_had_come(text: str, cut: int, left: str) -> None:
    before = turn("messages", tool_calls=(ToolCall("c", "f", text),), finish="tool_calls")
    answer = said("messages", before)
    seen = await through([TruncatedArguments(chars=cut)], answer, model_call("messages"))
    (call,) = heard("messages", seen.body).tool_calls
    assert call.arguments == left


@pytest.mark.parametrize(
    "changes",
    [{}, {"tool_calls": (ToolCall("c", "f", "{}"),), "finish": "tool_calls"}],
    ids=["no calls", "shorter"],
)
async def test_what_has_nothing_to_cut_is_not_struck(changes: Any) -> None:
    before = turn("chat_completions", **changes)
    answer = said("chat_completions", before)
    call = model_call("chat_completions")
    seen = await through([TruncatedArguments(chars=5)], answer, call)
    assert (heard("chat_completions", seen.body), seen.facts) == (before, [])


def test_it_acts_at_models_only() -> None:
    with pytest.raises(ValidationError, match="acts at llm; `on` names tool"):
        TruncatedArguments.model_validate({"on": {"at": "tool"}})
