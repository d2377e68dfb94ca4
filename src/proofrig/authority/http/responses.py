"""What the authority's HTTP service answers, made from what the engine says.

Rules:
1. A rule's denial is 403, a limit's 429; a 429 says when to come back, where that is known.
2. Every error is a `messages.Error`, aiohttp's own refusals too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from proofrig.authority.budget import SECOND_NS
from proofrig.authority.decision import Decision, decision_of
from proofrig.authority.http import messages as m
from proofrig.authority.http.operations import PREFIX
from proofrig.authority.http.requests import MAX_BODY, Wrong
from proofrig.authority.http.served import Seen

ENDED = frozenset({"expired_released", "expired_charged"})

_LIMITS = frozenset({"budget_exceeded", "rate_exceeded", "fan_out_exceeded"})
_encode = msgspec.json.Encoder().encode


def respond(status: int, body: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=_encode(body), content_type="application/json", headers=headers
    )


def decided(decision: Decision, id: str) -> web.Response:
    body = told(decision, id)
    if decision.effect != "deny":
        return respond(202 if decision.effect == "ask" else 201, body)
    wait = decision.retry_ns
    headers = {"Retry-After": str(-(-wait // SECOND_NS))} if wait else None
    return respond(429 if decision.code in _LIMITS else 403, body, headers)


def reservation(seen: Seen, id: str) -> m.Reservation:
    """All that is known of a reservation."""
    opened, last = seen.opened, seen.last
    ended = seen.state in ("committed", "released", "denied", *ENDED)
    charged = last.amounts or {} if seen.state in ("committed", "expired_charged") else {}
    return m.Reservation(
        id,
        seen.state,
        opened.scope,
        opened.name,
        list(opened.also),
        None if opened.event == "event" else verdict(decision_of(opened)),
        opened.amounts or {},
        {} if ended else seen.held,
        charged,
        last.source,
        last.outcome,
        None if ended else seen.expires // m.MS_NS,
    )


def told(decision: Decision, id: str) -> m.Allowed | m.Denied:
    """A decision as the answer about the reservation `id`."""
    if decision.effect == "deny":
        return m.Denied("deny", id, reason_of(decision))
    would = None if decision.shadow is None else verdict(decision.shadow)
    wait_ms = round(decision.wait_s * 1_000)
    return m.Allowed(decision.effect, id, decision.rule, decision.max_tokens, wait_ms, would)


def verdict(decision: Decision) -> m.Verdict:
    """A decision as a part of another answer."""
    why = reason_of(decision) if decision.effect == "deny" else None
    return m.Verdict(decision.effect, decision.rule, decision.max_tokens, why)


def reason_of(decision: Decision) -> m.Reason:
    """Why a decision denies."""
    return m.Reason(
        decision.code,
        decision.rule,
        decision.scope,
        decision.remaining or {},
        decision.fix,
        -(-decision.retry_ns // m.MS_NS) or None,
    )


def forbidden(said: str) -> Wrong:
    return Wrong(403, m.Fault("forbidden", said))


def unknown(id: str) -> Wrong:
    said = f"reservation {id!r}: expected one that was reserved, got an id that is unknown or ended"
    return Wrong(404, m.Fault("not_found", f"{said} too long ago; reserve first, under a new id"))


def refusal(request: web.Request, error: web.HTTPException) -> web.Response:
    """aiohttp's own refusals, in our shape."""
    path = request.rel_url.raw_path[:200]
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        said = f"{path}: expected {allowed}, got {request.method}"
        return respond(405, m.Error(m.Fault("method_not_allowed", said)), {"Allow": allowed})
    if error.status == 413:
        said = f"body: expected at most {MAX_BODY} bytes, got more"
        return respond(413, m.Error(m.Fault("too_large", said)))
    if error.status == 404:
        said = f"{path}: there is no such call; see {PREFIX}/openapi.json"
        return respond(404, m.Error(m.Fault("not_found", said)))
    return respond(400, m.Error(m.Fault("bad_request", str(error.reason))))
