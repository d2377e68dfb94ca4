"""Histories of shared things, told in a few words, and what a checker makes of them.

check(LostUpdate, get("a", 0, 1, "k", "old"), put("a", 2, 3, "k", "new"))

Times are in milliseconds: when it was asked for, when it ended (None: nobody saw the end).
"""

from __future__ import annotations

from itertools import count
from typing import Any

from proofrig.checkers.checker import Checked, Checker
from proofrig.checkers.judge import Judge
from proofrig.history.action import Entry, Kind

MS = 1_000_000
ON_START = {"key", "path", "physical", "fencing", "expected", "ttl_ns", "service"}
IDS = count()


def do(
    name: str,
    trial: str,
    begin: float,
    end: float | None,
    /,
    *,
    outcome: str = "ok",
    rig: bool = True,
    tenant: str = "acme",
    id: str = "",
    **attrs: Any,
) -> list[Entry]:
    """An action. `value` is on the start of a write and the end of a read."""
    id = id or f"{name}/{next(IDS)}"
    on_start = ON_START | ({"value", "entry"} if not name.endswith((".get", ".read")) else set())
    attrs = {"service": "memory"} | attrs
    asked = {key: value for key, value in attrs.items() if key in on_start}
    told = {key: value for key, value in attrs.items() if key not in on_start}
    if "now" in told:
        told["value"] = told.pop("now")

    def entry(kind: Kind, t: float, **attrs: Any) -> Entry:
        return Entry(0, round(t * MS), kind, name, trial, tenant, "", id, attrs)

    first = [entry("reserve", begin, decision="allow")] if rig else []
    last = [] if end is None else [entry("commit", end, outcome=outcome, **told)]
    return [*first, entry("start", begin, **asked), *last]


def get(
    trial: str, begin: float, end: float | None, key: str, value: Any, **attrs: Any
) -> list[Entry]:
    return do("kv.get", trial, begin, end, key=key, value=value, **attrs)


def put(
    trial: str, begin: float, end: float | None, key: str, value: Any, **attrs: Any
) -> list[Entry]:
    return do("kv.put", trial, begin, end, key=key, value=value, **attrs)


def take(trial: str, begin: float, end: float | None, key: str, **attrs: Any) -> list[Entry]:
    return do("lock.acquire", trial, begin, end, service="locks", key=key, **attrs)


def give(trial: str, begin: float, end: float | None, key: str, **attrs: Any) -> list[Entry]:
    return do("lock.release", trial, begin, end, service="locks", key=key, **attrs)


def note(name: str, t: float, trial: str = "", /, **attrs: Any) -> list[Entry]:
    return [Entry(0, round(t * MS), "note", name, trial, "", "", "", attrs)]


def begin(trial: str, t: float) -> list[Entry]:
    return [Entry(0, round(t * MS), "trial", "begin", trial, "acme")]


def end(trial: str, t: float) -> list[Entry]:
    return [Entry(0, round(t * MS), "trial", "end", trial, "acme")]


def check(
    checker: type[Checker],
    *things: list[Entry],
    topology: dict[str, dict[str, Any]] | None = None,
    payloads: dict[str, bytes] | None = None,
    **params: Any,
) -> Checked:
    """What the checker comes to, of entries in the order of time."""
    judge = Judge((payloads or {}).get, [checker])
    attrs = {"scenario": "burst", "topology": topology or {}, "params": params}
    judge.step(Entry(0, -MS, "note", "scenario", attrs={"state": "begin"} | attrs))
    for entry in sorted((entry for thing in things for entry in thing), key=lambda entry: entry.t):
        judge.step(entry)
    judge.step(Entry(0, 10**15, "note", "scenario", attrs={"state": "end"} | attrs))
    return judge.result()[0].checked[0]
