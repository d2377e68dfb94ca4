"""The judge: entries in, scenarios with their verdicts out; what it hands to checkers, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import pytest

from proofrig.anomalies.signature import Signature
from proofrig.checkers import CHECKERS, MODULES
from proofrig.checkers.checker import Checked, Setting, Verdict
from proofrig.checkers.judge import Judge, ScenarioChecked, doubted
from proofrig.history.action import Action, Entry, Kind


class Seen:
    """A checker of everything, which says what it was handed."""

    name: ClassVar[str] = "seen"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "lock.acquire")
    notes: ClassVar[tuple[str, ...]] = ("note.kill", "trial.end")
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.handed: list[str] = []

    def action(self, action: Action) -> None:
        ended = action.outcome if action.end else "open"
        self.handed.append(f"{action.name} {action.tenant}/{action.trial} {ended}")

    def note(self, entry: Entry) -> None:
        self.handed.append(f"{entry.kind}.{entry.name} {entry.trial}")

    def result(self) -> Checked:
        before = self.setting.baseline
        return Checked(
            checker=self.name,
            verdict="valid",
            says=" | ".join(self.handed),
            exposure={
                "handed": len(self.handed),
                "before": before.exposure["handed"] if before else -1,
            },
        )


class Always(Seen):
    """Looks at any run."""

    name: ClassVar[str] = "always"
    always: ClassVar[bool] = True


class Raises(Seen):
    """Raises where its scenario's parameters say."""

    name: ClassVar[str] = "raises"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._raise("made")

    def _raise(self, where: str) -> None:
        if self.setting.params.get("raise") == where:
            raise KeyError(where)

    def action(self, action: Action) -> None:
        self._raise("action")
        super().action(action)

    def note(self, entry: Entry) -> None:
        self._raise("note")
        super().note(entry)

    def result(self) -> Checked:
        self._raise("result")
        return super().result()


class Finds(Seen):
    """Comes to the verdict that its scenario's parameters name."""

    name: ClassVar[str] = "finds"

    def result(self) -> Checked:
        return Checked(self.name, self.setting.params.get("verdict", "valid"))


def entry(
    kind: Kind, name: str, trial: str = "", tenant: str = "", id: str = "", **a: Any
) -> Entry:
    return Entry(0, 0, kind, name, trial=trial, tenant=tenant, id=id, attrs=a)


def scene(name: str, *inside: Entry, end: bool = True, **more: Any) -> list[Entry]:
    attrs = {"state": "begin", "scenario": name, "agents": 2, "tenants": {"acme": 1}, **more}
    last = [entry("note", "scenario", state="end", scenario=name)] if end else []
    return [Entry(0, 0, "note", "scenario", attrs=attrs), *inside, *last]


def did(name: str, id: str, trial: str = "c@s:1", outcome: str | None = "ok") -> list[Entry]:
    begun = [entry("start", name, trial, id=id)]
    ended = [entry("commit", name, trial, id=id, outcome=outcome)] if outcome else []
    return [*begun, *ended]


def judged(entries: Iterable[Entry], *kinds: Any) -> list[ScenarioChecked]:
    judge = Judge(lambda digest: digest.encode(), kinds or (Seen,))
    for each in entries:
        judge.step(each)
    return judge.result()


def says(scenario: ScenarioChecked) -> list[str]:
    [checked] = scenario.checked
    return checked.says.split(" | ") if checked.says else []


def test_each_scenario_is_judged_by_itself_and_what_lies_outside_is_not() -> None:
    entries = [
        *did("kv.put", "0"),
        *scene("burst", *did("kv.put", "1"), *did("kv.get", "2", outcome="fail")),
        *did("kv.put", "3"),
        *scene("ramp", *did("lock.acquire", "4")),
        *did("kv.put", "5"),
    ]
    burst, ramp = judged(entries)
    assert (burst.name, burst.ended, ramp.name) == ("burst", True, "ramp")
    assert says(burst) == ["kv.put /c@s:1 ok", "kv.get /c@s:1 fail"]
    assert says(ramp) == ["lock.acquire /c@s:1 ok"]
    assert [one.scenario for one in burst.checked] == ["burst"]


def test_a_checker_sees_what_it_reads_and_nothing_else() -> None:
    inside = [
        *did("lock.release", "1"),
        *did("kv.cas", "2"),
        entry("note", "kill", "c@s:1"),
        entry("note", "lag"),
        entry("trial", "end", "c@s:1"),
        entry("note", "kv.put", "c@s:1"),
    ]
    [only] = judged(scene("burst", *inside))
    assert says(only) == ["kv.cas /c@s:1 ok", "note.kill c@s:1", "trial.end c@s:1"]


def test_an_observers_actions_get_the_tenant_of_their_trial() -> None:
    inside = [
        entry("trial", "begin", "c@s:1", "acme"),
        *did("kv.put", "1", "c@s:1"),
        *did("kv.put", "2", "c@s:2"),
        entry("start", "kv.get", "c@s:1", "globex", "3"),
        entry("commit", "kv.get", "c@s:1", "globex", "3", outcome="ok"),
    ]
    [only] = judged(scene("burst", *inside))
    assert says(only) == [
        "kv.put acme/c@s:1 ok",
        "kv.put /c@s:2 ok",
        "kv.get globex/c@s:1 ok",
    ]


def test_actions_that_never_ended_come_last() -> None:
    inside = [*did("kv.put", "1", outcome=None), *did("kv.get", "2")]
    [only] = judged(scene("burst", *inside))
    assert says(only) == ["kv.get /c@s:1 ok", "kv.put /c@s:1 open"]


def test_what_a_cut_off_scenario_left_open_is_not_the_next_ones() -> None:
    """A rig that takes over ends the actions of the one that was killed."""
    cut = scene("burst", *did("kv.put", "1", outcome=None), end=False)
    again = scene("burst", entry("commit", "kv.put", "c@s:1", id="1", outcome="unknown"))
    [only] = judged([*cut, *again])
    assert (only.ended, says(only)) == (True, [])


def test_of_a_scenario_that_was_resumed_the_last_time_counts() -> None:
    cut = scene("burst", *did("kv.put", "1"), *did("kv.put", "2"), end=False)
    whole = [*scene("sequential"), *cut, *scene("burst", *did("kv.get", "3")), *scene("ramp")]
    assert [(one.name, says(one)) for one in judged(whole)] == [
        ("sequential", []),
        ("burst", ["kv.get /c@s:1 ok"]),
        ("ramp", []),
    ]


def test_a_run_without_scenarios_is_judged_by_what_looks_at_any_run() -> None:
    entries = [
        entry("trial", "begin", "c:1", "acme"),
        *did("kv.put", "1", "c:1"),
        entry("trial", "end", "c:1"),
        *did("kv.get", "2", "c:1", outcome=None),
    ]
    [only] = judged(entries, Seen, Always)
    assert (only.name, only.ended, only.needs, only.verdict) == ("", True, [], "valid")
    assert [one.checker for one in only.checked] == ["always"]
    assert says(only) == ["kv.put acme/c:1 ok", "trial.end c:1", "kv.get acme/c:1 open"]
    assert judged(entries, Seen) == []
    assert judged([], Always) == []


def test_what_lies_before_the_first_scenario_makes_no_plain_run() -> None:
    entries = [*did("kv.put", "0"), *scene("burst", *did("kv.put", "1")), *did("kv.put", "2")]
    [only] = judged(entries, Always)
    assert (only.name, says(only)) == ("burst", ["kv.put /c@s:1 ok"])


def test_the_signature_of_an_earlier_run_is_told_to_all() -> None:
    known: list[Setting] = []

    class Told(Always):
        def __init__(self, setting: Setting) -> None:
            super().__init__(setting)
            known.append(setting)

    signature = Signature(trials=7)
    for entries in (did("kv.put", "0"), scene("burst")):
        judge = Judge(lambda digest: None, [Told], signature)
        for each in entries:
            judge.step(each)
        judge.result()
    assert [setting.signature for setting in known] == [signature, signature]


def test_a_scenario_that_was_cut_off_is_judged_so_far() -> None:
    [only] = judged(scene("burst", *did("kv.put", "1"), end=False))
    assert (only.ended, says(only)) == (False, ["kv.put /c@s:1 ok"])
    assert judged([]) == []


def test_the_sequential_scenario_is_the_baseline_of_those_after_it() -> None:
    alone = scene("sequential", *did("kv.put", "1"))
    found = judged([*scene("burst"), *alone, *scene("ramp"), *scene("drain")])
    assert [(one.name, one.checked[0].exposure["before"]) for one in found] == [
        ("burst", -1),
        ("sequential", -1),
        ("ramp", 1),
        ("drain", 1),
    ]


def test_checkers_know_what_the_scenario_was_begun_with() -> None:
    known: list[Setting] = []

    class Told(Seen):
        def __init__(self, setting: Setting) -> None:
            super().__init__(setting)
            known.append(setting)

    judged(scene("burst", params={"agents": 9}, topology={"kv": {"type": "kv"}}), Told)
    [setting] = known
    assert (setting.scenario, setting.agents, setting.tenants) == ("burst", 2, {"acme": 1})
    assert (setting.params, setting.topology) == ({"agents": 9}, {"kv": {"type": "kv"}})
    assert setting.payload("digest") == b"digest"


@pytest.mark.parametrize("where", ["made", "action", "note", "result"])
def test_a_checker_that_raises_is_unknown_and_the_others_go_on(where: str) -> None:
    inside = [*did("kv.put", "1"), entry("note", "kill", "c@s:1"), *did("kv.get", "2")]
    [only] = judged(scene("burst", *inside, params={"raise": where}), Raises, Seen)
    raised, other = only.checked
    assert (raised.checker, raised.verdict, raised.scenario) == ("raises", "unknown", "burst")
    assert raised.says == f"the checker failed: KeyError: '{where}'"
    assert other.says == "kv.put /c@s:1 ok | note.kill c@s:1 | kv.get /c@s:1 ok"


@pytest.mark.parametrize(
    ("verdict", "needs", "whole"),
    [
        ("invalid", [], "invalid"),
        ("invalid", ["finds"], "invalid"),
        ("unknown", ["finds"], "unknown"),
        ("unknown", ["seen"], "valid"),
        ("valid", ["finds"], "valid"),
    ],
)
def test_a_scenario_is_as_bad_as_what_was_found_and_as_sure_as_what_it_is_about(
    verdict: Verdict, needs: list[str], whole: Verdict
) -> None:
    [only] = judged(scene("burst", params={"verdict": verdict}, needs=needs), Finds, Seen)
    assert (only.verdict, only.needs) == (whole, needs)


LAGGED, MISSED = {"lag_p99_ms": 50.0}, {"lag_p99_ms": 1.0}


@pytest.mark.parametrize(
    ("launch", "measures", "expected"),
    [
        ("valid", LAGGED, ["valid", "valid", "invalid"]),
        ("unknown", MISSED, ["unknown", "unknown", "invalid"]),
        ("unknown", LAGGED, ["valid", "unknown", "invalid"]),
    ],
)
def test_what_passed_is_doubted_where_the_contention_was_not_there(
    launch: Verdict, measures: dict[str, float], expected: list[Verdict]
) -> None:
    """A finding stays one: it has its witness."""
    given = [
        Checked("launch", launch, "10 starts were 900 ms apart", measures=measures),
        Checked("data", "valid", "none in 7 keys"),
        Checked("times", "valid", "none in 7 waits"),
        Checked("found", "invalid", "1 found"),
    ]
    found = doubted(given, {"times"})
    assert [one.verdict for one in found[1:]] == expected
    for one in found[1:]:
        assert ("; but 10 starts were 900 ms apart" in one.says) == (one.verdict == "unknown")


def test_without_a_verdict_on_the_launch_nothing_is_doubted() -> None:
    assert [one.verdict for one in doubted([Checked("times", "valid")], {"times"})] == ["valid"]


def test_every_checker_keeps_the_contract() -> None:
    assert [kind.name for kind in CHECKERS] == [
        name for name in MODULES if name in {kind.name for kind in CHECKERS}
    ]
    [only] = judged(scene("burst"), *CHECKERS)
    assert [one.checker for one in only.checked] == [kind.name for kind in CHECKERS]
    assert not [one.says for one in only.checked if "the checker failed" in one.says]


class OfFaults(Seen):
    """Reads every entry of a kind."""

    name: ClassVar[str] = "of_faults"
    reads: ClassVar[tuple[str, ...]] = ()
    notes: ClassVar[tuple[str, ...]] = ("fault.",)
    always: ClassVar[bool] = True


def test_faults_are_handed_out_with_and_without_an_action() -> None:
    judge = Judge({}.get, [OfFaults], known=Setting(agents=7))
    for name, id in (("reset", "a1"), ("kill", "")):
        judge.step(Entry(0, 0, "fault", name, "case:1", "acme", "", id))
    [only] = judge.result()
    assert only.checked[0].says == "fault.reset case:1 | fault.kill case:1"
