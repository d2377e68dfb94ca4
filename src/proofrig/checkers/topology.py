"""How near the run came to each cap that its topology declares.

Rules:
1. Never invalid: reaching a cap is what caps are for. What a cap does to agents, others judge.
2. Use is the most that was seen, over the cap: the longest time a lock was held over its
   time-to-live, the emptiest a quota was, connections at once, keys at once.
3. Only what was declared, in the suite's topology or a client's `pool` note, has a cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from proofrig.checkers._load_figures import SECOND
from proofrig.checkers.checker import Checked, Setting, began, ended
from proofrig.history.action import Action, Entry

NEAREST = 5
PUTS = frozenset({"kv.put", "kv.cas", "kv.incr", "kv.append", "cache.put"})


class Topology:
    """Use over cap, for each declared cap."""

    name: ClassVar[str] = "topology"
    reads: ClassVar[tuple[str, ...]] = (
        *("lock.", "quota.take", "pool.request", "kv.", "cache.put", "llm."),
    )
    notes: ClassVar[tuple[str, ...]] = ("note.pool",)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._used: dict[str, float] = {}
        self._caps: dict[str, dict[str, int]] = {}
        self._held: dict[tuple[str, str, Any], int] = {}  # locks that are held, since
        self._keys: dict[str, set[str]] = {}
        self._steps: dict[str, dict[int, int]] = {}  # connections taken and given back, by time
        self._seen = 0
        for service, declared in setting.topology.items():
            caps = _caps(declared)
            if caps:
                self._caps[service] = caps
                self._used |= {f"cap:{service}.{cap}": 0.0 for cap in caps}

    def action(self, action: Action) -> None:
        kind = action.name.partition(".")[0]
        asked = action.start.attrs if action.start is not None else {}
        service = "llm" if kind == "llm" else asked.get("service") or action.attr("service", "")
        caps = self._caps.get(service)
        if caps is None and kind != "pool":
            return
        caps = caps or {}
        self._seen += 1
        if kind == "lock":
            self._lock(service, caps, action)
        elif kind == "quota":
            self._quota(service, caps, action)
        elif kind in ("pool", "llm"):
            self._connection(service, action)
        elif action.name in PUTS or action.name == "kv.delete":
            self._key(service, caps, action)

    def note(self, entry: Entry) -> None:
        size = entry.attrs.get("max_connections")
        if size:
            service = str(entry.attrs["service"])
            self._caps.setdefault(service, {})["max_connections"] = int(size)
            self._used.setdefault(f"cap:{service}.max_connections", 0.0)

    def result(self) -> Checked:
        for service, steps in self._steps.items():
            cap = self._caps.get(service, {}).get("max_connections")
            if cap:
                self._use(service, "max_connections", _most(steps) / cap)
        near = sorted(self._used.items(), key=lambda one: -one[1])[:NEAREST]
        told = ", ".join(f"{name.removeprefix('cap:')} {used:.0%}" for name, used in near)
        if not self._used:
            verdict, says = "unknown", "no topology was declared, so there is no cap to come near"
        elif not self._seen:
            verdict, says = "unknown", "nothing that has a declared cap was used"
        else:
            verdict, says = "valid", f"nearest to a cap: {told}"
        return Checked(
            checker=self.name,
            verdict="valid" if verdict == "valid" else "unknown",
            says=says,
            exposure={"caps": len(self._used), "actions": self._seen},
            measures=self._used,
        )

    def _use(self, service: str, cap: str, used: float) -> None:
        name = f"cap:{service}.{cap}"
        self._used[name] = max(self._used.get(name, 0.0), used)

    def _lock(self, service: str, caps: Mapping[str, int], action: Action) -> None:
        ttl = action.attr("ttl_ns") or caps.get("ttl")
        which = (service, str(action.attr("key", "")), action.attr("fencing") or action.trial)
        if action.outcome != "ok" and not action.attr("expired"):
            return
        if action.name == "lock.acquire":
            self._held[which] = ended(action)
        elif (since := self._held.pop(which, None)) is not None and ttl:
            self._use(service, "ttl", (began(action) - since) / ttl)
            if action.name == "lock.renew" and action.outcome == "ok":
                self._held[which] = ended(action)

    def _quota(self, service: str, caps: Mapping[str, int], action: Action) -> None:
        level, capacity = action.attr("level"), action.attr("capacity") or caps.get("capacity")
        if level is not None and capacity:
            self._use(service, "capacity", 1 - level / capacity)

    def _key(self, service: str, caps: Mapping[str, int], action: Action) -> None:
        cap = caps.get("max_entries")
        if not cap or action.outcome != "ok":
            return
        keys = self._keys.setdefault(service, set())
        key = str(action.attr("entry") or action.attr("physical") or action.attr("key", ""))
        if action.name == "kv.delete":
            keys.discard(key)
        elif len(keys) < cap:
            keys.add(key)
        self._use(service, "max_entries", len(keys) / cap)

    def _connection(self, service: str, action: Action) -> None:
        end = action.end
        if end is None or not end.attrs:
            return
        attrs = end.attrs
        if action.name.startswith("llm."):
            got = end.t - attrs.get("service_ns", 0)
        else:
            got = min(began(action) + attrs.get("wait_ns", 0), end.t)
        steps = self._steps.setdefault(service, {})
        if got < end.t:
            steps[got] = steps.get(got, 0) + 1
            steps[end.t] = steps.get(end.t, 0) - 1


def _caps(declared: Mapping[str, Any]) -> dict[str, int]:
    """The caps of a service; times in nanoseconds."""
    caps = {
        name: int(declared[name])
        for name in ("capacity", "max_connections", "max_entries")
        if declared.get(name)
    }
    if declared.get("type") == "lock" and declared.get("ttl_s"):
        caps["ttl"] = int(declared["ttl_s"] * SECOND)
    return caps


def _most(steps: Mapping[int, int]) -> int:
    """The most connections that were taken at once."""
    level = most = 0
    for at in sorted(steps):
        level += steps[at]
        most = max(most, level)
    return most
