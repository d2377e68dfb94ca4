"""The answer to a reserve, as every face of the authority gives it.

Rules:
1. It follows from the transition alone, so that the same request gets the same answer again, also
   after a restart and from another process.
2. A denial says which rule or which scope, what remains, and what to do.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proofrig.authority.budget import SECOND_NS
from proofrig.authority.transition import Transition
from proofrig.errors import Denied

_CAP = "calls:rule."  # the unit that a rule's cap is counted in, before the rule's name


class Decision(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`allow`; `cap`: allowed, with `max_tokens` output tokens at most; `ask`: somebody has to
    approve it within `wait_s` seconds, its budget is held; `deny`. id: the reservation's, as
    requested. rule: the rule that decided. On deny: code, the scope that refused, what remains
    there per limited unit, what to do, and in how many nanoseconds it would fit, 0 when that is
    not known. shadow: what would have been decided, where decisions are only noted."""

    effect: Literal["allow", "cap", "ask", "deny"]
    id: str
    code: str = ""
    rule: str = ""
    scope: str = ""
    remaining: dict[str, int] | None = None
    fix: str = ""
    max_tokens: int | None = None
    wait_s: float = 0.0
    retry_ns: int = 0
    shadow: Decision | None = None

    @property
    def allowed(self) -> bool:
        return self.effect == "allow" or self.effect == "cap"

    def denied(self) -> Denied:
        """The denial as the error that reaches the agent."""
        return Denied(
            self.code,
            scope=self.scope,
            remaining=self.remaining,
            fix=self.fix,
            rule=self.rule,
            retry_ns=self.retry_ns,
        )

    def facts(self) -> dict[str, object]:
        """What the history keeps of it, without what says nothing."""
        told: dict[str, object] = {
            "rule": self.rule,
            "code": self.code,
            "at": self.scope,
            "remaining": self.remaining,
            "fix": self.fix,
            "max_tokens": self.max_tokens,
            "retry_ns": self.retry_ns,
        }
        if self.shadow is not None and self.shadow.effect != "allow":
            told["shadow"] = self.shadow.facts()
        kept = {name: value for name, value in told.items() if value}
        return {"decision": self.effect} | kept


def decision_of(made: Transition) -> Decision:
    """The answer that a transition which opened a reservation stands for."""
    if made.event == "reserve":
        if not made.rule and made.max_tokens is None:
            return Decision("allow", made.id)
        effect: Literal["allow", "cap"] = "allow" if made.max_tokens is None else "cap"
        return Decision(effect, made.id, rule=made.rule, max_tokens=made.max_tokens)
    if made.event == "ask":
        wait_s = (made.expires - made.t) / SECOND_NS
        return Decision("ask", made.id, rule=made.rule, max_tokens=made.max_tokens, wait_s=wait_s)
    return Decision(
        "deny",
        made.id,
        code=made.code,
        rule=made.rule or " and ".join(_caps(made)),
        scope=made.at,
        remaining=made.remaining,
        fix=made.fix or _fix(made),
        retry_ns=made.retry_ns,
    )


def approved(asked: Decision) -> Decision:
    """What asked may begin, with the cap it asked with."""
    effect: Literal["allow", "cap"] = "allow" if asked.max_tokens is None else "cap"
    return Decision(effect, asked.id, rule=asked.rule, max_tokens=asked.max_tokens)


def refused(asked: Decision, code: str, by: str, reason: str = "") -> Decision:
    """The denial of what asked, was not approved, and consumed nothing."""
    why = f"{by} refused it" if code == "approval_refused" else "nobody approved it in time"
    said = f": {reason}" if reason else ""
    fix = f"rule {asked.rule} asks for approval; {why}{said}; do without it, or ask a person"
    return Decision("deny", asked.id, code=code, rule=asked.rule, fix=fix)


def _short(made: Transition) -> dict[str, int]:
    """What was asked for and does not remain, by unit, with its window."""
    asked, remaining = made.amounts or {}, made.remaining or {}
    return {
        unit: left
        for unit, left in remaining.items()
        if (name := unit.partition("/")[0]) in asked and asked[name] > left
    }


def _caps(made: Transition) -> list[str]:
    """The rules whose caps are used up."""
    return [
        unit.partition("/")[0].removeprefix(_CAP) for unit in _short(made) if unit.startswith(_CAP)
    ]


def _fix(made: Transition) -> str:
    asked, at = made.amounts or {}, made.at
    if made.code == "fan_out_exceeded":
        return f"{at} may open no further child scope; use one that is open, or raise its children"
    if made.code == "run_stopped":
        return f"{at} was stopped; nothing starts in it any more"
    short = _short(made)
    if caps := _caps(made):
        names = " and ".join(caps)
        wait = f"wait {made.retry_ns / SECOND_NS:.1f} s" if made.retry_ns else "do without it"
        return f"the cap of rule {names} is used up; {wait}, or raise the cap"
    wants = (
        ", ".join(
            f"{asked[unit.partition('/')[0]]} {unit} where {left} remain"
            for unit, left in short.items()
        )
        or "more than what calls before it in the same turn leave"
    )
    if made.retry_ns:
        return f"asked {wants}; wait {made.retry_ns / SECOND_NS:.1f} s, or raise the limit of {at}"
    return f"asked {wants}; ask for less, wait until open holds settle, or raise the budget of {at}"
