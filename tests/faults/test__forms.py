"""Reading and writing again what an answer carries: only what is good, and nothing beside it."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from answers_in_forms import (
    APIS,
    PLAIN,
    events,
    heard,
    mcp_message,
    mcp_result,
    model_call,
    said,
    tool_call,
    tool_result,
)
from fault_rig import CALL, events_of, said_in, through, whole
from llm_rig import CALL as TOOL_CALL
from llm_rig import turn
from proofrig.faults._forms import Facts, same, unaddressed, with_json, with_turn, with_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, Cut, Made
from proofrig.wire.turn import Turn


class Doubles(Fault):
    """Puts every value into a list twice."""

    kind: str = "doubles"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        return await with_value(hit, onward, lambda value: ([value, value], {"was": value}), a=1)


class Shouts(Fault):
    """Changes a turn's text."""

    kind: str = "shouts"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        def louder(said: Turn) -> tuple[Turn, Facts]:
            return msgspec.structs.replace(said, text=said.text.upper()), {"chars": len(said.text)}

        return await with_turn(hit, onward, louder)


class Marks(Fault):
    """Marks every object."""

    kind: str = "marks"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        return await with_json(hit, onward, lambda value: (value | {"marked": 1}, {}))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_turn_is_changed_and_keeps_the_rest(api: str, stream: bool) -> None:
    before = turn(api, text="hello there", tool_calls=(TOOL_CALL,), finish="tool_calls")
    seen = await through([Shouts()], said(api, before, stream=stream), model_call(api))
    after = heard(api, seen.body, stream=stream)
    assert after == msgspec.structs.replace(before, text="HELLO THERE")
    assert [one["chars"] for one in seen.facts] == [11]


@pytest.mark.parametrize("api", APIS)
async def test_a_stream_whose_usage_was_not_asked_for_tells_none(api: str) -> None:
    quiet = said(api, turn(api, text="hi", usage=None), stream=True)
    seen = await through([Shouts()], quiet, model_call(api))
    assert heard(api, seen.body, stream=True).text == "HI"
    assert b'"usage"' not in seen.body or api != "chat_completions"


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"error":{"message":"no"}}', b'{"choices":[]}']
)
async def test_what_is_no_whole_turn_passes_as_it_came(body: bytes) -> None:
    seen = await through([Shouts()], whole(body))
    assert (seen.status, seen.body, seen.facts) == (200, body, [])


@pytest.mark.parametrize("api", APIS)
async def test_a_stream_without_its_end_passes_as_it_came(api: str) -> None:
    cut = said_in(api, turn(api, text="a b c d"))[:4]
    seen = await through([Shouts()], events_of(*cut), model_call(api))
    assert (seen.body, seen.facts) == (b"".join(cut), [])


@pytest.mark.parametrize("fault", [Shouts(), Doubles(), Marks()], ids=lambda one: one.kind)
async def test_a_failure_passes_as_it_came(fault: Fault) -> None:
    call = CALL if isinstance(fault, Shouts) else tool_call()
    seen = await through([fault], whole(b'{"result":1}', status=503), call)
    assert (seen.status, seen.body, seen.facts) == (503, b'{"result":1}', [])


async def test_what_a_change_leaves_as_it_is_was_not_struck() -> None:
    answer = said("messages", turn("messages", text="LOUD"))
    seen = await through([Shouts()], answer, model_call("messages"))
    assert (heard("messages", seen.body).text, seen.facts) == ("LOUD", [])


async def test_the_result_of_a_tool_is_changed_beside_its_warning() -> None:
    answer = whole(b'{"result":{"a":1},"warning":"again"}')
    seen = await through([Doubles()], answer, tool_call())
    assert msgspec.json.decode(seen.body) == {"result": [{"a": 1}, {"a": 1}], "warning": "again"}
    (fact,) = seen.facts
    assert (fact["a"], fact["was"]) == (1, {"a": 1})


@pytest.mark.parametrize("body", [b'{"error":{"type":"tool_error"}}', b"null", b"<html>"])
async def test_what_is_no_result_of_a_tool_passes(body: bytes) -> None:
    seen = await through([Doubles()], whole(body), tool_call())
    assert (seen.body, seen.facts) == (body, [])


def parts(message: Any) -> list[str]:
    return [part["text"] for part in message["result"]["content"]]


@pytest.mark.parametrize("sse", [False, True])
async def test_an_mcp_result_is_changed_under_its_id(sse: bool) -> None:
    seen = await through([Doubles()], mcp_result({"a": 1}, sse=sse), tool_call("mcp"))
    *before, message = events(seen.body) if sse else [msgspec.json.decode(seen.body)]
    assert [one["method"] for one in before] == ["notifications/progress"] * sse
    assert (message["id"], parts(message)) == (4, ['[{"a":1},{"a":1}]'])
    assert not sse or seen.body.count(b"event: message\n") == 2


@pytest.mark.parametrize(
    ("content", "after"),
    [
        (["one text"], ['["one text","one text"]']),
        (["{broken"], ['["{broken","{broken"]']),
        ([], ["[]", "[]"]),
        (["a", '{"b":1}'], ['["a",{"b":1}]', '["a",{"b":1}]']),
    ],
)
async def test_the_texts_of_an_mcp_result(content: list[str], after: list[str]) -> None:
    seen = await through([Doubles()], mcp_result(*content), tool_call("mcp"))
    assert parts(msgspec.json.decode(seen.body)) == after


@pytest.mark.parametrize(
    ("structured", "after"),
    [
        ({"result": 5}, {"result": [5, 5]}),
        ({"a": 1}, {"result": [{"a": 1}, {"a": 1}]}),
    ],
)
async def test_the_structured_content_of_an_mcp_result(structured: Any, after: Any) -> None:
    image = {"type": "image", "data": "x"}
    answer = whole(mcp_message(1, content=[image], structuredContent=structured))
    seen = await through([Doubles()], answer, tool_call("mcp"))
    result = msgspec.json.decode(seen.body)["result"]
    assert result["structuredContent"] == after
    assert msgspec.json.decode(result["content"][0]["text"]) == after["result"]


async def test_a_batch_and_a_failed_mcp_call() -> None:
    failed = mcp_message(1, content=[{"type": "text", "text": "no"}], isError=True)
    good = mcp_message(2, content=[{"type": "text", "text": "yes"}])
    seen = await through([Doubles()], whole(b"[" + failed + b"," + good + b"]"), tool_call("mcp"))
    first, second = msgspec.json.decode(seen.body)
    assert (parts(first), parts(second)) == (["no"], ['["yes","yes"]'])
    assert seen.facts[0]["was"] == "yes"


@pytest.mark.parametrize(
    ("content_type", "body", "after"),
    [
        ("application/json", b"1", b"[1,1]"),
        ("application/problem+json; charset=utf-8", b'"x"', b'["x","x"]'),
        ("text/plain", b"x", b'["x","x"]'),
        ("image/png", b"x", None),
        ("text/event-stream", b"data: 1\n\n", None),
    ],
)
async def test_what_is_plain(content_type: str, body: bytes, after: bytes | None) -> None:
    seen = await through([Doubles()], whole(body, content_type), PLAIN)
    assert (seen.body, len(seen.facts)) == ((body, 0) if after is None else (after, 1))


async def test_a_compressed_body_is_read_and_written_plain() -> None:
    answer = Made(
        200,
        gzip.compress(b"[1]"),
        {"content-type": "application/json", "content-encoding": "gzip"},
    )
    seen = await through([Doubles()], answer, PLAIN)
    assert (seen.body, "content-encoding" in seen.headers) == (b"[[1],[1]]", False)


@pytest.mark.parametrize(("encoding", "body"), [("br", b"\x0b\x01"), ("gzip", b"not gzip")])
async def test_a_body_that_cannot_be_read_passes_as_it_came(encoding: str, body: bytes) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    seen = await through([Doubles()], Made(200, body, headers), PLAIN)
    assert (seen.body, seen.headers["content-encoding"], seen.facts) == (body, encoding, [])


@pytest.mark.parametrize("api", APIS)
async def test_every_event_of_a_stream_is_changed(api: str) -> None:
    seen = await through([Marks()], said(api, turn(api), stream=True), model_call(api))
    marked = [one.get("marked") for one in events(seen.body) if isinstance(one, dict)]
    assert set(marked) == {1} and len(seen.facts) == 1
    assert heard(api, seen.body, stream=True) == turn(api)


async def test_a_body_that_breaks_closes_its_answer() -> None:
    closed = []

    class Broken(Made):
        async def readany(self) -> bytes:
            raise Cut("reset")

        def close(self) -> None:
            closed.append(self)

    seen = await through([Doubles()], Broken(200, b""), tool_call())
    assert (seen.cut, len(closed), seen.facts) == ("reset", 1, [])


@pytest.mark.parametrize("sse", [False, True])
async def test_an_answer_without_the_id_of_its_request(sse: bool) -> None:
    seen = await through([], mcp_result("x", identity="r-1", sse=sse), tool_call("mcp"))
    body = unaddressed(seen.body)
    message = events(body)[-1] if sse else msgspec.json.decode(body)
    assert (message["id"], parts(message)) == (None, ["x"])


def test_what_is_the_same_json() -> None:
    assert same({"a": [1, "1"]}, {"a": [1, "1"]})
    assert not same(True, 1) and not same(1, 1.0) and not same({"a": 1}, {"a": "1"})


async def test_what_a_tool_answers_is_whole() -> None:
    seen = await through([Doubles()], tool_result("x"), tool_call())
    assert seen.said == len(seen.body)
