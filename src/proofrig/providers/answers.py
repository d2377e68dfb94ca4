"""What a simulated vendor puts around a reply: ids, usage, finish, headers, and refusals.

Rules:
1. A reply that is longer than the agent's `max_tokens` is cut there and finishes with `length`;
   arguments may be cut too, as real models leave them.
2. Refusals carry what the vendor would send, so that SDKs retry as they would in production.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proofrig.providers.limits import Meter, Refusal, limit_headers, retry_headers
from proofrig.providers.prompt import Reply, output_tokens
from proofrig.wire.turn import Api, Finish, Request, ToolCall, Turn, Usage

_REPLY_PREFIX: dict[Api, str] = {
    "chat_completions": "chatcmpl-",
    "responses": "resp_",
    "messages": "msg_",
}


class Failure(Exception):
    """A call that gets an error. `kind` is the vendor's code; `reason` is how it is counted."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        param: str = "",
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers
        self.param = param
        self.reason = reason or kind or "bad_request"


class Ids(msgspec.Struct, frozen=True):
    """The ids of a reply; `call` is what the ids of its tool calls begin with."""

    reply: str
    call: str


def ids_of(api: Api, number: int) -> Ids:
    """Ids as this API's vendor writes them."""
    text = f"{number:016x}"
    call = "toolu_" if api == "messages" else "call_"
    return Ids(_REPLY_PREFIX[api] + text, call + text)


def turn_of(reply: Reply, asked: Request, ids: Ids, given: int, now: int) -> tuple[Turn, Usage]:
    """The reply as the turn that the agent gets, and its usage. `given`: input tokens; `now`:
    Unix seconds."""
    reply = cut(reply, asked.max_tokens)
    calls = tuple(
        call if call.id else ToolCall(f"{ids.call}{place:02d}", call.name, call.arguments)
        for place, call in enumerate(reply.calls)
    )
    finish: Finish = reply.finish
    if finish == "unknown":
        finish = "tool_calls" if calls else "stop"
    usage = reply.usage or Usage(input=given, output=max(1, output_tokens(reply)))
    turn = Turn(
        api=asked.api,
        id=ids.reply,
        model=asked.model,
        text=reply.text,
        refusal=reply.refusal,
        tool_calls=calls,
        finish=finish,
        usage=usage,
        created=now,
    )
    return turn, usage


def cut(reply: Reply, most: int | None) -> Reply:
    """The reply within `most` tokens."""
    if most is None or output_tokens(reply) <= most:
        return reply
    room = most * 4  # characters
    text = reply.text[:room]
    room -= len(text)
    calls: list[ToolCall] = []
    for call in reply.calls:
        room -= len(call.name) + 16
        if room <= 0:
            break
        calls.append(ToolCall(call.id, call.name, call.arguments[:room]))
        room -= len(call.arguments)
    return Reply(text, tuple(calls), reply.refusal[: most * 4], "length")


def response_headers(api: Api, meter: Meter | None, now: float, number: int) -> dict[str, str]:
    """The vendor's headers; `number` counts the server's requests."""
    headers = {"Content-Type": "application/json"}
    if api == "messages":
        headers["request-id"] = f"req_{number:016x}"
    else:
        headers["x-request-id"] = f"req_{number:016x}"
        headers["openai-version"] = "2020-10-01"
    if meter is not None and (meter.requests or meter.tokens):
        headers.update(limit_headers(api, meter, now))
    return headers


def refused(api: Api, model: str, refusal: Refusal, meter: Meter, now: float) -> Failure:
    """A refusal by a limit, as the vendor words it."""
    headers = [*limit_headers(api, meter, now), *retry_headers(api, refusal.retry_after)]
    unit = {"requests": "requests per min (RPM)", "concurrent": "concurrent requests"}.get(
        refusal.limit, "tokens per min (TPM)"
    )
    what = "Request too large" if refusal.limit == "too_large" else "Rate limit reached"
    message = f"{what} for {model} on {unit}: Limit {refusal.allowed}, Requested {refusal.asked}."
    if refusal.limit in ("requests", "tokens"):
        message += f" Please try again in {refusal.retry_after:.3f}s."
    kind = "" if api == "messages" else "rate_limit_exceeded"
    return Failure(429, kind, message, tuple(headers), reason=refusal.limit)


def overloaded(api: Api) -> Failure:
    """The server serves as many connections as it can."""
    retry = (("x-should-retry", "true"),)
    if api == "messages":
        return Failure(529, "", "Overloaded", retry, reason="overloaded")
    message = "The engine is currently overloaded, please try again later."
    return Failure(503, "server_overloaded", message, retry, reason="overloaded")


def model_list(names: list[str], anthropic: bool) -> dict[str, Any]:
    """The models on offer, as `GET /v1/models` lists them."""
    if not anthropic:
        return {"object": "list", "data": [model_entry(name, anthropic) for name in names]}
    return {
        "data": [model_entry(name, anthropic) for name in names],
        "has_more": False,
        "first_id": names[0],
        "last_id": names[-1],
    }


def model_entry(name: str, anthropic: bool) -> dict[str, Any]:
    """One model on offer."""
    if anthropic:
        at = "2025-01-01T00:00:00Z"
        return {"type": "model", "id": name, "display_name": name, "created_at": at}
    return {"id": name, "object": "model", "created": 1735689600, "owned_by": "proofrig"}
