"""Whose request is it: the trial named in the path, the baggage, the trace or the key.

Rules:
1. Precedence: path, baggage, trace, key. The path is made for one trial and nobody sets it by
   accident; baggage and `traceparent` are set per request, so they win over a key that many trials
   share. Tracing often keeps the trace id where it drops the baggage.
2. The first channel that names a trial of this rig, live or ended, wins; one that names none is
   passed over, because a key may be the user's own and a path may belong to a shared host.
3. Nothing is guessed from addresses or times.
4. A key that is not ours may be a real secret: only its end is ever shown.
5. The baggage may name a child scope of the trial's own (`proofrig.child=researcher`), for an agent
   whose parts work on their own. It lies below the run, so it can never give more than the run has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote

import msgspec

from proofrig.gateways.gateway import Binding, Bindings, Channel

MEMBER = "proofrig.trial"  # the baggage member that carries a trial's token
CHILD = "proofrig.child"  # the one that names a child scope: a name, or a path of up to eight

_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}"
_CHILD = re.compile(rf"{_NAME}(?:/{_NAME}){{0,7}}")

State = Literal["live", "late", "unknown", "none"]


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What a request says about its trial.

    state: `live`; `late` when the trial has ended; `unknown` when it carries a token or key that no
    trial of this rig had; `none` when it carries nothing. binding: the trial, for live and late.
    hint: for unknown, the end of what was carried, safe to write down.
    """

    state: State
    channel: Channel
    binding: Binding | None = None
    hint: str = ""


def identify(bindings: Bindings, headers: Mapping[str, str], path_token: str = "") -> Identity:
    """The trial of a request from its path token and its headers (case-insensitive mapping)."""
    if path_token:
        binding = bindings.live(path_token)
        if binding is not None:
            return Identity("live", "path", in_child(bindings, binding, headers.get("baggage")))
    carried: list[tuple[Channel, str]] = [("path", path_token)] if path_token else []
    baggage = headers.get("baggage")
    if baggage and (token := trial_in_baggage(baggage)):
        carried.append(("baggage", token))
    if (trace := trace_of(headers)) and (token := bindings.of_trace(trace)):
        carried.append(("trace", token))
    if key := key_of(headers):
        carried.append(("key", key))
    for channel, token in carried:
        if (binding := bindings.live(token)) is not None:
            return Identity("live", channel, in_child(bindings, binding, baggage))
        if (binding := bindings.ended(token)) is not None:
            return Identity("late", channel, binding)
    if not carried:
        return Identity("none", "none")
    channel, token = carried[0]
    return Identity("unknown", channel, hint=masked(token))


def key_of(headers: Mapping[str, str]) -> str:
    """The API key a request carries: `Authorization: Bearer`, else `x-api-key`, else `api-key`."""
    authorization = headers.get("authorization", "")
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key", "") or headers.get("api-key", "")


def trial_in_baggage(baggage: str) -> str:
    """The trial's token in a W3C `baggage` header, or empty."""
    return _member(baggage, MEMBER)


def in_child(bindings: Bindings, binding: Binding, baggage: str | None) -> Binding:
    """The binding, in the child scope that a `baggage` header names. A name that is none is passed
    over."""
    if not baggage or CHILD not in baggage:
        return binding
    child = _member(baggage, CHILD)
    return bindings.in_child(binding, child) if _CHILD.fullmatch(child) else binding


def _member(baggage: str, wanted: str) -> str:
    for member in baggage.split(","):
        name, _, value = member.partition("=")
        if name.strip() == wanted:
            return unquote(value.partition(";")[0].strip())
    return ""


def without_trial(baggage: str) -> str:
    """The header's other members, as they were written."""
    members = (member for member in baggage.split(",") if member.strip())
    return ",".join(m for m in members if not m.partition("=")[0].strip().startswith("proofrig."))


def trace_of(headers: Mapping[str, str]) -> str:
    """The trace id of a W3C `traceparent` header, or empty."""
    parts = headers.get("traceparent", "").split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""


def masked(secret: str) -> str:
    """The last four characters of a long secret, and none of a short one."""
    return f"...{secret[-4:]}" if len(secret) >= 12 else "..."
