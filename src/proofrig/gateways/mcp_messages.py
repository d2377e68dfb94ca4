"""What passes between an agent and an MCP server, message by message: where calls are decided.

Both taps bring every message of interest here, and do what the `Verdict` says. Only this and what
stands on a call's leg may answer, change or drop a message; all others pass untouched.

Rules:
1. A `tools/call` passes only when its action has begun, and its result only after the action has
   ended. A denial is a tool result with `isError`, which models read.
2. What cannot be read as JSON-RPC is not passed to a server, which might read it otherwise.
3. A batch passes whole or is answered whole: one denied call answers all of its requests.
4. A call that waits for an approval and is cancelled, or whose agent hangs up, is withdrawn.
5. An `Exchange` sees one connection (stdio) or one request (HTTP), so ids are unique in it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from proofrig.errors import Denied, ProofrigError
from proofrig.gateways.gateway import Binding
from proofrig.gateways.identity import Identity
from proofrig.gateways.tool_action import Asking, Calls, Ending, OpenCall, denial_text
from proofrig.history.action import Outcome

VERSION_META = "io.modelcontextprotocol/protocolVersion"  # since 2026-07-28, in every request
CALL_ID_META = "claudecode/toolUseId"
OUTCOME_META = "proofrig/outcome"  # "unknown" on a failure that may have had its effect
BAGGAGE_META = "baggage"  # OpenTelemetry's context propagation for MCP
PARSE_ERROR = -32700
REFUSED = -32000


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What a tap does with a message: pass it as it came, send `body` in its place, reply with
    `body` to its sender, or drop it. hold: another verdict follows, and others pass meanwhile. cut:
    the connection between the agent and its server ends."""

    do: Literal["pass", "send", "reply", "drop", "hold", "cut"] = "pass"
    body: bytes = b""


PASS = Verdict()


class Message(msgspec.Struct, gc=False):
    """A JSON-RPC message, as far as it matters here."""

    id: Any = None
    method: Any = None
    params: Any = None
    result: msgspec.Raw = msgspec.Raw()  # empty when absent
    error: msgspec.Raw = msgspec.Raw()


class _ToolResult(msgspec.Struct, gc=False, rename="camel"):
    is_error: Any = False
    meta: Any = msgspec.field(default=None, name="_meta")


class _ToolList(msgspec.Struct, gc=False):
    tools: list[Any] = []


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_one = msgspec.json.Decoder(Message)
_many = msgspec.json.Decoder(list[Message])
_tool_result = msgspec.json.Decoder(_ToolResult)
_tool_list = msgspec.json.Decoder(_ToolList)


def messages_of(body: bytes) -> list[Message]:
    """One message, or those of a batch. Raises one of `UNREADABLE`."""
    return _many.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]


class Exchange:
    """The open calls of one connection to `server`, or of one HTTP request."""

    def __init__(self, calls: Calls, identity: Identity, server: str) -> None:
        self.identity = identity
        self.server = server
        self._calls = calls
        self._open: dict[Any, OpenCall] = {}
        self._asking: dict[Any, asyncio.Task[Any] | None] = {}  # who waits for leave to begin
        self._lists: dict[Any, Binding] = {}

    @property
    def waits(self) -> bool:
        """True while a call has begun and its result has not passed."""
        return bool(self._open)

    async def from_client(self, body: bytes) -> Verdict:
        """The verdict on what the agent sent: one message or a batch, as JSON text."""
        batch = body.lstrip()[:1] == b"["
        try:
            messages = messages_of(body)
        except UNREADABLE as error:
            self._calls.note(self.identity.binding, "unreadable", {"server": self.server})
            text = f"proofrig: expected a JSON-RPC message, got {body[:80]!r}: {error}"
            return Verdict("reply", error_reply(None, PARSE_ERROR, text))
        begun: list[Message] = []
        for message in messages:
            try:
                refusal = await self._client_message(message)
            except asyncio.CancelledError:
                self._undo(begun, "its batch was withdrawn")
                raise
            if refusal is None:
                begun.append(message)
                continue
            self._undo(begun, "its batch was refused")
            return _answer_all(messages, message, refusal, batch)
        return PASS

    def from_server(self, body: bytes) -> Verdict:
        """The verdict on what passes to the agent, which ends the calls it answers."""
        if not self._open and not self._lists:
            return PASS
        try:
            messages = messages_of(body)
        except UNREADABLE:
            return PASS
        verdict = PASS
        for message in messages:
            key = call_key(message.id)
            if message.method is not None:
                continue
            if (call := self._open.pop(key, None)) is not None:
                self._calls.end(call, ending_of(message))
                if call.warning:
                    body = _warned(body, key, call.warning)
                    verdict = Verdict("send", body)
            elif (binding := self._lists.pop(key, None)) is not None and message.result:
                self._note_tools(binding, message.result)
        return verdict

    def call_of(self, body: bytes) -> tuple[Message, OpenCall] | None:
        """The one call that this message has begun; None of a batch and of anything else."""
        messages = messages_of(body)
        if len(messages) != 1 or messages[0].method != "tools/call":
            return None
        call = self._open.get(call_key(messages[0].id))
        return None if call is None else (messages[0], call)

    def is_open(self, identity: Any) -> bool:
        """True while the call of this id has begun and its result has not passed."""
        return call_key(identity) in self._open

    def end(self, identity: Any, ending: Ending) -> None:
        """End the call of this id, unless its result has passed."""
        if (call := self._open.pop(call_key(identity), None)) is not None:
            self._calls.end(call, ending)

    def adopt(self, other: Exchange) -> None:
        """Take over what `other` left open."""
        self._open.update(other._open)
        self._lists.update(other._lists)
        other._open, other._lists = {}, {}

    def fail(self, error: str, *, definite: bool, infra: bool = False) -> None:
        """No answer comes: every open call failed, for certain or not."""
        for call in self._open.values():
            outcome: Outcome = "fail" if definite else "unknown"
            self._calls.end(call, Ending(outcome, error=error, infra=infra))
        self._open.clear()

    def close(self, why: str) -> None:
        """The connection is gone: what is open will not be answered."""
        self.fail(why, definite=False)
        self._lists.clear()

    async def _client_message(self, message: Message) -> str | None:
        """Note a message of the agent; why it may not pass, or None."""
        if message.method == "tools/call":
            return await self._begin(message)
        if message.method == "tools/list":
            if self.identity.state == "live" and self.identity.binding is not None:
                self._lists[call_key(message.id)] = self.identity.binding
        elif message.method == "notifications/cancelled":
            gone = call_key(member(message.params, "requestId"))
            if (call := self._open.pop(gone, None)) is not None:
                self._calls.give_up([call], "the agent cancelled the call")
            elif (asking := self._asking.pop(gone, None)) is not None:
                asking.cancel()
        return None

    async def _begin(self, message: Message) -> str | None:
        name = member(message.params, "name")
        meta = member(message.params, "_meta")
        call_id = member(meta, CALL_ID_META)
        asking = Asking(
            name if isinstance(name, str) else "",
            member(message.params, "arguments") or {},
            self.server,
            call_id if isinstance(call_id, str) else "",
        )
        identity = self.identity
        baggage = member(meta, BAGGAGE_META)
        if identity.state != "live" and isinstance(baggage, str):
            identity = self._calls.identify({"baggage": baggage})
        if identity.state != "live" or identity.binding is None:
            return self._calls.note_stranger(identity, asking, self.server)
        key = call_key(message.id)
        self._asking[key] = asyncio.current_task()
        try:
            call = await self._calls.begin(identity.binding, identity.channel, asking)
        except Denied as denied:
            return denial_text(denied)
        except ProofrigError as error:
            return f"proofrig: the call was not made: {error}"
        finally:
            self._asking.pop(key, None)
        if message.id is None:
            self._calls.give_up([call], "sent as a notification: no result will come")
            return None
        if (earlier := self._open.get(key)) is not None:
            self._calls.give_up([earlier], "another request took its id")
        self._open[key] = call
        return None

    def _undo(self, messages: list[Message], why: str) -> None:
        for message in messages:
            if (call := self._open.pop(call_key(message.id), None)) is not None:
                self._calls.undo(call, why)

    def _note_tools(self, binding: Binding, result: msgspec.Raw) -> None:
        try:
            tools = _tool_list.decode(result).tools
        except msgspec.DecodeError:
            return
        self._calls.note_tools(binding, self.server, tools)


def refusal(body: bytes, text: str) -> bytes:
    """A JSON-RPC error that answers the request in `body`."""
    try:
        identity = _one.decode(body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        identity = None
    return error_reply(identity, REFUSED, text)


def ending_of(message: Message) -> Ending:
    """How a call ended, by the response to it."""
    result = bytes(message.result)
    if not result:
        error = bytes(message.error)
        return Ending("fail", error or None, True, error[:500].decode("utf-8", "replace"))
    try:
        told = _tool_result.decode(result)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = _ToolResult()
    if told.is_error is not True:
        return Ending("ok", result)
    if member(told.meta, OUTCOME_META) == "unknown":
        return Ending("unknown", result, True, "the tool's result says that it was given up")
    return Ending("fail", result, True, "the tool's result says that it failed")


def _warned(body: bytes, key: Any, warning: str) -> bytes:
    """A message or a batch, with a text for the model at the end of the answer of this id."""
    value = msgspec.json.decode(body)
    for answer in value if isinstance(value, list) else [value]:
        if not isinstance(answer, dict) or "method" in answer or call_key(answer.get("id")) != key:
            continue
        result, error = answer.get("result"), answer.get("error")
        if isinstance(result, dict):
            content = result.setdefault("content", [])
            if isinstance(content, list):
                content.append({"type": "text", "text": warning})
        elif isinstance(error, dict):
            error["message"] = f"{error.get('message', '')}\n\n{warning}"
    return msgspec.json.encode(value)


def _answer_all(messages: list[Message], denied: Message, text: str, batch: bool) -> Verdict:
    """Replies to every request of a refused message or batch; a drop when there is none."""
    replies = []
    for message in messages:
        if message.id is None or message.method is None:
            continue
        if message.method == "tools/call":
            said = text if message is denied else f"Not made: its batch was refused. {text}"
            replies.append(_tool_reply(message, said))
        else:
            replies.append(error_reply(message.id, REFUSED, f"its batch was refused. {text}"))
    if not replies:
        return Verdict("drop")
    return Verdict("reply", b"[" + b",".join(replies) + b"]" if batch else replies[0])


def _tool_reply(message: Message, text: str) -> bytes:
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    if member(member(message.params, "_meta"), VERSION_META) is not None:
        result["resultType"] = "complete"
    return msgspec.json.encode({"jsonrpc": "2.0", "id": message.id, "result": result})


def error_reply(identity: Any, code: int, text: str) -> bytes:
    """A JSON-RPC error."""
    error = {"code": code, "message": text}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "error": error})


def member(value: Any, name: str) -> Any:
    """A member of an object; None of anything else."""
    return value.get(name) if isinstance(value, dict) else None


def call_key(identity: Any) -> Any:
    """An id as a key; ids should be text or numbers, but an agent may send anything."""
    return identity if isinstance(identity, str | int | float) else msgspec.json.encode(identity)
