"""Calls that cost nothing though cost was held, or that came back faster than they could.

Rules:
1. Free: a turn of a model that held money, ended ok with its usage measured, and says that it used
   no tokens, or no money though the rest of the model's turns cost some. Tokens that came from the
   provider's cache were used.
2. Too fast: a call that took less than a fiftieth of what its name usually takes, `FAR` spreads
   below it on a log scale, and less than `FLOOR_MS`; of a model, more than `PER_SECOND` output
   tokens per second as well.
3. What happens often is a way of the thing, not an anomaly: more than `OFTEN` of its calls, or the
   same arguments for the second time, is a cache; what failed or was refused is fast by right.
4. Few calls have no distribution: below `LEAST` of a name nothing is too fast.
5. Kept per name: a histogram, the fastest `FASTEST` calls, and hashes of `ASKED` arguments.
"""

from __future__ import annotations

import heapq
from itertools import count
from math import log
from typing import ClassVar

from proofrig.anomalies.signature import Counts
from proofrig.checkers._calls import APART, latency_of
from proofrig.checkers.checker import Checked, Findings, Setting, conclude, evidence
from proofrig.history.action import Action, Entry

FAR = 6.0
LEAST = 50
OFTEN = 0.02
FLOOR_MS = 2.0
MODEL_FLOOR_MS = 20.0
USUALLY_MS = 20.0  # a name that usually takes less has no too fast
TIMES = 50
PER_SECOND = 20_000
TIGHTEST = 0.15  # the least spread that a log latency is taken to have
FASTEST = 32
ASKED = 100_000
_MS = 1_000_000
IQR = 1.349  # spreads of a normal distribution between its quartiles


class _Name:
    """The calls of one name that ended ok."""

    __slots__ = ("asked", "fastest", "latencies")

    def __init__(self) -> None:
        self.latencies = Counts()
        self.asked: set[int] = set()
        self.fastest: list[tuple[int, int, Action]] = []  # a heap, the slowest of them first


class FreeCommit:
    """Finds turns without cost, and calls that were too fast to have happened."""

    name: ClassVar[str] = "free_commit"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = ()
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._findings = Findings()
        self._names: dict[str, _Name] = {}
        self._order = count()
        self._priced: dict[str, int] = {}  # model -> turns that cost money
        self._unpriced: dict[str, list[Action]] = {}
        self._held = 0

    def action(self, action: Action) -> None:
        end = action.end
        if end is None or end.kind != "commit" or action.name.startswith(APART):
            return
        told = end.attrs
        if told.get("outcome") != "ok" or told.get("is_error"):
            return
        if action.name.startswith("llm."):
            self._cost(action)
        took = latency_of(action)
        name = self._names.get(action.name)
        if name is None:
            name = self._names[action.name] = _Name()
        name.latencies.add(max(took, 0))
        fastest = name.fastest
        if len(fastest) < FASTEST:
            if not self._again(name, action):
                heapq.heappush(fastest, (-took, -next(self._order), action))
        elif took < -fastest[0][0]:
            if not self._again(name, action):
                heapq.heapreplace(fastest, (-took, -next(self._order), action))
        else:
            self._again(name, action)

    def note(self, entry: Entry) -> None:
        """It reads none."""

    def result(self) -> Checked:
        for model, turns in self._unpriced.items():
            # One in a hundred that is free among those that are not: a model that is free is none.
            if len(turns) <= self._priced.get(model, 0) * OFTEN:
                for action in turns:
                    self._free(action, "no money, where its other turns cost some")
        judged = 0
        for label, name in sorted(self._names.items()):
            if name.latencies.count >= LEAST:
                judged += name.latencies.count
                self._judge(label, name)
        kinds = self._findings.kinds
        return conclude(
            self.name,
            self._findings,
            {"looked_at": self._held + judged, "turns_with_a_hold": self._held, "timed": judged},
            wanted="looked_at",
            missing=f"no turn of a model held money, and no call was made {LEAST} times",
            measures={
                "free_commits": float(kinds.get("free_commit", 0)),
                "too_fast_commits": float(kinds.get("too_fast", 0)),
            },
        )

    def _cost(self, action: Action) -> None:
        reserve, told = action.reserve, action.end.attrs if action.end is not None else {}
        held = (reserve.attrs.get("estimate") or {}).get("usd_micro", 0) if reserve else 0
        if not held or told.get("source", "measured") != "measured":
            return
        self._held += 1
        usage, actual = told.get("usage"), told.get("actual") or {}
        model = str(reserve.attrs.get("model", action.name)) if reserve else action.name
        if usage is not None and not usage.get("input") and not usage.get("output"):
            self._free(action, "no tokens")
        elif actual.get("usd_micro", 0) == 0:
            turns = self._unpriced.setdefault(model, [])
            if len(turns) <= FASTEST:
                turns.append(action)
        else:
            self._priced[model] = self._priced.get(model, 0) + 1

    def _free(self, action: Action, used: str) -> None:
        held = action.attr("estimate", {}).get("usd_micro", 0)
        self._findings.add(
            "free_commit",
            f"{action.name} of {action.trial or 'a run'} held ${held / 1e6:.6f}, ended ok and says "
            f"that it used {used}",
            [
                evidence(action, f"held ${held / 1e6:.6f}", at_end=False),
                evidence(action, f"ended ok and used {used}"),
            ],
        )

    def _again(self, name: _Name, action: Action) -> bool:
        """Whether the same was asked before, and may have been kept by whoever answered it."""
        digest = action.attr("arguments") or action.attr("request")
        if digest is None:
            return False
        key = hash(digest)
        if key in name.asked:
            return True
        if len(name.asked) < ASKED:
            name.asked.add(key)
        return False

    def _judge(self, label: str, name: _Name) -> None:
        model = label.startswith("llm.")
        spread = name.latencies.quartiles()
        floor = (MODEL_FLOOR_MS if model else FLOOR_MS) * _MS
        if spread.mid < USUALLY_MS * _MS:
            return
        sigma = max(log(max(spread.high, 1) / max(spread.low, 1)) / IQR, TIGHTEST)
        for took, _, action in sorted(name.fastest, key=lambda one: -one[0]):
            limit = min(floor, spread.mid / TIMES)
            far = log(spread.mid / max(-took, 1)) / sigma
            if -took >= limit or far < FAR:
                continue
            if name.latencies.below(round(limit)) > name.latencies.count * OFTEN:
                return  # it often is so fast
            if model and not _too_much(action, -took):
                continue
            self._findings.add(
                "too_fast",
                f"{label} of {action.trial or 'a run'} came back after {-took / _MS:.3f} ms, where "
                f"it usually takes {spread.mid / _MS:,.0f} ms ({far:.0f} spreads below it)",
                [
                    evidence(action, "was asked for", at_end=False),
                    evidence(action, f"ended ok after {-took / _MS:.3f} ms"),
                ],
            )


def _too_much(action: Action, took: int) -> bool:
    """Whether a turn has more output than any model writes in its time."""
    usage = action.attr("usage") or {}
    return int(usage.get("output", 0)) * 1e9 / max(took, 1) > PER_SECOND
