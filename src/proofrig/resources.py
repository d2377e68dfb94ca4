"""What trials used, and which limits they met. From the history alone.

    attempt -> Used        its box's counters, its longest model call, its retries
    trials  -> Resources   a spread of each, and how many trials met which limit

Rules:
1. What nobody could tell is None, and never 0: a trial without a box has no memory and no processor
   time. Where a box counts what is sent, that counts; else what passed the egress gateway.
2. A limit counts as met by its box's counters and by denials of the gateways, whatever the trial
   came to: one that was held back and passed has met it too.
3. A retry that was denied is none; its denial counts as the limit that was met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from proofrig.history.action import Entry
from proofrig.stats.tails import quantile

# The codes of the gateways' denials -> the limit that was met, as a suite writes it.
DENIALS = {
    "limit_tools": "allowed_tools",
    "limit_retries": "retries",
    "limit_context": "context_tokens",
    "limit_egress": "egress_mb",
}
# The limits of boxes, as a suite writes them.
BROKEN = {
    "memory": "memory_mb",
    "cpu": "cpu_s",
    "wall": "timeout_s",
    "processes": "processes",
    "open_files": "open_files",
    "disk": "disk_mb",
    "egress": "egress_mb",
}
_QUANTILES = (0.5, 0.95, 0.99)
_MS_NS = 1_000_000


class Used(msgspec.Struct, omit_defaults=True, gc=False):
    """What one attempt used. Sizes in bytes. memory_peak: files in memory included; memory_anon:
    without them, sampled. egress: what it sent, see rule 1. disk: what its files took at the end.
    packages, package_bytes: that it installed. context_tokens: input of its longest model call.
    met: the limits it met, as a suite writes them. level: of its box, "" without one; held: what
    that does about limits."""

    memory_peak: int | None = None
    memory_anon: int | None = None
    cpu_time: int | None = None  # nanoseconds
    processes_peak: int | None = None
    open_files_peak: int | None = None  # of one process
    egress: int | None = None
    disk: int | None = None
    packages: int | None = None
    package_bytes: int | None = None
    context_tokens: int | None = None
    retries: int = 0
    met: tuple[str, ...] = ()
    level: str = ""
    held: str = ""
    emulated: bool = False
    oom_kills: int = 0


# What a spread is kept of, by the names of `proofrig.figures`, but for `retries`.
SPREADS = (
    *(
        "memory_peak",
        "memory_anon",
        "cpu_time",
        "processes_peak",
        "open_files_peak",
        "egress",
        "disk",
        "packages",
        "package_bytes",
        "context_tokens",
    ),
    "retries",
)


class Spread(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of `n` trials that tell it. `at`: p50, p95, p99."""

    n: int
    at: dict[str, float]
    most: float


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the trials of a run used together. spreads: of what at least one of them tells. met:
    limit -> trials that met it. levels: level and what it does about limits -> trials."""

    trials: int = 0
    spreads: dict[str, Spread] = {}
    met: dict[str, int] = {}
    levels: dict[str, int] = {}


class ResourcesFold:
    """Folds entries into what each attempt used, by its id on the history."""

    def __init__(self) -> None:
        self._used: dict[str, Used] = {}

    def step(self, entry: Entry) -> None:
        if not entry.trial:
            return
        if entry.kind == "reserve":
            self._reserved(entry)
        elif entry.kind == "commit":
            self._committed(entry)
        elif entry.kind == "trial" and entry.name == "end":
            self._ended(self._of(entry), entry.attrs)

    def result(self) -> dict[str, Used]:
        return self._used

    def _of(self, entry: Entry) -> Used:
        return self._used.setdefault(entry.trial, Used())

    def _reserved(self, entry: Entry) -> None:
        attrs = entry.attrs
        if attrs.get("decision") == "deny":
            if limit := DENIALS.get(attrs.get("code", "")):
                _meet(self._of(entry), limit)
        elif "retry" in attrs:
            self._of(entry).retries += 1

    def _committed(self, entry: Entry) -> None:
        attrs = entry.attrs
        if entry.name.startswith("llm."):
            if tokens := attrs.get("usage", {}).get("input", 0):
                used = self._of(entry)
                used.context_tokens = max(used.context_tokens or 0, tokens)
        elif "bytes_up" in attrs:
            used = self._of(entry)
            used.egress = (used.egress or 0) + attrs["bytes_up"]
            if limit := DENIALS.get(attrs.get("blocked", "")):
                _meet(used, limit)

    def _ended(self, used: Used, attrs: dict[str, Any]) -> None:
        box = attrs.get("box")
        if not box:
            return
        if installed := attrs.get("installed"):
            used.packages, used.package_bytes = installed["packages"], installed["bytes"]
        usage = box.get("usage", {})
        used.level, used.held = box.get("level", ""), box.get("held", "")
        used.emulated = box.get("emulated", False)
        used.memory_peak = usage.get("memory_peak_bytes")
        used.memory_anon = usage.get("memory_anon_peak_bytes")
        used.processes_peak, used.disk = usage.get("processes_peak"), usage.get("disk_bytes")
        used.open_files_peak = usage.get("open_files_peak")
        used.oom_kills = usage.get("oom_kills") or 0
        if (ms := usage.get("cpu_ms")) is not None:
            used.cpu_time = ms * _MS_NS
        if (sent := usage.get("bytes_out")) is not None:
            used.egress = sent
        for limit in box.get("broke", ()):
            _meet(used, BROKEN.get(limit, limit))


def resources_of(used: Iterable[Used]) -> Resources:
    """What these trials used together."""
    every = list(used)
    spreads = {}
    for name in SPREADS:
        values = sorted(float(v) for one in every if (v := getattr(one, name)) is not None)
        if values:
            at = {f"p{round(q * 100)}": quantile(values, q) for q in _QUANTILES}
            spreads[name] = Spread(len(values), at, values[-1])
    levels = Counter(f"{one.level}, {one.held}" for one in every if one.level)
    met = Counter(limit for one in every for limit in one.met)
    return Resources(len(every), spreads, dict(met.most_common()), dict(levels.most_common()))


def _meet(used: Used, limit: str) -> None:
    if limit not in used.met:
        used.met = (*used.met, limit)
