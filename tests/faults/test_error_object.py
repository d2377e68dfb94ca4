"""Errors under status 200."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from answers_in_forms import APIS, PLAIN, events, heard, model_call, said, tool_call, with_value
from fault_rig import events_of, fault_rig, said_in, through, whole
from llm_rig import turn
from proofrig.faults.error_object import ErrorObject
from proofrig.wire import CODECS


@pytest.mark.parametrize("api", APIS)
async def test_the_vendors_object_is_the_body(tmp_path: Path, api: str) -> None:
    async with fault_rig(tmp_path, [ErrorObject(status=529, message="busy")]) as rig:
        got = await rig.ask(api)
        codec = CODECS[api]
        assert (got.status, got.headers["content-type"]) == (200, "application/json")
        assert got.body == codec.encode_error(529, "", "busy")
        (fact,) = rig.facts()
        assert fact["error_status"] == 529
        (action,) = rig.actions()
        assert (action.outcome, action.attr("error"), action.attr("struck")) == (
            "fail",
            "busy",
            ["error_object"],
        )


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("api", APIS)
async def test_a_stream_breaks_off_with_an_error_event(
    tmp_path: Path, api: str, after: int
) -> None:
    fault = ErrorObject(after_events=after, message="busy")
    async with fault_rig(tmp_path, [fault]) as rig:
        got = await rig.ask(api, stream=True)
        turn_ = got.turn(api)
        assert (got.status, got.ended) == (200, "whole")
        assert (turn_.finish, turn_.error, turn_.complete) == ("error", "busy", False)
        assert len(events(got.body)) == after + 1
        assert rig.facts()[0]["events"] == after
        (action,) = rig.actions()
        assert action.outcome == "fail" and action.attr("struck") == ["error_object"]


def test_the_events_name_themselves_as_vendors_do() -> None:
    from proofrig.faults._forms_errors import error_event

    names = {api: error_event(model_call(api), 500, 3).split(b"\n")[0] for api in APIS}
    assert names["messages"] == names["responses"] == b"event: error"
    assert names["chat_completions"].startswith(b'data: {"error":{"message":"The server had')


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_any_chunking_breaks_off_at_the_same_event(size: int) -> None:
    wire = b"".join(said_in("messages", turn("messages"))).replace(b"\n", b"\r\n")
    pieces = [wire[i : i + size] for i in range(0, len(wire), size)]
    call = model_call("messages", stream=True)
    seen = await through([ErrorObject(after_events=2)], events_of(*pieces), call)
    kinds = [one["type"] for one in events(seen.body)]
    assert kinds == ["message_start", "content_block_start", "error"]


async def test_a_stream_that_ends_before_is_not_struck() -> None:
    wire = said_in("responses", turn("responses"))
    call = model_call("responses", stream=True)
    seen = await through([ErrorObject(after_events=len(wire))], events_of(*wire), call)
    assert (seen.body, seen.facts) == (b"".join(wire), [])


@pytest.mark.parametrize("form", ["tool", "mcp"])
async def test_a_tool_gives_it_as_a_good_result(form: str) -> None:
    answer = with_value(form, {"rows": [1]})
    seen = await through([ErrorObject(status=503)], answer, tool_call(form))
    value = msgspec.json.decode(seen.body)
    given = value["result"]
    if form == "mcp":
        assert value["id"] == 4 and given["isError"] is False
        given = msgspec.json.decode(given["content"][0]["text"])
    assert given["error"]["message"] == "Service Unavailable."
    assert seen.status == 200 and len(seen.facts) == 1


async def test_at_the_egress_gateway_it_is_json() -> None:
    seen = await through([ErrorObject()], whole(b"x", "text/plain"), PLAIN)
    assert seen.headers["content-type"] == "application/json"
    assert msgspec.json.decode(seen.body) == {
        "error": {"code": 500, "message": "Internal Server Error."}
    }


@pytest.mark.parametrize("api", APIS)
async def test_an_error_stays_what_it_is(api: str) -> None:
    answer = said(api, turn(api))
    answer.status = 500
    body = answer._whole
    seen = await through([ErrorObject()], answer, model_call(api))
    assert (seen.status, seen.body, seen.facts) == (500, body, [])
    assert heard(api, seen.body).text == "hello"
