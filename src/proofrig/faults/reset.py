"""The connection is reset."""

from __future__ import annotations

from typing import ClassVar, Literal

from proofrig.faults._events import Breaking
from proofrig.wire.answer import How


class Reset(Breaking):
    """The agent's connection ends by RST: before any byte of the answer, or after `after_events`
    (of a stream of events) or `after_bytes` (of any other body). A body that is not longer than
    that is not struck."""

    summary: ClassVar[str] = "the connection is reset"
    how: ClassVar[How] = "reset"

    kind: Literal["reset"] = "reset"
