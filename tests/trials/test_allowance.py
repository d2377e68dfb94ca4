"""What a run may use is read off its history, and a trial begins only when it is enough."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from proofrig.history.action import Entry
from proofrig.history.journal import Journal
from proofrig.trials.allowance import NOTE, Allowance, Limits, Needs, Spending, Why

S = 10**9


class Script:
    """Entries of a run, in order, each at its second."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(
        self, t: float, kind: str, name: str, trial: str = "", id: str = "", **attrs: Any
    ) -> None:
        number = len(self.entries)
        self.entries.append(
            Entry(number, round(t * S), kind, name, trial, "", "", id, attrs)  # type: ignore[arg-type]
        )

    def call(self, t: float, trial: str, held: int, cost: int | None, **attrs: Any) -> None:
        """A call that holds so much and costs so much; None: still open."""
        id = f"{trial}.{len(self.entries)}"
        self.add(t, "reserve", "llm.x", trial, id, decision="allow", estimate={"usd_micro": held})
        if cost is not None:
            self.add(t, "commit", "llm.x", trial, id, actual={"usd_micro": cost}, **attrs)

    def trial(
        self, began: float, ended: float, trial: str, *calls: tuple[int, int], **attrs: Any
    ) -> None:
        self.add(began, "trial", "begin", trial, **attrs)
        for held, cost in calls:
            self.call(began, trial, held, cost)
        self.add(ended, "trial", "end", trial)

    def spending(self, limit: int | None = None) -> Spending:
        return spending_of(self.entries, limit)


def spending_of(entries: Iterable[Entry], limit: int | None = None) -> Spending:
    found = Spending(limit)
    for entry in entries:
        found.step(entry)
    return found.result()


def test_all_that_was_committed_was_spent() -> None:
    script = Script()
    script.trial(0, 1, "a:null", role="null")
    script.trial(1, 3, "a:1", (50, 10), (60, 20))
    script.add(3, "trial", "begin", "a:2")
    script.call(3, "a:2", 40, 5)  # it was killed
    script.call(4, "", 0, 7)  # of no trial
    script.call(4, "b:1", 90, None)
    found = script.spending()
    assert found.usd_micro == 42
    assert found.needs == {"null": Needs(0, 0, S), "subject": Needs(30, 70, 2 * S)}


def test_what_trials_hold_at_a_time_counts_until_it_is_given_back() -> None:
    script = Script()
    script.add(0, "trial", "begin", "a:1", role="subject")
    for number in range(2):
        estimate = {"usd_micro": 30}
        script.add(0, "reserve", "llm.x", "a:1", f"x{number}", decision="allow", estimate=estimate)
    script.add(1, "release", "llm.x", "a:1", "x0", reason="unreachable")
    script.add(1, "commit", "llm.x", "a:1", "x1", actual={"usd_micro": 4})
    script.call(2, "a:1", 50, 1)
    script.add(3, "trial", "end", "a:1")
    assert script.spending().needs["subject"] == Needs(5, 60, 3 * S)


def test_the_order_of_segments_does_not_matter() -> None:
    script = Script()
    script.trial(0, 1, "a:1", (50, 10), scenario="burst", role="subject")
    ends = [entry for entry in script.entries if entry.kind == "trial"]
    calls = [entry for entry in script.entries if entry.kind != "trial"]
    one, other = spending_of([*calls, *ends]), spending_of([*ends, *calls])
    assert one.needs == other.needs == {"subject": Needs(10, 50, S)}


def test_scenarios_need_what_their_trials_cost_and_the_time_between_their_notes() -> None:
    script = Script()
    for began, name, cost in ((0, "sequential", 10), (100, "burst", 70)):
        script.add(began, "note", "scenario", state="begin", scenario=name)
        for number in range(2):
            script.trial(began, began + 5, f"a@{name}:{number}", (100, cost), scenario=name)
        if name == "sequential":
            script.add(began + 20, "note", "scenario", state="end", scenario=name)
    assert script.spending().scenarios == Needs(20, 20, 20 * S)  # the burst was cut off


@pytest.mark.parametrize(
    ("notes", "used"),
    [
        ([], 30),
        ([(2, 2)], 30),  # the first process; it is said after two seconds of its own
        ([(2, 2), (1_000, 30)], 41),  # the second, which went on for eleven
    ],
)
def test_time_between_processes_does_not_count(notes: list[tuple[int, int]], used: int) -> None:
    script = Script()
    starts = dict(notes)
    for at in (0, 2, 30, *((1_000, 1_011) if len(notes) > 1 else ())):
        if at in starts:
            script.add(at, "note", NOTE, used_ns=starts[at] * S)
        script.trial(at, at, f"a:{at}")
    script.add(90_000, "note", "segment")
    script.add(90_000, "note", "rescored", "a:2")  # judging it again is no run
    assert script.spending().used_ns == used * S


@pytest.mark.parametrize(
    ("attrs", "overdrawn"),
    [
        ({"at": "@suite", "remaining": {"usd_micro": 9}}, True),
        ({"at": "@suite", "remaining": {"usd_micro": 90, "tokens": 0}}, False),
        ({"at": "t/s/subject/a:1", "remaining": {"usd_micro": 9}}, False),
        ({"code": "forbidden"}, False),
    ],
)
def test_a_trial_is_overdrawn_that_the_runs_own_money_was_denied(
    attrs: dict[str, Any], overdrawn: bool
) -> None:
    script = Script()
    estimate = {"usd_micro": 10}
    script.add(0, "reserve", "llm.x", "a:1", "x", decision="deny", estimate=estimate, **attrs)
    assert ("a:1" in script.spending(100).overdrawn) is overdrawn
    assert not script.spending().overdrawn  # no limit of the run's own


@pytest.mark.parametrize(
    ("held", "rule", "finish", "overdrawn"),
    [
        (39, "", "length", True),
        (39, "", "stop", False),  # it had enough
        (20, "", "length", False),  # something else made it so small
        (39, "small-answers", "length", False),
    ],
)
def test_so_is_one_whose_answer_was_cut_for_want_of_it(
    held: int, rule: str, finish: str, overdrawn: bool
) -> None:
    script = Script()
    script.call(0, "b:1", 60, 40)
    script.call(0, "b:2", 20, None)
    asked = {"decision": "cap", "estimate": {"usd_micro": held}, "amended": ["max_tokens"]}
    script.add(0, "reserve", "llm.x", "a:1", "x", **asked, **({"rule": rule} if rule else {}))
    script.add(1, "commit", "llm.x", "a:1", "x", actual={"usd_micro": held}, finish=finish)
    assert ("a:1" in script.spending(100).overdrawn) is overdrawn


def allowance(tmp_path: Path, script: Script, now: float = 0.0, **limits: Any) -> Allowance:
    """An allowance of a process that has just begun, some seconds after the run did."""
    given = Allowance(Limits(**limits), tmp_path, lambda: round(now * S))
    given.spending = script.spending(limits.get("usd_micro"))
    return given


CALLS = [  # needs: a trial costs up to 20 and holds up to 50; 30 were spent
    # limit, running, answer
    (100, {}, "start"),
    (129, {"subject": 1}, "wait"),  # both could want 100 of the 99 that are left
    (130, {"subject": 1}, "start"),
    (50, {}, "start"),  # alone it may have all of it
    (49, {}, "the money budget of 0.000049 USD was reached: 0.000030 USD were spent, and a trial "
     "takes up to 0.000020 USD"),
    (49, {"subject": 1}, "wait"),  # the other may bring some back
    (30, {}, "the money budget of 0.000030 USD was reached: 0.000030 USD were spent, and a trial "
     "takes up to 0.000020 USD"),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "running", "answer"), CALLS)
def test_a_trial_begins_while_what_is_left_pays_for_it(
    tmp_path: Path, limit: int, running: dict[str, int], answer: str
) -> None:
    script = Script()
    script.trial(0, 1, "a:1", (50, 20), role="subject")
    script.trial(0, 1, "b:1", (50, 10), role="subject")
    found = allowance(tmp_path, script, usd_micro=limit).trial("subject", running)
    assert found == (answer if answer in ("start", "wait") else Why("usd", answer))


@pytest.mark.parametrize(
    ("cap", "running", "answer"),
    [
        (None, {}, "start"),
        (None, {"subject": 1}, "wait"),  # nothing is known of what it will hold
        (40, {"subject": 1}, "start"),
        (60, {"subject": 1}, "wait"),
        (600, {}, "start"),
    ],
)
def test_of_an_unknown_kind_as_many_begin_as_their_own_cap_allows(
    tmp_path: Path, cap: int | None, running: dict[str, int], answer: str
) -> None:
    script = Script()
    script.trial(0, 1, "a:null", role="null")
    given = allowance(tmp_path, script, usd_micro=100, trial_usd_micro=cap)
    assert given.trial("subject", running) == answer


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (40, ""),
        (54, "the time budget of 1 min was reached: 6.0 s are left, and a trial takes up to 7.0 s"),
        (61, "the time budget of 1 min was reached"),
    ],
)
def test_a_trial_begins_while_there_is_time_for_it(tmp_path: Path, now: float, says: str) -> None:
    script = Script()
    script.trial(0, 7, "a:1", role="subject")
    given = allowance(tmp_path, script, now, ns=60 * S)
    found = given.trial("subject", {"subject": 3})
    assert found == (Why("minutes", says) if says else "start")
    assert given.left_s() == 60 - now


def test_without_limits_everything_begins(tmp_path: Path) -> None:
    given = Allowance(Limits(), tmp_path, lambda: 0)
    assert not given.limits
    assert given.trial("subject", {"subject": 99}) == "start"
    assert given.scenario(1_000) is None
    assert given.left_s() is None
    assert not given.is_overdrawn("a:1")


@pytest.mark.parametrize(
    ("limit", "at_once", "says"),
    [
        (300, 2, ""),
        (300, 6, "0.000030 USD were spent, and its 6 trials hold up to 0.000300 USD at a time"),
        (50, 1, "0.000030 USD were spent, and a scenario takes up to 0.000030 USD"),
    ],
)
def test_a_scenario_begins_when_all_of_it_is_covered(
    tmp_path: Path, limit: int, at_once: int, says: str
) -> None:
    script = Script()
    script.add(0, "note", "scenario", state="begin", scenario="sequential")
    script.trial(0, 1, "a@sequential:1", (50, 30), role="subject", scenario="sequential")
    script.add(1, "note", "scenario", state="end", scenario="sequential")
    found = allowance(tmp_path, script, usd_micro=limit).scenario(at_once)
    assert (found.says.partition(" reached: ")[2] if found else "") == says


def test_each_process_goes_on_where_the_ones_before_it_came_to(tmp_path: Path) -> None:
    seconds = [0.0]
    clock = lambda: round(seconds[0] * S)  # noqa: E731
    limits = Limits(usd_micro=100, ns=60 * S)

    def process(began: float, ended: float, cost: int) -> Allowance:
        seconds[0] = began
        given = Allowance(limits, tmp_path, clock)
        runner, rig = Journal(tmp_path, "runner", clock), Journal(tmp_path, "rig", clock)
        runner.write("note", NOTE, attrs=given.attrs())
        runner.write("trial", "begin", trial="a:1", attrs={"role": "subject"})
        estimate, actual = {"usd_micro": 50}, {"usd_micro": cost}
        asked = {"decision": "allow", "estimate": estimate}
        rig.write("reserve", "llm.x", trial="a:1", id=f"x{began}", attrs=asked)
        seconds[0] = ended
        rig.write("commit", "llm.x", trial="a:1", id=f"x{began}", attrs={"actual": actual})
        runner.write("trial", "end", trial="a:1")
        rig.close()
        runner.close()
        given.refresh()
        return given

    first = process(3, 10, 30)
    assert first.attrs() == {
        "limit_usd_micro": 100, "limit_ns": 60 * S, "usd_micro": 30, "used_ns": 10 * S
    }  # fmt: skip
    second = process(5_000, 5_020, 40)
    assert second.attrs()["usd_micro"] == 70
    assert second.used_ns() == 30 * S
    assert second.spending.needs["subject"] == Needs(40, 50, 20 * S)
    assert second.left_s() == 30
