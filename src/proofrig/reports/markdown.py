"""The Markdown report: a step summary and a comment for a pull request, the verdict in its first
line, then the gates, what changed against the baseline, the score, and the cases to look at.

Rules:
1. At most 64 KB whatever the run, which is what a comment may hold: failing cases are listed while
   there is room, the rest counted.
2. Text from agents stands in code spans that it cannot end: no markup, link or mention survives.
"""

from __future__ import annotations

from proofrig.places import run_name
from proofrig.reports import markdown_comparison, taping
from proofrig.reports.markdown_authority import authority
from proofrig.reports.markdown_contention import scenarios
from proofrig.reports.markdown_faults import faults
from proofrig.reports.markdown_text import code, escaped
from proofrig.reports.reading import (
    CaseResult,
    baseline,
    cases_of,
    cautions,
    failing_verdict,
    reproduce,
    verdict_of,
    worst_first,
)
from proofrig.reports.report import RunReport
from proofrig.reports.words import big, duration, money, percent, plural
from proofrig.results import Score

MOST = 64_000
_TEXT = 300
_MARKS = {"good": "✅", "bad": "❌", "unsure": "⚠️", "plain": "☑️"}


def render(report: RunReport) -> bytes:
    """The report as GitHub-flavoured Markdown, UTF-8."""
    verdict = verdict_of(report)
    head = [f"## {_MARKS[verdict.tone]} {verdict.word}: {escaped(verdict.says, 500)}", ""]
    taped = f", {escaped(said)}" if (said := taping.said(report)) else ""
    head += [f"Suite {code(report.suite)}, run {code(report.run)}{taped}", ""]
    told = [*report.cuts, *report.notes][:10]
    head += [*(f"- {escaped(text, 500)}" for text in told), ""] if told else []
    head += [*markdown_comparison.gates(report), *markdown_comparison.comparison(report)]
    head += [*scenarios(report), *_score(report), "", *faults(report), *authority(report)]
    head += [f"> {escaped(text, 300)}" for text in cautions(report)[:10]]
    head += [f"> {escaped(text, 300)}" for text in report.troubles[:10]]
    return _with_cases(_within("\n".join(head).rstrip() + "\n", report), report)


def _within(text: str, report: RunReport) -> str:
    """What stands before the cases, cut at a line where it alone is too long."""
    data = text.encode()
    if len(data) <= MOST - 1_000:
        return text
    kept = data[: MOST - 1_500].rpartition(b"\n")[0].decode()
    return f"{kept}\n\nand more: {_show(report)}\n"


def _show(report: RunReport) -> str:
    return code(f"proofrig show {run_name(report.run_dir)}", 400)


def _score(report: RunReport) -> list[str]:
    overall, k = report.summary.overall, report.summary.overall.k
    rows = [("Pass rate", _rate(overall))]
    if k > 1:
        hat, one = overall.pass_hat.get(str(k)), overall.pass_at.get("1")
        rows.append((f"pass@1 / pass^{k}", f"{percent(one)} / {percent(hat)}"))
    rows += [
        ("Null agent", baseline(overall.null_passed, overall.null_trials)),
        ("Reference", baseline(overall.reference_passed, overall.reference_trials)),
    ]
    failures = ", ".join(f"{count} {name}" for name, count in sorted(overall.failures.items()))
    rows += [
        ("Trials", f"{plural(overall.trials, 'trial')} of {plural(overall.cases, 'case')}"),
        ("Failures", failures or "none"),
        ("Cost", f"{money(overall.usd_micro)}, {big(overall.tokens)} tokens"),
        ("Trial time", f"p50 {_time(overall, 'p50')}, p95 {_time(overall, 'p95')}"),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _rate(score: Score) -> str:
    if score.rate is None:
        return "not measured"
    rate = score.rate
    found = f"**{percent(rate.estimate)}** ({score.passed} of {score.measured})"
    return f"{found}, 95 % interval {percent(rate.low)} to {percent(rate.high)}"


def _time(score: Score, quantile: str) -> str:
    return duration(score.duration_ns.get(quantile))


def _with_cases(text: str, report: RunReport) -> bytes:
    missed = worst_first(cases_of(report))
    if not missed:
        return text.encode()
    title = f"\n### {plural(len(missed), 'case')} to look at\n\n"
    room, shown, parts = MOST - 500 - len((text + title).encode()), 0, [text, title]
    for case in missed:
        part = _case(case, report)
        room -= len(part.encode())
        if room < 0:
            break
        parts.append(part)
        shown += 1
    if shown < len(missed):
        parts.append(f"\nand {len(missed) - shown} more: {_show(report)}\n")
    return "".join(parts).encode()


def _case(case: CaseResult, report: RunReport) -> str:
    score, first = case.score, case.first
    flaky = ", flaky" if case.flaky else ""
    passed = f"{score.passed} of {score.measured} passed{flaky}"
    if case.state == "unmeasured":
        passed = f"none of {score.trials} measured"
    lines = [f"- {code(case.id, 200)}: {passed}"]
    if first is not None:
        verdict = failing_verdict(first)
        if first.error:
            lines.append(f"  - {first.failure}: {code(first.error, _TEXT)}")
        if verdict and (verdict["expected"] or verdict["got"]):
            lines.append(
                f"  - {code(verdict['verifier'], 80)} expected {code(verdict['expected'])}"
            )
            lines.append(f"  - got {code(verdict['got'] or '(nothing)')}")
        if verdict and verdict["why"]:
            lines.append(f"  - {code(verdict['verifier'], 80)}: {code(verdict['why'])}")
    lines.append(f"  - {code(reproduce(report, case.id), 400)}")
    return "\n".join(lines) + "\n"
