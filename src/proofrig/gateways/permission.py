"""What a call to a model may come to: what the watch and the authority say, and what is therefore
changed in its request.

Rules:
1. A call whose whole bound does not fit is asked for again with as many output tokens as the budget
   still buys, down to `LlmSettings.least_tokens`; where even its input does not fit, it is denied.
2. A rule's cap on output tokens, tools that could not be called any more, and what the watch has to
   say to the model change the request before it leaves; `amended` says what was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from proofrig.authority.decision import Decision
from proofrig.authority.prices import PriceUnknown
from proofrig.authority.transition import ReserveRequest
from proofrig.gateways.charges import Bound, affordable, estimate

if TYPE_CHECKING:
    from proofrig.gateways.call import Call


def watched(call: Call) -> tuple[Decision | None, str]:
    """What the watch over the run denies, and what it has to say to the model."""
    context = call.desk.context
    admission = context.admission
    if admission.watch is None:
        return None, ""
    call.digest = context.journal.payload(call.body)
    step = admission.seen(call.binding, call.name, call.digest)
    if step is None or not admission.enforces:
        return None, ""
    if step.step == "warn":
        return None, step.says
    code, scope = f"{step.kind}_detected", call.binding.scope
    return Decision("deny", call.id, code, scope=scope, fix=step.says), ""


def ask(call: Call) -> Decision:
    """Ask the authority for the call; for less of it where the budget does not buy all."""
    settings, bound = call.desk.settings, call.bound
    decision = _reserve(call, bound)
    if decision.effect != "deny" or not decision.remaining or not settings.trim:
        return decision
    rate = settings.prices.price(call.asked.model).output if settings.prices else 0
    each = affordable(bound, call.held, decision.remaining, rate)
    if each < settings.least_tokens or each * bound.answers >= bound.output:
        return decision
    call.id = call.desk.context.journal.new_action()  # a denial is remembered under its id
    less = msgspec.structs.replace(bound, output=each * bound.answers)
    again = _reserve(call, less)
    if again.effect == "deny":
        return again
    effect = "ask" if again.effect == "ask" else "cap"
    cap = each if again.max_tokens is None else min(each, again.max_tokens)
    return msgspec.structs.replace(again, effect=effect, max_tokens=cap)


def _reserve(call: Call, bound: Bound) -> Decision:
    settings, asked = call.desk.settings, call.asked
    try:
        call.held = estimate(bound, asked.model, settings.prices, len(call.body))
    except PriceUnknown as unknown:
        return Decision("deny", call.id, unknown.code, fix=unknown.fix)
    arguments = {
        "model": asked.model,
        "max_tokens": bound.output // bound.answers,
        "stream": asked.stream,
        "tools": [tool.name for tool in asked.tools],
    }
    scope, hold_ns = call.binding.scope, call.desk.hold_ns
    return call.desk.context.authority.reserve(
        ReserveRequest(call.id, scope, call.name, call.held, hold_ns, arguments)
    )


def amend(call: Call, decision: Decision, warning: str) -> None:
    """Change what must be changed in the request before it may leave. Raises WireError."""
    asked, bound, desk = call.asked, call.bound, call.desk
    cap = decision.max_tokens
    if cap is not None and cap * bound.answers < bound.output:
        call.bound = bound = msgspec.structs.replace(bound, output=cap * bound.answers)
        call.amended.append("max_tokens")
    closed = desk.closed_tools(call.binding.scope, asked)
    if closed:
        call.amended.append("tools")
    if warning:
        call.amended.append("note")
    call.asked_usage = asked.stream and not asked.wants_usage and desk.settings.ask_usage
    if call.asked_usage:
        call.amended.append("include_usage")
    if call.amended:
        call.upstream_body = call.codec.amend_request(
            call.body,
            max_tokens=bound.output // bound.answers if "max_tokens" in call.amended else None,
            ask_usage=call.asked_usage,
            without_tools=closed,
            note=f"\n[proofrig] {warning}" if warning else "",
        )
