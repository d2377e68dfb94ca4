"""What a call to a model may come to: what the watch and the authority say, and what is therefore
changed in its request.

Rules:
1. A call whose whole bound does not fit, or which a rule caps, is asked for again with as many
   output tokens as the budget still buys and the rule allows: what is held is what may leave. Below
   `LlmSettings.least_tokens`, and where even its input does not fit, it is denied. Where waiting
   helps (a window that is full for now) nothing is lowered.
2. A rule's cap on output tokens, tools that could not be called any more, and what the watch has to
   say to the model change the request before it leaves; `amended` says what was changed.
3. A call that breaks a limit of its trial (`limits`) is denied; nothing less is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.authority.decision import Decision
from proofrig.authority.prices import PriceUnknown
from proofrig.authority.transition import ReserveRequest
from proofrig.gateways.admission import refusal
from proofrig.gateways.charges import Bound, affordable, estimate, thinking_of

if TYPE_CHECKING:
    from proofrig.gateways.call import Call

_ROUNDS = 8  # each scope may leave less than the one above it


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
    return refusal(call.binding, call.id, step), step.says


def ask(call: Call) -> Decision:
    """Ask for the call: whether its trial's limits let it in, and then the authority."""
    admission = call.desk.context.admission
    limiter, about = admission.limiter, (call.id, call.binding)
    broken = limiter.context(*about, call.known, call.fresh) or limiter.retry(*about, call.attempt)
    return admission.within(broken, lambda: _ask(call))


def _ask(call: Call) -> Decision:
    """Ask the authority for the call; for less of it where a rule or the budget says less."""
    context, whole = call.desk.context, call.bound
    authority = context.authority
    decision, wanted = _reserve(call, whole), whole
    held = call.held
    for _ in range(_ROUNDS):
        less = _less(call, wanted, decision.shadow or decision)
        if less is None:
            break
        if decision.effect != "deny":
            authority.release(call.id, "asked for again, for less")
        wanted = less
        call.id = context.journal.new_action()  # an answer is remembered under its id
        decision = _reserve(call, wanted)
    if wanted is whole:
        return decision
    most = wanted.output // wanted.answers
    thinking = thinking_of(call.body)
    if most <= thinking and decision.effect != "deny" and context.admission.enforces:
        authority.release(call.id, "its thinking does not fit")
        fix = (
            f"at most {most} output tokens may be used, and thinking.budget_tokens sets {thinking} "
            "aside; think with less"
        )
        where = call.binding.scope
        return Decision("deny", call.id, "not_allowed", decision.rule, where, fix=fix)
    if decision.shadow is None:
        return _capped(decision, most)
    call.held = held  # the whole of it will leave
    return msgspec.structs.replace(decision, shadow=_capped(decision.shadow, most))


def _capped(decision: Decision, most: int) -> Decision:
    """The answer to a call that was asked for with `most` output tokens, which is less than the
    agent wanted."""
    if decision.effect == "deny":
        return decision
    effect = "ask" if decision.effect == "ask" else "cap"
    return msgspec.structs.replace(decision, effect=effect, max_tokens=most)


def _less(call: Call, wanted: Bound, decision: Decision) -> Bound | None:
    """What to ask for in the place of `wanted`, to which `decision` was the answer; None to leave
    it at that."""
    settings, remaining = call.desk.settings, decision.remaining
    each = wanted.output // wanted.answers
    least = max(settings.least_tokens, thinking_of(call.body) + 1)
    if decision.effect != "deny":
        most = each if decision.max_tokens is None else decision.max_tokens
    elif not remaining or not settings.trim or decision.retry_ns:
        return None  # nothing helps, or waiting does
    else:
        left: dict[str, int] = {}
        for unit, amount in remaining.items():
            name = unit.partition("/")[0]
            left[name] = min(amount, left.get(name, amount))
        rate = settings.prices.price(call.asked.model).output if settings.prices else 0
        most = affordable(wanted, call.held, left, rate)
        if decision.code == "rate_exceeded":
            most = max(most, least)  # the answer to which says how long to wait
        elif most < least:
            return None
    return msgspec.structs.replace(wanted, output=most * wanted.answers) if most < each else None


def _reserve(call: Call, bound: Bound) -> Decision:
    settings, asked, context = call.desk.settings, call.asked, call.desk.context
    unpriced: Decision | None = None
    try:
        call.held = estimate(bound, asked.model, settings.prices, len(call.body))
    except PriceUnknown as unknown:
        unpriced = Decision("deny", call.id, unknown.code, fix=unknown.fix)
        if context.admission.enforces:
            return unpriced
        call.held = estimate(bound, asked.model, None, len(call.body))
    arguments: dict[str, Any] = {}
    if context.authority.policy is not None:
        arguments = {
            "model": asked.model,
            "max_tokens": bound.output // bound.answers,
            "stream": asked.stream,
            "tools": [tool.name for tool in asked.tools],
        }
    scope, hold_ns = call.binding.scope, call.desk.hold_ns
    request = ReserveRequest(call.id, scope, call.name, call.held, hold_ns, arguments)
    decision = context.authority.reserve(request)
    return msgspec.structs.replace(decision, shadow=unpriced) if unpriced else decision


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
