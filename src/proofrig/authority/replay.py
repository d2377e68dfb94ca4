"""A policy run over the recorded actions of a run: what it decides now, beside what was decided.

Rules:
1. The recorded sequence of reserve, start, commit and release passes an `Authority` in shadow mode,
   at the recorded times: rules, limits, windows, taints, steps and caps are those of the live code.
2. What was recorded happened, whatever is decided now. What is denied now books nothing; what was
   denied then and is allowed now is booked with its estimate, its outcome unknown.
3. What never came to the authority is passed over: requests that could not be read, models without
   a price, what the watch over a run refused.
4. Arguments come from the payloads; those of operations on shared services from their start. Paths
   are placed in the world that the trial left: links lead where they lead now.
5. What asks waits as long as it would have. The recorded answer counts where it asked then, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from proofrig.authority.authority import Authority
from proofrig.authority.decision import Decision
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import Policy
from proofrig.authority.ruling import Act
from proofrig.authority.shadow import Shadow
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError
from proofrig.history.action import Entry
from proofrig.wire import CODECS
from proofrig.wire.codec import WireError

Payload = Callable[[str], bytes | None]
Changed = Literal["denied", "asked", "allowed", "capped"]

CEILING = 16_384  # output tokens that a gateway holds for a request without a limit
HOLD_NS = 90 * 86_400 * 1_000_000_000  # the recorded end settles it
_ELSEWHERE = ("invalid_request", "price_unknown")
_DETECTED = "_detected"
_ASKED = ("approval_", "agent_gone", "trial_ended")  # why what asked did not begin
_OWN = frozenset({"usd_micro", "tokens", "calls", "ms", "bytes"})


class Then(msgspec.Struct, frozen=True, gc=False):
    """What was decided: in a shadow run, what would have been."""

    effect: str
    code: str = ""
    rule: str = ""
    max_tokens: int | None = None


class Replayed(msgspec.Struct, frozen=True, gc=False):
    """One recorded action under a policy."""

    entry: Entry
    act: Act
    then: Then
    now: Decision

    @property
    def changed(self) -> Changed | None:
        """What is new of it; None when nothing is. A lower cap is a new one."""
        was, now = self.then, self.now
        if now.effect == "deny":
            return None if was.effect == "deny" else "denied"
        if now.effect == "ask":
            return None if was.effect == "ask" else "asked"
        if was.effect in ("deny", "ask"):
            return "allowed"
        if now.max_tokens is None:
            return None
        lower = was.max_tokens is None or now.max_tokens < was.max_tokens
        return "capped" if lower else None


class Recorded:
    """The actions of a run. entries: a fresh pass over its history at each call; run_dir: where the
    worlds of its trials are."""

    def __init__(
        self, entries: Callable[[], Iterable[Entry]], payload: Payload, run_dir: Path | None = None
    ) -> None:
        self._entries = entries
        self._payload = payload
        self._starts: dict[str, dict[str, Any]] = {}  # of operations on services
        self._roots: dict[str, str] = {}
        for entry in entries():
            if entry.kind == "start" and entry.attrs:
                self._starts[entry.id] = entry.attrs
            elif entry.kind == "trial" and run_dir is not None and entry.attrs.get("world"):
                self._roots[entry.trial] = str(run_dir.absolute() / entry.attrs["world"])

    def acts(self) -> Iterator[Act]:
        """Every action that came to the authority, in order."""
        for entry in self._entries():
            if entry.kind == "reserve" and _came(entry):
                yield self._act(entry)

    def under(self, policy: Policy) -> Iterator[Replayed]:
        """Every action that came to the authority, decided by `policy`."""
        now = 0

        def clock() -> int:
            return now

        judge = Authority(Ledger(), None, clock, policy)
        shadow = Shadow(Ledger(), None, clock, judge)
        for entry in self._entries():
            now = max(now, entry.t)
            if entry.kind == "reserve":
                if _came(entry):
                    yield self._decide(shadow, entry)
            elif entry.id or entry.kind == "note":
                with suppress(LedgerError):  # a torn history; or it never came to the authority
                    _follow(shadow, entry)

    def _decide(self, shadow: Shadow, entry: Entry) -> Replayed:
        told, act, policy = entry.attrs, self._act(entry), shadow.policy
        request = ReserveRequest(
            entry.id,
            entry.scope,
            entry.name,
            told.get("estimate") or {"calls": 1},
            HOLD_NS,
            act.arguments,
            act.root,
            ahead=policy.ahead(entry.name, told.get("ahead", 0)) if policy is not None else {},
        )
        if told.get("decision") != "deny":
            decision = shadow.reserve(request).shadow
            assert decision is not None
        else:
            shadow.judge.sweep()
            decision = shadow.judge.reserve(request)
            if decision.allowed:
                shadow.judge.start(entry.id)
                shadow.judge.commit(entry.id, {}, "estimated", "unknown")
        return Replayed(entry, act, _then(told), decision)

    def _act(self, entry: Entry) -> Act:
        told = entry.attrs
        arguments: Mapping[str, Any] = {}
        if "arguments" in told:
            arguments = self._json(told["arguments"])
        elif "model" in told and "request" in told:
            arguments = self._of_request(told)
        elif "service" in told:
            started = self._starts.get(entry.id, {})
            arguments = {**started, "service": told["service"]}
        return Act(entry.scope, entry.name, arguments, self._roots.get(entry.trial, ""))

    def _json(self, digest: str) -> Any:
        try:
            return msgspec.json.decode(self._payload(digest) or b"{}")
        except msgspec.DecodeError:
            return {}

    def _of_request(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """A call to a model as rules see it, see `ruling.Act`."""
        found = {"model": told["model"], "stream": told.get("stream", False), "tools": []}
        limit = None
        codec = CODECS.get(told.get("api", ""))
        body = self._payload(told["request"])
        if codec is not None and body is not None:
            with suppress(WireError):
                asked = codec.decode_request(body)
                found["tools"] = [tool.name for tool in asked.tools]
                limit = asked.max_tokens
        if told.get("decision") == "cap" and not told.get("rule"):  # it was asked for less
            limit = told.get("max_tokens", limit)
        return {**found, "max_tokens": CEILING if limit is None else limit}


def _came(entry: Entry) -> bool:
    """Whether it came to the authority, be it then or now."""
    code = entry.attrs.get("code", "")
    return bool(entry.scope) and code not in _ELSEWHERE and not code.endswith(_DETECTED)


def _then(told: Mapping[str, Any]) -> Then:
    shadow = told.get("shadow") or told
    return Then(
        shadow.get("decision", "allow"),
        shadow.get("code", ""),
        shadow.get("rule", ""),
        shadow.get("max_tokens"),
    )


def _follow(shadow: Shadow, entry: Entry) -> None:
    """What became of an action, or of a run."""
    told, id = entry.attrs, entry.id
    if entry.kind == "start":
        shadow.start(id)
    elif entry.kind == "commit":
        actual = told.get("actual") or {}
        # What rules of another policy held besides is none of this one's.
        own = {unit: n for unit, n in actual.items() if unit in _OWN or _of_kind(unit)}
        source, outcome = told.get("source", "measured"), told.get("outcome", "unknown")
        shadow.commit(id, own, source, outcome, price=told.get("price", ""))
    elif entry.kind == "release":
        if shadow.judge.state(id) == "pending" and str(told.get("reason")).startswith(_ASKED):
            shadow.judge.release(id, told["reason"])
        shadow.release(id, told.get("reason", ""))
    elif entry.name == "approval" and told.get("answer") == "approve":
        if shadow.judge.state(id) == "pending":
            shadow.judge.approve(id, "the recorded answer")
    elif entry.name == "anomaly" and told.get("step") == "stop" and not told.get("shadow"):
        shadow.stop(entry.scope, told.get("says", ""))


def _of_kind(unit: str) -> bool:
    """Whether it is `calls:<kind>`, which the caller books; `calls:<name>` is a rule's."""
    return unit.startswith("calls:") and "." not in unit


class Change(msgspec.Struct, omit_defaults=True):
    """What one rule, or without a name one limit or the default, decides anew. first: some of the
    actions."""

    kind: Changed
    rule: str
    code: str
    count: int = 0
    names: dict[str, int] = {}
    first: list[Replayed] = []


class Comparison(msgspec.Struct, omit_defaults=True):
    """What a policy changes. actions: all that came to the authority. now, then: by effect."""

    actions: int = 0
    then: dict[str, int] = {}
    now: dict[str, int] = {}
    changes: list[Change] = []


def compare(replayed: Iterable[Replayed], examples: int = 3) -> Comparison:
    """Count what is new, by rule: denials first, the most frequent first."""
    found = Comparison(then={}, now={})
    rows: dict[tuple[str, str, str], Change] = {}
    for one in replayed:
        found.actions += 1
        found.then[one.then.effect] = found.then.get(one.then.effect, 0) + 1
        found.now[one.now.effect] = found.now.get(one.now.effect, 0) + 1
        kind = one.changed
        if kind is None:
            continue
        why = one.then if kind == "allowed" else one.now
        key = (kind, why.rule, why.code)
        row = rows.get(key)
        if row is None:
            row = rows[key] = Change(kind, why.rule, why.code, names={}, first=[])
        row.count += 1
        row.names[one.act.name] = row.names.get(one.act.name, 0) + 1
        if len(row.first) < examples:
            row.first.append(one)
    order = ("denied", "asked", "capped", "allowed")
    found.changes = sorted(rows.values(), key=lambda row: (order.index(row.kind), -row.count))
    return found
