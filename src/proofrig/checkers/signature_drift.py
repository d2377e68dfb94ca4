"""A run whose calls cost, take or number something else than those of its baseline.

Rules:
1. The baseline is the signature that the judge is given (of an earlier run), else, in a scenario,
   the sequential one of the same run. Without any nothing can be said.
2. Against an earlier run money, tokens, latency and calls per trial are held. Against the
   sequential scenario only money and tokens are: latency under load is what `burst` judges, and
   scenarios launch their cases in other proportions.
3. What has drifted is told in `anomalies.signature`: a whole distribution that moved.
4. Only calls that ended ok count: failures have checkers of their own.
"""

from __future__ import annotations

from typing import ClassVar

from proofrig.anomalies.signature import (
    FIGURES,
    Drift,
    Figure,
    Named,
    Quartiles,
    Signature,
    Signing,
    drifts,
)
from proofrig.checkers._calls import APART, latency_of, tokens_of
from proofrig.checkers.checker import (
    Checked,
    Evidence,
    Findings,
    Setting,
    conclude,
    evidence,
)
from proofrig.history.action import Action, Entry
from proofrig.history.history import History

IN_SCENARIOS: tuple[Figure, ...] = ("usd_micro", "tokens")
SHOWN = 3
_UNITS = {"usd_micro": "micro-dollars", "tokens": "tokens", "ms": "ms", "per_trial": "per trial"}
_KEPT: tuple[Figure, ...] = ("usd_micro", "tokens")


class SignatureDrift:
    """Holds the signature of a run against that of its baseline."""

    name: ClassVar[str] = "signature_drift"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = ("trial.begin",)
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        given = setting.signature
        self._given = given is not None
        self._before = given if given is not None else _of_baseline(setting.baseline)
        self._signing = Signing()
        self._examples: dict[str, list[Evidence]] = {}

    def action(self, action: Action) -> None:
        end = action.end
        if end is None or end.kind != "commit" or action.name.startswith(APART):
            return
        told = end.attrs
        if told.get("outcome") != "ok":
            return
        actual = told.get("actual")
        money = actual.get("usd_micro", 0) if actual else 0
        took = max(latency_of(action), 0)
        self._signing.add(action.name, action.trial, took, money, tokens_of(told))
        examples = self._examples.get(action.name)
        if examples is None:
            examples = self._examples[action.name] = []
        if len(examples) < SHOWN:
            examples.append(evidence(action, f"{took / 1e6:,.0f} ms, {money:,} micro-dollars"))

    def note(self, entry: Entry) -> None:
        """A trial begins: it counts also when it makes no call."""
        self._signing.trial(entry.trial)

    def signature(self) -> Signature:
        """Of what was seen, to hold a later run against."""
        return self._signing.signature()

    def result(self) -> Checked:
        after, before = self.signature(), self._before
        findings, compared = Findings(), 0
        if before is not None:
            compared = len(before.names.keys() & after.names.keys())
            for drift in drifts(before, after, FIGURES if self._given else IN_SCENARIOS):
                findings.add(
                    f"{drift.figure}_drift", _says(drift), self._examples.get(drift.name, ())
                )
        missing = "no baseline signature was given, so nothing can be held against it"
        if before is not None:
            missing = "no name of an action is in both this run and its baseline"
        return conclude(
            self.name,
            findings,
            {
                "compared_names": compared,
                "baseline": int(before is not None),
                "names": len(after.names),
                "trials": after.trials,
            },
            wanted="compared_names",
            missing=missing,
            measures=_measures(after),
        )


def signature_of_run(history: History) -> Signature:
    """The signature of a run that was recorded."""
    signing = SignatureDrift(Setting())
    for entry in history.entries():
        if entry.kind == "trial" and entry.name == "begin":
            signing.note(entry)
    for action in history.actions():
        signing.action(action)
    return signing.signature()


def _says(drift: Drift) -> str:
    before, after, unit = drift.before, drift.after, _UNITS[drift.figure]
    return (
        f"{drift.name}: {after.mid:,.0f} {unit} in the middle, {before.mid:,.0f} in the baseline; "
        f"the middle half lies in {after.low:,.0f} to {after.high:,.0f} ({after.count:,} seen), "
        f"and lay in {before.low:,.0f} to {before.high:,.0f} ({before.count:,} seen)"
    )


def _measures(signature: Signature) -> dict[str, float]:
    """What the same checker needs of it where this was the baseline, see `_of_baseline`."""
    measures: dict[str, float] = {}
    for name, named in signature.names.items():
        for figure in _KEPT:
            one: Quartiles = getattr(named, figure)
            if not one.high:
                continue
            parts = {"count": one.count, "low": one.low, "mid": one.mid, "high": one.high}
            for part, value in parts.items():
                measures[f"signature:{name}:{figure}:{part}"] = float(value)
    return measures


def _of_baseline(baseline: Checked | None) -> Signature | None:
    """The signature that the measures of a baseline tell; None of none."""
    if baseline is None:
        return None
    found: dict[str, dict[str, dict[str, float]]] = {}
    for label, value in baseline.measures.items():
        if label.startswith("signature:"):
            name, figure, part = label.removeprefix("signature:").rsplit(":", 2)
            found.setdefault(name, {}).setdefault(figure, {})[part] = value
    names = {
        name: Named(**{figure: _quartiles(parts) for figure, parts in figures.items()})
        for name, figures in found.items()
    }
    return Signature(names=names)


def _quartiles(parts: dict[str, float]) -> Quartiles:
    return Quartiles(int(parts["count"]), parts["low"], parts["mid"], parts["high"])
