"""The leg of an MCP message: what stands between an agent and its MCP server.

Rules:
1. A `tools/call` on its own is a call that faults can strike. Of all else (a batch, `initialize`,
   `tools/list`, ...) only the tape is told.
2. What the server says is read on its way to the faults, where there are any for this call.
3. A response carries the id of its request, whoever made it: a tape or a fault may know another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.mcp_messages import (
    REFUSED,
    UNREADABLE,
    Message,
    call_key,
    ending_of,
    error_reply,
    member,
    messages_of,
)
from proofrig.gateways.tool_action import OpenCall
from proofrig.gateways.tool_leg import ToolLeg, arguments_of
from proofrig.wire.answer import Answer, Made, chunks, read, rebodied, rechunked, streams
from proofrig.wire.sse import EventSplitter


class McpLeg(ToolLeg):
    """The leg of one message. request: the message, or None of what is no single request. whole:
    its bytes, which tell what is none apart."""

    __slots__ = ("id",)

    def __init__(
        self,
        context: Context,
        binding: Binding,
        server: str,
        request: Message | None,
        call: OpenCall | None,
        *,
        headers: Mapping[str, str] = {},
        whole: bytes = b"",
        **more: Any,
    ) -> None:
        method = request.method if request is not None else "batch"
        params = request.params if request is not None else None
        super().__init__(
            context,
            binding,
            "mcp",
            "" if call is None else call.id,
            f"mcp.{method or 'response'}" if call is None else call.name,
            tool="" if call is None else call.tool,
            server=server,
            headers=headers,
            body=whole
            if request is None or request.method is None
            else arguments_of(params if call is None else member(params, "arguments") or {}),
            **more,
        )
        if call is None:
            self.call = replace(self.call, faulted=False)
        self.id = None if request is None else request.id

    async def heard(self, answer: Answer) -> Answer:
        if not self.hits:
            return answer
        if streams(answer):
            return rechunked(answer, self._listening)
        body = await read(answer)
        self._hear(body)
        return rebodied(answer, self.addressed(body))

    async def _listening(self, came: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        events = EventSplitter()
        async for chunk in came:
            for event in events.feed(chunk):
                if (data := data_of(event)) is not None:
                    self._hear(data)
            yield chunk

    def _hear(self, data: bytes) -> None:
        try:
            messages = messages_of(data)
        except UNREADABLE:
            return
        for message in messages:
            if message.method is None and self.truth is None:
                self.truth = ending_of(message)

    def addressed(self, data: bytes) -> bytes:
        """A response with the id of its request; anything else as it is."""
        if self.id is None:
            return data
        try:
            messages = messages_of(data)
        except UNREADABLE:
            return data
        message = messages[0] if len(messages) == 1 else Message(method="")
        answers = message.method is None and (message.result or message.error)
        if not answers or call_key(message.id) == call_key(self.id):
            return data
        value = msgspec.json.decode(data)
        return msgspec.json.encode({"jsonrpc": "2.0", "id": self.id} | value | {"id": self.id})

    async def readdressed(self, answer: Answer) -> Answer:
        """An answer whose body is one response, with the id of its request."""
        if streams(answer):
            return answer
        first = await answer.readany()
        ours = self.addressed(first)
        if ours != first:
            return Made(answer.status, ours, answer.headers, source=answer)

        async def pieces() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks(answer):
                yield chunk

        length = getattr(answer, "length", -1)
        return Made(answer.status, pieces(), answer.headers, source=answer, length=length)

    def line_of(self, status: int, body: bytes) -> bytes:
        """An answer as one line to the agent: what is no JSON-RPC and has an error's status becomes
        an error."""
        body = body.removesuffix(b"\n")
        if status < 400:
            return self.addressed(body)
        try:
            message = messages_of(body)[0]
        except (*UNREADABLE, IndexError):
            message = Message()
        if message.result or message.error:
            return self.addressed(body)
        said = body[:500].decode("utf-8", "replace")
        return error_reply(self.id, REFUSED, f"HTTP {status}: {said}")


def data_of(event: bytes) -> bytes | None:
    """The data of an event, or None when it has none."""
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(lines) if any(lines) else None


def with_data(event: bytes, data: bytes) -> bytes:
    """An event with other data; its kind, and the id to go on from, stay."""
    lines = (line for line in event.splitlines() if line and line[:5] != b"data:")
    return b"".join(line + b"\n" for line in lines) + b"data: " + data + b"\n\n"
