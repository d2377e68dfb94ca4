"""The connection is closed before the answer has ended."""

from __future__ import annotations

from typing import ClassVar, Literal

from proofrig.faults._events import Breaking
from proofrig.wire.answer import How


class CloseEarly(Breaking):
    """The agent's connection ends by FIN, and the body has no end: before any byte of the answer,
    or after `after_events` (of a stream of events) or `after_bytes` (of any other body). A body
    that is not longer than that is not struck."""

    summary: ClassVar[str] = "the connection is closed in the middle of an answer"
    how: ClassVar[How] = "close"

    kind: Literal["close_early"] = "close_early"
