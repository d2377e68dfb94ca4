"""Which request is a client's retry of which.

Rules:
1. A request is a retry when its trial has a failed request with the same canonical digest, or when
   the client says so (`x-stainless-retry-count` above 0), whether or not that one is found.
2. The count that a client sends is not trusted to be complete: frameworks retry around their SDK
   and start at 0 again. So attempts are counted here, and the header is a lower bound.
3. Only failed requests are remembered, a bounded number per trial; so a trial without failures
   costs one look into a dict, and the canonical digest is made only where something failed.
4. Once a request went well, asking the same again is no retry but a loop.
5. A failure has one retry: of two equal requests that failed at once, each is retried as itself.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

from proofrig.history.payloads import digest_of

_COUNT = re.compile(r"[0-9]{1,6}")  # what else it may say is no count
_VOLATILE = frozenset({"prompt_cache_key", "metadata", "stream", "stream_options"})


class Failed(msgspec.Struct, frozen=True, gc=False):
    """A request that failed: its action, which attempt it was (from 1), and when it ended."""

    action: str
    attempt: int
    ended_ns: int


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request as an attempt. `retry_of` is the action of the attempt before, or
    empty; `backoff_ns` the gap since that one ended."""

    number: int = 1
    retry_of: str = ""
    backoff_ns: int = 0


FIRST = Attempt()


class Retries:
    """The failed requests of the live trials, by canonical digest."""

    def __init__(self, *, kept_per_trial: int = 32) -> None:
        self._kept = kept_per_trial
        self._failed: dict[str, OrderedDict[str, list[Failed]]] = {}

    def attempt(self, trial: str, body: bytes, said: str | None, now_ns: int) -> Attempt:
        """Which attempt this request is. `said` is the client's own count of retries, if any."""
        failed = self._failed.get(trial)
        count = count_said(said).get("said", 0)
        if not failed:
            return Attempt(count + 1) if count else FIRST
        waiting = failed.get(canonical_digest(body))
        if not waiting:
            return Attempt(count + 1) if count else FIRST
        before = next((one for one in waiting if one.attempt == count), waiting[0])
        waiting.remove(before)
        number = max(before.attempt, count) + 1
        return Attempt(number, before.action, max(0, now_ns - before.ended_ns))

    def note(self, trial: str, body: bytes, failed: Failed) -> None:
        """A request failed."""
        kept = self._failed.setdefault(trial, OrderedDict())
        digest = canonical_digest(body)
        waiting = kept.setdefault(digest, [])
        waiting.append(failed)
        del waiting[: -self._kept]
        kept.move_to_end(digest)
        if len(kept) > self._kept:
            kept.popitem(last=False)

    def forget(self, trial: str, body: bytes) -> None:
        """A request went well."""
        failed = self._failed.get(trial)
        if failed:
            failed.pop(canonical_digest(body), None)

    def end(self, trial: str) -> None:
        """Forget a trial."""
        self._failed.pop(trial, None)


def count_said(said: str | None) -> dict[str, int]:
    """What the history keeps of a client's own count of retries: `{"said": count}`, or nothing."""
    return {"said": int(said)} if said is not None and _COUNT.fullmatch(said) else {}


def canonical_digest(body: bytes) -> str:
    """The digest of a JSON body without what changes between attempts at the same request: the
    order of keys, cache keys, and whether it streams (some clients fall back to not streaming).
    Of a body that is no JSON object, the digest of its bytes."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return digest_of(body)
    if not isinstance(value, dict):
        return digest_of(body)
    kept = {name: part for name, part in value.items() if name not in _VOLATILE}
    return digest_of(msgspec.json.encode(kept, order="sorted"))
