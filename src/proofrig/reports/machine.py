"""The JSON report: everything, for machines. Keys are only ever added under one schema version.

    schema      "proofrig.report/1"
    run, suite, status, exit_code
                the run's id, its suite's name, finished | interrupted | stopped, and the exit code
    verdict     {word, tone, why}: tone is good | bad | unsure | plain
    cautions    what to know before believing the score, as sentences
    gates       [{rule, state, message, figure, value, bound, low, high, baseline, scenario,
                evidence, abort}]: state is pass | fail | inconclusive; numbers are in the figure's
                base unit, null where they are not known
    comparison  null without a baseline, else {run, base, verdict, says, why, effects, broken,
                flips, flaky, behaviour, differences, left_out, cases, mde, repeats_needed, terms};
                verdict is regressed | improved | no worse | inconclusive | unreliable; an effect
                has metric, unit, better, base, now, change {estimate, low, high}, p, p_adjusted,
                verdict, blocks, says, needs; a broken or flipped case its counts, p and what it is;
                an end of an interval that is not bounded is null
    flaky       the cases of which some measured repeats passed and some did not
    summary     {overall, by_case, by_tag, by_difficulty, latency_ns, wasted_usd_micro, ...}; a
                score has name, cases, trials, measured, passed, rate {estimate, low, high} or null
                when nothing was measured, k, k_cases, pass_at and pass_hat by k, failures by
                class, the baselines (null: did not run), cost, tokens, calls, duration_ns quantiles
                scenarios: [{name, verdict, score, checked, needs, settings, complete}]; a verdict
                is valid | unknown | invalid; a checked has checker, verdict, says, exposure, found,
                findings [{kind, says, witness [{t, name, says, id, trial, tenant}]}], measures,
                series; `found` counts all findings, of which the first are listed
                checked: the same of a run without scenarios: anomalies, which no gate counts
                authority: null without a policy, else {mode, decisions by effect, decided, would,
                amended, charges by source, prices, unknown, unended, watched, coverage, ledger,
                scopes}; a decided has effect, rule, code, at, count, trials, names, fix, answers,
                usd_micro, first; `would` is what shadow mode only noted, with what it really cost
    reproduce   per scenario: the command that runs it again
    trials      one row per trial, baselines included (role): passed is null when not measured
    facts       per case: difficulty, tags
    trend       the suite's stored runs, oldest first
    manifest    what was run where
    problems    what went wrong around the run, as sentences
    cuts        those of them that say what of its plan was not run, and why
    notes       what else people should know, as sentences: where adaptive repeats were settled,
                whether it was kept as a baseline
    duration_ns from the run's start to its last entry

Rules:
1. Every key is always there; what was not measured is null, never 0.
2. Money is micro-dollars, times are nanoseconds, shares are between 0 and 1.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proofrig.reports.reading import cautions, flaky_of, reproduce, verdict_of
from proofrig.reports.report import RunReport

SCHEMA = "proofrig.report/1"


def document(report: RunReport) -> dict[str, Any]:
    """The report as plain values."""
    verdict = verdict_of(report)
    return {
        "schema": SCHEMA,
        "run": report.run,
        "suite": report.suite,
        "status": report.status,
        "exit_code": report.exit_code,
        "verdict": {"word": verdict.word, "tone": verdict.tone, "why": verdict.says},
        "cautions": cautions(report),
        "gates": _plain(report.gates),
        "comparison": _plain(report.comparison),
        "flaky": [case.id for case in flaky_of(report)],
        "summary": _plain(report.summary),
        "reproduce": {
            one.name: reproduce(report, scenario=one) for one in report.summary.scenarios
        },
        "trials": _plain(report.rows),
        "facts": {
            fact.id: {"difficulty": fact.difficulty, "tags": list(fact.tags)}
            for fact in report.facts.values()
        },
        "trend": report.trend,
        "manifest": report.manifest,
        "problems": report.problems,
        "cuts": report.cuts,
        "notes": report.notes,
        "duration_ns": report.duration_ns,
    }


def render(report: RunReport) -> bytes:
    """The report as JSON, indented, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document(report)), indent=2) + b"\n"


def _plain(value: Any) -> Any:
    """Structs as dictionaries with all their fields, defaults included."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(part) for name, part in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
