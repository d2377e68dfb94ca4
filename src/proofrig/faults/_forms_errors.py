"""Errors as each form writes them, and what a server says about trying again.

Rules:
1. A model's API answers with its vendor's error object, so that every SDK raises its own exception.
2. A tool over HTTP answers `{"error": {"type", "message"}}`. MCP answers a JSON-RPC error, and
   where a tool itself fails, a result with `isError`, which models read.
3. A JSON-RPC message that is made here has the id null: the gateway knows whose request it answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from proofrig.faults._forms import JSON, codec_of, parsed
from proofrig.wire.answer import Made
from proofrig.wire.outbound import Outbound
from proofrig.wire.sse import encode_event

RetryAfter = Literal["none", "seconds", "milliseconds", "date", "huge"]
HUGE_S = 3600.0  # some clients obey it, others give up at once
_FAILED = -32603  # JSON-RPC's internal error

# Status -> the vendor's code, and what it says.
_OPENAI = {
    401: ("invalid_api_key", "Incorrect API key provided."),
    403: ("unsupported_country_region_territory", "Country, region, or territory not supported."),
    408: ("", "Request timed out."),
    409: ("", "The resource was updated by another request. Please try again."),
    429: ("rate_limit_exceeded", "Rate limit reached on requests per min (RPM)."),
    500: ("", "The server had an error while processing your request. Sorry about that!"),
    502: ("", "Bad gateway."),
    503: ("", "The engine is currently overloaded, please try again later."),
    504: ("", "The server did not answer in time."),
    529: ("", "The engine is currently overloaded, please try again later."),
}
_ANTHROPIC = {
    401: ("", "invalid x-api-key"),
    429: ("", "This request would exceed your organization's rate limit of requests per minute."),
    500: ("", "Internal server error"),
    503: ("", "Service temporarily unavailable"),
    504: ("", "Request timed out"),
    529: ("", "Overloaded"),
}
_encode = msgspec.json.encode


def error_value(call: Outbound, status: int, message: str = "") -> Any:
    """The body of an error, as a value."""
    kind, said = _words(call.form, status)
    said = message or said
    codec = codec_of(call.form)
    if codec is not None:
        return parsed(codec.encode_error(status, kind, said))
    if call.form == "tool":
        return {"error": {"type": slug(status), "message": said}}
    if call.form == "mcp":
        error = {"code": _FAILED, "message": said, "data": {"status": status}}
        return {"jsonrpc": "2.0", "id": None, "error": error}
    return {"error": {"code": status, "message": said}}


def error_answer(
    call: Outbound, status: int, headers: Mapping[str, str] | None = None, *, message: str = ""
) -> Made:
    """An error of this status, in the form of the call."""
    body = _encode(error_value(call, status, message))
    return Made(status, body, {"content-type": JSON, **(headers or {})})


def failed_result(text: str) -> Made:
    """A result of an MCP call that tells of the tool's failure, under status 200. Clients of the
    newest protocol demand `resultType`, those of earlier ones pass it over."""
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    result["resultType"] = "complete"
    body = _encode({"jsonrpc": "2.0", "id": None, "result": result})
    return Made(200, body, {"content-type": JSON})


def error_event(call: Outbound, status: int, number: int, message: str = "") -> bytes:
    """The event by which a stream says that it failed; `number` events came before it."""
    value = error_value(call, status, message)
    if call.form == "chat_completions":
        return encode_event(_encode(value))
    if call.form == "responses":
        told = value["error"]
        value = {"type": "error", "sequence_number": number, "param": None}
        value |= {"code": told["code"] or told["type"], "message": told["message"]}
    return encode_event(_encode(value), "" if call.form == "mcp" else "error")


def retry_headers(
    said: RetryAfter, wait_s: float, should_retry: bool | None = None
) -> dict[str, str]:
    """What a server says about when, and whether, to try again."""
    headers: dict[str, str] = {}
    if said in ("seconds", "huge"):
        headers["retry-after"] = str(math.ceil(wait_s))
    elif said == "milliseconds":
        headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
    elif said == "date":
        headers["retry-after"] = formatdate(time.time() + wait_s, usegmt=True)
    if should_retry is not None:
        headers["x-should-retry"] = "true" if should_retry else "false"
    return headers


def slug(status: int) -> str:
    """The name of a status as a word: `too_many_requests`."""
    return _phrase(status).lower().replace(" ", "_").replace("-", "_").replace("'", "")


def _words(form: str, status: int) -> tuple[str, str]:
    """The code of an error, and its message."""
    known = {"chat_completions": _OPENAI, "responses": _OPENAI, "messages": _ANTHROPIC}
    return known.get(form, {}).get(status, ("", f"{_phrase(status)}."))


def _phrase(status: int) -> str:
    if status == 529:
        return "Overloaded"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
