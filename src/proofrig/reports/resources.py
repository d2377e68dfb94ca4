"""What trials used and which limits they met, ready to be shown.

Rules:
1. Nothing is judged here: every figure comes from the summary's `Resources`, every limit from the
   manifest.
2. A figure that nobody could tell has no row; a limit that was met has one, whatever is known.
3. Limits that were only advisory are called so: what was met then held nobody back.
"""

from __future__ import annotations

from dataclasses import dataclass

from proofrig.reports.report import RunReport
from proofrig.reports.words import amount, plural
from proofrig.resources import Resources, Used

# Field of `Used`, in words, its unit, the key of its limit, and how many units that counts in.
_ROWS = (
    ("memory_peak", "Memory", "bytes", "memory_mb", 1e6),
    ("memory_anon", "Memory without files", "bytes", "", 0.0),
    ("cpu_time", "Processor time", "ns", "cpu_s", 1e9),
    ("processes_peak", "Processes", "count", "processes", 1.0),
    ("open_files_peak", "Open files", "count", "open_files", 1.0),
    ("egress", "Sent", "bytes", "egress_mb", 1e6),
    ("disk", "Files at its end", "bytes", "disk_mb", 1e6),
    ("packages", "Packages installed", "count", "", 0.0),
    ("package_bytes", "Size of packages", "bytes", "", 0.0),
    ("context_tokens", "Longest context", "tokens", "context_tokens", 1.0),
    ("retries", "Retries", "calls", "retries", 1.0),
    ("", "Wall time", "ns", "timeout_s", 1e9),
    ("", "Tools not allowed", "", "allowed_tools", 0.0),
)
_HELD = {"enforced": "limits enforced", "advisory": "limits advisory", "none": "limits not held"}
_ALWAYS = frozenset({"retries", "context_tokens"})  # told without a box


@dataclass(frozen=True, slots=True)
class Line:
    """A row: what the middle trial, the 95th of 100 and the most demanding one used, in words; ""
    where it is not known, `n` trials tell it. limit: "" for none. met: trials that met it."""

    name: str
    n: int
    median: str
    high: str
    most: str
    limit: str
    met: int


def lines(report: RunReport) -> list[Line]:
    """The rows that a run has; none where nothing was limited, and no box counted."""
    resources = report.summary.resources
    limits = report.manifest.get("what", {}).get("limits") or {}
    found = []
    for field, name, unit, key, factor in _ROWS:
        spread, met = resources.spreads.get(field), resources.met.get(key, 0)
        if spread is None and not met:
            continue
        limit = limits.get(key) if factor else None
        at = {} if spread is None else {**spread.at, "most": spread.most}
        told = {q: _amount(value, unit) for q, value in at.items()}
        found.append(
            Line(
                name=name,
                n=0 if spread is None else spread.n,
                median=told.get("p50", ""),
                high=told.get("p95", ""),
                most=told.get("most", ""),
                limit="" if limit is None else _amount(float(limit) * factor, unit),
                met=met,
            )
        )
    return found if _worth(resources) or any(line.limit for line in found) else []


def _worth(resources: Resources) -> bool:
    return bool(resources.met) or not resources.spreads.keys() <= _ALWAYS


def levels(report: RunReport) -> str:
    """How trials were kept apart, and what that did about limits: `namespace, limits enforced`."""
    said = []
    for told, count in report.summary.resources.levels.items():
        level, _, held = told.partition(", ")
        one = f"{level}, {_HELD.get(held, held)}"
        said.append(one if len(report.summary.resources.levels) == 1 else f"{one} ({count:,})")
    return "; ".join(said)


def met(line: Line) -> str:
    """`2 trials met it`; "" for none."""
    return f"{plural(line.met, 'trial')} met it" if line.met else ""


def said(used: Used | None) -> str:
    """What one trial used, on a line; "" where neither a box nor a limit tells of it."""
    if used is None or not (used.level or used.met):
        return ""
    parts = [f"{used.level}{' (emulated)' if used.emulated else ''}"] if used.level else []
    for field, name, unit, _, _ in _ROWS:
        value = getattr(used, field) if field else None
        if value is not None and (value or field not in _ALWAYS):
            parts.append(f"{name[:1].lower()}{name[1:]} {_amount(value, unit)}")
    if used.oom_kills:
        killed = "process" if used.oom_kills == 1 else "processes"
        parts.append(f"{used.oom_kills:,} {killed} killed for want of memory")
    if used.met:
        parts.append(f"met {', '.join(used.met)}")
    return ", ".join(parts)


def _amount(value: float, unit: str) -> str:
    return f"{amount(value, unit)} tokens" if unit == "tokens" else amount(value, unit)
