"""What the authority decided in a run, what was charged, and what it saw. From the history alone.

Rules:
1. What one rule decided is one row; so is what one limit refused at one level of the scopes, for a
   limit of every run refuses in as many scopes as there are runs. All are counted, the first
   `EXAMPLES` are kept.
2. In shadow mode nothing was refused: what would have been is told apart, with what those actions
   really cost. What would have come after a refusal nobody knows.
3. Seen is what passed a reserve. Known of, and not seen: tool calls that a model asked for and no
   gateway carried out, requests of no trial, and actions that an observer only watched.
4. Which limits a scope has, and to which scopes of the user's own a name belongs, the history does
   not say: whoever folds it does, see `Known`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, Literal

import msgspec

from proofrig.history.action import Entry

EXAMPLES = 3
SCOPES = 60  # rows of the ledger that are kept
Effect = Literal["deny", "ask", "cap"]
Mode = Literal["", "enforce", "shadow"]
_MODEL, _TOOL = "llm.", "tool."
_TRANSPORT = "pool."  # carries what is counted as something else
_CAP = "calls:rule."  # and the name of the rule
_INNER = ("taint:", "step:", _CAP)  # units that are the policy's memory


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action, or one note. t: nanoseconds since the run began. arguments: digest of its
    payload. says: what was told about it."""

    t: int
    name: str
    id: str = ""
    trial: str = ""
    tenant: str = ""
    arguments: str = ""
    says: str = ""


class Ruled(msgspec.Struct, omit_defaults=True):
    """What one rule, or without a name one limit or default, decided. at: the first scope that
    refused, `places` how many did. answers: to what asked, by answer. usd_micro, tokens: what the
    actions really cost; 0 of what never began."""

    effect: Effect
    rule: str = ""
    code: str = ""
    at: str = ""
    places: int = 0
    count: int = 0
    trials: int = 0
    names: dict[str, int] = {}
    fix: str = ""
    answers: dict[str, int] = {}
    waited_ns: int = 0
    usd_micro: int = 0
    tokens: int = 0
    first: list[Instance] = []


class Charged(msgspec.Struct, omit_defaults=True):
    """How many actions, and what was charged for them."""

    count: int = 0
    usd_micro: int = 0
    tokens: int = 0

    def add(self, actual: Mapping[str, int]) -> None:
        """Count one more."""
        self.count += 1
        self.usd_micro += actual.get("usd_micro", 0)
        self.tokens += actual.get("tokens", 0)


class Watched(msgspec.Struct, omit_defaults=True):
    """A step of the watch over runs, which kind of anomaly it was about, and how often it came."""

    kind: str
    step: str
    count: int = 0
    trials: int = 0
    shadow: bool = False
    first: list[Instance] = []


class Booked(msgspec.Struct, omit_defaults=True):
    """A scope: what was charged to it, and what it was limited to, by unit."""

    scope: str
    actual: dict[str, int] = {}
    limits: dict[str, int] = {}


class Coverage(msgspec.Struct, omit_defaults=True):
    """Actions that were asked for, and those that are known of and were not, by what they are."""

    models: int = 0
    tools: int = 0
    others: int = 0
    unasked_models: int = 0  # requests of no trial
    unasked_tools: int = 0  # calls a model asked for and no gateway saw; those of no trial
    observed: int = 0

    @property
    def seen(self) -> int:
        return self.models + self.tools + self.others

    @property
    def known(self) -> int:
        return self.seen + self.unasked_models + self.unasked_tools + self.observed

    @property
    def share(self) -> float | None:
        """The share of the actions that were seen; None of none."""
        return self.seen / self.known if self.known else None


class Rulings(msgspec.Struct, omit_defaults=True):
    """What the authority decided. mode: "" where the run had no policy. decisions: by effect.
    decided: what was enforced, `would` what only shadow mode would have: the most frequent first.
    amended: what gateways changed in requests. charges: by source; prices: by where the rates come
    from. unknown: charged though nobody saw the end. unended: began, and never ended. ledger: by
    scope, parents first; `scopes` counts them all."""

    mode: Mode = ""
    decisions: dict[str, int] = {}
    decided: list[Ruled] = []
    would: list[Ruled] = []
    amended: dict[str, int] = {}
    charges: dict[str, Charged] = {}
    prices: dict[str, Charged] = {}
    unknown: Charged = msgspec.field(default_factory=Charged)
    unended: int = 0
    watched: list[Watched] = []
    coverage: Coverage = msgspec.field(default_factory=Coverage)
    ledger: list[Booked] = []
    scopes: int = 0

    @property
    def asked(self) -> int:
        """How many actions a decision was made on."""
        return sum(self.decisions.values())


def _no_limits(scope: str) -> Mapping[str, int]:
    return {}


def _nowhere(name: str) -> Iterable[str]:
    return ()


class Known(msgspec.Struct, frozen=True):
    """What is known of a run's policy. limits: of a scope, by unit. scopes: those of the user's own
    that an action of this name is booked in."""

    mode: Mode = ""
    limits: Callable[[str], Mapping[str, int]] = _no_limits
    scopes: Callable[[str], Iterable[str]] = _nowhere


def _rule_of(told: Mapping[str, Any]) -> str:
    """The rule that decided, also by its cap; "" when it was none."""
    used_up = (
        unit.partition("/")[0].removeprefix(_CAP)
        for unit, left in (told.get("remaining") or {}).items()
        if unit.startswith(_CAP) and left <= 0
    )
    return str(told.get("rule", "")) or next(used_up, "")


class _Row:
    """One `Ruled` in the making."""

    __slots__ = ("made", "places", "trials")

    def __init__(self, effect: Effect, told: Mapping[str, Any]) -> None:
        self.made = Ruled(effect, _rule_of(told), told.get("code", ""), told.get("at", ""))
        self.made.fix = told.get("fix", "")
        self.places: set[str] = set()
        self.trials: set[str] = set()

    def add(self, entry: Entry, told: Mapping[str, Any]) -> None:
        made = self.made
        made.count += 1
        made.names[entry.name] = made.names.get(entry.name, 0) + 1
        self.trials.add(entry.trial)
        if at := told.get("at"):
            self.places.add(at)
        if len(made.first) < EXAMPLES:
            made.first.append(instance(entry, str(told.get("fix", ""))))

    def done(self) -> Ruled:
        self.made.places, self.made.trials = len(self.places), len(self.trials - {""})
        return self.made


class _Table:
    """Rows by what decided."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], _Row] = {}

    def add(self, effect: Effect, entry: Entry, told: Mapping[str, Any]) -> Ruled:
        rule, at = _rule_of(told), told.get("at", "")
        level = at if at.startswith("@") else at.count("/")
        key = (effect, rule, told.get("code", ""), "" if rule else level)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row(effect, told)
        row.add(entry, told)
        return row.made

    def result(self) -> list[Ruled]:
        order = ("deny", "ask", "cap")
        rows = [row.done() for row in self._rows.values()]
        return sorted(rows, key=lambda row: (order.index(row.effect), -row.count, row.rule))


class RulingsFold:
    """Folds entries into `Rulings`."""

    def __init__(self, known: Known | None = None) -> None:
        self._known = known or Known()
        self._found = Rulings(mode=self._known.mode)
        self._decisions: Counter[str] = Counter()
        self._amended: Counter[str] = Counter()
        self._decided, self._would = _Table(), _Table()
        self._open: dict[str, Ruled | None] = {}  # action -> what shadow mode would have decided
        self._begun: set[str] = set()
        self._asking: dict[str, Ruled] = {}
        self._watched: dict[tuple[Any, ...], tuple[Watched, set[str]]] = {}
        self._booked: dict[str, dict[str, int]] = {}
        self._asked_calls = 0  # tool calls that models asked for
        self._joined = 0  # those of them that a gateway saw

    def step(self, entry: Entry) -> None:
        kind = entry.kind
        if kind == "reserve":
            self._reserve(entry)
        elif kind == "start":
            self._start(entry)
        elif kind == "commit":
            self._commit(entry)
        elif kind == "release":
            self._open.pop(entry.id, None)
            self._begun.discard(entry.id)
        elif kind == "note":
            self._note(entry)

    def result(self) -> Rulings | None:
        """None for a run without a policy of which there is nothing to tell."""
        found, seen = self._found, self._found.coverage
        found.decisions, found.amended = dict(self._decisions), dict(self._amended)
        found.decided, found.would = self._decided.result(), self._would.result()
        found.unended = len(self._begun)
        found.watched = [_with_trials(*one) for one in self._watched.values()]
        seen.unasked_tools += max(0, self._asked_calls - self._joined)
        found.ledger, found.scopes = _ledger(self._booked, self._known.limits)
        told = found.mode or found.decided or found.would or found.watched
        return found if told else None

    def _reserve(self, entry: Entry) -> None:
        told, name, seen = entry.attrs, entry.name, self._found.coverage
        if entry.trial:  # what belongs to none stands on the history as a note, too
            seen.models += name.startswith(_MODEL)
            seen.tools += name.startswith(_TOOL)
            seen.others += not name.startswith((_MODEL, _TOOL)) and "parent" not in told
        self._joined += "asked_by" in told
        effect = told.get("decision", "allow")
        self._decisions[effect] += 1
        if "amended" in told:
            self._amended.update(told["amended"])
        if effect in ("deny", "ask", "cap"):
            ruled = self._decided.add(effect, entry, told)
            if effect == "ask":
                self._asking[entry.id] = ruled
        if effect != "deny":
            shadow, would = told.get("shadow"), None
            if shadow and shadow.get("decision") in ("deny", "ask", "cap"):
                would = self._would.add(shadow["decision"], entry, shadow)
            self._open[entry.id] = would

    def _start(self, entry: Entry) -> None:
        if entry.id in self._open:
            self._begun.add(entry.id)
        elif not entry.name.startswith(_TRANSPORT):
            self._found.coverage.observed += 1

    def _commit(self, entry: Entry) -> None:
        would = self._open.pop(entry.id, None)
        self._begun.discard(entry.id)
        told, found = entry.attrs, self._found
        self._asked_calls += told.get("calls", 0) if entry.name.startswith(_MODEL) else 0
        actual = told.get("actual")
        if actual is None:
            return
        source = told.get("source", "measured")
        found.charges.setdefault(source, Charged()).add(actual)
        if price := told.get("price"):
            found.prices.setdefault(price, Charged()).add(actual)
        if told.get("outcome") == "unknown":
            found.unknown.add(actual)
        if would is not None:
            would.usd_micro += actual.get("usd_micro", 0)
            would.tokens += actual.get("tokens", 0)
        unit = f"calls:{entry.name}"  # held, and so charged, where some limit counts it
        for scope in (entry.scope, *self._known.scopes(entry.name)):
            if scope:
                booked = self._booked.get(scope)
                if booked is None:
                    booked = self._booked[scope] = {}
                for one, n in actual.items():
                    booked[one] = booked.get(one, 0) + n
                booked[unit] = booked.get(unit, 0) + (unit not in actual)

    def _note(self, entry: Entry) -> None:
        told, name = entry.attrs, entry.name
        if name == "approval":
            asked = self._asking.pop(entry.id, None)
            if asked is not None:
                answer = told.get("answer", "")
                asked.answers[answer] = asked.answers.get(answer, 0) + 1
                asked.waited_ns += told.get("waited_ns", 0)
        elif name == "anomaly":
            key = (told.get("kind", ""), told.get("step", ""), bool(told.get("shadow")))
            made = Watched(key[0], key[1], shadow=key[2])
            watched, trials = self._watched.setdefault(key, (made, set()))
            watched.count += 1
            trials.add(entry.trial)
            if len(watched.first) < EXAMPLES:
                watched.first.append(instance(entry, str(told.get("says", ""))))
        elif name == "unattributed":
            seen = self._found.coverage
            if "tool" in told:
                seen.unasked_tools += 1
            else:
                seen.unasked_models += 1


def instance(entry: Entry, says: str) -> Instance:
    """An entry as an example."""
    digest = entry.attrs.get("arguments") or entry.attrs.get("request") or ""
    return Instance(entry.t, entry.name, entry.id, entry.trial, entry.tenant, digest, says)


def _with_trials(watched: Watched, trials: set[str]) -> Watched:
    watched.trials = len(trials - {""})
    return watched


def _ledger(
    booked: Mapping[str, Mapping[str, int]], limits: Callable[[str], Mapping[str, int]]
) -> tuple[list[Booked], int]:
    """Every scope with what was charged to it and below it; of many, the widest and the dearest."""
    sums: dict[str, Counter[str]] = {}
    children: dict[str, set[str]] = {}
    for scope, actual in booked.items():
        path = _path(scope)
        for above, below in pairwise(path):
            children.setdefault(above, set()).add(below)
        for one in path:
            sums.setdefault(one, Counter()).update(actual)
    rows = []
    for scope, actual in sums.items():
        limited = {
            unit: most for unit, most in limits(scope).items() if not unit.startswith(_INNER)
        }
        units = dict(actual) | {"children": len(children.get(scope, ()))}
        kept = {
            unit: amount
            for unit, amount in units.items()
            if unit in limited or not unit.startswith((*_INNER, "calls:", "children"))
        }
        rows.append(Booked(scope, kept, limited))
    rows.sort(key=lambda row: (row.scope.count("/"), -row.actual.get("usd_micro", 0), row.scope))
    return sorted(rows[:SCOPES], key=lambda row: _order(row.scope)), len(rows)


def _path(scope: str) -> list[str]:
    """A scope with those above it, the widest first; levels that are left empty are passed over."""
    levels = scope.split("/")
    return ["/".join(levels[: n + 1]) for n, level in enumerate(levels) if level]


def _order(scope: str) -> tuple[bool, list[str]]:
    return scope.startswith("@"), scope.split("/")
