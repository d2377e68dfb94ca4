"""The contract of a checker: what happened in a scenario goes in, a verdict with evidence out.

Rules:
1. A checker is pure: the same actions and notes always give the same `Checked`.
2. `invalid` needs a witness: the fewest actions that prove it. A mere possibility is no finding.
3. `valid` needs exposure: how often the thing could have gone wrong. None seen is `unknown`.
4. Actions come as they end, those that never ended last. An outcome `unknown` may have happened at
   any later time, or never.
5. Memory is bounded by what is open and what is kept as evidence, not by the length of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from proofrig.anomalies.signature import Signature
from proofrig.checkers.injected import Declared
from proofrig.history.action import Action, Entry

Verdict = Literal["valid", "unknown", "invalid"]
WORST: tuple[Verdict, ...] = ("valid", "unknown", "invalid")
KEPT = 20  # findings of a kind that are kept with their evidence; all are counted


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry or action that proves something. `id` is the action's, "" for a note; `t` is
    nanoseconds since the run began; `says` is what it shows, for people."""

    t: int
    name: str
    says: str
    id: str = ""
    trial: str = ""
    tenant: str = ""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that went wrong, proved by `witness`, in the order of time. `kind` is the class of
    the trouble in snake case: `lost_update`, `pool_starvation`, ..."""

    kind: str
    says: str
    witness: tuple[Evidence, ...] = ()

    @property
    def trials(self) -> tuple[str, ...]:
        """The trials in the witness, each once."""
        return tuple(dict.fromkeys(one.trial for one in self.witness if one.trial))

    @property
    def tenants(self) -> tuple[str, ...]:
        """The tenants in the witness, each once."""
        return tuple(dict.fromkeys(one.tenant for one in self.witness if one.tenant))


class Checked(msgspec.Struct, omit_defaults=True):
    """What a checker came to in one scenario.

    says: the verdict in a line, with its figures. exposure: what was looked at, counted, by name.
    found: all findings, by kind in `kinds`; the first `KEPT` stand in `findings`. measures: figures
    by name, the unit at its end (`_ms`, `_ns`, `_rate`, `_ratio`), comparable between runs.
    series: named lists of numbers to draw, at most a few hundred each.
    """

    checker: str
    verdict: Verdict
    says: str = ""
    scenario: str = ""
    exposure: dict[str, int] = {}
    found: int = 0
    kinds: dict[str, int] = {}
    findings: list[Finding] = []
    measures: dict[str, float] = {}
    series: dict[str, list[float]] = {}


def _nothing(digest: str) -> bytes | None:
    return None


def _undeclared(name: str) -> bool | None:
    return None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a checker knows of the scenario before it sees anything of it; of a run without
    scenarios nothing but what does not depend on them.

    params: the scenario's parameters. topology: service -> what the suite declares of it, with its
    `type`. tenants: tenant -> weight. baseline: what the same checker came to in the sequential
    scenario of the same run; None without one. signature: of an earlier run that this one is held
    against; None without one. payload: bytes by digest, None when not kept. faults: those that the
    run declares. changes: whether an action of this name changes something; None: nobody says.
    """

    scenario: str = ""
    agents: int = 0
    params: Mapping[str, Any] = {}
    topology: Mapping[str, Mapping[str, Any]] = {}
    tenants: Mapping[str, int] = {}
    baseline: Checked | None = None
    signature: Signature | None = None
    payload: Callable[[str], bytes | None] = _nothing
    faults: tuple[Declared, ...] = ()
    changes: Callable[[str], bool | None] = _undeclared


class Checker(Protocol):
    """A checker of one scenario. Made with its `Setting`.

    reads: the beginnings of the action names it is handed (`"kv."`; `""` for all). notes: the
    `<kind>.<name>` of the other entries it is handed (`"note.kill"`, `"trial.begin"`; `"fault."`
    for all of a kind). timing: its verdict rests on times, which a rig that lags cannot tell.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    notes: ClassVar[tuple[str, ...]]
    timing: ClassVar[bool]

    def __init__(self, setting: Setting) -> None: ...

    def action(self, action: Action) -> None:
        """An action has ended, or the scenario has and it never did."""

    def note(self, entry: Entry) -> None:
        """An entry named in `notes`."""

    def result(self) -> Checked:
        """The verdict; called once, after everything was seen."""


class Findings:
    """Counts findings and keeps the first of each kind."""

    def __init__(self) -> None:
        self.count = 0
        self.kinds: dict[str, int] = {}
        self.kept: list[Finding] = []

    def add(self, kind: str, says: str, witness: Iterable[Evidence]) -> None:
        """Add one; its witness is put into the order of time."""
        self.count += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= KEPT:
            self.kept.append(Finding(kind, says, tuple(sorted(witness, key=lambda one: one.t))))

    def __len__(self) -> int:
        return self.count


def conclude(
    checker: str,
    findings: Findings,
    exposure: Mapping[str, int],
    *,
    wanted: str,
    missing: str = "",
    says: str = "",
    measures: Mapping[str, float] | None = None,
    series: Mapping[str, list[float]] | None = None,
) -> Checked:
    """`Checked` by the common rule: findings are invalid; else `exposure[wanted]` must not be 0.
    `missing` says what it means where it is: what was not there, and what would bring it."""
    things = wanted.replace("_", " ")
    if findings.count:
        verdict: Verdict = "invalid"
        says = says or f"{findings.count} found"
    elif not exposure.get(wanted):
        verdict, says = "unknown", missing or f"no {things} were seen, so nothing can be said"
    else:
        verdict, says = "valid", says or f"none in {exposure[wanted]:,} {things}"
    return Checked(
        checker=checker,
        verdict=verdict,
        says=says,
        exposure=dict(exposure),
        found=findings.count,
        kinds=findings.kinds,
        findings=findings.kept,
        measures=dict(measures or {}),
        series=dict(series or {}),
    )


def began(action: Action) -> int:
    """When it was asked for, nanoseconds since the run began."""
    first = action.reserve or action.start or action.end
    return first.t if first is not None else -1


def ended(action: Action) -> int:
    """When its end was seen, nanoseconds since the run began; -1 when it never was."""
    return action.end.t if action.end is not None else -1


def evidence(action: Action, says: str, *, at_end: bool = True) -> Evidence:
    """An action as evidence, at its end (if it had one) or at its beginning."""
    t = ended(action) if at_end and action.end is not None else began(action)
    return Evidence(t, action.name, says, action.id, action.trial, action.tenant)


def noted(entry: Entry, says: str) -> Evidence:
    """A note as evidence."""
    return Evidence(entry.t, entry.name, says, entry.id, entry.trial, entry.tenant)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several: valid < unknown < invalid; valid of none."""
    return max(verdicts, key=WORST.index, default="valid")
