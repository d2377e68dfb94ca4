"""What the gateway itself answers to an agent, in the form its API uses for errors.

Rules:
1. Each answer is an error body as the vendor writes it, so that every SDK raises its own exception,
   with the facts beside it under `error.proofrig` for those who look.
2. What a retry cannot change says so: `x-should-retry: false` stops the SDKs' own retries.
3. A message says what was expected, what came, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from proofrig.errors import Denied
from proofrig.gateways.identity import Identity
from proofrig.gateways.upstream import path_of
from proofrig.wire import CODECS
from proofrig.wire.codec import Codec
from proofrig.wire.turn import Api

_PATIENCE_NS = 60 * 1_000_000_000  # SDKs wait no longer than this for a retry
_RAN_OUT = (
    *("budget_exceeded", "rate_exceeded", "fan_out_exceeded", "flood_detected"),
    "limit_retries",
)
_TOO_LONG = ("limit_context",)


def refuse(
    codec: Codec | None,
    status: int,
    kind: str,
    message: str,
    *,
    retry: bool = False,
    facts: dict[str, Any] | None = None,
) -> web.Response:
    """An error answer. `codec` None: a plain one, for paths that no API serves."""
    if codec is None:
        body = msgspec.json.encode({"error": {"message": message, "type": kind, "code": kind}})
    else:
        body = codec.encode_error(status, kind, message)
    value = msgspec.json.decode(body)
    if isinstance(value.get("error"), dict):
        value["error"]["proofrig"] = {"code": kind, **(facts or {})}
    headers = {"x-should-retry": "true" if retry else "false"}
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers=headers,
    )


def denied(codec: Codec | None, reason: Denied) -> web.Response:
    """The authority or a limit said no, see `deny_status`."""
    left = ", ".join(f"{amount} {unit}" for unit, amount in sorted(reason.remaining.items()))
    message = f"proofrig refused this call: {reason.code}"
    message += f" by rule {reason.rule}" if reason.rule else ""
    message += f" at {reason.scope}" if reason.scope else ""
    message += f"; what remains there: {left}" if left else ""
    message += f". {reason.fix}" if reason.fix else "."
    answer = refuse(
        codec,
        deny_status(reason.code),
        reason.code,
        message,
        retry=0 < reason.retry_ns <= _PATIENCE_NS,
        facts=denial_facts(reason),
    )
    answer.headers.update(retry_headers(reason))
    return answer


def deny_status(code: str) -> int:
    """429 where the agent ran out of something, 400 where it asked for too much at once, as vendors
    say of a context that is too long; 403 where it may not."""
    return 429 if code in _RAN_OUT else 400 if code in _TOO_LONG else 403


def denial_facts(reason: Denied) -> dict[str, Any]:
    """A denial as fields, for programs."""
    facts: dict[str, Any] = {"code": reason.code, "scope": reason.scope}
    facts |= {"remaining": reason.remaining, "fix": reason.fix}
    if reason.rule:
        facts["rule"] = reason.rule
    if reason.retry_ns:
        facts["retry_after_ms"] = -(-reason.retry_ns // 1_000_000)
    return facts


def retry_headers(reason: Denied) -> dict[str, str]:
    """When to try again, where that is known; SDKs wait for it by themselves."""
    if not reason.retry_ns:
        return {}
    ms = -(-reason.retry_ns // 1_000_000)
    return {"retry-after": str(-(-ms // 1000)), "retry-after-ms": str(ms)}


def unattributed(codec: Codec | None, identity: Identity) -> web.Response:
    """The request belongs to no live trial of this rig."""
    if identity.state == "late" and identity.binding is not None:
        trial = identity.binding.trial
        return refuse(
            codec,
            401,
            "trial_ended",
            f"proofrig: trial {trial} has ended, and this request came after its end. The agent "
            "left work running; wait for all calls before the agent returns.",
            facts={"trial": trial},
        )
    got = {"path": "a path", "key": "a key", "baggage": "baggage", "none": "nothing"}
    carried = got[identity.channel] + (f" ending in {identity.hint}" if identity.hint else "")
    return refuse(
        codec,
        401,
        "unattributed",
        "proofrig: expected a request of a running trial, named by its path /t/<token>/, its "
        f"baggage (proofrig.trial=<token>) or its API key; got {carried}, which belongs to no "
        "trial. Use the base URL and key from the environment proofrig gives the agent; in shared "
        "mode, make the call where the trial's own code runs: another trial's worker thread or "
        "task, and other processes, carry no identity (isolated mode knows them all).",
    )


def not_served(codec: Codec | None, path: str, apis: Iterable[Api]) -> web.Response:
    """No API of this rig has this path."""
    served = ", ".join(f"/v1{path_of(CODECS[api])}" for api in apis)
    return refuse(
        codec,
        404,
        "not_served",
        f"proofrig: expected a path this run serves ({served}, each also below /t/<token>), got "
        f"{tidy(path)}. Check the agent's base URL, or give the suite an endpoint for this API.",
    )


def tidy(path: str) -> str:
    """The path without the token that may stand in it."""
    head, _, rest = path.removeprefix("/t/").partition("/")
    return f"/t/<token>/{rest}" if path.startswith("/t/") and head else path
