"""What the authority decided, ready to be shown: who refused, what was charged, what was seen.

Rules:
1. Nothing is judged here: every count and amount comes from the summary's `Rulings`.
2. Of a run in shadow mode nothing was refused, and every sentence about it says "would".
3. Money that a refusal would have spared is what those actions really cost; what would have come
   after it nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterable

from proofrig.checkers.checker import Checked, Evidence, Finding
from proofrig.reports.report import RunReport
from proofrig.reports.words import amount as in_words
from proofrig.reports.words import big, duration, money, percent, plural
from proofrig.rulings import Booked, Charged, Instance, Ruled, Rulings, Watched

ROWS = 30  # of a table that a page shows
NEAR = 0.8  # of a limit: from here on it is near
WATCH = "watch"
SOURCES = {
    "measured": "the provider's own usage, or counted here",
    "partial": "what was seen of a broken answer",
    "estimated": "as held: nobody knows better",
}
DECISIONS = ("allow", "cap", "ask", "deny")
_WORDS = {"allow": "allowed", "cap": "capped", "ask": "asked", "deny": "denied"}
_ANSWERS = {"approve": "approved", "refuse": "refused", "timeout": "not answered in time"}
_STEPS = {"warn": "warned", "deny": "denied", "stop": "stopped"}
_LIMITS = {"budget_exceeded": "budget", "rate_exceeded": "rate", "fan_out_exceeded": "child scopes"}
_CODES = {
    "not_allowed": "no rule allows it",
    "price_unknown": "the model has no price",
    "invalid_request": "the request could not be read",
    "run_stopped": "the run was stopped",
}
_UNITS = ("usd_micro", "tokens", "calls", "ms", "bytes", "children")


def word_of(effect: str, *, shadow: bool = False) -> str:
    """A decision in a word: `denied`, `would be denied`."""
    word = _WORDS.get(effect, effect)
    if not shadow:
        return word
    return "would ask" if effect == "ask" else f"would be {word}"


def who(ruled: Ruled) -> str:
    """What decided: the rule or its cap, else the limit and its scope."""
    if ruled.rule:
        return f"{'cap of ' if ruled.code in _LIMITS else ''}rule {ruled.rule}"
    if ruled.code in _LIMITS:
        where = ruled.at if ruled.places <= 1 else f"{ruled.places:,} scopes like {ruled.at}"
        return f"{_LIMITS[ruled.code]} of {where}"
    if ruled.code.endswith("_detected"):
        return f"the watch: {kind_of(ruled.code.removesuffix('_detected'))}"
    if ruled.effect == "cap":
        return "what the budget still buys"
    return _CODES.get(ruled.code, ruled.code.replace("_", " ") or "the default")


def why(ruled: Ruled) -> str:
    """What its code adds to the rule's name; "" where that says it all."""
    if not ruled.rule or ruled.code in ("", "forbidden"):
        return ""
    return "" if ruled.code in _LIMITS else ruled.code


def names_of(ruled: Ruled, most: int = 4) -> str:
    """`tool.refund 12, tool.cancel 1`."""
    names = sorted(ruled.names.items(), key=lambda one: (-one[1], one[0]))
    said = ", ".join(f"{name} {count:,}" for name, count in names[:most])
    return said + (f" and {len(names) - most:,} more names" if len(names) > most else "")


def answers_of(ruled: Ruled) -> str:
    """How what asked was answered, and how long that took."""
    if not ruled.answers:
        return ""
    said = [
        f"{ruled.answers[name]:,} {word}"
        for name, word in _ANSWERS.items()
        if name in ruled.answers
    ]
    waited = ruled.waited_ns / max(1, sum(ruled.answers.values()))
    return f"{', '.join(said)}; {duration(waited)} on average"


def kind_of(name: str) -> str:
    """A kind of anomaly in words."""
    return name.replace("_", " ")


def shown(rulings: Rulings) -> list[tuple[Ruled, bool]]:
    """What was decided, and what would have been (True)."""
    return [(one, False) for one in rulings.decided] + [(one, True) for one in rulings.would]


def headline(report: RunReport) -> str:
    """What the authority did in a sentence; "" when there is nothing to tell."""
    rulings = report.summary.authority
    if rulings is None:
        return ""
    if rulings.mode == "shadow":
        blocked = sum_of(rulings.would, "deny")
        said = f"would have blocked {blocked.count:,} of {plural(rulings.asked, 'action')}"
        said += f", {money(blocked.usd_micro)}" if blocked.count else ""
        asked = sum_of(rulings.would, "ask").count
        return f"{said}; {asked:,} more would have asked" if asked else said
    counts = rulings.decisions
    refused = counts.get("deny", 0)
    said = f"denied {refused:,} of {plural(rulings.asked, 'action')}"
    if asked := counts.get("ask", 0):
        said += f", {asked:,} asked"
        said += f" ({answers})" if (answers := _answered(rulings.decided)) else ""
    return said + (f", {counts['cap']:,} capped" if counts.get("cap") else "")


def _answered(rows: Iterable[Ruled]) -> str:
    """How many of what asked got which answer."""
    counts = dict.fromkeys(_ANSWERS, 0)
    for row in rows:
        for name, count in row.answers.items():
            counts[name] = counts.get(name, 0) + count
    return ", ".join(f"{counts[name]:,} {word}" for name, word in _ANSWERS.items() if counts[name])


def sum_of(rows: Iterable[Ruled], effect: str) -> Charged:
    """How many actions of one effect, and what they cost."""
    found = Charged()
    for row in rows:
        if row.effect == effect:
            found.count += row.count
            found.usd_micro += row.usd_micro
            found.tokens += row.tokens
    return found


def coverage(rulings: Rulings) -> str:
    """Which share of the actions was seen, and what was not; "" when none is known of."""
    seen = rulings.coverage
    if seen.share is None:
        return ""
    said = f"{percent(seen.share)} of {plural(seen.known, 'known action')} came to the authority"
    missed = [
        (seen.unasked_tools, "tool call", "that a model asked for and no gateway saw"),
        (seen.unasked_models, "request", "of no trial"),
        (seen.observed, "action", "only observed"),
    ]
    parts = [f"{plural(count, noun)} {what}" for count, noun, what in missed if count]
    return f"{said}; not: {', '.join(parts)}" if parts else said


def amount(unit: str, value: int) -> str:
    """An amount as people write it."""
    base = unit.partition("/")[0]
    if base == "usd_micro":
        return money(value)
    if base == "ms":
        return duration(value * 1e6)
    return in_words(value, "bytes") if base == "bytes" else big(value)


def unit_of(unit: str) -> str:
    """The name of a unit: `money`, `calls of tool.search`, `tokens per minute`."""
    base, _, window = unit.partition("/")
    names = {"usd_micro": "money", "ms": "busy time", "children": "child scopes"}
    name = names.get(base, base)
    if base.startswith("calls:"):
        name = f"calls of {base.removeprefix('calls:')}"
    return f"{name} per {window}" if window else name


def columns(rows: Iterable[Booked]) -> list[str]:
    """The units that the ledger has columns for; units of one name only, and times, have none."""
    there = {unit for row in rows for unit in (*row.actual, *row.limits)}
    return [unit for unit in _UNITS if unit in there]


def limits_of(row: Booked) -> list[tuple[str, int | None, int, float | None]]:
    """The limits of a scope: unit, used, limit, share. Of a window nobody knows what was used."""
    found: list[tuple[str, int | None, int, float | None]] = []
    for unit, limit in row.limits.items():
        if "/" in unit:
            found.append((unit, None, limit, None))
        else:
            used = row.actual.get(unit, 0)
            found.append((unit, used, limit, used / limit if limit else float(used > 0)))
    return sorted(found, key=lambda one: (-1 if one[3] is None else -one[3] - 1, one[0]))


def depth(row: Booked) -> int:
    """How many scopes it lies in."""
    return row.scope.count("/")


def charges(rulings: Rulings) -> list[tuple[str, Charged, str]]:
    """The charges by source, with what the source means."""
    known = [(name, rulings.charges[name]) for name in SOURCES if name in rulings.charges]
    known += [(n, one) for n, one in rulings.charges.items() if n not in SOURCES]
    return [(name, one, SOURCES.get(name, "")) for name, one in known]


def watch_of(one: Watched) -> str:
    """What the watch did."""
    step = _STEPS.get(one.step, one.step)
    return f"would have {step}" if one.shadow else step


def examples(rulings: Rulings) -> list[Instance]:
    """The actions that a page names."""
    rows = (*rulings.decided[:ROWS], *rulings.would[:ROWS])
    found = [one for row in rows for one in row.first if row.effect != "cap"]
    return found + [one for watched in rulings.watched for one in watched.first]


def watched(rulings: Rulings | None) -> list[Checked]:
    """What the watch denied or stopped, as findings; what it only warned of is none."""
    steps = [one for one in rulings.watched if one.step != "warn"] if rulings else []
    if not steps:
        return []
    kinds: dict[str, int] = {}
    findings = []
    for one in steps:
        kind = one.kind if one.shadow else f"{one.kind}_{_STEPS.get(one.step, one.step)}"
        kinds[kind] = kinds.get(kind, 0) + one.count
        findings += [Finding(kind, f"{i.trial}: {i.says}", (_evidence(i, one),)) for i in one.first]
    count = sum(kinds.values())
    says = f"{count:,} steps of the watch"
    return [Checked(WATCH, "invalid", says, found=count, kinds=kinds, findings=findings)]


def _evidence(one: Instance, step: Watched) -> Evidence:
    return Evidence(one.t, one.name, watch_of(step), one.id, one.trial, one.tenant)
