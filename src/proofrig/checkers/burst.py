"""No agent fails under load that does not fail alone, and the tail stays bounded.

Rules:
1. Only trials of the role `subject` count; an attempt that was tried again does not.
2. Latency is from when a trial was meant to start (`intended_ns`) to its end, so that a late start
   counts; service is from when it did start. Both are told. The end is the agent's (`ended_ns`),
   where that is known; else the trial's, which comes once it is judged.
3. A trial has failed under load when its case passed every time it ran in the sequential scenario.
   What failed around the agent (infra, harness) was not measured and is told apart. Where no case
   passes alone nothing is known of the load.
4. The tail is unbounded when two trials and more than one in a hundred took longer than `tail_s`
   seconds, where that is given, else longer than `tail_ratio` times what their case takes alone and
   half a second more than that. Where the harness itself started trials late (p99 above a tenth of
   what one takes, and 5 ms), only the service can break the bound.
5. What runs one after another bears no load: it is what the others are compared with.
6. After the load has stopped it has recovered with the first second whose trials' p95 is back below
   twice what it is alone.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any, ClassVar

import msgspec

from proofrig.checkers._load_figures import DRAWN, MS, SECOND, Lag, nearest, percentiles
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

ALONE = "sequential"
CRASH = "crash_mid_write"
ONE_BY_ONE = frozenset({ALONE, "used_environment"})
DRAIN = "drain"
TAIL_RATIO = 10.0
FLOOR_MS = 500.0  # a tail that is less than this above what a case takes alone hurts nobody
UNMEASURED = frozenset({"infra", "harness", "unfired"})
SHOWN = 10
LATE, LATE_NS = 0.1, 5 * MS  # of what a trial takes
BACK = 2.0  # times what it is alone


class _Trial(msgspec.Struct):
    """One trial. Times in nanoseconds since the run began, -1 when not known."""

    id: str
    case: str
    tenant: str
    begun: int
    intended: int = -1
    started: int = -1
    ended: int = -1
    noted: int = -1  # its end on the history
    took: int = 0
    passed: bool = False
    failure: str = ""
    phase: str = ""

    @property
    def due(self) -> int:
        return self.intended if self.intended >= 0 else self.begun

    @property
    def latency(self) -> int:
        return self.ended - self.due

    @property
    def service(self) -> int:
        if self.started >= 0:
            return self.ended - self.started
        return self.took or self.ended - self.begun

    def evidence(self, says: str) -> Evidence:
        return Evidence(self.noted, "end", says, trial=self.id, tenant=self.tenant)


class Burst:
    """Trials that fail, or take without bound, because others run at the same time."""

    name: ClassVar[str] = "burst"
    reads: ClassVar[tuple[str, ...]] = ()
    notes: ClassVar[tuple[str, ...]] = ("trial.begin", "trial.end", "note.launch", "note.lag")
    timing: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._lag = Lag()
        self._trials: dict[str, _Trial] = {}
        self._launched: dict[str, dict[str, Any]] = {}

    def action(self, action: Action) -> None:
        """It reads none."""

    def note(self, entry: Entry) -> None:
        attrs = entry.attrs
        if entry.name == "lag":
            self._lag.note(entry)
        elif entry.name == "launch":
            self._launched[entry.trial] = attrs
        elif entry.name == "begin":
            if attrs.get("role", "subject") == "subject":
                case = attrs.get("case") or entry.trial.rpartition("@")[0]
                self._trials[entry.trial] = _Trial(entry.trial, case, entry.tenant, entry.t)
        elif attrs.get("retried"):
            self._trials.pop(entry.trial, None)
        elif (trial := self._trials.get(entry.trial)) is not None:
            trial.ended = trial.noted = entry.t
            trial.took = int(attrs.get("duration_ns", 0))
            trial.passed, trial.failure = bool(attrs.get("passed")), str(attrs.get("failure", ""))

    def result(self) -> Checked:
        for id, trial in self._trials.items():
            launched = self._launched.get(id) or self._launched.get(id.partition("~")[0])
            if launched is not None:
                trial.intended = launched.get("intended_ns", -1)
                trial.started, trial.phase = launched["started_ns"], launched.get("phase", "")
                if trial.ended >= 0:
                    trial.ended = launched.get("ended_ns", trial.ended)
        ended = [trial for trial in self._trials.values() if trial.ended >= 0]
        measured = [trial for trial in ended if trial.failure not in UNMEASURED]
        findings, unjudged, bounded = Findings(), 0, "nothing bounds it"
        if self._setting.scenario not in ONE_BY_ONE:
            unjudged = self._failed(measured, findings)
            bounded = self._tail(measured, findings)
        measures = self._measures(ended, measured)
        exposure = {
            "trials": len(measured),
            "cases": len({trial.case for trial in measured}),
            "unmeasured": len(ended) - len(measured),
            "unfinished": len(self._trials) - len(ended),
        }
        latency = measures["latency_p99_ms"]
        checked = conclude(
            self.name,
            findings,
            exposure,
            wanted="trials",
            says=f"{len(measured):,} trials, {measures['failures']:.0f} failed; p99 "
            f"{latency:,.0f} ms ({bounded}); from the actual start "
            f"{measures['service_p99_ms']:,.0f} ms",
            measures=measures,
            series={"backlog": _backlog(list(self._trials.values()))},
        )
        if checked.verdict == "valid":
            doubts = self._doubts(exposure, unjudged, measured)
            if late := self._late_ns(measured):
                doubts.append(f"the harness started trials {late / MS:,.0f} ms late")
            if doubts:
                checked.verdict = "unknown"
                checked.says = f"{'; '.join(doubts)}: {checked.says}"
        if any(one.kind == "agent_failed_under_load" for one in findings.kept):
            return checked  # that does not rest on times
        return self._lag.doubt(checked)

    def _could_fail(self, trials: list[_Trial]) -> bool:
        """Whether a case that ran passed every time alone."""
        alone = {} if self._setting.baseline is None else self._setting.baseline.measures
        return any(alone.get(f"case:{trial.case}") == 1.0 for trial in trials)

    def _doubts(self, exposure: dict[str, int], unjudged: int, measured: list[_Trial]) -> list[str]:
        doubts = []
        if self._setting.scenario == ALONE:
            return ["one after another, which is what the others are compared with"]
        if self._setting.scenario in ONE_BY_ONE:
            return ["one after another, so there was no load"]
        if self._setting.baseline is None:
            doubts.append("no sequential scenario to compare with")
        elif unjudged:
            doubts.append(f"{unjudged:,} failed in cases that the sequential scenario did not run")
        elif not self._could_fail(measured):
            doubts.append("no case passed alone, so nobody could fail for the load alone")
        if exposure["unfinished"]:
            doubts.append(f"{exposure['unfinished']:,} trials did not end")
        return doubts

    def _failed(self, trials: list[_Trial], findings: Findings) -> int:
        """Add those that failed though their case never fails alone. Returns how many failed of
        which that is not known."""
        baseline, unjudged = self._setting.baseline, 0
        for trial in trials:
            if trial.passed:
                continue
            alone = None if baseline is None else baseline.measures.get(f"case:{trial.case}")
            unjudged += alone is None
            if alone == 1.0:
                findings.add(
                    "agent_failed_under_load",
                    f"{trial.id} failed ({trial.failure or 'not passed'}) after "
                    f"{trial.latency / MS:,.0f} ms; its case passed every time alone",
                    [trial.evidence(f"failed: {trial.failure or 'not passed'}")],
                )
        return unjudged

    def _tail(self, trials: list[_Trial], findings: Findings) -> str:
        """Add the finding when the tail is not bounded; says what the bound is."""
        params, baseline = self._setting.params, self._setting.baseline
        alone = {} if baseline is None else baseline.measures
        ratio, fixed = float(params.get("tail_ratio", TAIL_RATIO)), params.get("tail_s")

        def limit(case: str) -> float:
            if fixed is not None:
                return float(fixed) * 1000
            if self._setting.scenario == CRASH:
                return inf  # to wait until a dead holder's lock is free is what is asked for
            by_itself = alone.get(f"alone:{case}")
            return inf if by_itself is None else max(ratio * by_itself, by_itself + FLOOR_MS)

        limits = {case: limit(case) for case in {trial.case for trial in trials}}
        if min(limits.values(), default=inf) == inf:
            return "nothing bounds it"
        what = "service" if self._late_ns(trials) else "latency"
        since = "it started" if what == "service" else "it was meant to start"
        took = ((getattr(trial, what) / MS, trial.id) for trial in trials)
        slow = [(ms, self._trials[id]) for ms, id in took if ms > limits[self._trials[id].case]]
        slow.sort(key=lambda one: (-one[0], one[1].id))
        why = "tail_s" if fixed is not None else f"{ratio:g} times what its case takes alone"
        if len(slow) >= 2 and len(slow) > len(trials) / 100:
            worst, trial = slow[0]
            findings.add(
                "tail_unbounded",
                f"{len(slow):,} of {len(trials):,} trials took longer than {why}: up to "
                f"{worst:,.0f} ms, expected at most {limits[trial.case]:,.0f} ms in case "
                f"{trial.case}",
                [trial.evidence(f"{ms:,.0f} ms from when {since}") for ms, trial in slow[:SHOWN]],
            )
        return f"bounded by {why}"

    def _late_ns(self, trials: list[_Trial]) -> int:
        """How late the harness started them (p99), nanoseconds; 0 where that is little."""
        late: dict[int, int] = {}  # of those that start together, the first counts
        for trial in trials:
            if trial.intended >= 0:
                by = trial.started - trial.intended
                late[trial.intended] = min(by, late.get(trial.intended, by))
        p99 = int(nearest(sorted(late.values()), 0.99))
        typical = nearest(sorted(trial.service for trial in trials), 0.5)
        return p99 if p99 > max(LATE * typical, LATE_NS) else 0

    def _measures(self, ended: list[_Trial], measured: list[_Trial]) -> dict[str, float]:
        service = sorted(trial.service for trial in measured)
        measures = {
            "failures": float(sum(not trial.passed for trial in measured)),
            "backlog_max": max(_backlog(ended), default=0.0),
            **percentiles("latency", sorted(trial.latency for trial in measured)),
            **percentiles("service", service),
        }
        recovered = self._recovered(measured)
        if recovered is not None:
            measures["recovery_ms"] = recovered
        ran = Counter(trial.case for trial in measured)
        passed = Counter(trial.case for trial in measured if trial.passed)
        for case, count in sorted(ran.items()):
            measures[f"case:{case}"] = passed[case] / count
        if self._setting.scenario == ALONE:
            for trial in measured:
                name = f"alone:{trial.case}"
                measures[name] = max(measures.get(name, 0.0), trial.service / MS)
        return measures

    def _recovered(self, trials: list[_Trial]) -> float | None:
        """Milliseconds from the last start of the load of a phase `drain` (those who start with the
        first) until the trials that come after it are as quick as alone again; None without such a
        phase, or where they never are."""
        baseline = self._setting.baseline
        drained = [trial for trial in trials if trial.phase == DRAIN]
        if baseline is None or not drained:
            return None
        stopped = min(trial.due for trial in drained)
        windows: dict[int, list[int]] = {}
        for trial in drained:
            if trial.due > stopped:
                windows.setdefault((trial.due - stopped) // SECOND, []).append(trial.latency)
        limit = BACK * baseline.measures.get("service_p95_ms", 0.0) * MS
        for window in sorted(windows):
            if nearest(sorted(windows[window]), 0.95) <= limit:
                return window * SECOND / MS
        return None


def _backlog(trials: list[_Trial]) -> list[float]:
    """Trials that were due and had not ended, over time; the most of each of `DRAWN` stretches."""
    steps = sorted(
        [(trial.due, 1) for trial in trials]
        + [(trial.ended, -1) for trial in trials if trial.ended >= 0]
    )
    if not steps:
        return []
    first, last = steps[0][0], steps[-1][0]
    width = max(1, -(-(last - first + 1) // DRAWN))
    drawn = [0.0] * ((last - first) // width + 1)
    level, filled = 0, 0
    for at, step in steps:
        place = (at - first) // width
        for between in range(filled + 1, place + 1):
            drawn[between] = level
        filled = place
        level += step
        drawn[place] = max(drawn[place], level)
    return drawn
