"""One pass over a history for all checkers: pairs actions, splits by scenario, hands out, decides.

Rules:
1. Everything between a scenario's two notes belongs to it. What lies outside is not judged. The
   plan of a run, without scenarios or before them, is judged as one whose name is empty, by the
   checkers that are `always` of use.
2. A checker that raises is `unknown` and says so; the others go on.
3. `valid` becomes `unknown` where the launch missed its spread (the contention that was asked for
   was not there) and, for a verdict that rests on times, where the rig's loop lagged.
4. The sequential scenario of a run is the baseline of all that come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from proofrig.anomalies.signature import Signature
from proofrig.checkers import CHECKERS
from proofrig.checkers.checker import Checked, Checker, Setting, Verdict, worst
from proofrig.history.action import Action, Entry
from proofrig.history.history import Pairing

SEQUENTIAL = "sequential"
LAUNCH = "launch"
LAG = "lag_p99_ms"
LAG_LIMIT_MS = 20.0
NOTHING_KNOWN = Setting()


class ScenarioChecked(msgspec.Struct):
    """What all checkers came to in one scenario, and the attributes of its first note. Of a run
    without scenarios both are empty."""

    name: str
    begun: dict[str, Any]
    checked: list[Checked]
    ended: bool = True

    @property
    def needs(self) -> list[str]:
        """The checkers whose verdict the scenario is about."""
        return list(self.begun.get("needs", []))

    @property
    def verdict(self) -> Verdict:
        """Invalid when any checker found something; unknown when one that the scenario is about
        could not tell; else valid."""
        found = ["invalid" for one in self.checked if one.verdict == "invalid"]
        verdicts = {one.checker: one.verdict for one in self.checked}
        told = [verdicts.get(name, "unknown") for name in self.needs]
        return worst([*found, *told])  # type: ignore[list-item]


class _Scene:
    """The checkers of one scenario at work."""

    def __init__(
        self,
        begun: Entry,
        kinds: Sequence[type[Checker]],
        setting: Callable[[type[Checker]], Setting],
    ) -> None:
        self.begun = begun
        self.kinds = kinds
        self.pairing = Pairing()
        self.tenants: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.checkers: list[Checker] = []
        self._actions: dict[str, list[Checker]] = {}
        self._notes: dict[str, list[Checker]] = {}
        for kind in kinds:
            try:
                self.checkers.append(kind(setting(kind)))
            except Exception as error:
                self.failed[kind.name] = _failure(error)

    def step(self, entry: Entry) -> None:
        if entry.kind == "trial" and entry.name == "begin":
            self.tenants[entry.trial] = entry.tenant
        if entry.id and entry.kind != "note":
            action = self.pairing.step(entry)
            # An end without a beginning belongs to what was cut off before this scenario began.
            if action is not None and (action.reserve or action.start):
                self.action(action)
            if entry.kind == "fault":
                self.note(entry)
        else:
            self.note(entry)

    def action(self, action: Action) -> None:
        readers = self._actions.get(action.name)
        if readers is None:
            readers = self._actions[action.name] = [
                one for one in self.checkers if action.name.startswith(one.reads)
            ]
        if not readers:
            return
        if not action.tenant and action.trial:
            action = msgspec.structs.replace(action, tenant=self.tenants.get(action.trial, ""))
        for reader in readers:
            try:
                reader.action(action)
            except Exception as error:
                self.fail(reader, error)

    def note(self, entry: Entry) -> None:
        name = f"{entry.kind}.{entry.name}"
        readers = self._notes.get(name)
        if readers is None:
            names = {name, f"{entry.kind}."}
            readers = self._notes[name] = [
                one for one in self.checkers if not names.isdisjoint(one.notes)
            ]
        for reader in readers:
            try:
                reader.note(entry)
            except Exception as error:
                self.fail(reader, error)

    def fail(self, checker: Checker, error: Exception) -> None:
        """A checker that raised sees nothing more; another list is made, for this one is walked."""
        self.failed[checker.name] = _failure(error)
        self.checkers = [one for one in self.checkers if one is not checker]
        self._actions.clear()
        self._notes.clear()

    def conclude(self, name: str) -> list[Checked]:
        for action in self.pairing.unfinished():
            self.action(action)
        results = [Checked(checker, "unknown", why) for checker, why in self.failed.items()]
        for checker in self.checkers:
            try:
                results.append(checker.result())
            except Exception as error:
                results.append(Checked(checker.name, "unknown", _failure(error)))
        for result in results:
            result.scenario = name
        order = [kind.name for kind in self.kinds]
        results.sort(key=lambda result: order.index(result.checker))
        return doubted(results, {kind.name for kind in self.kinds if kind.timing})


def _failure(error: Exception) -> str:
    return f"the checker failed: {type(error).__name__}: {error}"


class Judge:
    """A fold: every entry of a run in, what the checkers `kinds` found in each scenario out.
    `known`: what all checkers know of the run, besides the payloads and the signature."""

    def __init__(
        self,
        payload: Callable[[str], bytes | None],
        kinds: Sequence[type[Checker]] = CHECKERS,
        signature: Signature | None = None,
        known: Setting = NOTHING_KNOWN,
    ) -> None:
        self._known = msgspec.structs.replace(known, payload=payload, signature=signature)
        self._kinds = kinds
        self._always = [kind for kind in kinds if getattr(kind, "always", False)]
        self._plain = bool(self._always)  # no scenario has been seen so far
        self._scene: _Scene | None = None
        self._done: list[ScenarioChecked] = []
        self._baseline: dict[str, Checked] = {}

    def step(self, entry: Entry) -> None:
        if entry.kind == "note" and entry.name == "scenario":
            if self._plain:
                self._end_plan()
            self._close(ended=entry.attrs["state"] == "end")
            if entry.attrs["state"] == "begin":
                setting = partial(self._setting, entry.attrs)
                self._scene = _Scene(entry, self._kinds, setting)
        elif self._scene is not None:
            self._scene.step(entry)
        elif self._plain:
            begun = Entry(0, 0, "note", "scenario", attrs={"scenario": ""})
            self._scene = _Scene(begun, self._always, lambda kind: self._known)
            self._scene.step(entry)

    def result(self) -> list[ScenarioChecked]:
        """The scenarios in the order in which they ran; one that was cut off is judged so far. Of a
        run that has none, one whose name is empty; nothing of a history without entries."""
        self._close(ended=self._plain)
        return self._done

    def _end_plan(self) -> None:
        """A scenario begins: what ran before it was a plan of its own, if it had trials at all."""
        self._plain = False
        if self._scene is not None and self._scene.tenants:
            self._close(ended=True)
        self._scene = None

    def _setting(self, attrs: dict[str, Any], kind: type[Checker]) -> Setting:
        return msgspec.structs.replace(
            self._known,
            scenario=attrs["scenario"],
            agents=attrs.get("agents", 0),
            params=attrs.get("params", {}),
            topology=attrs.get("topology", {}),
            tenants=attrs.get("tenants", {}),
            baseline=self._baseline.get(kind.name),
        )

    def _close(self, *, ended: bool) -> None:
        scene, self._scene = self._scene, None
        if scene is None:
            return
        attrs = scene.begun.attrs
        name = attrs["scenario"]
        checked = scene.conclude(name)
        # A scenario that was cut off and resumed stands on the history twice: the last one counts.
        self._done = [one for one in self._done if one.name != name]
        self._done.append(ScenarioChecked(name, attrs, checked, ended))
        if name == SEQUENTIAL:
            self._baseline = {result.checker: result for result in checked}


def doubted(results: Iterable[Checked], timing: Collection[str]) -> list[Checked]:
    """The results with rule 3 applied. `timing`: the checkers whose verdict rests on times."""
    results = list(results)
    launch = next((result for result in results if result.checker == LAUNCH), None)
    if launch is None:
        return results
    only_lagged = launch.measures.get(LAG, 0.0) > LAG_LIMIT_MS and not launch.exposure.get("missed")
    for result in results:
        if result.checker == LAUNCH or result.verdict != "valid":
            continue
        if launch.verdict == "unknown" and (not only_lagged or result.checker in timing):
            result.verdict = "unknown"
            result.says = f"{result.says}; but {launch.says}"
    return results
