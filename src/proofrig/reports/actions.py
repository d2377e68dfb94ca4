"""What an action of the history is to a reader: its kind, how long it waited, what it touched.

Rules:
1. Names and attributes are those of docs/reference/history.md; what is not known is passed over.
2. A wait is time in which nothing was done for the action: for a connection, a lock, a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proofrig.history.action import Action, Entry
from proofrig.reports.words import duration, line, money

KINDS = ("llm", "tool", "other", "kv", "lock", "cache", "queue", "quota", "pool", "file")
OTHER = KINDS.index("other")
_PLACES = {name: place for place, name in enumerate(KINDS)}
_WAITS = ("queue_ns", "waited_ns", "wait_ns")
_SHARED = frozenset(KINDS[OTHER + 1 :])
_CAPS = {"byte_cap": "`egress.max_bytes`", "limit_egress": "`limits.egress_mb`"}
_SAID = (  # attribute, in words, in this order; "" where the value speaks for itself
    ("service", ""),
    ("method", ""),
    ("host", ""),
    ("key", "key"),
    ("physical", "stored as"),
    ("path", ""),
    ("limit", "limit"),
    ("expected", "expected"),
    ("value", "value"),
    ("version", "version"),
    ("fencing", "fencing token"),
    ("owner", "owner"),
    ("entry", "entry"),
    ("similarity", "similarity"),
    ("text", "text"),
    ("message", "message"),
    ("delivery", "delivery"),
    ("amount", "amount"),
    ("level", "left"),
    ("capacity", "of"),
    ("holder", "held by"),
)
_FLAGS = {"hit": "hit", "public": "public", "expired": "it had expired", "stream": "stream"}
_NOTES = {
    "approval": "approval by rule {rule}: {answer}",
    "anomaly": "the watch, {step}: {says}",
    "kill": "killed at {point}",
    "lock_expired": "the lock {key} expired and was freed",
    "superseded": "call {call} was given up for {by}",
    "accepted": "the result of call {call} entered the context",
}
_QUOTED = ("approval", "anomaly")  # they name rules, which are not to be changed


def kind_of(name: str) -> int:
    """The place in `KINDS` of an action's name."""
    return _PLACES.get(name.partition(".")[0], OTHER)


def wait_of(attrs: Mapping[str, Any]) -> int:
    """How long it waited, nanoseconds."""
    return sum(int(attrs[name] or 0) for name in _WAITS if name in attrs)


def limited(attrs: Mapping[str, Any]) -> bool:
    """True when it was refused for its rate: status 429."""
    return attrs.get("status") == 429


def about(action: Action) -> str:
    """What a shared action touched, or which address was called, on one line; "" for calls to
    models and tools."""
    family = action.name.partition(".")[0]
    if family not in _SHARED and family != "egress":
        return ""
    known: dict[str, Any] = {}
    for entry in (action.reserve, action.start, action.end):
        known |= entry.attrs if entry is not None else {}
    if family == "egress":
        return _called(known)
    said = [
        f"{word} {line(str(known[name]), 120)}".strip()
        for name, word in _SAID
        if known.get(name) is not None
    ]
    if "value" in known and known["value"] is None:
        said.append("value absent")
    said += [word for name, word in _FLAGS.items() if known.get(name)]
    if known.get("hit") is False:
        said.append("miss")
    if wait := known.get("retry_after_ns"):
        said.append(f"retry after {duration(wait)}")
    return " · ".join(said)


def _called(known: Mapping[str, Any]) -> str:
    """`GET shop.example:8080/price · plain · 107 bytes up, 125 down`."""
    port = known.get("port")
    place = f"{known.get('host', '')}{f':{port}' if port not in (None, 80, 443) else ''}"
    said = [line(f"{known.get('method', '')} {place}{known.get('path', '')}", 200)]
    said += [str(known["seen"])] if known.get("seen") else []
    if "bytes_up" in known:
        said.append(f"{known['bytes_up']:,} bytes up, {known.get('bytes_down', 0):,} down")
        said += [f"cut: {cut} used up"] if (cut := _CAPS.get(known.get("blocked", ""))) else []
    return " · ".join(said)


def noted(entry: Entry) -> str:
    """What a note says that belongs among a trial's actions; "" for all others."""
    words = _NOTES.get(entry.name, "")
    if not words or entry.kind != "note":
        return ""
    if entry.name in _QUOTED:
        return line(words.format_map(_Known(entry.attrs)), 400)
    return line(words.format_map(_Known(entry.attrs)).replace("_", " "), 200)


def refused(attrs: Mapping[str, Any]) -> bool:
    """True of the end of an action that asked for approval and did not get it."""
    return str(attrs.get("reason", "")).startswith("approval_")


def ruled(told: Mapping[str, object]) -> str:
    """What a reservation's decision says of it: who refused it, what remains there, what to do."""
    effect = told.get("decision")
    if effect == "deny":
        return _refusal("denied", told)
    said = []
    if effect == "ask":
        said.append(f"asked for approval by rule {told.get('rule', '')}")
    if effect == "cap":
        rule = f" by rule {told['rule']}" if told.get("rule") else ""
        said.append(f"capped at {told.get('max_tokens')} output tokens{rule}")
    shadow = told.get("shadow")
    if isinstance(shadow, Mapping):
        if shadow.get("decision") == "deny":
            said.append(_refusal("would be denied", shadow))
        elif shadow.get("decision") == "ask":
            said.append(f"would ask for approval by rule {shadow.get('rule', '')}")
        else:
            said.append(f"would be capped at {shadow.get('max_tokens')} output tokens")
    return "; ".join(said)


def _refusal(word: str, told: Mapping[str, object]) -> str:
    rule = f" by rule {told['rule']}" if told.get("rule") else ""
    parts = [f"{word}: {told.get('code', '')}{rule}"]
    at = told.get("at")
    parts += [f"at {at}"] if at and not rule else []
    remaining = told.get("remaining")
    if isinstance(remaining, Mapping) and remaining:
        left = ", ".join(_amount(unit, amount) for unit, amount in sorted(remaining.items()))
        parts.append(f"what remains there: {left}")
    parts += [str(told["fix"])] if told.get("fix") else []
    return "; ".join(parts)


def _amount(unit: str, amount: int) -> str:
    """What remains: money in dollars, all else in its unit."""
    base, _, window = unit.partition("/")
    if base != "usd_micro":
        return f"{amount} {unit}"
    return f"{money(amount)} per {window}" if window else money(amount)


class _Known(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"
