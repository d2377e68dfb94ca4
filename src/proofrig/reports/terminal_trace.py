"""A trial's trace for a terminal: what was asked, said and done, in order, then the verdicts."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proofrig.reports import resources
from proofrig.reports.console import STYLES, glyphs_of
from proofrig.reports.contention import kinds_of
from proofrig.reports.reading import find_row, reproduce, scenario_of, state_of
from proofrig.reports.report import RunReport
from proofrig.reports.trace import Limits, Step, Trace, read_trace
from proofrig.reports.words import clean, duration, line, money, plural
from proofrig.results import Row

_LIMITS = Limits(text=4_000, entries=3_000)
_PATHS = 40  # changed on disk


def print_trial(console: Console, report: RunReport, name: str, limits: Limits = _LIMITS) -> None:
    """A trial's trace. Raises UsageError for a trial that the run does not have."""
    row = find_row(report, name)
    trace = read_trace(report.run_dir, row.trial, limits)
    state, signs = state_of(row), glyphs_of(console)
    word: str = state if state != "unmeasured" else "not measured"
    if row.role == "helper":
        word = "not judged"  # it probes or fills; its case's verifiers say nothing of it
    cost = f"{duration(row.duration_ns)}, {money(row.usd_micro)}"
    title = (f"{signs.state(state)} {clean(row.trial)} {word}", f"bold {STYLES[state]}")
    failure = f" ({row.failure})" if row.failure else ""
    console.print(Text.assemble(title, f"{failure}  {cost}"))
    facts = {"tenant": trace.tenant, "seed": trace.seed, "ended by": trace.ending}
    said = ", ".join(f"{key} {value}" for key, value in facts.items() if value)
    console.print(Text(f"  {clean(said)}", "dim"))
    if used := resources.said(report.used.get(row.trial)):
        console.print(Text(f"  used: {clean(used)}", "dim"))
    for found in (one for kind in kinds_of(report) for one in kind.shown):
        if row.trial in found.finding.trials:
            said = f"finding {found.number}: {line(found.finding.says, 200)}"
            console.print(Padding(Text(said, "red"), (0, 0, 0, 2)))
    known: set[str] = set()
    for step in trace.steps:
        _step(console, step, known)
    if trace.left_out:
        console.print(Text(f"\n  {trace.left_out:,} more entries are left out", "yellow"))
    _ending(console, trace)
    again = clean(_again(report, row))
    console.print(Text.assemble(("\n  Reproduce ", "dim"), again), soft_wrap=True)


def _again(report: RunReport, row: Row) -> str:
    scenario = scenario_of(report, row.scenario) if row.scenario else None
    return reproduce(report, "" if scenario else row.case, scenario)


def _step(console: Console, step: Step, known: set[str]) -> None:
    kind, _, rest = step.name.partition(".")
    name = step.model or rest if kind == "llm" else rest or step.name
    wrong = step.outcome != "ok" or step.is_error
    notes = [f"+{duration(step.at_ns)}", duration(step.total_ns) if step.total_ns else ""]
    notes += [f"queued {duration(step.queue_ns)}"] if step.queue_ns else []
    notes += [f"backed off {duration(step.backoff_ns)}"] if step.backoff_ns else []
    notes += [money(step.usd_micro)] if step.usd_micro else []
    if step.input_tokens or step.output_tokens:
        notes.append(f"{step.input_tokens:,} in, {step.output_tokens:,} out")
    notes += [step.finish] if step.finish not in ("", "unknown") else []
    notes += [f"status {step.status}"] if step.status >= 300 else []
    notes += [f"retry {step.retry}"] if step.retry else []
    console.print()
    title = Text.assemble(
        (f"{kind} {clean(name)}", "bold cyan" if kind == "llm" else "bold magenta"),
        (f"  {step.outcome if step.outcome != 'ok' else 'error'}" if wrong else "", "bold red"),
        ("  " + ", ".join(note for note in notes if note), "dim"),
    )
    console.print(Padding(title, (0, 0, 0, 2)))
    _faults(console, step)
    for said in step.heard:
        if said.text not in known:  # what comes back in later turns is printed once
            known.add(said.text)
            _block(console, said.who, said.text)
    _block(console, "", step.about)
    _block(console, "said", step.text)
    for call in step.asked:
        _block(console, f"asks for {call.name}", call.arguments)
    _block(console, "arguments", step.arguments)
    _block(console, "error result" if step.is_error else "result", step.result)
    known.add(step.result)
    _beside(console, step)
    _block(console, "", step.other, "red" if wrong else "")


def _beside(console: Console, step: Step) -> None:
    """What the recording holds beside what was asked now."""
    if not (step.expected or step.got):
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for title, ratio in (("recorded", 1), ("asked now", 1)):
        table.add_column(title, ratio=ratio, overflow="fold")
    table.add_row(*(clean(text or "(nothing)") for text in (step.expected, step.got)))
    console.print(Padding(table, (0, 0, 0, 4)))


def _faults(console: Console, step: Step) -> None:
    """What struck it, and whether the agent was left in the dark."""
    sign = glyphs_of(console).fault
    for met in step.faults:
        kind = f" ({met.kind})" if met.kind != met.title else ""
        after = f" after {duration(met.after_ns)}" if met.after_ns else ""
        said = f"{sign} fault {clean(met.title)}{kind}{after}"
        told = Text.assemble((said, "bold yellow"), (f"  {clean(met.says)}" if met.says else ""))
        console.print(Padding(told, (0, 0, 0, 4)))
    if step.undelivered:
        said = "it was carried out, and its agent did not get to know"
        console.print(Padding(Text(said, "yellow"), (0, 0, 0, 6)))


def _ending(console: Console, trace: Trace) -> None:
    signs = glyphs_of(console)
    console.print()
    _block(console, "answer", trace.answer)
    _block(console, "error", trace.error, "red")
    _block(console, "detail", trace.detail)
    _boxed(console, trace)
    _changed(console, trace)
    states = {True: "passed", False: "failed", None: "unmeasured"}
    for verdict in trace.verdicts:
        state = states[verdict.get("passed")]
        console.print(
            Text.assemble(
                (
                    f"  {signs.state(state)} {clean(str(verdict.get('verifier', '')))}",
                    STYLES[state],
                )
            )
        )
        if state == "passed":
            continue
        if verdict.get("expected") or verdict.get("got"):
            _block(console, "expected", str(verdict.get("expected") or ""))
            _block(console, "got", str(verdict.get("got") or "(nothing)"))
        _block(console, "why", str(verdict.get("why") or ""))


def _boxed(console: Console, trace: Trace) -> None:
    told = trace.box
    if told is None:
        return
    _block(console, "", told.hint, "yellow")
    _block(console, "box", told.says)
    for attempt in told.refused:
        _block(console, "refused", attempt, "yellow")
    _block(console, "", f"{plural(told.more, 'more attempt')} refused" if told.more else "", "dim")


def _changed(console: Console, trace: Trace) -> None:
    left = trace.changed
    if left is None:
        return
    _block(console, "changed on disk", left.says)
    _block(console, "", left.doubt, "yellow")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for row in left.rows[:_PATHS]:
        table.add_row(Text(row.what, "dim"), Text(row.path), Text(row.size, "dim"))
    if left.rows:
        console.print(Padding(table, (0, 0, 0, 6)))
    more = left.more + len(left.rows[_PATHS:])
    for text in [*left.packages, f"{plural(more, 'more path')}" if more else ""]:
        _block(console, "", text, "dim")


def _block(console: Console, title: str, text: str, style: str = "") -> None:
    if not text:
        return
    body = Text.assemble((f"{title}: " if title else "", "dim"), (clean(text), style))
    console.print(Padding(body, (0, 0, 0, 4)))
