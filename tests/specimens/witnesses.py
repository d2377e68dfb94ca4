"""Whether the witness of a finding proves it, read from the entries alone and without the checkers.

Rules:
1. Every kind of finding has its own proof; a kind without one is an error, not a pass.
2. A witness that names what is not on the history proves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from proofrig.checkers.checker import Finding
from proofrig.history.action import Entry

REFUSED = (429, 503, 529)
MS = 1_000_000


class Story:
    """A history by action and by note."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.parts: dict[str, dict[str, Entry]] = defaultdict(dict)
        self.notes: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.id and entry.kind != "note":
                self.parts[entry.id][entry.kind] = entry
            else:
                self.notes[f"{entry.kind}.{entry.name}", entry.trial].append(entry)

    def begun(self, id: str) -> int:
        parts = self.parts[id]
        return (parts.get("reserve") or parts["start"]).t

    def ended(self, id: str) -> int:
        """When it ended; after everything, when it never did."""
        commit = self.parts[id].get("commit")
        return commit.t if commit is not None else 1 << 62

    def attr(self, id: str, name: str, default: Any = None) -> Any:
        for kind in ("commit", "start", "reserve"):
            entry = self.parts[id].get(kind)
            if entry is not None and name in entry.attrs:
                return entry.attrs[name]
        return default

    def refused(self, id: str) -> bool:
        error = str(self.attr(id, "error", ""))
        return self.attr(id, "status") in REFUSED or any(str(one) in error for one in REFUSED)


def _ids(finding: Finding) -> list[str]:
    return [one.id for one in finding.witness if one.id]


def _retry_storm(story: Story, finding: Finding) -> bool:
    """One trial's attempts, one after another, each but the last in vain."""
    ids = _ids(finding)
    in_vain = all(story.refused(id) or story.attr(id, "outcome") != "ok" for id in ids[:-1])
    in_turn = all(story.ended(one) <= story.begun(two) for one, two in pairwise(ids))
    return len(ids) > 1 and len(finding.trials) == 1 and in_vain and in_turn


def _synchronised(story: Story, finding: Finding) -> bool:
    """Requests within 100 ms, of trials that had been refused before."""
    at = [story.begun(id) for id in _ids(finding)]
    before = {
        parts["commit"].trial
        for id, parts in story.parts.items()
        if "commit" in parts and parts["commit"].t <= min(at) and story.refused(id)
    }
    return len(at) > 1 and max(at) - min(at) <= 100 * MS and set(finding.trials) <= before


def _exhaustion(story: Story, finding: Finding) -> bool:
    """One tenant's requests were refused, another's let in."""
    begins = [
        one for (name, _), found in story.notes.items() if name == "trial.begin" for one in found
    ]
    tenant = {one.trial: one.tenant for one in begins}
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for one in finding.witness:
        sides[story.refused(one.id)].add(one.tenant or tenant.get(one.trial, ""))
    return len(sides[True]) == len(sides[False]) == 1 and sides[True] != sides[False]


def _starvation(story: Story, finding: Finding) -> bool:
    """One waited while all the others held a connection."""

    def times(id: str) -> tuple[int, int, int]:
        """Asked for, got, given back."""
        if "service_ns" in (commit := story.parts[id].get("commit", NONE)).attrs:
            got = commit.t - commit.attrs["service_ns"]
            return got - commit.attrs.get("queue_ns", 0), got, commit.t
        asked = story.begun(id)
        return asked, asked + story.attr(id, "wait_ns", 0), story.ended(id)

    spans = sorted(map(times, _ids(finding)), key=lambda span: span[0] - span[1])
    asked, got, _ = spans[0]
    middle = (asked + got) // 2
    return (
        len(spans) > 1
        and got - asked > 100 * MS
        and all(begun <= middle < done for _, begun, done in spans[1:])
    )


def _failed(story: Story, finding: Finding) -> bool:
    return all(
        not end.attrs["passed"]
        for trial in finding.trials
        for end in story.notes["trial.end", trial]
    )


def _tail(story: Story, finding: Finding) -> bool:
    """Each took longer than any trial did alone."""
    begun = {
        trial: found[0].t for (name, trial), found in story.notes.items() if name == "trial.begin"
    }
    took = {
        trial: found[0].t - begun[trial]
        for (name, trial), found in story.notes.items()
        if name == "trial.end"
    }
    alone = max(ns for trial, ns in took.items() if "@sequential:" in trial)
    return all(took[trial] > alone for trial in finding.trials)


def _accepted(story: Story, finding: Finding) -> list[Entry]:
    """What the trial of a finding accepted, if the witness names one of that."""
    found = story.notes["note.accepted", finding.trials[0]]
    named = {one.t for one in finding.witness if one.name == "accepted"}
    return [one for one in found if one.t in named]


def _stale(story: Story, finding: Finding) -> bool:
    """What was accepted had been superseded, or had ended unknown, or was older than another."""
    trial = finding.trials[0]
    every = story.notes["note.accepted", trial]
    for one in _accepted(story, finding):
        call = one.attrs["call"]
        given_up = [note for note in story.notes["note.superseded", trial] if note.t < one.t]
        if any(note.attrs["call"] in (call, story.attr(call, "call_id")) for note in given_up):
            return True
        if story.attr(call, "outcome") == "unknown":
            return True
        version = one.attrs.get("version")
        before = every[: every.index(one)]
        if version is not None and any(each.attrs.get("version", -1) > version for each in before):
            return True
    return False


def _misbound(story: Story, finding: Finding) -> bool:
    return any(
        one.attrs.get("given_as", one.attrs["call"]) != one.attrs["call"]
        for one in _accepted(story, finding)
    )


def _duplicate(story: Story, finding: Finding) -> bool:
    calls = [one.attrs["call"] for one in story.notes["note.accepted", finding.trials[0]]]
    return any(calls.count(one.attrs["call"]) > 1 for one in _accepted(story, finding))


def _done_twice(story: Story, finding: Finding) -> bool:
    """Two trials were told that their acknowledgement of one message counted."""
    acks = [id for id in _ids(finding) if story.parts[id]["start"].name == "queue.ack"]
    messages = {story.attr(id, "message") for id in acks}
    by = {story.parts[id]["start"].trial for id in acks}
    return (
        len(messages) == 1
        and len(by) == 2
        and all(story.attr(id, "outcome") == "ok" for id in acks)
    )


NONE = Entry(0, 0, "note", "")
PROOFS: dict[str, Callable[[Story, Finding], bool]] = {
    "retry_storm": _retry_storm,
    "synchronised_retries": _synchronised,
    "tenant_exhaustion": _exhaustion,
    "pool_starvation": _starvation,
    "agent_failed_under_load": _failed,
    "tail_unbounded": _tail,
    "stale_result": _stale,
    "misbound_result": _misbound,
    "duplicate_result": _duplicate,
    "duplicate_effect": _done_twice,
}


def proves(finding: Finding, story: Story) -> bool:
    """Whether the witness proves what the finding says."""
    ids = _ids(finding)
    if not finding.witness or not all(id in story.parts for id in ids):
        return False
    return PROOFS[finding.kind](story, finding)
