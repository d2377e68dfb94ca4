"""The scenarios of a run, ready to be shown: findings by kind, what was checked, figures and caps.

Rules:
1. Nothing is judged here: every verdict, count and figure comes from the summary.
2. Findings are numbered through the run, the same in every form of the report, worst kind first.
3. What was not measured is None, and said in words: so is the zero of a checker that looked at
   nothing. A checker that a scenario is not about and that saw nothing to check was "not
   exercised"; one that found nothing in a scenario whose launch went wrong is "in doubt".
4. The sequential scenario is what the others are compared with: where nothing was found in it, it
   is the "baseline" and has not "passed".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from proofrig.checkers.checker import Checked, Evidence, Finding, Verdict
from proofrig.reports.advice import advice_on
from proofrig.reports.authority import watched
from proofrig.reports.report import RunReport
from proofrig.reports.words import UNMEASURED, duration, line, percent, plural
from proofrig.results import ScenarioResult

SEQUENTIAL, LAUNCH = "sequential", "launch"
# A figure that several checkers have is taken from this one.
SOURCES = {"starvation_ratio": "pool_starvation"}
TOPOLOGY, CAP = "topology", "cap:"
NEAR = 0.8  # of a cap: from here on it is near
EVIDENCE = 12  # pieces of evidence of a finding that a page shows
ESSENCE = 100  # characters beside a verdict
PER_KIND = 12  # findings of a kind that a page shows; the rest are counted
WORDS: dict[Verdict, str] = {"valid": "passed", "unknown": "unknown", "invalid": "failed"}
GATES: dict[Verdict, str] = {"valid": "pass", "unknown": "inconclusive", "invalid": "fail"}
# The worst first: data in the wrong hands, data gone, no end, data out of date, work without a
# result, nobody served, load that feeds itself. A kind that is not here comes last.
_SEVERITY = (
    *("cross_tenant_leak", "wrong_tenant_hit", "key_collision", "lost_write", "lost_update"),
    *(
        "torn_write",
        "stale_holder",
        "duplicate_effect",
        "partial_as_complete",
        "deadlock",
        "lock_not_released",
    ),
    *("stale_accepted", "stale_result", "dirty_read", "stale_read", "leftover_state"),
    *("agent_failed_under_load", "pool_starvation", "tenant_exhaustion", "tail_unbounded"),
    *("retry_storm", "synchronised_retries", "lock_order_hazard"),
)
MEASURES = (
    ("tool_429_rate", "Tool calls answered 429"),
    ("llm_429_rate", "Model calls answered 429"),
    ("retry_amplification", "Retry amplification"),
    ("wrong_tenant_hit_rate", "Cache hits of another tenant"),
    ("leak_rate", "Trials given another tenant's data"),
    ("write_conflicts", "Write conflicts"),
    ("lost_updates", "Lost updates"),
    ("pool_wait_p50_ms", "Pool wait, median"),
    ("pool_wait_p99_ms", "Pool wait, p99"),
    ("starvation_ratio", "Requests starved of a connection"),
    ("deadlocks", "Deadlocks"),
    ("stale_accepted", "Stale results accepted"),
    ("fairness_jain", "Fairness over tenants (Jain)"),
    ("start_spread_ms", "Spread of starts"),
    ("arrival_spread_ms", "Spread of arrivals"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A finding with its number in the run and where it was found. `began_ns`: when its scenario
    began, to count its times from."""

    number: int
    scenario: str
    checker: str
    finding: Finding
    began_ns: int

    def witness(self, most: int) -> list[Evidence | None]:
        """The evidence; above `most`, its first and its last with None between."""
        every = list(self.finding.witness)
        if len(every) <= most:
            return list(every)
        return [*every[: most - most // 2], None, *every[-(most // 2) :]]


@dataclass(frozen=True, slots=True)
class Kind:
    """The findings of one kind. `found` counts them all where `exact`, else at least so many."""

    name: str
    found: int
    exact: bool
    shown: list[Shown]

    @property
    def title(self) -> str:
        """`Lost update`."""
        return title_of(self.name)

    @property
    def advice(self) -> str:
        """What to do about it; "" when there is nothing to say for all of its kind."""
        return advice_on(self.name)

    @property
    def count(self) -> str:
        """How many were found, in words."""
        return f"{self.found:,}" if self.exact else f"at least {self.found:,}"

    @property
    def scenarios(self) -> list[str]:
        """The scenarios in which it was found, each once; "" for what no scenario is about."""
        return list(dict.fromkeys(one.scenario for one in self.shown))

    @property
    def found_in(self) -> str:
        """How many were found, and in which scenarios."""
        named = [name for name in self.scenarios if name]
        return f"{self.count} found in {', '.join(named)}" if named else f"{self.count} found"


@dataclass(frozen=True, slots=True)
class Cap:
    """How near a scenario came to a declared cap: the share of it that was used at most."""

    name: str
    scenario: str
    share: float


def on_page(kinds: Iterable[Kind]) -> list[Shown]:
    """The findings that a page shows."""
    return [one for kind in kinds for one in kind.shown[:PER_KIND]]


def title_of(kind: str) -> str:
    """A kind of finding in words."""
    return kind.replace("_", " ").capitalize()


def found_in(scenario: ScenarioResult) -> int:
    """How many findings a scenario has."""
    return sum(max(one.found, len(one.findings)) for one in scenario.checked)


def kinds_of(report: RunReport) -> list[Kind]:
    """Every kind of finding with its findings, the worst kind first."""
    began = {scene.name: scene.begin_ns for scene in report.scenes}
    held: dict[str, list[tuple[str, str, Finding]]] = {}
    more: Counter[str] = Counter()  # beyond those that are kept
    vague: set[str] = set()
    for name, checked in _judged(report):
        for one in checked:
            kept = Counter(finding.kind for finding in one.findings)
            for finding in one.findings:
                held.setdefault(finding.kind, []).append((name, one.checker, finding))
            told = Counter(one.kinds) - kept
            more += told
            hidden = one.found - kept.total() - told.total()
            if hidden > 0 and len(kept) == 1:
                more[next(iter(kept))] += hidden
            elif hidden > 0:
                vague |= kept.keys()
    kinds, number = [], 0
    for name in sorted(held, key=lambda name: (_rank(name), -len(held[name]), name)):
        shown = []
        for scene, checker, finding in held[name]:
            number += 1
            shown.append(Shown(number, scene, checker, finding, began.get(scene, 0)))
        count = len(shown) + more[name]
        kinds.append(Kind(name, count, name not in vague, shown))
    return kinds


def _judged(report: RunReport) -> Iterable[tuple[str, list[Checked]]]:
    """What was checked, by scenario; "" for the checks of a run without any, and for the watch."""
    yield from ((scenario.name, scenario.checked) for scenario in report.summary.scenarios)
    yield "", [*report.summary.checked, *watched(report.summary.authority)]


def found_besides(report: RunReport) -> int:
    """How many findings are of no scenario."""
    besides = [*report.summary.checked, *watched(report.summary.authority)]
    return sum(max(one.found, len(one.findings)) for one in besides)


def _rank(kind: str) -> int:
    return _SEVERITY.index(kind) if kind in _SEVERITY else len(_SEVERITY)


def headline(report: RunReport) -> str:
    """What the scenarios came to, in a sentence; "" for a run without scenarios."""
    scenarios = report.summary.scenarios
    if not scenarios:
        return ""
    found = sum(map(found_in, scenarios))
    unknown = [one.name for one in scenarios if one.verdict == "unknown"]
    if found:
        bad = sum(1 for one in scenarios if one.verdict == "invalid")
        said = f"{plural(found, 'finding')} in {bad} of {plural(len(scenarios), 'scenario')}"
        kinds = kinds_of(report)
        if kinds:
            worst = kinds[0]
            said += f", the worst: {worst.title.lower()} in {worst.scenarios[0]}"
        return said
    if unknown:
        return f"no findings, but {', '.join(unknown)} could not be told"
    return f"no findings in {plural(len(scenarios), 'scenario')}"


def sequential_of(report: RunReport) -> ScenarioResult | None:
    """The scenario that all others stand next to."""
    return next((one for one in report.summary.scenarios if one.name == SEQUENTIAL), None)


def is_baseline(scenario: ScenarioResult) -> bool:
    """Whether it is only there to compare with: the sequential one, without findings."""
    return scenario.name == SEQUENTIAL and scenario.verdict == "valid" and not found_in(scenario)


def word_of(scenario: ScenarioResult) -> str:
    """Its verdict in a word."""
    return "baseline" if is_baseline(scenario) else WORDS[scenario.verdict]


def difference(scenario: ScenarioResult, sequential: ScenarioResult | None) -> float | None:
    """Its pass rate less the sequential one's, as a share; None where one was not measured."""
    if sequential is None or scenario is sequential:
        return None
    here, there = scenario.score.rate, sequential.score.rate
    return None if here is None or there is None else here.estimate - there.estimate


def points(share: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    if share is None:
        return "–"
    value = round(100 * share, 1)
    return "no difference" if not value else f"{'+' if value > 0 else '−'}{abs(value):.1f} points"


def agents_of(scenario: ScenarioResult) -> int:
    """How many agents ran; one after another in the sequential scenario."""
    return 1 if scenario.name == SEQUENTIAL else int(scenario.settings.get("agents") or 0)


def tenants_of(scenario: ScenarioResult) -> int:
    """Among how many tenants."""
    given = scenario.settings.get("tenants") or 0
    return given if isinstance(given, int) else len(given)


@dataclass(frozen=True, slots=True)
class Told:
    """The checkers of a scenario: those that told something (failed ones first), those in doubt
    only because the launch was, and those that were not exercised."""

    told: list[Checked]
    doubted: list[Checked]
    idle: list[Checked]


def told_by(scenario: ScenarioResult) -> Told:
    """What its checkers had to say."""
    launch = next((one.says for one in scenario.checked if one.checker == LAUNCH), "")
    found = Told([], [], [])
    for one in scenario.checked:
        if one.verdict != "unknown" or one.checker in scenario.needs:
            found.told.append(one)
        elif launch and one.says.endswith(f"; but {launch}"):
            found.doubted.append(one)
        else:
            found.idle.append(one)
    order = {"invalid": 0, "unknown": 1, "valid": 2}
    found.told.sort(key=lambda one: (order[one.verdict], one.checker not in scenario.needs))
    return found


def figures_of(scenario: ScenarioResult) -> dict[str, float]:
    """The figures that were measured, by name."""
    found: dict[str, float] = {}
    for one in scenario.checked:
        blind = one.verdict == "unknown" and not any(one.exposure.values())
        for name, value in one.measures.items():
            if SOURCES.get(name, one.checker) == one.checker and not (blind and not value):
                found[name] = value
    return found


def exposure(one: Checked) -> str:
    """What was looked at, counted: `1,200 reads, 40 writes`."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in one.exposure.items())


def figure(name: str, value: float | None) -> str:
    """A measure in the unit that its name ends with."""
    if value is None:
        return UNMEASURED
    if name.endswith(("_rate", "_ratio")):
        return percent(value)
    if name.endswith("_ms"):
        return duration(value * 1e6)
    if name.endswith("_ns"):
        return duration(value)
    if name.endswith("amplification"):
        return f"{value:.2f}×"
    return f"{value:,.0f}" if value == int(value) and name != "fairness_jain" else f"{value:.2f}"


def highlight(scenario: ScenarioResult, sequential: ScenarioResult | None) -> str:
    """The figure that moved most against the sequential scenario, with its name; else ""."""
    base, here = figures_of(sequential) if sequential else {}, figures_of(scenario)
    best, said = 0.0, ""
    for name, title in MEASURES[:-3]:  # the spreads and the fairness say nothing went wrong
        value, before = here.get(name), base.get(name)
        if value is None or value <= (before or 0.0) or scenario is sequential:
            continue
        moved = (value - (before or 0.0)) / max(before or 0.0, 1e-3)
        if moved > best:
            best, said = moved, f"{title}: {figure(name, value)}"
            said += "" if before is None else f" (sequential {figure(name, before)})"
    return said


def essence(scenario: ScenarioResult, sequential: ScenarioResult | None) -> str:
    """What stands beside its verdict: of one that passed, what the checker that it is about looked
    at, in as many clauses as fit; else the figure that moved most. May be ""."""
    if scenario.verdict != "valid":
        return highlight(scenario, sequential)
    about = next((name for name in scenario.needs if name != LAUNCH), "")
    says = next((one.says for one in scenario.checked if one.checker == about), "")
    first, *more = line(says, 400).split("; ")
    for clause in more:
        if len(first) + len(clause) + 2 > ESSENCE:
            break
        first += f"; {clause}"
    return line(first, 2 * ESSENCE)


def caps_of(scenarios: Iterable[ScenarioResult]) -> list[Cap]:
    """The caps that were measured, the nearest first."""
    found = [
        Cap(name.removeprefix(CAP), scenario.name, share)
        for scenario in scenarios
        for one in scenario.checked
        if one.checker == TOPOLOGY
        for name, share in one.measures.items()
        if name.startswith(CAP)
    ]
    return sorted(found, key=lambda cap: (-cap.share, cap.name, cap.scenario))
