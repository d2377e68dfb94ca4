"""The authority written down naively: what is known of each action, and sums over all of them.

It decides as `POLICY` says, by hand. Nothing here is shared with the ledgers but the shape of a
request and of a balance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from proofrig.authority.budget import Balance
from proofrig.authority.policy import Policy, parse_policy
from proofrig.authority.transition import ReserveRequest

SECOND = 1_000_000_000
RETENTION = 90 * SECOND
WAIT = 3 * SECOND

POLICY: Policy = parse_policy(
    f"""
taint: {{tool.fetch: web}}
steps: [{{name: gather}}, {{name: act, after: tool.plan}}]
scopes: {{"@writes": [tool.write]}}
limits:
  "p": {{calls: 12, "tokens/minute": 60, children: 2}}
  "p/*/*/*": {{calls: 5}}
  "@writes": {{"calls/minute": 3}}
rules:
  - {{name: no-mail, deny: tool.mail, tainted: web}}
  - {{name: plan-first, deny: tool.write, step: gather}}
  - {{name: asks, ask: tool.refund, wait_s: {WAIT // SECOND}}}
  - {{name: few, allow: tool.search, cap: {{calls: 2, per: run}}}}
"""
)
NAMES = ("x", "fetch", "mail", "plan", "write", "refund", "search")
SLICE = {"minute": SECOND, "hour": 60 * SECOND}
Key = tuple[str, str]  # scope, unit


def above(scope: str) -> list[str]:
    """The scope and those it lies in, outermost first."""
    levels = scope.split("/")
    return ["/".join(levels[: n + 1]) for n, level in enumerate(levels) if level]


def run_of(scope: str) -> str:
    """The run that a scope is, or is in; what lies above runs is looked at by itself."""
    return "/".join(scope.split("/")[:4])


def limits_of(scope: str) -> dict[str, int]:
    """What `POLICY` gives to a scope."""
    levels = scope.split("/")
    if scope == "@writes":
        return {"calls/minute": 3}
    if scope == "p":
        return {"calls": 12, "tokens/minute": 60, "children": 2}
    if scope.startswith("@") or len(levels) != 4:
        return {}
    return {"calls:rule.few": 2} | ({"calls": 5} if levels[0] == "p" else {})


@dataclass
class Window:
    """What was counted: [number of a slice, amount]. since: the moment of the model it began at."""

    limit: int
    width: int
    since: int
    counted: list[list[int]] = field(default_factory=list)

    def at(self, now: int) -> int:
        return sum(amount for number, amount in self.counted if number >= now // self.width - 60)

    def settle(self, held: int, charged: int, opened: int, now: int) -> None:
        number = opened // self.width
        there = number >= now // self.width - 60 and any(n == number for n, _ in self.counted)
        if there or charged > held:
            self.counted.append([number if there else now // self.width, charged - held])

    def wait(self, amount: int, now: int) -> int:
        for number in range(now // self.width + 1, now // self.width + 63):
            if self.at(number * self.width) + amount <= self.limit:
                return number * self.width - now
        return 0


@dataclass
class Known:
    """What is known of one action. held: what it holds, or held; also: scopes besides its path."""

    request: ReserveRequest
    state: str
    moment: int
    opened: int
    expires: int
    held: dict[str, int]
    scopes: list[str]
    also: tuple[str, ...]
    rule: str = ""
    earns: dict[str, int] = field(default_factory=dict)
    last: str = ""
    said: str = ""
    charged: dict[str, int] = field(default_factory=dict)
    committed: tuple[object, ...] = ()
    ended: int = 0
    answer: object = None

    @property
    def live(self) -> bool:
        return self.state in ("pending", "reserved", "started")


@dataclass
class Expected:
    """A decision foreseen."""

    effect: str
    code: str = ""
    rule: str = ""
    at: str = ""
    remaining: dict[str, int] = field(default_factory=dict)
    retry: int = 0


@dataclass
class Model:
    """All that happened, and what follows from it."""

    now: int = 0
    moment: int = 0
    limits: dict[Key, int] = field(default_factory=dict)
    windows: dict[Key, dict[str, Window]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    children: dict[str, set[str]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    known: dict[str, Known] = field(default_factory=dict)
    past: list[Known] = field(default_factory=list)

    # ---- sums

    def sums(self, scope: str, unit: str) -> tuple[int, int]:
        """(reserved, spent) of one scope and unit."""
        reserved = spent = 0
        for one in self.past:
            if scope in one.scopes:
                reserved += one.held.get(unit, 0) if one.live else 0
                spent += one.charged.get(unit, 0)
        return reserved, spent

    def figures(self, scope: str) -> dict[str, Balance]:
        """The balances of a scope; without those that say nothing."""
        units = {u for s, u in self.limits if s == scope}
        units |= {u for one in self.past if scope in one.scopes for u in (*one.held, *one.charged)}
        found = {
            unit: Balance(self.limits.get((scope, unit)), *self.sums(scope, unit))
            for unit in units - {"children"}
        }
        if (limit := self.limits.get((scope, "children"))) is not None:
            found["children"] = Balance(limit, 0, len(self.children.get(scope, ())))
        for name, window in self.windows_of(scope):
            found[name] = Balance(window.limit, 0, window.at(self.now))
        return {unit: balance for unit, balance in found.items() if balance != Balance(None, 0, 0)}

    def windows_of(self, scope: str) -> Iterator[tuple[str, Window]]:
        for (where, unit), windows in self.windows.items():
            if where == scope:
                for name, window in windows.items():
                    yield f"{unit}/{name}", window

    # ---- limits

    def limit(self, scope: str, amounts: dict[str, int]) -> None:
        self.moment += 1
        for name, amount in amounts.items():
            unit, _, width = name.partition("/")
            if not width:
                self.limits[scope, unit] = amount
                continue
            windows = self.windows.setdefault((scope, unit), {})
            if width not in windows:
                windows[width] = Window(0, SLICE[width], self.moment)
            windows[width].limit = amount

    def see(self, lane: list[str]) -> None:
        """The policy limits what is used for the first time."""
        for scope in lane:
            if scope not in self.seen:
                self.seen.add(scope)
                if limits := limits_of(scope):
                    self.limit(scope, limits)

    # ---- what is asked

    def lane(self, request: ReserveRequest, *, event: bool = False) -> list[str]:
        also = request.also if event else self.belongs(request)
        return list(dict.fromkeys(s for path in (request.scope, *also) for s in above(path)))

    def belongs(self, request: ReserveRequest) -> tuple[str, ...]:
        """The user-defined scopes. What is denied by a rule comes to none of its rules' making."""
        if request.name == "tool.write" and self.forbidding(request) == "":
            return tuple(dict.fromkeys((*request.also, "@writes")))
        return request.also

    def forbidding(self, request: ReserveRequest) -> str:
        """The rule that denies, "" for none."""
        scope, name = request.scope, request.name
        if name == "tool.mail" and sum(self.sums(run_of(scope), "taint:web")):
            return "no-mail"
        if name == "tool.write" and not sum(self.sums(run_of(scope), "step:act")):
            return "plan-first"
        if name == "tool.search" and len(scope.split("/")) < 4:
            return "few"
        return ""

    def holds(self, request: ReserveRequest) -> dict[str, int]:
        """What is held once it is let in."""
        held = dict(request.amounts)
        if request.name == "tool.fetch":
            held.setdefault("taint:web", 1)
        if request.name == "tool.search":
            held.setdefault("calls:rule.few", 1)
        return held

    def foresee(self, request: ReserveRequest) -> Expected:
        """The decision on a request that is new."""
        lane = self.lane(request)
        for scope in lane:
            if scope in self.stopped:
                return Expected("deny", "run_stopped", "", scope)
        if rule := self.forbidding(request):
            code = "not_allowed" if rule == "few" else "forbidden"
            return Expected("deny", code, rule, request.scope)
        for parent, child in pairwise(above(request.scope)):
            children = self.children.get(parent, set())
            limit = self.limits.get((parent, "children"))
            if limit is not None and child not in children and len(children) >= limit:
                left = {"children": limit - len(children)}
                return Expected("deny", "fan_out_exceeded", "", parent, left)
        held = self.holds(request)
        wanted = {unit: n + request.ahead.get(unit, 0) for unit, n in held.items()}
        for scope in lane:
            if code := self.short(scope, wanted):
                retry = self.retry(scope, wanted) if code == "rate_exceeded" else 0
                left = self.remaining(scope)
                cap = "few" if self.capped(left, wanted) else ""
                return Expected("deny", code, cap, scope, left, retry)
        rule = {"tool.refund": "asks", "tool.search": "few"}.get(request.name, "")
        return Expected("ask" if rule == "asks" else "allow", rule=rule)

    def capped(self, left: dict[str, int], wanted: dict[str, int]) -> bool:
        """True when the cap of a rule is used up, which the denial is then laid to."""
        unit = "calls:rule.few"
        return unit in left and wanted.get(unit, 0) > left[unit]

    def short(self, scope: str, wanted: dict[str, int]) -> str:
        for unit, amount in wanted.items():
            limit = self.limits.get((scope, unit))
            if limit is not None and sum(self.sums(scope, unit)) + amount > limit:
                return "budget_exceeded"
        return "rate_exceeded" if self.crowded(scope, wanted) else ""

    def crowded(self, scope: str, wanted: dict[str, int]) -> list[tuple[Window, int]]:
        """The windows of a scope that the amounts do not fit, and those."""
        windows = [(w, wanted.get(name.partition("/")[0])) for name, w in self.windows_of(scope)]
        return [(w, n) for w, n in windows if n is not None and w.at(self.now) + n > w.limit]

    def retry(self, scope: str, wanted: dict[str, int]) -> int:
        waits = (w.wait(n, self.now) if n <= w.limit else 0 for w, n in self.crowded(scope, wanted))
        return max(waits, default=0)

    def remaining(self, scope: str) -> dict[str, int]:
        left = {
            unit: limit - sum(self.sums(scope, unit))
            for (where, unit), limit in self.limits.items()
            if where == scope and unit != "children"
        }
        return left | {n: w.limit - w.at(self.now) for n, w in self.windows_of(scope)}

    # ---- what happens

    def opens(self, request: ReserveRequest, expected: Expected) -> None:
        self.moment += 1
        denied = expected.effect == "deny"
        known = Known(
            request,
            state={"deny": "denied", "ask": "pending", "allow": "reserved"}[expected.effect],
            moment=self.moment,
            opened=self.now,
            expires=self.now + (WAIT if expected.effect == "ask" else request.ttl_ns),
            held={} if denied else self.holds(request),
            scopes=[] if denied else self.lane(request),
            also=self.belongs(request),
            rule=expected.rule,
            ended=self.now,
        )
        if request.name == "tool.plan" and not sum(self.sums(run_of(request.scope), "step:act")):
            known.earns = {"step:act": 1}
        self.known[request.id] = known
        if not denied:
            self.enter(known)
            for window, amount in self.counting(known, known.held):
                window.counted.append([self.now // window.width, amount])
            self.past.append(known)

    def posts(self, request: ReserveRequest) -> None:
        self.moment += 1
        scopes, amounts = self.lane(request, event=True), dict(request.amounts)
        known = Known(request, "committed", self.moment, self.now, 0, amounts, scopes, request.also)
        known.charged, known.ended = amounts, self.now
        self.enter(known)
        for window, amount in self.counting(known, amounts):
            window.settle(0, amount, self.now, self.now)
        self.known[request.id] = known
        self.past.append(known)

    def enter(self, known: Known) -> None:
        for parent, child in pairwise(above(known.request.scope)):
            self.children.setdefault(parent, set()).add(child)

    def ends(self, known: Known, state: str, charged: dict[str, int]) -> None:
        self.moment += 1
        known.state, known.charged, known.ended, known.last = state, charged, self.now, "end"
        for scope in known.scopes:
            for unit, amount in (charged or dict.fromkeys(known.held, 0)).items():
                for window in self.windows.get((scope, unit), {}).values():
                    was = known.held.get(unit, 0) if known.moment > window.since else 0
                    window.settle(was, amount, known.opened, self.now)

    def counting(self, known: Known, amounts: dict[str, int]) -> Iterator[tuple[Window, int]]:
        for scope in known.scopes:
            for unit, amount in amounts.items():
                for window in self.windows.get((scope, unit), {}).values():
                    yield window, amount

    def due(self) -> list[str]:
        """The ids whose hold has run out, in order of expiry."""
        found = [(one.expires, id) for id, one in self.known.items() if one.live]
        return [id for expires, id in sorted(found) if expires <= self.now]

    def sweeps(self) -> None:
        for id in self.due():
            one = self.known[id]
            if one.state == "started":
                self.ends(one, "expired_charged", dict(one.held))
            else:
                self.ends(one, "expired_released", {})
        for id, one in list(self.known.items()):
            if not one.live and one.ended + RETENTION <= self.now:
                del self.known[id]
