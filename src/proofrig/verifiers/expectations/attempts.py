"""`max_attempts` and `retry_budget`: how often the agent asked again for what a fault hid.

Rules:
1. Attempts at one request are counted on the history, whichever layer made them: `attempt` and
   `retry_of` where the gateway links them; equal calls of a tool or a host, one after another that
   went wrong, where it does not.
2. The budget is retries over first attempts, of all requests of the trial. A trial has few: of five
   requests a budget of 0.2 lets one be tried again.
3. A call that was denied reached nobody, and is still an attempt of the agent.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proofrig.history.action import Action
from proofrig.verifiers.expectations.struck import Hits, verdict
from proofrig.verifiers.verifier import Verdict

REQUESTS = ("llm.", "tool.", "egress.")
# Faults after which an answer comes as it was.
_LATE = frozenset({"latency", "slow_first_token", "trickle", "split_utf8", "pause"})
_BESIDE = frozenset({"llm.models", "llm.count_tokens", "llm.input_tokens"})


class Chain(msgspec.Struct):
    """One request and its attempts. last: how the last attempt went."""

    name: str
    ids: set[str]
    attempts: int = 1
    last_failed: bool = False


def max_attempts(most: int, hits: Hits) -> Verdict:
    """No request that a fault struck was tried more than `most` times."""
    struck = {action.id for action in hits.struck}
    chains = [one for one in chains_of(hits.evidence.actions) if one.ids & struck]
    worst = max(chains, key=lambda chain: chain.attempts, default=None)
    if worst is None:
        return verdict("max_attempts", True, f"at most {most} attempts", "no request was struck")
    tried = f"{worst.attempts} at {worst.name}"
    return verdict(
        "max_attempts",
        worst.attempts <= most,
        f"at most {most} attempts at one request, under {hits.says()}",
        tried,
    )


def retry_budget(most: float, hits: Hits) -> Verdict:
    """Retries over first attempts of the whole trial."""
    chains = chains_of(hits.evidence.actions)
    retries = sum(chain.attempts - 1 for chain in chains)
    share = retries / max(1, len(chains))
    return verdict(
        "retry_budget",
        share <= most,
        f"at most {most:g} retries a request, under {hits.says()}",
        f"{share:.2f}: {retries} retries of {len(chains)} requests",
    )


def chains_of(actions: Iterable[Action]) -> list[Chain]:
    """The requests of a trial, each with its attempts."""
    chains: list[Chain] = []
    by_id: dict[str, Chain] = {}
    by_call: dict[tuple[str, str], Chain] = {}
    for action in sorted(actions, key=_began):
        if not action.name.startswith(REQUESTS) or action.name in _BESIDE:
            continue
        call = (action.name, str(action.attr("arguments") or action.attr("request") or action.id))
        chain = by_id.get(str(action.attr("retry_of", "")))
        if chain is None and not action.name.startswith("llm."):
            before = by_call.get(call)
            chain = before if before is not None and before.last_failed else None
        if chain is None:
            chain = Chain(action.name, set(), 0)
            chains.append(chain)
        chain.ids.add(action.id)
        chain.attempts = max(chain.attempts + 1, int(action.attr("attempt", 1)))
        chain.last_failed = _went_wrong(action)
        by_id[action.id] = by_call[call] = chain
    return chains


def _began(action: Action) -> int:
    first = action.reserve or action.start or action.end
    return first.t if first is not None else 0


def _went_wrong(action: Action) -> bool:
    if action.outcome != "ok" or action.attr("is_error") or action.attr("undelivered"):
        return True
    if int(action.attr("status", 0)) >= 400:
        return True
    # Of a host nobody knows what its agent had of an answer that a fault changed.
    return action.name.startswith("egress.") and any(f.name not in _LATE for f in action.faults)
