"""The faults of a run, ready to be shown: what was declared, what struck, and how agents took it.

Rules:
1. Nothing is judged here: every count and rate comes from the summary's `FaultResult`s.
2. A fault that could have struck and never did is a warning, in every form of the report: what is
   expected under it was not tested.
3. Two pass rates beside each other are no experiment: which trials a fault strikes is drawn from
   the seed, but a trial with more calls is struck more often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from proofrig.reports.report import RunReport
from proofrig.reports.words import clean, duration, line, percent, plural
from proofrig.results import FaultResult, Score

NEVER = "never fired"
TODO = "Raise its probability, widen what it strikes or when, or run more trials."
ROWS = 40  # of a table that a page shows
_COMMON = frozenset({"kind", "name", "on", "probability", "when", "times", "pack"})
_PLACES = (
    ("at", ""),
    ("tool", "tool"),
    ("server", "server"),
    ("model", "model"),
    ("host", "host"),
    ("path", "path"),
    ("service", "service"),
    ("name", "action"),
    ("tenant", "tenant"),
    ("agent", "agent"),
    ("case", "case"),
    ("scenario", "scenario"),
)
_AT = {
    "llm": "models",
    "tool": "tools",
    "egress": "other hosts",
    "service": "services",
    "process": "processes",
}
_PLAIN = frozenset({"fault", "number", "at", "nth", "lasts_ns"})


def faults_of(report: RunReport) -> list[FaultResult]:
    """The faults of the run that could strike, or did."""
    return [one for one in report.summary.faults if one.strikes or one.missed]


def missed_of(report: RunReport) -> list[FaultResult]:
    """Those that could have struck, and never did."""
    return [one for one in report.summary.faults if one.missed]


def title_of(one: FaultResult) -> str:
    """What it is called, with its kind where that is another word."""
    label, kind = one.fault.label, one.fault.kind
    return clean(label if kind in ("", one.fault.title) else f"{label} ({kind})")


def where(one: FaultResult) -> str:
    """What it strikes: `tool search*, call 2`."""
    on = one.fault.on
    said = [
        f"{word} {_listed(on[part])}".strip() if part != "at" else _surfaces(on[part])
        for part, word in _PLACES
        if on.get(part) is not None
    ]
    if (nth := on.get("nth")) is not None:
        said.append(_nth(nth))
    return line(", ".join(said), 200) if said else "whatever it can"


def how_often(one: FaultResult) -> str:
    """How likely, when, and how many times at most; "" for always."""
    written = one.fault.written
    said = []
    if (share := written.get("probability", 1.0)) != 1.0:
        said.append(f"{percent(share)} of calls")
    if when := _when(written.get("when") or {}):
        said.append(when)
    if times := written.get("times"):
        said.append(f"at most {'once' if times == 1 else f'{times:,} times'} a trial")
    return ", ".join(said)


def settings(one: FaultResult) -> str:
    """Its own parameters: `ms 800, jitter_ms 600`."""
    own = {name: value for name, value in one.fault.written.items() if name not in _COMMON}
    return line(", ".join(f"{name} {_value(value)}" for name, value in own.items()), 200)


def strikes(one: FaultResult) -> str:
    """`12 in 9 trials`, or that it never fired."""
    if not one.strikes:
        return NEVER
    return f"{one.strikes:,} in {plural(one.trials, 'trial')}"


def surfaces(one: FaultResult) -> str:
    """At which surfaces it struck, where that is more than one."""
    if len(one.at) < 2:
        return ""
    return ", ".join(f"{_AT.get(at, at)} {count:,}" for at, count in sorted(one.at.items()))


def outcome(score: Score | None) -> str:
    """`5 of 9 passed`; of no trial "–"."""
    if score is None:
        return "–"
    if not score.measured:
        return f"none of {score.trials:,} measured"
    return f"{score.passed:,} of {score.measured:,} passed"


def headline(report: RunReport) -> str:
    """What the faults did in a sentence; "" for a run without any."""
    every = faults_of(report)
    if not every:
        return ""
    count, missed = sum(one.strikes for one in every), missed_of(report)
    struck, names = len(every) - len(missed), _some([one.fault.label for one in missed])
    if not struck:
        return f"{plural(len(every), 'fault')} {NEVER} ({names})"
    share = plural(struck, "fault") if not missed else f"{struck} of {plural(len(every), 'fault')}"
    said = f"{share} struck, {plural(count, 'time')}"
    return f"{said}; {names} {NEVER}" if missed else said


def caution(report: RunReport) -> str:
    """What a reader must know of faults that never fired; "" when all did."""
    missed = missed_of(report)
    if not missed:
        return ""
    names = _some([one.fault.label for one in missed])
    if len(missed) == 1:
        return f"A fault {NEVER} ({names}): what is expected under it was not tested. {TODO}"
    said = f"{len(missed)} faults {NEVER} ({names}): what is expected under them was not tested."
    return f"{said} {TODO.replace(' its ', ' their ').replace('it strikes', 'they strike')}"


def facts(attrs: Mapping[str, Any]) -> str:
    """What the entry of a fault says, in words: `call 2, lasts 800 ms, status 429`."""
    said = [f"call {attrs['nth']}"] if attrs.get("nth") else []
    if lasts := attrs.get("lasts_ns"):
        said.append(f"lasts {duration(lasts)}")
    for name, value in attrs.items():
        if name not in _PLAIN and value not in (None, "", [], {}):
            said.append(_fact(name, value))
    return line(", ".join(said), 300)


def windows(report: RunReport) -> list[tuple[str, str, float, float, float]]:
    """The scheduled times of faults: what, since (`trial` or `run`), and in seconds after, for (0:
    for good) and every (0: once)."""
    found = []
    for one in report.summary.faults:
        when = one.fault.written.get("when") or {}
        if any(when.get(part) for part in ("after_s", "for_s", "every_s")):
            times = (when.get(part) or 0.0 for part in ("after_s", "for_s", "every_s"))
            found.append((one.fault.label, when.get("since", "trial"), *times))
    return found


def _fact(name: str, value: Any) -> str:
    word = name.replace("_", " ")
    if name == "executed":
        return "carried out" if value else "not carried out"
    if isinstance(value, bool):
        return word if value else f"not {word}"
    if name.endswith("_ns") and isinstance(value, int | float):
        return f"{word.removesuffix(' ns')} {duration(value)}"
    if name.endswith("_s") and isinstance(value, int | float):
        return f"{word.removesuffix(' s')} {duration(value * 1e9)}"
    return f"{word} {_value(value)}"


def _surfaces(at: Any) -> str:
    names = [at] if isinstance(at, str) else at
    return " and ".join(f"calls to {_AT.get(name, name)}" for name in names)


def _listed(globs: Any) -> str:
    return str(globs) if isinstance(globs, str) else " or ".join(map(str, globs))


def _nth(nth: Any) -> str:
    if isinstance(nth, int):
        return f"call {nth}"
    if not isinstance(nth, Mapping):
        return f"calls {', '.join(map(str, nth))}"
    said = f"calls from {nth.get('from', nth.get('first', 1))}"
    said += f" to {nth['to']}" if nth.get("to") else " on"
    every = nth.get("every", 1)
    return said + (f", one of {every}" if every != 1 else "")


def _when(when: Mapping[str, Any]) -> str:
    after, lasts, every = (when.get(part) for part in ("after_s", "for_s", "every_s"))
    said = [f"from {after:g} s on"] if after else []
    said += [f"for {lasts:g} s"] if lasts else []
    said += [f"every {every:g} s"] if every else []
    if not said:
        return ""
    return f"{' '.join(said)} of the {when.get('since', 'trial')}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)


def _some(names: Iterable[str], most: int = 4) -> str:
    listed = [clean(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
