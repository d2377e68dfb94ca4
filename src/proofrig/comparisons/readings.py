"""What the figures of a run came to: a summary goes in, values by name come out, each with what it
was measured over.

Rules:
1. What was not measured has no value, and says why; it is never 0.
2. Names and units are those of `proofrig.figures`; a measure of a checker that stands in no
   catalogue is `measure:<name>`, as the checker gave it.
3. A reading knows what keeps it from proving anything: a scenario that was cut off, a rig that
   lagged, a checker that had nothing to look at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches

import msgspec

from proofrig.checkers.checker import Checked
from proofrig.checkers.judge import LAG, LAG_LIMIT_MS, LAUNCH
from proofrig.figures import FIGURES, OWN, RUN, SCORE, Called, Figure, called, find
from proofrig.results import ScenarioResult, Score, Summary
from proofrig.stats.intervals import Interval
from proofrig.thresholds import named

# Measures that a scenario hands to those that come after it, and nobody else asks for.
_INTERNAL = ("alone:", "signature:")
_SHOWN, _WIDEST = 5, 160
_AROUND = ("infra", "harness")  # failures around the agent
# What the checkers' exposures count, where their names do not say.
_THINGS = {
    "granted": "granted locks",
    "hidden": "hidden answers",
    "incomplete": "incomplete texts",
    "disordered": "disordered results",
    "looked_at": "calls looked at",
}
_PLURAL = re.compile(r"\b(\w*?)(ies|sses|(?<!s)s)\b")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one figure came to, in its base unit; None: not measured, `why` says why not.

    hits, n, of: of a share, how many of how many of what; of a spread, how many values it has.
    missing: how many more there are that were not measured. interval: at 95 %, where it is known.
    doubt: why it proves nothing good. void: why it proves nothing at all. about: the checker's
    verdict is what the scenario is about.
    """

    name: str
    scenario: str = ""
    figure: Figure | None = None
    value: float | None = None
    why: str = ""
    hits: float | None = None
    n: int = 0
    of: str = ""
    missing: int = 0
    interval: Interval | None = None
    doubt: str = ""
    void: str = ""
    about: bool = False

    def reach(self, further: int = 0) -> tuple[float, float]:
        """From where to where the value can come, whatever the trials that are not measured come
        to, and `further` ones that did not run."""
        value = self.value or 0.0
        open_ = self.missing + further
        if self.hits is None or not open_:
            return value, value
        most = self.n + open_
        return self.hits / most, (self.hits + open_) / most


Readings = dict[str, dict[str, Reading]]  # scenario ("" for the run as a whole) -> name -> reading


def readings_of(summary: Summary) -> Readings:
    """All figures of a run."""
    whole = [*_of_score(summary.overall), *_of_run(summary), *_of_checkers(summary.checked)]
    found = {"": {one.name: one for one in whole}}
    for scenario in summary.scenarios:
        found[scenario.name] = {one.name: one for one in _of_scenario(scenario)}
    return found


def asked(readings: Readings, name: str, figure: str, scenario: str) -> list[Reading]:
    """The readings that a gate on `name` is about, one at least: that of its scenario; without one
    that of the run as a whole, or of every scenario that measured it, or that is about it."""
    if scenario and scenario not in readings:
        return [Reading(name=name, scenario=scenario, why=f"the scenario {scenario} did not run")]
    known = find(figure)
    of_all = known is not None and known.source in (SCORE, RUN)
    if scenario or of_all:
        there = readings[scenario]
        return [there.get(name) or Reading(name=name, scenario=scenario, why=_absent(name, there))]
    every = [names[name] for names in readings.values() if name in names]
    told = [one for one in every if one.value is not None or one.about]
    if told or every:
        return told or every
    if len(readings) == 1:
        return [Reading(name=name, why="it is measured in scenarios, and none ran")]
    there = {name: one for names in readings.values() for name, one in names.items()}
    return [Reading(name=name, why=_absent(name, there))]


def _absent(name: str, there: Collection[str]) -> str:
    """That nothing measured a figure, and what there is: its other parts, or what sounds alike."""
    figure = find(_bare(name))
    alike = [one for one in there if (":" in one) == (":" in name)]
    others = [] if figure is None else [one for one in alike if find(_bare(one)) is figure]
    close = ", ".join((others or get_close_matches(name, there, 1))[:_SHOWN])
    return f"nothing measured it{f'; there is {close}' if close else ''}"


def _bare(name: str) -> str:
    """The name of a figure without its quantile."""
    return name.partition("(")[2].rstrip(")") or name


def figures_of(summary: Summary) -> dict[str, dict[str, float]]:
    """All figures of a run that were measured, by scenario ("" for the run as a whole) and name:
    what a baseline keeps, and a trend draws."""
    return {
        scenario: {name: one.value for name, one in sorted(names.items()) if one.value is not None}
        for scenario, names in readings_of(summary).items()
    }


def _of_scenario(scenario: ScenarioResult) -> Iterator[Reading]:
    launch = next((one for one in scenario.checked if one.checker == LAUNCH), None)
    for one in (*_of_score(scenario.score), *_of_checkers(scenario.checked)):
        checker = one.figure.source if one.figure else ""
        doubt = one.doubt or ("" if checker in (LAUNCH, "topology") else _not_there(launch, one))
        void = "the scenario was cut off" if not scenario.complete else _late(launch, one)
        about = checker in scenario.needs
        yield msgspec.structs.replace(
            one, scenario=scenario.name, doubt=doubt, void=void, about=about
        )


def _not_there(launch: Checked | None, one: Reading) -> str:
    """Why the load that was asked for was not there; a rig that only lagged spoils times alone."""
    if launch is None or launch.verdict != "unknown":
        return ""
    lagged = launch.measures.get(LAG, 0.0) > LAG_LIMIT_MS and not launch.exposure.get("missed")
    return "" if lagged and not _is_time(one) else launch.says


def _late(launch: Checked | None, one: Reading) -> str:
    lag = launch.measures.get(LAG, 0.0) if launch else 0.0
    if lag <= LAG_LIMIT_MS or not _is_time(one) or (one.figure and one.figure.source == LAUNCH):
        return ""
    return f"the rig itself ran {lag:.0f} ms late, so that times prove nothing"


def _is_time(one: Reading) -> bool:
    return one.figure is not None and one.figure.unit == "ns"


def _share(name: str, hits: float, n: int, of: str, **more: object) -> Reading:
    """So many of so many; not measured where there are none."""
    if not n:
        given = {"why": f"there were no {of}"} | more
        return Reading(name=name, figure=find(name), n=0, of=of, **given)  # type: ignore[arg-type]
    value = hits / n
    return Reading(name=name, figure=find(name), value=value, hits=hits, n=n, of=of, **more)  # type: ignore[arg-type]


def _of_score(score: Score) -> Iterator[Reading]:
    measured, unmeasured = score.measured, score.trials - score.measured
    many = "measured trials"
    yield _share("accuracy", score.passed, measured, many, missing=unmeasured, interval=score.rate)
    around = sum(score.failures.get(kind, 0) for kind in _AROUND)
    yield _share("infra_rate", around, score.trials, "trials")
    for kind in ("timeout", "limit"):
        failed = score.failures.get(kind, 0)
        yield _share(f"{kind}_rate", failed, measured, many, missing=unmeasured)
    for name, by_k in (("pass_at", score.pass_at), ("pass_hat", score.pass_hat)):
        for k in ("k", *by_k):
            yield _of_k(f"{name}_{k}", by_k.get(str(score.k) if k == "k" else k), score)
    yield from _sums(score)
    for figure, q, value in _quantiles("duration", score.duration_ns):
        name = named(figure.name, q)
        if value is None:
            yield Reading(name=name, figure=figure, why=f"there were no {many}")
        else:
            yield Reading(name=name, figure=figure, value=value, n=measured, of=many)


def _of_k(name: str, value: float | None, score: Score) -> Reading:
    """pass@k or pass^k, a mean over those cases that have k measured trials."""
    of = f"cases with {counted(score.k, 'measured trials')}"
    if value is None:
        return Reading(name=name, figure=find(name), why=f"there were no {of}")
    n = score.k_cases
    return Reading(
        name=name,
        figure=find(name),
        value=value,
        hits=value * n if n else None,
        n=n,
        of=of,
        missing=score.cases - n,
    )


def _sums(score: Score) -> Iterator[Reading]:
    """What the trials cost and did, together and each."""
    sums = {
        "cost": score.usd_micro / 1e6,
        **{name: getattr(score, name) for name in ("tokens", "llm_calls", "tool_calls")},
        **{name: getattr(score, name) for name in ("retries", "denied")},
    }
    for name, total in sums.items():
        for one, by in ((name, 1), (f"{name}_per_trial", score.trials)):
            if score.trials:
                yield Reading(
                    name=one, figure=FIGURES[one], value=total / by, n=score.trials, of="trials"
                )
            else:
                yield Reading(name=one, figure=FIGURES[one], why="no trial ran")
    name = "cost_per_pass"
    if score.passed:
        value = sums["cost"] / score.passed
        yield Reading(name=name, figure=FIGURES[name], value=value, n=score.passed, of="passes")
    else:
        yield Reading(name=name, figure=FIGURES[name], why="no trial passed")


def _quantiles(name: str, values: dict[str, float]) -> Iterator[tuple[Figure, float, float | None]]:
    figure = FIGURES[name]
    for q in figure.quantiles:
        yield figure, q / 100, values.get(f"p{q}")


def _of_run(summary: Summary) -> Iterator[Reading]:
    """What is known of the run as a whole alone."""
    overall, authority = summary.overall, summary.authority
    for figure, q, value in _quantiles("llm_latency", summary.latency_ns):
        name, of = named(figure.name, q), "model calls at most"
        why = "" if value is not None else "no model call was answered"
        yield Reading(name=name, figure=figure, value=value, why=why, n=overall.llm_calls, of=of)
    for name, spread in summary.resources.spreads.items():
        for figure, q, value in _quantiles(name, spread.at) if name in FIGURES else ():
            n = spread.n
            yield Reading(name=named(name, q), figure=figure, value=value, n=n, of="trials")
    denied = authority.decisions.get("deny", 0) if authority else 0
    asked = authority.asked if authority and authority.mode != "shadow" else 0
    shadow = authority is not None and authority.mode == "shadow"
    why = "in shadow mode nothing is denied" if shadow else "the run had no policy"
    yield _share("denied_rate", denied, asked, "decisions", why="" if asked else why)
    twice = [case for case in summary.by_case if case.trials > 1]
    known = [case for case in twice if case.measured > 1]
    flaky = sum(0 < case.passed < case.measured for case in known)
    of, missing = "cases measured twice or more", len(twice) - len(known)
    yield _share("flaky_rate", flaky, len(known), of, missing=missing)
    for who in ("null", "reference"):
        passed, trials = getattr(overall, f"{who}_passed"), getattr(overall, f"{who}_trials")
        yield _share(f"{who}_pass_rate", passed or 0, trials, f"trials of the {who} agent")
    ran = bool(overall.trials)
    yield Reading(
        name="unattributed",
        figure=FIGURES["unattributed"],
        value=float(summary.unattributed) if ran else None,
        why="" if ran else "no trial ran",
    )


def _of_checkers(checked: list[Checked]) -> Iterator[Reading]:
    for one in checked:
        for measure, value in one.measures.items():
            if measure.startswith(_INTERNAL):
                continue
            told = called(measure)
            if told is None:
                yield Reading(name=f"{OWN}{measure}", value=value)
            elif why := _unseen(one, told.figure, value):
                name = named(told.name, told.quantile)
                yield Reading(name=name, figure=told.figure, why=why)
            else:
                yield _measured(one, told, value)
        if one.checker == "tenant_bleed":
            yield _leaks(one)


def _unseen(one: Checked, figure: Figure, value: float) -> str:
    """Why a measure is none: what it is measured over was not there. "" where it was; what was
    found was there."""
    if (figure.finds and value) or not figure.over or one.exposure.get(figure.over):
        return ""
    return f"there were no {_words(figure.over)}"


def _measured(one: Checked, told: Called, value: float) -> Reading:
    figure = told.figure
    part = ":" in told.name  # the exposure is of all parts together
    n = 0 if part else one.exposure.get(figure.over, 0)
    value *= told.scale
    return Reading(
        name=named(told.name, told.quantile),
        figure=figure,
        value=value,
        hits=round(value * n) if figure.interval and n else None,
        n=n,
        of=_words(figure.over) if n else "",
        doubt=one.says if figure.finds and not value and one.verdict == "unknown" else "",
    )


def _leaks(one: Checked) -> Reading:
    """The worst of three rates; where all are 0, over the probes if there were any."""
    figure, over = FIGURES["leak_rate"], ("probes", "cross_tenant_trials", "shared_hits")
    rates = ("probe_leak_rate", "leak_rate", "wrong_tenant_hit_rate")
    found = [
        (one.measures[rate], -place)
        for place, rate in enumerate(rates)
        if rate in one.measures and one.exposure.get(over[place])
    ]
    if not found:
        return Reading(name=figure.name, figure=figure, why=one.says)
    value, place = max(found)
    n, of = one.exposure[over[-place]], _words(over[-place])
    doubt = one.says if not value and one.verdict == "unknown" else ""
    return Reading(
        name=figure.name, figure=figure, value=value, hits=round(value * n), n=n, of=of, doubt=doubt
    )


def _words(exposure: str) -> str:
    return _THINGS.get(exposure) or exposure.replace("_", " ")


def counted(n: int, things: str) -> str:
    """`3 trials`, `1 trial`: how many of what a reading is of."""
    if n == 1:
        ends = {"ies": "y", "sses": "ss", "s": ""}
        things = _PLURAL.sub(lambda found: found[1] + ends[found[2]], things, count=1)
    return f"{n:,} {things}"


def evidence_of(reading: Reading, summary: Summary) -> list[str]:
    """What stands behind a reading, in short lines: how far a quantile can be known, who failed,
    which trials a finding was seen in."""
    if reading.value is None:
        return []
    spread = reading.figure is not None and reading.figure.quantiles
    lines = list(_known_to(reading)) if spread else []
    source = reading.figure.source if reading.figure else ""
    scenario = next((one for one in summary.scenarios if one.name == reading.scenario), None)
    checked = scenario.checked if scenario else summary.checked
    if reading.name == "accuracy":
        score = scenario.score if scenario else summary.overall
        lines += _failing(score, [] if scenario else summary.by_case)
    for one in checked:
        if one.checker == source:
            lines += _findings(one)
    return [line if len(line) <= _WIDEST else f"{line[: _WIDEST - 3]}..." for line in lines]


def _known_to(reading: Reading) -> Iterator[str]:
    """The slowest of n values is above the q-quantile with probability 1 - q^n: with fewer than
    log(5 %) / log(q) of them nothing bounds it (order statistics, David & Nagaraja 2003)."""
    q = float(reading.name.partition("(")[0].removeprefix("p")) / 100
    needed = math.ceil(math.log(0.05) / math.log(q))
    if reading.n and reading.n < needed:
        known = 100 * 0.05 ** (1 / reading.n)
        yield (
            f"p{100 * q:g} of {counted(reading.n, reading.of)} is not known: it takes {needed:,}; "
            f"the slowest of {reading.n:,} bounds no more than p{known:.0f} (95 %)"
        )


def _failing(score: Score, by_case: list[Score]) -> Iterator[str]:
    if score.failures:
        kinds = sorted(score.failures.items(), key=lambda one: -one[1])
        yield "failures: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds)
    bad = [case for case in by_case if case.measured and case.passed < case.measured]
    bad.sort(key=lambda case: (case.passed / case.measured, -case.measured, case.name))
    for case in bad[:_SHOWN]:
        yield f"{case.name}: {case.passed} of {case.measured} passed"
    if len(bad) > _SHOWN:
        yield f"and {len(bad) - _SHOWN:,} more cases that failed"


def _findings(one: Checked) -> Iterator[str]:
    for finding in one.findings[:_SHOWN]:
        trials = ", ".join(finding.trials[:3])
        yield f"{finding.kind}{f' ({trials})' if trials else ''}: {finding.says}"
    if one.found > _SHOWN:
        yield f"and {one.found - _SHOWN:,} more findings of {one.checker}"
