"""Sequences of what agents try, carried out by an authority, enforcing or in shadow mode.

    attempts = carried_out(authority, clock, steps)    what was decided of each
    entries = written(attempts)                        the history a gateway would have written

In shadow mode nothing is stopped, so everything that is tried is begun and ended.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from proofrig.authority.authority import Authority
from proofrig.authority.decision import Decision
from proofrig.authority.policy import Policy, parse_policy
from proofrig.authority.shadow import Shadow
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError
from proofrig.history.action import Entry

SECOND = 1_000_000_000
OUTCOMES = ("ok", "ok", "ok", "fail", "unknown")
SOURCES = ("measured", "partial", "estimated")
TTL = 50 * SECOND
RUNS = ("t/w/clerk/1", "t/w/clerk/2", "t/w/lead/3", "u/w/clerk/4", "t/w/lead/3/child")
NAMES = (
    *("llm.messages", "tool.fetch", "tool.mail", "tool.plan", "tool.write", "tool.refund"),
    *("tool.search", "kv.put"),
)
POLICY: Policy = parse_policy(
    """
tiers: {clerk: ["clerk*"], lead: ["lead*"]}
taint: {tool.fetch: web}
steps: [{name: gather}, {name: act, after: tool.plan}]
scopes: {"@writes": [tool.write, tool.refund]}
limits:
  "t": {tokens: 300, "calls/minute": 9, "tokens/minute": 150}
  "t/w/lead": {children: 1}
  "*/*/*/*": {calls: 5, "calls:tool.search": 1, children: 1}
  "@writes": {"calls/minute": 2}
rules:
  - {name: no-mail-after-web, deny: tool.mail, tainted: web}
  - {name: plan-first, deny: tool.write, step: gather}
  - {name: above-tier, deny: tool.refund, below: lead, when: {amount: {">": 50}}}
  - {name: refunds-ask, ask: tool.refund, wait_s: 3}
  - {name: few-puts, allow: kv.put, cap: {calls: 2, per: agent}}
  - {name: short, allow: "llm.*", max_tokens: 100}
"""
)


def dense(seed: int) -> list[Any]:
    """Much of everything, so that limits are reached, steps earned and waits run out."""
    draw = random.Random(seed)
    found: list[Any] = []
    for _ in range(draw.randint(20, 70)):
        kind = draw.random()
        which = draw.randrange(100)
        if kind < 0.5:
            run, name = draw.choice(RUNS), draw.choice(NAMES)
            amount = draw.choice([None, 20, 20, 20, 70])
            found.append(("try", run, name, draw.randint(0, 60), amount, draw.random() < 0.8))
        elif kind < 0.75:
            outcome, source = draw.choice(OUTCOMES), draw.choice(SOURCES)
            found.append(("end", which, outcome, draw.randint(0, 80), source))
        elif kind < 0.9:
            found.append((draw.choice(["start", "release", "extend"]), which))
        elif kind < 0.95:
            found.append(("answer", which, draw.random() < 0.7))
        else:
            found.append(("wait", draw.choice([SECOND, 4 * SECOND, 30 * SECOND, 65 * SECOND])))
    return found


@dataclass
class Clock:
    now: int = 0

    def __call__(self) -> int:
        return self.now


@dataclass
class Attempt:
    """An action that was tried. told: its entries after the reserve."""

    request: ReserveRequest
    at: int
    decision: Decision
    going: bool
    told: list[tuple[int, str, str, dict[str, Any]]] = field(default_factory=list)
    started: bool = False
    ended: bool = False


_which = st.integers(0, 9)
tries = st.tuples(
    st.just("try"),
    st.sampled_from(RUNS),
    st.sampled_from(NAMES),
    st.integers(0, 60),  # tokens
    st.sampled_from([None, 20, 20, 70]),  # the argument that a rule reads
    st.sampled_from([True, True, False]),  # begins at once
)
ends = st.tuples(
    st.just("end"),
    _which,
    st.sampled_from(OUTCOMES),
    st.integers(0, 80),
    st.sampled_from(SOURCES),
)
_steps = st.lists(
    st.one_of(
        *([tries] * 5),
        *([ends] * 3),
        st.tuples(st.just("start"), _which),
        st.tuples(st.just("release"), _which),
        st.tuples(st.just("extend"), _which),
        st.tuples(st.just("wait"), st.integers(0, 70 * SECOND)),
        st.tuples(st.just("wait"), st.integers(0, SECOND)),
        st.tuples(st.just("answer"), _which, st.booleans()),
        st.tuples(st.just("stop"), st.sampled_from(RUNS), st.integers(0, 3)),
    ),
    min_size=10,
    max_size=50,
)


steps = st.one_of(st.integers(0, 2**32).map(dense), _steps)


def carried_out(
    authority: Authority, clock: Clock, steps: Iterable[Any], *, answers: bool = False
) -> tuple[list[Attempt], list[tuple[int, str]]]:
    """What was decided of each attempt, and the stops (time, scope). answers: people are asked."""
    shadow = isinstance(authority, Shadow)
    attempts: list[Attempt] = []
    stops: list[tuple[int, str]] = []
    for step in steps:
        clock.now += 1_000
        what, *more = step
        authority.sweep()
        if what == "try":
            attempts.append(_try(authority, clock, len(attempts), more))
        elif what == "wait":
            clock.now += more[0]
        elif what == "stop" and more[1]:
            pass  # seldom, for nothing is decided any more in what was stopped
        elif what == "stop":
            authority.stop(more[0], "it goes round in circles")
            stops.append((clock.now, more[0]))
        elif what == "answer":
            waiting = [one for one in attempts if _waits(authority, one)]
            if answers and waiting and not shadow:
                _answer(authority, clock, waiting[more[0] % len(waiting)], approves=more[1])
        elif attempts:
            one = attempts[more[0] % len(attempts)]
            with suppress(LedgerError):  # its hold has run out, or it never began
                if one.going and not one.ended:
                    _go_on(authority, clock, one, what, more[1:])
    return attempts, stops


def _try(authority: Authority, clock: Clock, number: int, more: list[Any]) -> Attempt:
    run, name, tokens, amount, begins = more
    amounts = {"calls": 1, f"calls:{name.partition('.')[0]}": 1, "tokens": tokens}
    arguments = {} if amount is None else {"amount": amount}
    request = ReserveRequest(f"a{number}", run, name, amounts, TTL, arguments)
    decision = authority.reserve(request)
    made = Attempt(request, clock.now, decision, decision.allowed)
    clock.now += 1_000
    if begins and made.going:
        _go_on(authority, clock, made, "start", [])
    return made


def _waits(authority: Authority, one: Attempt) -> bool:
    return one.decision.effect == "ask" and authority.state(one.request.id) == "pending"


def _answer(authority: Authority, clock: Clock, one: Attempt, *, approves: bool) -> None:
    if approves:
        authority.approve(one.request.id, "ann")
        one.going = True
    else:
        authority.refuse(one.request.id, "ann")
        one.ended = True
    said = "approve" if approves else "refuse"
    one.told.append((clock.now, "note", "approval", {"answer": said}))
    if not approves:
        one.told.append((clock.now, "release", "", {"reason": "approval_refused"}))


def _go_on(authority: Authority, clock: Clock, one: Attempt, what: str, more: list[Any]) -> None:
    id, now = one.request.id, clock.now
    if what == "start" and not one.started:
        authority.start(id)
        one.started = True
        one.told.append((now, "start", "", {}))
    elif what == "release":
        authority.release(id, "never_sent")
        one.ended = True
        one.told.append((now, "release", "", {"reason": "never_sent"}))
    elif what == "extend":
        authority.extend(id, TTL)
    elif what == "end" and one.started:
        outcome, tokens, source = more
        actual = {"calls": 1, "tokens": tokens}
        authority.commit(id, actual, source, outcome)
        one.ended = True
        told = {"actual": actual, "source": source, "outcome": outcome}
        one.told.append((now, "commit", "", told))


def written(
    attempts: Iterable[Attempt], stops: Iterable[tuple[int, str]] = ()
) -> tuple[list[Entry], dict[str, bytes]]:
    """The history, and the payloads of the arguments."""
    payloads: dict[str, bytes] = {}
    found = [
        (t, Entry(0, t, "note", "anomaly", scope=scope, attrs={"step": "stop", "says": "loop"}))
        for t, scope in stops
    ]
    for one in attempts:
        found += _entries(one, payloads)
    ordered = sorted(found, key=lambda pair: pair[0])
    return [entry for _, entry in ordered], payloads


def _entries(one: Attempt, payloads: dict[str, bytes]) -> Iterator[tuple[int, Entry]]:
    request = one.request
    digest = f"d-{request.id}"
    payloads[digest] = json.dumps(dict(request.arguments)).encode()
    attrs = {"estimate": dict(request.amounts), "arguments": digest} | one.decision.facts()
    who = {"scope": request.scope, "id": request.id, "trial": "case:1"}
    yield one.at, Entry(0, one.at, "reserve", request.name, attrs=attrs, **who)
    for t, kind, name, told in one.told:
        named = name or request.name
        yield t, Entry(0, t, kind, named, attrs=told, **who)  # type: ignore[arg-type]
