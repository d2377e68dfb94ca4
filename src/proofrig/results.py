"""History -> rows -> a summary. Pure: the same history always gives the same numbers.

Rules:
1. A trial's row is its last attempt; what earlier attempts cost is kept apart as waste.
2. The denominator is the measured trials: passed, or failed by agent, timeout or limit.
   Infra and harness failures, and trials in which no fault struck to show what was expected,
   stand beside it; missing evidence is "not measured", never 0.
3. The null and the reference agent's trials stand next to the score, never in it; nor do the
   helpers of a scenario (who fills a cache, probes it, or is killed).
4. Money is micro-dollars, times are nanoseconds, both integers, until they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from proofrig.checkers.checker import Checked, Verdict
from proofrig.checkers.injected import Declared, Struck
from proofrig.checkers.judge import ScenarioChecked
from proofrig.history.action import Entry
from proofrig.resources import Resources, Used, resources_of
from proofrig.rulings import Rulings
from proofrig.stats.intervals import Interval, clustered_wilson
from proofrig.stats.repeats import over_cases
from proofrig.stats.tails import quantile

Role = Literal["subject", "null", "reference", "helper"]
Failure = Literal["", "agent", "infra", "timeout", "limit", "diverged", "harness", "unfired"]
UNMEASURED = ("infra", "harness", "unfired")
BASELINES = ("null", "reference")


class Row(msgspec.Struct, omit_defaults=True, gc=False):
    """One trial. `passed` is None when it was not measured; `failure` says why it did not pass.
    `tool_calls`: those that models asked for, whoever carried them out, and those that a gateway
    saw without a model asking."""

    trial: str
    case: str
    repeat: int = 0
    attempt: int = 1
    role: Role = "subject"
    tenant: str = ""
    scenario: str = ""
    passed: bool | None = None
    failure: Failure = ""
    score: float = 0.0
    error: str = ""
    answer: str = ""  # digest of the payload
    verdicts: list[dict[str, Any]] = []
    duration_ns: int = 0
    usd_micro: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    denied: int = 0
    retries: int = 0
    infra_errors: int = 0
    throttled: bool = False  # a vendor's limits kept it from being measured
    queue_ns: int = 0
    backoff_ns: int = 0
    service_ns: int = 0
    world: str = ""  # relative to the run's directory
    ended: bool = False


class RowsFold:
    """Folds entries into one row per trial."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._retried_usd_micro = 0
        self._retried = 0
        self.unattributed = 0
        self.latencies_ns: list[int] = []  # service time of each model call that was answered

    def step(self, entry: Entry) -> None:
        if not entry.trial:
            self.unattributed += entry.kind == "note" and entry.name == "unattributed"
            return
        if entry.kind == "trial":
            self._trial(entry)
        elif entry.kind in ("commit", "release", "reserve"):
            row = self._rows.get(entry.trial)
            if row is None:
                row = self._rows[entry.trial] = Row(entry.trial, case_of(entry.trial))
            self._action(row, entry)
        elif entry.kind == "note" and entry.name == "rescored" and entry.trial in self._rows:
            self._judge(self._rows[entry.trial], entry.attrs)

    def result(self) -> list[Row]:
        """The rows of the trials that ended, by case and repeat."""
        ended = [row for row in self._rows.values() if row.ended]
        return sorted(ended, key=lambda row: (row.case, row.role, row.repeat))

    def waste(self) -> tuple[int, int]:
        """Attempts that do not count (retried, or cut off by a kill) and their micro-dollars."""
        cut = [row for row in self._rows.values() if not row.ended]
        money = self._retried_usd_micro + sum(row.usd_micro for row in cut)
        return self._retried + len(cut), money

    def _trial(self, entry: Entry) -> None:
        attrs = entry.attrs
        if entry.name == "begin":
            row = self._rows.setdefault(entry.trial, Row(entry.trial, attrs["case"]))
            row.case, row.repeat, row.attempt = attrs["case"], attrs["repeat"], attrs["attempt"]
            row.role, row.tenant = attrs.get("role", "subject"), entry.tenant
            row.scenario = attrs.get("scenario", "")
            return
        row = self._rows[entry.trial]
        if attrs.get("retried"):
            self._waste(entry.trial)
            return
        if row.attempt > 1:
            self._supersede(entry.trial, row.attempt)
        row.ended = True
        row.duration_ns = attrs.get("duration_ns", 0)
        row.answer, row.error = attrs.get("answer", ""), attrs.get("error", "")
        row.world = attrs.get("world", "")
        row.throttled = attrs.get("throttled", False)
        self._judge(row, attrs)

    def _supersede(self, trial: str, attempt: int) -> None:
        """Earlier attempts that ended, for infra reasons, and were run again by a resume."""
        base = trial.partition("~")[0]
        for number in range(1, attempt):
            earlier = base if number == 1 else f"{base}~{number}"
            if earlier in self._rows and self._rows[earlier].ended:
                self._waste(earlier)

    def _waste(self, trial: str) -> None:
        self._retried += 1
        self._retried_usd_micro += self._rows.pop(trial).usd_micro

    def _judge(self, row: Row, attrs: Mapping[str, Any]) -> None:
        row.passed, row.failure = attrs["passed"], attrs["failure"]
        row.score, row.verdicts = attrs.get("score", 0.0), attrs.get("verdicts", [])

    def _action(self, row: Row, entry: Entry) -> None:
        attrs = entry.attrs
        if entry.kind == "reserve":
            row.denied += attrs.get("decision") == "deny"
            row.retries += "retry" in attrs or attrs.get("attempt", 1) > 1
            # A call that a model asked for was counted with its turn.
            unasked = entry.name.startswith("tool.") and "asked_by" not in attrs
            row.tool_calls += unasked and attrs.get("decision") != "deny"
            return
        row.infra_errors += bool(attrs.get("infra"))
        actual = attrs.get("actual", {})
        row.usd_micro += actual.get("usd_micro", 0)
        row.queue_ns += attrs.get("queue_ns", 0)
        row.backoff_ns += attrs.get("backoff_ns", 0)
        row.service_ns += attrs.get("service_ns", 0)
        if entry.name.startswith("llm."):
            usage = attrs.get("usage", {})
            row.input_tokens += usage.get("input", 0)
            row.output_tokens += usage.get("output", 0)
            row.llm_calls += 1
            row.tool_calls += attrs.get("calls", 0)
            if attrs.get("outcome") == "ok" and row.role == "subject":
                self.latencies_ns.append(attrs.get("service_ns", 0))


def case_of(trial: str) -> str:
    """The case of a trial id `<case>[@<scenario>]:<repeat>[~<attempt>]`."""
    return (trial.rpartition(":")[0] or trial).partition("@")[0]


class Score(msgspec.Struct, omit_defaults=True):
    """A group of trials. `k` is the repeats that pass@k and pass^k are given for."""

    name: str
    cases: int = 0
    trials: int = 0
    measured: int = 0
    passed: int = 0
    rate: Interval | None = None  # None: nothing was measured
    k: int = 0
    k_cases: int = 0  # cases with at least k measured trials; the rest are left out of pass@k
    pass_at: dict[str, float] = {}  # by k
    pass_hat: dict[str, float] = {}  # by k
    failures: dict[str, int] = {}
    null_passed: int | None = None  # None: the null agent did not run
    null_trials: int = 0
    reference_passed: int | None = None
    reference_trials: int = 0
    usd_micro: int = 0
    tokens: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    denied: int = 0
    retries: int = 0
    duration_ns: dict[str, float] = {}  # p50, p95, p99 of a trial


class ScenarioResult(msgspec.Struct, omit_defaults=True):
    """What a scenario came to. `needs`: the checkers it is about; of the others, `unknown` only
    says that what they look for was not exercised. `settings`: the note it began with."""

    name: str
    verdict: Verdict
    score: Score
    checked: list[Checked] = []
    needs: list[str] = []
    settings: dict[str, Any] = {}
    complete: bool = True

    @property
    def measures(self) -> dict[str, float]:
        """The figures of all its checkers by name."""
        return {name: value for one in self.checked for name, value in one.measures.items()}


class FaultResult(msgspec.Struct, omit_defaults=True):
    """What a declared fault did. strikes: how often it struck, at which surface in `at`; trials: in
    how many of all trials. struck: the agent's trials that it struck; spared: those that it could
    have struck. Their outcomes stand beside each other; helpers have none."""

    fault: Declared
    strikes: int = 0
    trials: int = 0
    at: dict[str, int] = {}
    missed: bool = False  # it could have struck, and never did
    struck: Score | None = None
    spared: Score | None = None


class Summary(msgspec.Struct, omit_defaults=True):
    """What a run came to: overall, by case, by tag, by difficulty, and by scenario where it had
    any: their trials are all in the overall score. checked: what the checkers found in a run
    without scenarios. authority: what was decided and charged, where there is anything to tell.
    faults: the declared ones, and what they did. resources: what its trials used."""

    overall: Score
    by_case: list[Score] = []
    by_tag: list[Score] = []
    by_difficulty: list[Score] = []
    latency_ns: dict[str, float] = {}  # p50, p95, p99 of an answered model call
    wasted_usd_micro: int = 0
    wasted_attempts: int = 0
    scenarios: list[ScenarioResult] = []
    checked: list[Checked] = []
    authority: Rulings | None = None
    faults: list[FaultResult] = []
    resources: Resources = Resources()
    unattributed: int = 0
    baseline_usd_micro: int = 0  # what the null and reference agents spent
    null_declared: list[str] = []  # the cases in which doing nothing is right
    problems: list[str] = []


class CaseFacts(msgspec.Struct, frozen=True):
    """What is known of a case besides its trials. `file`: where it was written, relative to the
    repository where there is one; `line`: from 1; "" and 0 where that is not known."""

    id: str
    difficulty: str = ""
    tags: tuple[str, ...] = ()
    null_passes: bool = False  # declared: who does nothing is right
    file: str = ""
    line: int = 0


def summarise(
    fold: RowsFold,
    cases: Iterable[CaseFacts],
    repeats: int,
    judged: Iterable[ScenarioChecked] = (),
    authority: Rulings | None = None,
    *,
    struck: Iterable[Struck] = (),
    used: Mapping[str, Used] = {},
) -> Summary:
    """The summary of a run whose entries went through `fold`; `judged`: through a `Judge`;
    `struck`: through `Injected`; `used`: through `ResourcesFold`."""
    facts = {case.id: case for case in cases}
    rows = fold.result()
    by_case = _grouped(rows, lambda row: [row.case], repeats, facts)
    tags = sorted({tag for case in facts.values() for tag in case.tags})
    by_tag = _grouped(rows, lambda row: list(_of(facts, row).tags), repeats, tags)
    levels = [case.difficulty for case in facts.values() if case.difficulty]
    by_difficulty = _grouped(
        rows, lambda row: [d] if (d := _of(facts, row).difficulty) else [], repeats, levels
    )
    wasted_attempts, wasted_usd_micro = fold.waste()
    judged = list(judged)
    return Summary(
        overall=score("all", rows, repeats),
        by_case=by_case,
        by_tag=by_tag,
        by_difficulty=by_difficulty,
        latency_ns=_quantiles(fold.latencies_ns),
        wasted_usd_micro=wasted_usd_micro,
        wasted_attempts=wasted_attempts,
        unattributed=fold.unattributed,
        scenarios=[_scenario(one, rows, repeats) for one in judged if one.name],
        checked=[checked for one in judged if not one.name for checked in one.checked],
        authority=authority,
        faults=[_fault(one, rows, repeats) for one in struck],
        resources=resources_of(used.get(r.trial, Used()) for r in rows if r.role == "subject"),
        null_declared=sorted(case.id for case in facts.values() if case.null_passes),
        baseline_usd_micro=sum(row.usd_micro for row in rows if row.role in BASELINES),
    )


def _scenario(done: ScenarioChecked, rows: list[Row], repeats: int) -> ScenarioResult:
    own = [row for row in rows if row.scenario == done.name]
    return ScenarioResult(
        name=done.name,
        verdict=done.verdict,
        score=score(done.name, own, repeats),
        checked=done.checked,
        needs=done.needs,
        settings=done.begun,
        complete=done.ended,
    )


def _fault(one: Struck, rows: list[Row], repeats: int) -> FaultResult:
    spared = set(one.spared)
    hit = [row for row in rows if row.trial in one.trials and row.role == "subject"]
    other = [row for row in rows if row.trial in spared and row.role == "subject"]
    return FaultResult(
        fault=one.fault,
        strikes=one.count,
        trials=len(one.trials),
        at=one.at,
        missed=one.missed,
        struck=score(one.fault.label, hit, repeats) if hit else None,
        spared=score(one.fault.label, other, repeats) if other else None,
    )


def score(name: str, rows: Iterable[Row], repeats: int) -> Score:
    """The score of a group of rows."""
    rows = list(rows)
    subject = [row for row in rows if row.role == "subject"]
    measured = [row for row in subject if row.passed is not None]
    outcomes: dict[str, list[float]] = {}
    for row in measured:
        outcomes.setdefault(row.case, []).append(1.0 if row.passed else 0.0)
    counts = [(len(case), int(sum(case))) for case in outcomes.values()]
    ks = sorted({1, repeats} | {2**n for n in range(1, 10) if 2**n < repeats})
    pass_k = {str(k): over_cases(counts, k) for k in ks}
    failures: dict[str, int] = {}
    for row in subject:
        if row.failure:
            failures[row.failure] = failures.get(row.failure, 0) + 1
    found = Score(
        name=name,
        cases=len({row.case for row in subject}),
        trials=len(subject),
        measured=len(measured),
        passed=sum(1 for row in measured if row.passed),
        rate=clustered_wilson(list(outcomes.values())) if outcomes else None,
        k=repeats,
        k_cases=pass_k[str(repeats)][2],
        pass_at={k: at for k, (at, _, n) in pass_k.items() if n},
        pass_hat={k: hat for k, (_, hat, n) in pass_k.items() if n},
        failures=failures,
        duration_ns=_quantiles([row.duration_ns for row in measured]),
    )
    for unit in ("usd_micro", "llm_calls", "tool_calls", "denied", "retries"):
        setattr(found, unit, sum(getattr(row, unit) for row in subject))
    found.tokens = sum(row.input_tokens + row.output_tokens for row in subject)
    found.null_passed, found.null_trials = _baseline(rows, "null")
    found.reference_passed, found.reference_trials = _baseline(rows, "reference")
    return found


def _baseline(rows: list[Row], role: Role) -> tuple[int | None, int]:
    ran = [row for row in rows if row.role == role and row.passed is not None]
    return (sum(1 for row in ran if row.passed), len(ran)) if ran else (None, 0)


def _grouped(
    rows: list[Row], keys: Callable[[Row], list[str]], repeats: int, order: Iterable[str]
) -> list[Score]:
    """A score per key; keys in `order` come first, in that order."""
    groups: dict[str, list[Row]] = {name: [] for name in order}
    for row in rows:
        for key in keys(row):
            groups.setdefault(key, []).append(row)
    return [score(name, group, repeats) for name, group in groups.items() if group]


def _of(facts: Mapping[str, CaseFacts], row: Row) -> CaseFacts:
    return facts.get(row.case) or CaseFacts(row.case)


def _quantiles(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(float(value) for value in values)
    return {f"p{round(q * 100)}": quantile(ordered, q) for q in (0.5, 0.95, 0.99)}
