"""What to do about a kind of finding, in a line.

Rules:
1. One text per kind, said once under its heading, in every form of the report. Code stands in
   backticks.
2. A kind that is not here has none: `retry_storm` and `pool_starvation` end with their own.
"""

from __future__ import annotations

_TENANT = (
    "Put the tenant into the key, or give the service `partition: tenant`; declare as `public` "
    "what all tenants may see."
)
_ORDER = "Take locks in one order everywhere."
_LOOP = (
    "Give the agent a way to end: a limit on `calls` per run, a step that counts as progress, an "
    "answer that says why it stops."
)
_FLOOD = "Limit `calls/minute` or `tokens/minute` of a run, and let it wait between calls."
_DRIFT = "See what changed since the baseline: the model, its prompt, the tools or the data."
_CHILD = "Give children scopes below their parent, limit `children`, and wait for each of them."
_RESULT = "Match results to calls by id, drop what was superseded, make effects idempotent."
ADVICE: dict[str, str] = {
    "cross_tenant_leak": _TENANT,
    "wrong_tenant_hit": _TENANT,
    "key_collision": "Put all that sets two things apart into the key, whole: neither cut nor "
    "folded.",
    "lost_update": "Use compare-and-set, an atomic increment, or a lock that is held from the read "
    "to the write.",
    "lost_write": "Acknowledge a write only when it is stored, and write nothing over what you "
    "have not read.",
    "dirty_read": "Show a write to others only when it is committed.",
    "stale_read": "Read where the last write is seen: from the primary, and past a cache or by "
    "clearing it at each write.",
    "torn_write": "Write a temporary file and rename it over the old one, or use a transaction.",
    "lock_not_released": "Give the lock a time to live.",
    "stale_holder": "Check a fencing token at the store.",
    "deadlock": _ORDER,
    "lock_order_hazard": _ORDER,
    "stale_result": _RESULT,
    "misbound_result": _RESULT,
    "duplicate_result": _RESULT,
    "duplicate_effect": _RESULT,
    "partial_as_complete": "Wait for the end of an answer (its finish reason, its terminal event), "
    "ask again, or say that it is not whole.",
    "agent_failed_under_load": "See in its trace what refused it or kept it waiting; wait and try "
    "again, or let fewer run at once.",
    "tail_unbounded": "Bound what waits: refuse early, and give each request a deadline.",
    "tenant_exhaustion": "Limit each tenant by itself.",
    "synchronised_retries": "Spread retries: add jitter to Retry-After.",
    "leftover_state": "Clear what a trial leaves, or put the trial into the key.",
    **dict.fromkeys(("repeat", "ping_pong", "retry", "no_progress", "polling"), _LOOP),
    **dict.fromkeys(("flood", "calls_flood", "tokens_flood"), _FLOOD),
    **dict.fromkeys(("usd_micro_drift", "tokens_drift", "ms_drift", "per_trial_drift"), _DRIFT),
    **dict.fromkeys(("hand_off_lost", "hand_off_overspent"), _CHILD),
    **dict.fromkeys(("child_ran_on", "child_never_ended"), _CHILD),
    "fan_out_explosion": _CHILD,
    "deep_nesting": _CHILD,
    "free_commit": "See that the provider reports usage, and that the price table knows the model.",
    "too_fast": "See whether it was carried out at all: a stub, a cache or an early return.",
    "used_environment_worse": "Clear what earlier work leaves, or have the agent look at what is "
    "there before it begins.",
}

_STEPS = ("_denied", "_stopped")  # what the watch over a run did about a kind


def advice_on(kind: str) -> str:
    """What to do about a kind of finding; "" for one that is not known."""
    for step in _STEPS:
        kind = kind.removesuffix(step)
    return ADVICE.get(kind, "")
