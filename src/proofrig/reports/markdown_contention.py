"""The scenarios of a run as Markdown: a table of them, then the findings by kind.

Rules:
1. Those of markdown.py. One finding of each kind, while they take less than `MOST` bytes; the rest
   is counted.
"""

from __future__ import annotations

from proofrig.reports import contention
from proofrig.reports.contention import Kind
from proofrig.reports.markdown_text import code, escaped
from proofrig.reports.reading import reproduce, scenario_of
from proofrig.reports.report import RunReport
from proofrig.reports.words import UNMEASURED, duration, percent, plural
from proofrig.results import ScenarioResult, Score, case_of

MOST = 30_000
WITNESS = 4
_MARKS = {"valid": "✅", "invalid": "❌", "unknown": "⚠️"}


def scenarios(report: RunReport) -> list[str]:
    """The lines about the scenarios and the findings; none when the run has neither."""
    lines: list[str] = []
    if every := report.summary.scenarios:
        head = "| Scenario | Agents | Tenants | Accuracy | Against sequential | Findings "
        lines = ["### Contention", "", f"{head}| It showed |", "|---|---:|---:|---|---:|---:|---|"]
        sequential = contention.sequential_of(report)
        lines += [*(_row(one, sequential) for one in every), ""]
    if kinds := contention.kinds_of(report):
        lines += ["### Findings", "", *_findings(kinds, report), ""]
    return lines


def _findings(kinds: list[Kind], report: RunReport) -> list[str]:
    lines: list[str] = []
    room = MOST
    for place, kind in enumerate(kinds):
        fresh = _kind(kind, report)
        room -= sum(len(text.encode()) for text in fresh)
        if room < 0:
            return [*lines, f"- and {plural(len(kinds) - place, 'more kind')}"]
        lines += fresh
    return lines


def _row(one: ScenarioResult, sequential: ScenarioResult | None) -> str:
    change = contention.points(contention.difference(one, sequential))
    mark = "" if contention.is_baseline(one) else f"{_MARKS[one.verdict]} "
    cells = [
        f"{mark}{escaped(one.name)} {contention.word_of(one)}",
        f"{contention.agents_of(one):,}",
        str(contention.tenants_of(one) or "–"),
        _rate(one.score),
        change,
        f"{contention.found_in(one):,}",
        escaped(contention.essence(one, sequential)) or "–",
    ]
    return f"| {' | '.join(cells)} |"


def _rate(score: Score) -> str:
    if score.rate is None:
        return UNMEASURED
    low, high = percent(score.rate.low), percent(score.rate.high)
    return f"{percent(score.rate.estimate)} ({low} to {high})"


def _kind(kind: Kind, report: RunReport) -> list[str]:
    shown = kind.shown[0]
    lines = [f"- **{escaped(kind.title)}**: {escaped(kind.found_in)}"]
    lines += [f"  - What to do: {kind.advice}"] if kind.advice else []
    lines.append(f"  - {code(shown.finding.says)}")
    for one in shown.witness(WITNESS):
        if one is None:
            lines.append(f"  - {len(shown.finding.witness) - WITNESS:,} more between")
            continue
        at = f"+{duration(one.t - shown.began_ns)}"
        who = " ".join(code(part, 120) for part in (one.trial, one.tenant, one.name) if part)
        lines.append(f"  - {at} {who} {code(one.says, 200)}")
    trials = shown.finding.trials
    case = "" if shown.scenario or not trials else case_of(trials[0])
    again = reproduce(report, case, scenario_of(report, shown.scenario))
    return [*lines, f"  - {code(again, 600)}"]
