"""Gates and the comparison with a baseline as Markdown: the verdict, what decides, which cases.

Rules:
1. Those of markdown.py. What decides is listed whole up to `ROWS`; of the rest, what changed.
2. Nothing is judged here: every figure comes from the `Comparison` and the `GateResult`s.
"""

from __future__ import annotations

from collections.abc import Iterable

from proofrig.comparisons.comparison import Behaviour, CaseChange, Comparison, Effect
from proofrig.comparisons.gate import GateResult
from proofrig.reports import comparison as shown
from proofrig.reports.gates import ordered, rule
from proofrig.reports.markdown_text import code, escaped
from proofrig.reports.reading import gated, verdict_of
from proofrig.reports.report import RunReport
from proofrig.reports.words import plural

ROWS, CASES, LINES, EVIDENCE = 12, 10, 8, 3
MARKS: dict[str, str] = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}


def gates(report: RunReport) -> list[str]:
    """The gates as a table, the failed ones first; none where the heading says it all."""
    if not gated(report):
        return []
    ranked = ordered(report.gates)
    rows = [_gate(gate) for gate in ranked[: 2 * ROWS]]
    more = len(ranked) - len(rows)
    rows += [f"| | and {plural(more, 'more gate')} | |"] if more else []
    return ["| | Gate | |", "|---|---|---|", *rows, ""]


def comparison(report: RunReport) -> list[str]:
    """The lines about the comparison; none without one."""
    held = report.comparison
    if held is None:
        return []
    fact = shown.fact(held)
    lines = [f"### Against {escaped(shown.base_of(held))}", ""]
    if fact not in verdict_of(report).says:  # the heading has it
        lines += [f"**{shown.title(held.verdict)}**: {escaped(fact, 400)}", ""]
    lines += _listed("", [escaped(text) for text in held.why])
    lines += [*_effects(held), *_cases(held)]
    lines += _listed("**Acts otherwise**", [_behaviour(one) for one in shown.behaviour_of(held)])
    lines += _listed("**To decide it**", [escaped(text) for text in shown.to_decide(held)])
    lines += _listed("**Runs differ in**", [code(text) for text in held.differences])
    lines += _listed("**Left out**", [code(text) for text in held.left_out])
    return [*lines, "### Score", ""]


def _gate(gate: GateResult) -> str:
    """A row; of one that did not pass, its evidence too."""
    lines = [escaped(gate.message, 400)]
    if gate.state != "pass":
        lines += [escaped(text) for text in gate.evidence[:EVIDENCE]]
        lines += ["the run was ended for it"] if gate.abort else []
    return f"| {MARKS[gate.state]} | {escaped(rule(gate), 200)} | {'<br>'.join(lines)} |"


def _effects(held: Comparison) -> list[str]:
    found = shown.effects_of(held)
    rows = [*found.deciding, *found.moved][:ROWS]
    if not rows:
        return []
    lines = [
        f"| | Metric | Base | Now | Change | {shown.interval_of(held)} | |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    lines += [*(_effect(one) for one in rows), ""]
    if more := len(held.effects) - len(rows):
        lines += [f"and {plural(more, 'more metric')}; the HTML report has all of them", ""]
    return lines


def _effect(one: Effect) -> str:
    name = escaped(shown.metric(one))
    cells = [
        MARKS[shown.mark(one.verdict)],
        f"**{name}**" if one.blocks else name,
        escaped(shown.value(one, one.base)),
        escaped(shown.value(one, one.now)),
        escaped(shown.change(one)),
        escaped(shown.span(one)) or "–",
        escaped(one.verdict + (f", {proof}" if (proof := shown.proof(one)) else "")),
    ]
    return f"| {' | '.join(cells)} |"


def _cases(held: Comparison) -> list[str]:
    changed = shown.cases_of(held)
    return [
        *_listed("**Broken**", [_case(one, proved=True) for one in changed.broken], CASES),
        *_listed("**Worse, not proved**", [_case(one) for one in changed.worse], CASES),
        *_listed("**Better**", [_case(one, proved=one.fixed) for one in changed.better], CASES),
        *_listed("**Flaky**", [code(name, 200) for name in shown.flaky_of(held)], LINES),
    ]


def _case(one: CaseChange, *, proved: bool = False) -> str:
    before, after = shown.counts(one)
    proof = f", {shown.p_value(one.p)}" if proved else ""
    flaky = ", flaky" if one.flaky and not one.broken else ""
    return f"{code(one.case, 200)}: {before} → {after}{proof}{flaky}"


def _behaviour(one: Behaviour) -> str:
    sure = "" if one.certain else " (seen, not proved)"
    cases = f"; in {escaped(shown.some(one.cases))}" if one.cases else ""
    return f"{escaped(shown.kind_of(one))}: {escaped(shown.told(one), 400)}{sure}{cases}"


def _listed(title: str, items: Iterable[str], most: int = LINES) -> list[str]:
    """Items as a list under a title, the first `most`; the rest is counted."""
    every = list(items)
    if not every:
        return []
    more = [f"- and {len(every) - most} more"] if len(every) > most else []
    head = [f"{title}:", ""] if title else []
    return [*head, *(f"- {item}" for item in every[:most]), *more, ""]
