"""What a run came to, without its clocks: the JSON report of two runs of the same suite and seed
is the same text.

Rules:
1. Besides what a history leaves out (`proofrig.history.canonical`), what names one run is left out:
   `RUN_FIELDS`. Reasons: docs/reference/determinism.md.
2. Of the figures of checkers (`measures`), those in milliseconds or seconds are left out; of what
   trials used (`spreads`), all that is measured at a box and not counted on the history.
3. Trials come in the order of their ids.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proofrig.history.canonical import without_clocks
from proofrig.reports.machine import document
from proofrig.reports.report import RunReport

RUN_FIELDS = frozenset(
    {"run", "reproduce", "trend", "comparison", "where", "suite_path", "root", "series"}
)
TIMES = ("_ms", "_s", "_seconds")
COUNTED = frozenset({"context_tokens", "retries"})  # the spreads that stay


def render(report: RunReport) -> bytes:
    """The report as JSON without clocks, indented, with a newline at its end."""
    said: dict[str, Any] = _without_run(without_clocks(document(report)))
    said["trials"] = sorted(said["trials"], key=lambda row: str(row["trial"]))
    plain = msgspec.json.Encoder(order="sorted").encode(said)
    return msgspec.json.format(plain, indent=2) + b"\n"


def _without_run(value: Any) -> Any:
    if isinstance(value, dict):
        plain = {k: _without_run(part) for k, part in value.items() if k not in RUN_FIELDS}
        if isinstance(measures := plain.get("measures"), dict):
            plain["measures"] = {k: v for k, v in measures.items() if not k.endswith(TIMES)}
        if isinstance(spreads := plain.get("spreads"), dict):
            plain["spreads"] = {k: v for k, v in spreads.items() if k in COUNTED}
        return plain
    return [_without_run(part) for part in value] if isinstance(value, list) else value
