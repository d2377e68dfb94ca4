"""Actions as the calls of runs, for what looks at any run: what was asked, what came, what it cost.

Rules:
1. A run is one trial in one scope; a child scope is a run of its own. Without trials the scope is.
2. What agents contend for (`kv.`, `lock.`, ...) is part of a call, and no call of its own.
3. A call that was denied has ended, in failure. One that never ended, or was released, is none.
4. Tokens are those that were new to the provider: what it had cached does not count.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proofrig.anomalies.settings import DEFAULTS, Done, Settings, State
from proofrig.checkers.checker import Setting
from proofrig.history.action import Action

SHARED = ("kv.", "lock.", "cache.", "queue.", "quota.", "pool.", "file.")
BESIDE = ("llm.models", "llm.count_tokens", "llm.input_tokens")
APART = SHARED + BESIDE
REFUSALS = frozenset({429, 503, 529})
_NOTHING: dict[str, Any] = {}


def run_of(action: Action) -> tuple[str, str]:
    """Whose action it is: trial and scope."""
    return action.trial, action.scope


def done_of(action: Action) -> Done | None:
    """The action as a call that has ended; None when it is none."""
    end, reserve = action.end, action.reserve
    asked = reserve.attrs if reserve is not None else _NOTHING
    if end is None:
        if reserve is None or asked.get("decision") != "deny":
            return None
        result = f"denied {asked.get('code', '')}"
        return Done(action.name, _arguments(asked, action), result, reserve.t, reserve.t, "failed")
    if end.kind != "commit":
        return None
    told = end.attrs
    first = reserve or action.start
    return Done(
        action.name,
        _arguments(asked, action),
        told.get("result") or told.get("response") or told.get("error") or "",
        first.t if first is not None else end.t,
        end.t,
        _state(told),
        tokens_of(told),
        asked.get("asked_by", ""),
    )


def tokens_of(told: dict[str, Any]) -> int:
    """The tokens of a commit's attributes, see rule 4."""
    usage = told.get("usage")
    if usage is None:
        actual = told.get("actual")
        return int(actual.get("tokens", 0)) if actual else 0
    fresh = usage.get("input", 0) - usage.get("cache_read", 0)
    return int(max(fresh, 0) + usage.get("output", 0))


def latency_of(action: Action) -> int:
    """Nanoseconds that the call itself took; -1 when it did not end."""
    end = action.end
    if end is None:
        return -1
    service = end.attrs.get("service_ns")
    if service is not None:
        return int(service)
    first = action.start or action.reserve
    return end.t - first.t if first is not None else -1


def settings_of(setting: Setting) -> Settings:
    """The thresholds, with what the scenario's parameters say of them in `anomalies`. Raises
    msgspec.ValidationError for what is none."""
    said = setting.params.get("anomalies")
    return DEFAULTS if said is None else msgspec.convert(said, Settings)


def _arguments(asked: dict[str, Any], action: Action) -> str:
    digest = asked.get("arguments") or asked.get("request")
    if digest is None and action.start is not None:
        digest = action.start.attrs.get("arguments")
    return digest if isinstance(digest, str) else ""


def _state(told: dict[str, Any]) -> State:
    outcome = told.get("outcome")
    if outcome == "ok":
        return "failed" if told.get("is_error") else "ok"
    refused = told.get("infra") or told.get("harness") or told.get("status") in REFUSALS
    return "refused" if refused or outcome == "unknown" else "failed"
