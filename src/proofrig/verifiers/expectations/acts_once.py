"""`acts_once`: of equal calls of these tools, at most one was carried out.

Rules:
1. Calls are equal as `anomalies.effects` says: same arguments but for an idempotency key; with one
   and the same key they count as one.
2. What counts is what the tool did, not what came back: a call whose answer a fault hid was carried
   out all the same (`executed` on its commit).
3. Where nobody knows whether a further call was carried out, the verdict is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from proofrig.anomalies.effects import carried_out, wanted
from proofrig.history.action import Action
from proofrig.verifiers.expectations.struck import Hits, verdict
from proofrig.verifiers.verifier import Verdict, cut


def acts_once(globs: Sequence[str], hits: Hits) -> Verdict:
    """No two equal calls of the tools that `globs` name were both carried out."""
    expected = f"no equal calls of {', '.join(globs)} carried out twice, under {hits.says()}"
    groups: dict[tuple[str, str], dict[str, list[int | None]]] = {}
    for action in hits.evidence.actions:
        if action.name.startswith("tool.") and any(_names(action.name, glob) for glob in globs):
            _add(action, hits, groups)
    sure, unsure = [], []
    for (name, arguments), by_key in groups.items():
        done = [_of_key(key, times) for key, times in by_key.items()]
        certain = sum(times for times, _ in done)
        line = f"{name}({cut(arguments, 120)})"
        if certain > 1:
            sure.append(f"{line} was carried out {certain} times")
        elif certain + sum(open_ for _, open_ in done) > 1:
            unsure.append(f"{line} may have been carried out more than once")
    if sure:
        return verdict("acts_once", False, expected, "; ".join(sure))
    if unsure:
        return verdict("acts_once", None, expected, "; ".join(unsure))
    return verdict("acts_once", True, expected, f"{len(groups)} different calls")


def _names(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(name.removeprefix("tool."), glob)


def _add(
    action: Action, hits: Hits, groups: dict[tuple[str, str], dict[str, list[int | None]]]
) -> None:
    if action.denied or (action.end is not None and action.end.kind == "release"):
        return
    asked = wanted(hits.evidence.payload(str(action.attr("arguments", ""))))
    what = (action.name, "" if asked is None else asked.arguments)
    key = "" if asked is None else asked.key
    times = carried_out(action.end.attrs if action.end is not None else None)
    groups.setdefault(what, {}).setdefault(key, []).append(times)


def _of_key(key: str, times: list[int | None]) -> tuple[int, int]:
    """How often the calls of one key were carried out for certain, and how often perhaps more."""
    certain = sum(one for one in times if one is not None)
    perhaps = sum(one is None for one in times)
    if key:
        return min(certain, 1), 0 if certain else min(perhaps, 1)
    return certain, perhaps
