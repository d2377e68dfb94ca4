"""What is asked of a run: its gates, what it is held against, and on which terms.

Rules:
1. The suite's gates come first, then those of its lane, then those that were asked for beside it.
2. A run is held against a baseline where one was named, or where a gate needs one: then it is that
   of the suite's branch. Where no gate speaks of a regression, the pass rate must not have
   regressed.
3. A branch that has no baseline for the run yet decides nothing: the gates that need one are
   inconclusive, and say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from proofrig.baselining import NoBaseline, Wanted, find_baseline
from proofrig.comparisons.comparison import Terms
from proofrig.comparisons.gate import Gate
from proofrig.comparisons.sample import Sample
from proofrig.suites import Suite
from proofrig.suites.gates import BaselineSettings, GateSettings, gate_of
from proofrig.trials.manifest import Manifest

ACCURACY = "accuracy"
LEAST_CHANGE = 0.05  # of a metric, in proportion, where its gate does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a run. base: what it is held against; None for nothing. ref: how that was
    named, None where nothing asks for it, "" for the branch's own. lack: why there is none though
    something asks for it."""

    gates: list[Gate]
    terms: Terms
    ref: str | None = None
    base: Sample | None = None
    lack: str = ""


class Given(Protocol):
    """What was asked for beside the suite, and where runs and baselines are kept."""

    @property
    def root(self) -> Path: ...
    @property
    def baseline(self) -> str: ...
    @property
    def gates(self) -> tuple[str, ...]: ...
    def store_url(self) -> str: ...


def asked_of(suite: Suite, manifest: Manifest, given: Given) -> Asked:
    """What is asked of the run of `manifest`. Raises UsageError for a gate that cannot be read, and
    for a baseline that names nothing."""
    written = [*suite.gates]
    if manifest.lane in suite.lanes:
        written += suite.lanes[manifest.lane].gates
    written += [gate_of(text) for text in given.gates or manifest.gates]
    gates = list(dict.fromkeys(_gate(one) for one in written))  # asked twice is asked once
    terms = _with_gates(terms_of(suite.baseline), written)
    ref = given.baseline or manifest.baseline
    if not ref and not any(map(_needs_baseline, gates)):
        return Asked(gates=gates, terms=terms)
    if ref and not any(gate.regression for gate in gates):
        gates.append(Gate(rule=f"no regression of {ACCURACY}", regression=ACCURACY))
    wanted = Wanted(
        suite=suite.name,
        root=given.root,
        store_url=given.store_url(),
        digest=str(manifest.what.get("suite_digest", "")),
        settings=msgspec.to_builtins(manifest),
        branch=suite.baseline.branch,
        most=suite.baseline.pool,
        but=manifest.run,
    )
    try:
        return Asked(gates=gates, terms=terms, ref=ref, base=find_baseline(ref, wanted))
    except NoBaseline as error:
        return Asked(gates=gates, terms=terms, ref=ref, lack=str(error))


def _needs_baseline(gate: Gate) -> bool:
    return gate.threshold is None or gate.threshold.needs_baseline


def _gate(written: GateSettings) -> Gate:
    return Gate(
        rule=written.rule(),
        threshold=written.threshold(),
        regression=written.regression or "",
        scenario=written.scenario,
        sure=written.sure,
        abort=written.abort_on_fail,
        after_s=written.after,
    )


def terms_of(settings: BaselineSettings) -> Terms:
    """The terms that a suite states."""
    return Terms(
        alpha=settings.alpha,
        margin=settings.margin,
        min_effect=settings.min_effect,
        infra_ceiling=settings.infra_ceiling,
        cases=settings.cases,
    )


def _with_gates(terms: Terms, written: Iterable[GateSettings]) -> Terms:
    """The terms, with what regression gates say beside them."""
    metrics: dict[str, float] = {}
    for gate in written:
        if gate.regression == ACCURACY:
            given = {"margin": gate.margin, "min_effect": gate.min_effect}
            kept = {name: value for name, value in given.items() if value is not None}
            terms = msgspec.structs.replace(terms, **kept)
        elif gate.regression:
            metrics[gate.regression] = LEAST_CHANGE if gate.min_effect is None else gate.min_effect
    return msgspec.structs.replace(terms, metrics=metrics)
