"""A trial's trace: its actions in order, with what was asked, said and done, and its end.

Rules:
1. A trace comes from the history and the payloads beside it, nothing else.
2. Texts are cut to `Limits.text` characters and say how long they were; a trial with more entries
   than `Limits.entries` keeps its first and says how many are missing.
3. Payloads that were redacted are shown as missing, not as empty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec

from proofrig.history.action import Action, Entry
from proofrig.history.history import History, pair
from proofrig.history.payloads import PayloadReader
from proofrig.reports import excerpts
from proofrig.reports.actions import about, noted, refused, ruled, wait_of
from proofrig.reports.boxed import Box, box_of
from proofrig.reports.changes import Left, left
from proofrig.reports.excerpts import Asked, Said
from proofrig.reports.faults import facts
from proofrig.reports.reading import told
from proofrig.reports.words import cut

_BODY = 1_000  # characters
GONE = "(the payload is not kept: redacted, or lost with the writer)"


class Limits(msgspec.Struct, frozen=True):
    """How much of a trial is shown. `text` in characters per excerpt."""

    text: int = 2_000
    entries: int = 600


class Met(msgspec.Struct, omit_defaults=True):
    """A fault that an action met, `after_ns` it began. says: what it did, in words."""

    title: str
    kind: str
    after_ns: int = 0
    says: str = ""


class Step(msgspec.Struct, omit_defaults=True):
    """One action. Times are nanoseconds; `at_ns` counts from the trial's begin. outcome: ok, fail,
    unknown, denied, released. `other` holds what a denial, an error or a note says; `about` what
    an action on something shared touched; `expected` and `got`, side by side, where a replay left
    its recording."""

    name: str
    id: str = ""
    at_ns: int = 0
    total_ns: int = 0
    queue_ns: int = 0
    backoff_ns: int = 0
    service_ns: int = 0
    outcome: str = "ok"
    model: str = ""
    finish: str = ""
    status: int = 0
    retry: int = 0  # how many times the client had tried before
    usd_micro: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    heard: list[Said] = []  # what was new to the model
    text: str = ""  # what the model said
    asked: list[Asked] = []  # the tools it asked for
    arguments: str = ""
    result: str = ""
    is_error: bool = False
    faults: list[Met] = []
    undelivered: bool = False  # it was carried out, and a fault hid that from the agent
    other: str = ""
    about: str = ""
    expected: str = ""
    got: str = ""


class Trace(msgspec.Struct, omit_defaults=True):
    """A trial from begin to end."""

    trial: str
    began_ns: int = 0  # since the run began
    seed: int = 0
    tenant: str = ""
    ending: str = ""
    exit_code: int | None = None
    error: str = ""
    detail: str = ""
    answer: str = ""
    verdicts: list[dict[str, Any]] = []
    steps: list[Step] = []
    left_out: int = 0  # entries
    used: str = ""  # what it used, in words
    box: Box | None = None  # how its box ended, and what it was refused
    changed: Left | None = None  # what it changed on disk


class TraceFold:
    """Gathers the entries of the wanted trials in one pass."""

    def __init__(self, wanted: Collection[str], limits: Limits) -> None:
        self._entries: dict[str, list[Entry]] = {trial: [] for trial in wanted}
        self._left_out: dict[str, int] = {}
        self._limits = limits

    def step(self, entry: Entry) -> None:
        kept = self._entries.get(entry.trial)
        if kept is None:
            return
        if len(kept) < self._limits.entries or entry.kind == "trial":
            kept.append(entry)
        else:
            self._left_out[entry.trial] = self._left_out.get(entry.trial, 0) + 1

    def result(self) -> dict[str, list[Entry]]:
        return self._entries

    def trace(self, trial: str, payloads: PayloadReader) -> Trace:
        """The trace of a wanted trial; reads its payloads."""
        entries, left_out = self._entries[trial], self._left_out.get(trial, 0)
        if left_out:  # an action whose end was left out must not look as if it never ended
            ended = {entry.id for entry in entries if _ends(entry)}
            entries = [entry for entry in entries if not entry.id or entry.id in ended]
        found = trace_of(trial, entries, payloads, self._limits)
        found.left_out = left_out
        return found


def _ends(entry: Entry) -> bool:
    return entry.kind in ("commit", "release") or entry.attrs.get("decision") == "deny"


def read_trace(run_dir: Path, trial: str, limits: Limits) -> Trace:
    """The trace of one trial of a run."""
    fold = TraceFold({trial}, limits)
    History(run_dir).fold(fold)
    return fold.trace(trial, PayloadReader(run_dir))


def trace_of(
    trial: str, entries: Iterable[Entry], payloads: PayloadReader, limits: Limits
) -> Trace:
    """A trace from a trial's entries."""
    entries = list(entries)
    found = Trace(trial)
    began = entries[0].t if entries else 0
    for entry in entries:
        if entry.kind == "trial" and entry.name == "begin":
            found.seed, found.tenant, began = entry.attrs.get("seed", 0), entry.tenant, entry.t
        elif entry.kind == "trial":
            _ended(found, entry, payloads, limits)
        elif entry.kind == "note" and entry.name == "rescored":
            found.verdicts = _verdicts(entry, limits)
    reading = _Reading(payloads, limits, began)
    found.began_ns = began
    actions = sorted(pair(entries), key=_at)
    notes = [
        Step(f"note.{e.name}", at_ns=e.t - began, about=said) for e in entries if (said := noted(e))
    ]
    notes += [_missed(e, began, limits) for e in entries if e.kind == "note" and e.name == "miss"]
    found.steps = sorted([*map(reading.step, actions), *notes], key=lambda step: step.at_ns)
    return found


def _missed(entry: Entry, began: int, limits: Limits) -> Step:
    """Where a replay had no answer: what the recording holds, and what the agent asked."""
    attrs = entry.attrs
    recorded, asked = attrs.get("recorded"), attrs.get("asked")
    about = f"turn {attrs['turn']}, at {attrs['path']}" if attrs.get("path") else ""
    return Step(
        "note.miss",
        at_ns=entry.t - began,
        outcome="fail",
        about=about,  # with the pair it is all that `says` tells
        other="" if about and recorded and asked else cut(str(attrs.get("says", "")), limits.text),
        expected=_text(recorded, limits),
        got=_text(asked, limits),
    )


def _text(value: Any, limits: Limits) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return cut(text, limits.text)


def _ended(found: Trace, entry: Entry, payloads: PayloadReader, limits: Limits) -> None:
    attrs = entry.attrs
    found.ending, found.exit_code = attrs.get("ending", ""), attrs.get("exit_code")
    found.error = cut(str(attrs.get("error", "")), limits.text)
    found.detail = cut(str(attrs.get("detail", "")), limits.text)
    found.verdicts = _verdicts(entry, limits)
    found.box = box_of(attrs, limits.text)
    if digest := attrs.get("answer"):
        data = payloads.get(digest)
        found.answer = GONE if data is None else cut(data.decode("utf-8", "replace"), limits.text)
    if digest := attrs.get("changes"):
        found.changed = left(payloads.get(digest), limits.text)


def _verdicts(entry: Entry, limits: Limits) -> list[dict[str, Any]]:
    return [
        {
            "verifier": cut(str(verdict.get("verifier", "")), 80),
            "passed": verdict.get("passed"),
            **{name: cut(text, limits.text) for name, text in told(verdict).items() if text},
        }
        for verdict in entry.attrs.get("verdicts", [])
    ]


def _at(action: Action) -> int:
    known = action.reserve or action.start or action.end
    return known.t if known else 0


class _Reading:
    """Reads actions into steps."""

    def __init__(self, payloads: PayloadReader, limits: Limits, began: int) -> None:
        self._payloads = payloads
        self._text = limits.text
        self._began = began

    def step(self, action: Action) -> Step:
        at, usage = _at(action), action.attr("usage", {})
        last = action.end or action.start or action.reserve
        step = Step(
            name=action.name,
            id=action.id,
            at_ns=at - self._began,
            total_ns=(last.t - at) if last else 0,
            queue_ns=wait_of(action.end.attrs) if action.end else 0,
            backoff_ns=action.attr("backoff_ns", 0),
            service_ns=action.attr("service_ns", 0),
            outcome=_outcome(action),
            model=action.attr("model", ""),
            finish=action.attr("finish", ""),
            status=action.attr("status", 0),
            retry=max(0, action.attr("attempt", 1) - 1),
            usd_micro=action.attr("actual", {}).get("usd_micro", 0),
            input_tokens=usage.get("input", 0),
            output_tokens=usage.get("output", 0),
            is_error=bool(action.attr("is_error", False)),
            faults=[_met(fault, at) for fault in action.faults],
            undelivered=bool(action.attr("undelivered", False)),
            other=cut(_other(action), self._text),
            about=about(action),
        )
        self._read(step, action)
        return step

    def _read(self, step: Step, action: Action) -> None:
        limit = self._text
        if action.name.startswith("egress."):
            step.arguments, step.result = (
                self._body(action.attr(name)) for name in ("request", "response")
            )
            return
        if digest := action.attr("request"):
            data = self._payloads.get(digest)
            step.heard = [Said("request", GONE)] if data is None else excerpts.asked(data, limit)
        if digest := action.attr("response"):
            data = self._payloads.get(digest)
            step.text, step.asked, error = excerpts.turn(data, limit)
            step.text = GONE if data is None else step.text
            step.other = step.other or error
        if digest := action.attr("arguments"):
            data = self._payloads.get(digest)
            step.arguments = GONE if data is None else cut(data.decode("utf-8", "replace"), limit)
        if digest := action.attr("result"):
            data = self._payloads.get(digest)
            step.result = GONE if data is None else excerpts.result(data, limit)

    def _body(self, digest: str | None) -> str:
        """What was sent to another host, or came from there: any bytes, so only their beginning."""
        if not digest:
            return ""
        data = self._payloads.get(digest)
        if data is None:
            return GONE
        return cut(data.decode("utf-8", "replace"), min(self._text, _BODY))


def _met(fault: Entry, at: int) -> Met:
    title = str(fault.attrs.get("fault") or fault.name)
    return Met(title, fault.name, max(0, fault.t - at), facts(fault.attrs))


def _outcome(action: Action) -> str:
    if action.denied or (action.end is not None and refused(action.end.attrs)):
        return "denied"
    if action.end is not None and action.end.kind == "release":
        return "released"
    return action.outcome


def _other(action: Action) -> str:
    said = [ruled(action.reserve.attrs)] if action.reserve is not None else []
    end = action.end
    if end is not None and refused(end.attrs):
        said = [ruled({"decision": "deny", "code": end.attrs["reason"]} | end.attrs)]
    elif end is None and not action.denied:
        said.append("it never ended: the run was stopped, or the writer was killed")
    elif not action.denied:
        said.append(str(action.attr("error", "") or action.attr("reason", "")))
    return "; ".join(part for part in said if part)
