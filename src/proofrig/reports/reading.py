"""What a report says, before how it looks: the verdict, the cautions, the cases, the reasons.

Rules:
1. One place words the verdict, so every form of the report says the same.
2. Without a gate there is no pass and no fail: the run has finished, and its score is shown.
3. A case is flaky when some of its measured repeats passed and some did not.
4. Findings stand before the score, and a run with findings never looks like one that passed.
5. A regression comes before anything that a gate says, a failed gate before any other comparison;
   what could not be compared never looks like what passed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from proofrig.comparisons.gate import GateResult
from proofrig.errors import UsageError
from proofrig.places import root_option, run_name, shortest
from proofrig.reports import comparison, faults, taping
from proofrig.reports.contention import (
    SEQUENTIAL,
    agents_of,
    found_besides,
    found_in,
    headline,
    kinds_of,
    tenants_of,
)
from proofrig.reports.report import RunReport
from proofrig.reports.words import line, percent, plural
from proofrig.results import Row, ScenarioResult, Score

Tone = Literal["good", "bad", "unsure", "plain"]
State = Literal["passed", "failed", "unmeasured"]
FAILURES = ("agent", "timeout", "limit", "diverged", "infra", "harness", "unfired")
MEANING = {
    "agent": "the agent's answer or its actions were wrong",
    "timeout": "the agent ran out of time",
    "limit": "a budget, a rule or a limit stopped the agent",
    "diverged": "the agent asked what the recording does not hold",
    "infra": "something around the agent failed; not in the score",
    "harness": "the harness or a verifier failed; not in the score",
    "unfired": "no fault struck to show what is expected under it; not in the score",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the run came to, in a word and a sentence. `found`: what its scenarios came to."""

    word: str
    tone: Tone
    why: str
    found: str = ""

    @property
    def says(self) -> str:
        """All of it in one sentence."""
        return f"{self.found}; {self.why}" if self.found else self.why


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case with the rows of its repeats. `first` is the row that best shows why it did not pass:
    its first failed repeat, else its first unmeasured one."""

    id: str
    score: Score
    rows: tuple[Row, ...]

    @property
    def state(self) -> State:
        """failed: a measured repeat failed. unmeasured: no repeat was measured."""
        if self.score.passed < self.score.measured:
            return "failed"
        return "passed" if self.score.measured else "unmeasured"

    @property
    def flaky(self) -> bool:
        """Some measured repeats passed and some did not."""
        return 0 < self.score.passed < self.score.measured

    @property
    def first(self) -> Row | None:
        """The row to look at first; None when every repeat passed."""
        order = {False: 0, None: 1}
        missed = [row for row in self.rows if row.passed is not True]
        return min(missed, key=lambda row: order[row.passed], default=None)


def verdict_of(report: RunReport) -> Verdict:
    """The run's verdict, from its exit code, its gates and what its scenarios found."""
    verdict, scenarios = _outcome(report), report.summary.scenarios
    found = sum(map(found_in, scenarios))
    verdict = replace(verdict, found=headline(report))
    if found and verdict.tone in ("plain", "good"):
        word = plural(found, "finding")
        return replace(
            verdict, word=word, tone="bad", found=verdict.found.removeprefix(word).strip()
        )
    if verdict.tone in ("plain", "good") and found_besides(report):
        return replace(verdict, tone="unsure")
    if verdict.tone in ("plain", "good") and any(one.verdict == "unknown" for one in scenarios):
        return replace(verdict, tone="unsure")
    return verdict


def _outcome(report: RunReport) -> Verdict:
    """What the gates and the comparison say together."""
    own, held = _of_gates(report), report.comparison
    if held is None or report.exit_code not in _ENDED:
        return own
    fact, word, tone = comparison.fact(held), comparison.title(held.verdict), own.tone
    if held.verdict == "regressed":
        failed = [gate for gate in report.gates if gate.state == "fail"]
        others = [g.rule for g in failed if fact not in g.message and not _again(g)]
        more = f"; failed: {some(others, 3)}" if others else ""
        return Verdict(word, "bad", f"{fact}{more}")
    decided = held.verdict in ("improved", "no worse")
    unsaid = not any(g.state == "inconclusive" and not _again(g) for g in report.gates)
    doubted = report.exit_code == 4 and (held.verdict == "unreliable" or unsaid)
    if tone == "plain" or (tone == "good" and decided) or (doubted and not decided):
        return Verdict(word, comparison.TONES[held.verdict], fact)
    more = "" if fact in own.why else f"; {held.verdict}: {fact}"
    return replace(own, tone="unsure" if tone == "good" else tone, why=f"{own.why}{more}")


def _of_gates(report: RunReport) -> Verdict:
    overall = report.summary.overall
    measured = f"{overall.passed} of {overall.measured} measured trials passed"
    gates = {state: [g for g in report.gates if g.state == state] for state in _STATES}
    problem = report.problems[0] if report.problems else ""
    code = report.exit_code
    if code == 0 and not report.gates and not report.summary.scenarios:
        why = f"{measured}; no gate was set, so nothing decides whether that is enough"
        return Verdict("Finished", "plain", why)
    if code == 0:
        return Verdict("Passed", "good", _said(gates["pass"], report) or measured)
    if code == 1:
        return Verdict("Failed", "bad", _said(gates["fail"], report) or measured)
    if code == 4:
        whole = f"{measured}; {report.cuts[-1]}" if report.cuts else measured
        return Verdict("Inconclusive", "unsure", _said(gates["inconclusive"], report) or whole)
    if code == 5:
        return Verdict("Nothing ran", "unsure", problem or "no trial was started")
    if code == 6:
        why = problem or f"none of {plural(overall.trials, 'trial')} could be measured"
        return Verdict("Stopped", "unsure", why)
    if code == 130:
        why = f"{plural(overall.trials, 'trial')} had finished; {measured}"
        resume = f"Go on: proofrig resume {run_name(report.run_dir)}"
        return Verdict("Interrupted", "unsure", f"{why}. {resume}")
    return Verdict("Error", "bad", problem or f"the run ended with exit code {code}")


_STATES = ("pass", "fail", "inconclusive")
_ENDED = (0, 1, 4)  # exit codes of runs that were measured to their end


def _again(gate: GateResult) -> bool:
    """Whether a gate says what the comparison says."""
    return gate.rule.startswith("no regression of accuracy")


def _said(gates: list[GateResult], report: RunReport) -> str:
    """One gate with its figures; of several how many, and which did not pass."""
    if len(gates) < 2:
        return "".join(f"{gate.rule}: {gate.message}" for gate in gates)
    overall, count = report.summary.overall, f"{len(gates)} of {len(report.gates)} gates"
    if gates[0].state != "pass":
        return f"{count}: {some([gate.rule for gate in gates], 3)}"
    if report.comparison is not None:
        return count
    return f"{count}; {overall.passed} of {overall.measured} measured trials passed"


def gated(report: RunReport) -> bool:
    """Whether the gates say more than the verdict has said already."""
    return len(report.gates) > 1 or (bool(report.gates) and report.comparison is not None)


def cautions(report: RunReport) -> list[str]:
    """What a reader must know before believing the score."""
    overall, found = report.summary.overall, []
    passed = {row.case for row in report.rows if row.role == "null" and row.passed}
    if null := sorted(passed - set(report.summary.null_declared)):
        text = f"Doing nothing passes {plural(len(null), 'case')} ({some(null)})"
        found.append(f"{text}: what verifies them asks for too little.")
    broken = [row.case for row in report.rows if row.role == "reference" and row.passed is False]
    if broken:
        text = f"The reference solution fails {plural(len(set(broken)), 'case')}"
        found.append(f"{text} ({some(sorted(set(broken)))}): these cases are broken.")
    alone = next((s for s in report.summary.scenarios if s.name == SEQUENTIAL), None)
    if alone is not None and alone.score.trials and not alone.score.passed:
        found.append(
            "No case passes alone (scenario sequential): mend that first, for what fails alone "
            "shows little of what many at once do to it."
        )
    agent = report.manifest.get("what", {}).get("agent") or {}
    apart = agent.get("type") == "python" and agent.get("mode") == "isolated"
    if apart and report.summary.scenarios and not any(map(found_in, report.summary.scenarios)):
        found.append(
            "Each agent ran in a process of its own (`mode: isolated`): memory, caches and pools "
            "in the process were not shared. Where production shares them, write `mode: shared`."
        )
    missing = overall.trials - overall.measured
    if missing:
        text = f"{missing} of {overall.trials} trials were not measured"
        found.append(f"{text}; the score is over the other {overall.measured}.")
    if throttled := sum(row.throttled for row in report.rows if row.role == "subject"):
        was = "trial was" if throttled == 1 else "trials were"
        found.append(
            f"{throttled:,} {was} not measured because of the vendor's limits, which says nothing "
            "about the agent. `proofrig resume` runs them again; fewer meet those limits with a "
            "lower `concurrency`, or with `requests_per_minute` and `max_wait_s` of the `model`."
        )
    found += [text for text in (taping.caution(report), faults.caution(report)) if text]
    if report.summary.unattributed:
        text = plural(report.summary.unattributed, "request")
        found.append(f"{text} could not be attributed to a trial; see notes on the history.")
    if besides := found_besides(report):
        kinds = [kind.title.lower() for kind in kinds_of(report) if "" in kind.scenarios]
        was = "anomaly was" if besides == 1 else "anomalies were"
        found.append(f"{besides:,} {was} found ({some(kinds)}); the findings say where.")
    if overall.k > 1 and overall.k_cases < overall.cases:
        text = f"{overall.k_cases} of {overall.cases} cases have {overall.k} measured repeats"
        found.append(f"pass^{overall.k} is over those only: {text}.")
    return found


def some(names: list[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def cases_of(report: RunReport) -> list[CaseResult]:
    """Every case, in the order of the summary."""
    rows: dict[str, list[Row]] = {}
    for row in report.rows:
        if row.role == "subject":
            rows.setdefault(row.case, []).append(row)
    return [
        CaseResult(score.name, score, tuple(sorted(rows[score.name], key=lambda row: row.repeat)))
        for score in report.summary.by_case
        if score.name in rows
    ]


def flaky_of(report: RunReport) -> list[CaseResult]:
    """The flaky cases, named apart from those that always fail: the lowest pass rate first."""
    return worst_first(case for case in cases_of(report) if case.flaky)


def worst_first(cases: Iterable[CaseResult]) -> list[CaseResult]:
    """The cases that did not pass: the lowest pass rate first, then the unmeasured ones."""
    missed = [case for case in cases if case.state != "passed"]
    return sorted(missed, key=lambda case: (case.state == "unmeasured", _rate(case.score), case.id))


def _rate(score: Score) -> float:
    return score.passed / score.measured if score.measured else 0.0


def failing_verdict(row: Row) -> dict[str, str]:
    """The first verdict that did not pass, as text: verifier, message, and what `told` gives."""
    for verdict in row.verdicts:
        if verdict.get("passed") is not True:
            return {name: str(verdict.get(name) or "") for name in ("verifier", "message")} | told(
                verdict
            )
    return {}


def told(verdict: Mapping[str, Any]) -> dict[str, str]:
    """What a verdict tells besides its outcome: expected, got, and why: what its message says
    beyond those two."""
    expected, got, message = (
        str(verdict.get(name) or "") for name in ("expected", "got", "message")
    )
    rest = message.removeprefix(f"expected {expected}; got {got}").strip()
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1]
    return {"expected": expected, "got": got, "why": rest}


def why(row: Row, limit: int = 160) -> str:
    """Why a trial did not pass, on one line: how it ended, then what the first verifier that it
    failed says; "" when it passed."""
    if row.passed:
        return ""
    verdict = failing_verdict(row)
    said = ""
    if verdict:
        told = verdict["message"] or f"expected {verdict['expected']}; got {verdict['got']}"
        said = f"{verdict['verifier']}: {told}"
    if row.error:
        plain = row.failure == "agent" or row.error.startswith(("timed out", "limit: "))
        name = "" if plain else row.failure
        own = said and row.failure in ("agent", "timeout")  # elsewhere the error is the reason
        error = line(row.error, limit * 2 // 3 if own else limit)
        parts = [f"{name}: {error}" if name else error, said]
        return line("; ".join(part for part in parts if part), limit)
    if said:
        return line(
            said if row.failure in ("agent", "", "harness") else f"{row.failure}, {said}", limit
        )
    return row.failure and f"{row.failure}: {MEANING[row.failure]}"


def state_of(row: Row) -> State:
    """passed, failed or unmeasured."""
    return "unmeasured" if row.passed is None else "passed" if row.passed else "failed"


def baseline(passed: int | None, trials: int) -> str:
    """`2 of 12 (16.7 %)`, or that the baseline did not run."""
    return "did not run" if passed is None else f"{passed} of {trials} ({percent(passed / trials)})"


def suite_of(report: RunReport) -> str:
    """What to write for the suite; quoted for a shell."""
    path = report.manifest.get("suite_path")
    return shlex.quote(shortest(Path(path)) if path else report.suite or "SUITE")


def reproduce(report: RunReport, case: str = "", scenario: ScenarioResult | None = None) -> str:
    """The command that runs a case, or a scenario over the same cases, again with the run's
    seed; quoted for a shell."""
    manifest = report.manifest
    words = ["proofrig run", suite_of(report) + root_option(report.run_dir), *taping.again(report)]
    if scenario is not None:
        words.append(f"--scenario {shlex.quote(scenario.name)} --agents {agents_of(scenario)}")
        words += [f"--tenants {count}" for count in [tenants_of(scenario)] if count]
    words += [
        f"--case {shlex.quote(one)}" for one in ([case] if case else manifest.get("only", []))
    ]
    if (level := manifest.get("what", {}).get("isolation", "process")) != "process":
        words.append(f"--isolation {level}")
    return " ".join([*words, f"--seed {manifest.get('seed', 0)}"])


def scenario_of(report: RunReport, name: str) -> ScenarioResult | None:
    """The scenario of this name."""
    return next((one for one in report.summary.scenarios if one.name == name), None)


def find_case(report: RunReport, name: str) -> CaseResult:
    """The case of this name. Raises UsageError with the nearest one."""
    cases = {case.id: case for case in cases_of(report)}
    if name not in cases:
        raise UsageError(f"run {report.run} has no case {name!r}: {near(name, list(cases))}")
    return cases[name]


def find_row(report: RunReport, name: str) -> Row:
    """The row of this trial, with or without its `~attempt`. Raises UsageError."""
    for row in report.rows:
        if name in (row.trial, row.trial.partition("~")[0]):
            return row
    known = [row.trial for row in report.rows]
    raise UsageError(f"run {report.run} has no finished trial {name!r}: {near(name, known)}")


def near(word: str, known: list[str]) -> str:
    """What was meant by a name that is not known, or what there is."""
    if close := get_close_matches(word, known, n=1):
        return f"did you mean {close[0]!r}?"
    return f"there are {some(known, 8)}" if known else "there are none"
