"""Calls and answers of every form, for the tests of faults that change what is answered."""

from __future__ import annotations

from typing import Any

import msgspec

from fault_rig import CALL, events_of, said_in, whole
from proofrig.wire import CODECS
from proofrig.wire.answer import Answer, Made
from proofrig.wire.outbound import Outbound
from proofrig.wire.sse import EventReader
from proofrig.wire.turn import Turn

APIS = tuple(CODECS)


def model_call(api: str, *, stream: bool = False) -> Outbound:
    """A call to a model."""
    return msgspec.structs.replace(
        CALL, form=api, name=f"llm.{api}", path="/v1/x", stream=stream, key="t"
    )


def tool_call(form: str = "tool", name: str = "search", **arguments: Any) -> Outbound:
    """A call of a tool, over HTTP or MCP."""
    return msgspec.structs.replace(
        CALL,
        surface="tool",
        form=form,
        name=f"tool.{name}",
        tool=name,
        body=msgspec.json.encode(arguments),
    )


PLAIN = msgspec.structs.replace(
    CALL, surface="egress", form="plain", name="egress.get", host="example.com", path="/a"
)


def said(api: str, turn: Turn, *, stream: bool = False) -> Made:
    """A turn as the model's API answers it."""
    if stream:
        return events_of(*said_in(api, turn))
    codec = CODECS[api]  # type: ignore[index]
    return whole(codec.encode_response(turn))


def heard(api: str, body: bytes, *, stream: bool = False) -> Turn:
    """The turn in an answer. Raises WireError."""
    codec = CODECS[api]  # type: ignore[index]
    if not stream:
        return codec.decode_response(body)
    decoder = codec.stream_decoder()
    decoder.feed(body)
    return decoder.turn()


def tool_result(value: Any) -> Made:
    """What a tool over HTTP answers."""
    return whole(msgspec.json.encode({"result": value}))


def mcp_message(identity: Any, **result: Any) -> bytes:
    """The answer to a JSON-RPC request."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "result": result})


def mcp_result(*values: Any, identity: Any = 4, sse: bool = False) -> Made:
    """What an MCP server answers a call with, each value in a text of its own."""
    texts = [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in values]
    parts = [{"type": "text", "text": text} for text in texts]
    message = mcp_message(identity, content=parts, isError=False)
    if sse:
        note = b'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
        return events_of(note, b"event: message\ndata: " + message + b"\n\n")
    return whole(message)


def value_of(form: str, body: bytes) -> Any:
    """The value in a tool's answer; of MCP, of its first text."""
    value = msgspec.json.decode(body)
    if form == "tool":
        return value["result"]
    text = value["result"]["content"][0]["text"]
    return msgspec.json.decode(text) if text[:1] in "[{" else text


def with_value(form: str, value: Any) -> Answer:
    """A good answer of a tool in this form."""
    return tool_result(value) if form == "tool" else mcp_result(value)


def events(body: bytes) -> list[Any]:
    """The data of a stream's events, as values; what is no JSON as it is."""
    found: list[Any] = []
    for event in EventReader().feed(body):
        try:
            found.append(msgspec.json.decode(event.data))
        except msgspec.DecodeError:
            found.append(event.data)
    return found
