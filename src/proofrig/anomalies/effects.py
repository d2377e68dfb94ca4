"""Which calls of a tool are the same, and how often each was carried out.

Rules:
1. Two calls are the same when their arguments are, but for an idempotency key.
2. Calls with one idempotency key count as one: the tool is trusted to carry them out once.
3. What counts is what the tool did, not what its agent got: `executed` on a commit says when a
   fault answered in the tool's place, `undelivered` that its answer was hidden. Else a result was
   carried out once and an error was not. What nobody knows is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

_KEY = re.compile(
    r"(x[-_])?(idempot(ency|ent)([-_]?(key|token|id))?|dedup(e|lication)?[-_]?(key|token|id)|"
    r"client[-_]?request[-_]?(token|id)|client[-_]?token|nonce)",
    re.IGNORECASE,
)


class Wanted(msgspec.Struct, frozen=True):
    """What a call asks for. arguments: as canonical JSON, or as they were written; key: its
    idempotency key, "" without one."""

    arguments: str
    key: str = ""


def wanted(arguments: bytes | None) -> Wanted | None:
    """What a call with these arguments asks for; None when they were not kept."""
    if arguments is None:
        return None
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return Wanted(arguments.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        return Wanted(_text(value))
    keys = [name for name in sorted(value) if _KEY.fullmatch(name) and value[name]]
    rest = {name: one for name, one in value.items() if name not in keys}
    return Wanted(_text(rest), "\0".join(str(value[name]) for name in keys))


def carried_out(told: Mapping[str, Any] | None) -> int | None:
    """How often the tool was carried out, by the attributes of the call's commit; None: nobody
    knows. `told` is None of a call that never ended."""
    if told is None:
        return None
    executed = told.get("executed")
    if executed is not None:
        return int(executed)
    outcome = told.get("outcome")
    if outcome == "ok":
        hidden = told.get("undelivered")  # then an error is what the agent got, not what was done
        return 0 if told.get("is_error") and not hidden else 1
    return 0 if outcome == "fail" else None


def _text(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
