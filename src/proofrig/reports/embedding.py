"""The data inside an HTML report: trials, lanes and traces as JSON, under a budget of bytes.

Rules:
1. Every trial is in the page with its outcome. Its bars and its trace are in as long as there is
   room; what is left out is counted and said.
2. Traces of trials that are evidence come first, then of failed ones, one of every case before the
   second of any.
3. The JSON is safe inside a script element: no `<`, `>` or `&` is left in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.places import run_name
from proofrig.reports.authority import examples
from proofrig.reports.contention import EVIDENCE, Kind, Shown, is_baseline, kinds_of, on_page
from proofrig.reports.faults import windows
from proofrig.reports.reading import cases_of, reproduce, scenario_of, why
from proofrig.reports.report import RunReport
from proofrig.reports.resources import said
from proofrig.reports.timeline import BARS, Drawing, TimelineFold, draw
from proofrig.reports.trace import Limits, Trace, TraceFold
from proofrig.results import Row

PER_1000 = 1_000_000  # bytes of a report per 1,000 trials, and the room of a smaller run
MOST = 8_000_000
TRACES = 2_000
TICK_NS = 100_000
REGIONS = 200  # of faults, drawn in a lane
_BAR_BYTES, _TRACE_BYTES = 28, 400
_TEXTS = (400, 2_000)  # characters of an excerpt: at least, at most
_EXCERPTS = 6  # of a trace, when room is shared out
_STATES: dict[bool | None, int] = {True: 0, False: 1, None: 2}
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SAFE = str.maketrans(_UNSAFE)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The JSON of a page, and what of the run is not in it, in words."""

    json: str
    left_out: list[str]


def allowance(trials: int) -> int:
    """The bytes that a report of so many trials may have."""
    return min(MOST, PER_1000 * max(1000, trials) // 1000)


def embed(report: RunReport, taken: int) -> Embedded:
    """Embed the run in what `taken` bytes of the page leave free."""
    whole = allowance(len(report.rows))
    room = whole * 98 // 100 - taken
    base = _base(report, room * 4 // 10)
    used = len(to_json(base).encode())
    kinds = kinds_of(report)
    findings = on_page(kinds)
    base |= {"scenes": _scenes(report), "flags": _flags(findings), "named": _named(kinds)}
    flagged = {id for *_, id in base["flags"] if id}
    timeline = TimelineFold(frozenset(flagged))
    evident = {trial for trial, *_ in base["flags"]}
    if report.summary.authority is not None:  # what its section names can be opened
        named = examples(report.summary.authority)
        flagged |= {one.id for one in named if one.id}
        evident |= {one.trial for one in named}
    most = min(TRACES, max(0, room - used) // _TRACE_BYTES)
    candidates = _candidates(report.rows, most, evident)
    traces = TraceFold([row.trial for row in candidates], _limits(candidates, room - used))
    History(report.run_dir).fold(timeline, traces)
    drawing = draw(timeline.result(), min(BARS, max(0, room - used) // 2 // _BAR_BYTES))
    base["lanes"] = _lanes(drawing)
    base["faults"], base["windows"] = timeline.titles, _windows(report)
    used = len(to_json(base).encode())
    reader = PayloadReader(report.run_dir)
    kept = dict[str, str]()
    for row in candidates:
        trace = _lean(traces.trace(row.trial, reader), flagged)
        trace.used = said(report.used.get(row.trial))
        text = to_json(trace)
        used += len(text.encode()) + len(row.trial) + 8
        if used > room:
            break
        kept[row.trial] = text
    left_out = [text for text in [drawing.left_out()] if text]
    if len(kept) < len(report.rows):
        first = "those in findings and failed ones" if flagged else "failed ones"
        left_out.append(
            f"Traces: {len(kept):,} of {len(report.rows):,} trials, {first} first, to keep "
            f"this file small. All of them: proofrig show {run_name(report.run_dir)} TRIAL"
        )
    parts = ",".join(f"{to_json(trial)}:{text}" for trial, text in kept.items())
    return Embedded(f'{to_json(base)[:-1]},"traces":{{{parts}}}}}', left_out)


def to_json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    return msgspec.json.encode(value).decode().translate(_SAFE)


def _base(report: RunReport, room: int) -> dict[str, Any]:
    cases = [
        {
            "id": case.id,
            "difficulty": fact.difficulty if (fact := report.facts.get(case.id)) else "",
            "tags": list(fact.tags) if fact else [],
            "low": case.score.rate.low if case.score.rate else None,
            "high": case.score.rate.high if case.score.rate else None,
            "null": _share(case.score.null_passed, case.score.null_trials),
            "reference": _share(case.score.reference_passed, case.score.reference_trials),
        }
        for case in cases_of(report)
    ]
    places = {str(case["id"]): place for place, case in enumerate(cases)}
    base = {
        "run": report.run,
        "show": f"proofrig show {run_name(report.run_dir)}",
        "tick_ns": TICK_NS,
        "command": reproduce(report, "\0CASE").partition(" --case ")[0],
        "seed": report.manifest.get("seed", 0),
        "cases": cases,
        "trials": [],
    }
    for limit in (120, 40, 0):
        base["trials"] = [_trial(row, places, limit) for row in report.rows]
        if len(to_json(base).encode()) <= room:
            break
    return base


def _share(passed: int | None, trials: int) -> float | None:
    return None if passed is None else passed / trials


def _trial(row: Row, places: dict[str, int], limit: int) -> list[Any]:
    return [
        row.trial,
        places.get(row.case, -1),
        row.repeat,
        "" if row.role == "subject" else row.role,
        _STATES[row.passed],
        row.failure,
        row.usd_micro,
        row.input_tokens + row.output_tokens,
        row.duration_ns // TICK_NS,
        row.llm_calls,
        row.tool_calls,
        row.denied,
        row.retries,
        why(row, limit) if limit else "",
    ]


def _lanes(drawing: Drawing) -> list[list[Any]]:
    lanes: list[list[Any]] = []
    for lane, bars in drawing.lanes:
        span = (lane.begin_ns // TICK_NS, (lane.end_ns - lane.begin_ns) // TICK_NS)
        flat = [n for *times, code in bars for n in (*(t // TICK_NS for t in times), code)]
        regions = lane.regions[: 3 * REGIONS]
        struck = [n if place % 3 == 2 else n // TICK_NS for place, n in enumerate(regions)]
        lanes.append([lane.trial, *span, int(lane.retried), flat, struck])
    return lanes


def _windows(report: RunReport) -> list[list[Any]]:
    """The scheduled times of faults as [name, 1 of the run or 0 of a trial, after, for, every], in
    ticks."""
    ticks = 1_000_000_000 / TICK_NS
    return [
        [name, int(since == "run"), *(round(seconds * ticks) for seconds in times)]
        for name, since, *times in windows(report)
    ]


def _limits(rows: list[Row], room: int) -> Limits:
    """Excerpts short enough that every trial that did not pass has a trace."""
    missed = sum(row.role == "subject" and not row.passed for row in rows)
    text = room // (2 * _EXCERPTS * max(1, missed))
    return Limits(text=min(max(text, _TEXTS[0]), _TEXTS[1]), entries=300)


def _candidates(rows: Iterable[Row], most: int, evident: Collection[str]) -> list[Row]:
    """The trials worth a trace: those in findings, failed, unmeasured, passed; one of every case
    before the next."""
    seen: dict[tuple[str, bool | None], int] = {}
    ranked = []
    for place, row in enumerate(rows):
        kind = (row.case, row.passed)
        seen[kind] = seen.get(kind, 0) + 1
        state = {False: 0, None: 1, True: 2}[row.passed]
        rank = (row.trial not in evident, row.role != "subject", state, seen[kind], place)
        ranked.append((rank, row))
    return [row for _, row in sorted(ranked, key=lambda item: item[0])[:most]]


def _scenes(report: RunReport) -> list[list[Any]]:
    """Each scenario as [name, begin, end, verdict, command, phases, marks], times in ticks."""
    found: list[list[Any]] = []
    for scene in report.scenes:
        result = scenario_of(report, scene.name)
        command = reproduce(report, scenario=result) if result else ""
        phases = [[name, begin // TICK_NS, end // TICK_NS] for name, begin, end in scene.phases]
        marks = [[mark.trial, mark.t // TICK_NS, mark.kind, mark.says] for mark in scene.marks]
        span = [scene.begin_ns // TICK_NS, scene.end_ns // TICK_NS]
        verdict: str = result.verdict if result else "unknown"
        verdict = "baseline" if result and is_baseline(result) else verdict
        found.append([scene.name, *span, verdict, command, phases[:200], marks])
    return found


def _flags(findings: Iterable[Shown]) -> list[list[Any]]:
    """Each piece of evidence of a trial as [trial, time, number of the finding, action]."""
    return [
        [one.trial, one.t // TICK_NS, shown.number, one.id]
        for shown in findings
        for one in shown.witness(EVIDENCE)
        if one is not None and one.trial
    ]


def _named(kinds: Iterable[Kind]) -> list[str]:
    """The trials in all findings that were kept, on the page or not."""
    return sorted({trial for kind in kinds for one in kind.shown for trial in one.finding.trials})


def _lean(trace: Trace, flagged: Collection[str]) -> Trace:
    """The trace with everything said once: a prompt comes back in every turn, and the result of a
    tool in the turn after it. Only evidence keeps its id."""
    known: set[str] = set()
    for step in trace.steps:
        step.id = step.id if step.id in flagged else ""
        step.heard = [said for said in step.heard if said.text not in known]
        known.update(said.text for said in step.heard)
        known.add(step.result)
    return trace
