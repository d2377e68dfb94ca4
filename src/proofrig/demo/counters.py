"""What an agent has come to so far: calls, tokens, dollars, and what that would be in a day.

Rules:
1. Everything is counted from the entries of a history; nothing is known beforehand.
2. The pace is what was spent since the first call, over the time since then. It goes on only as
   long as the agent does.
"""

from __future__ import annotations

from typing import Literal

from proofrig.history.action import Entry

State = Literal["starting", "running", "stopped", "ended"]

_HOUR_NS = 3_600_000_000_000


class Counters:
    """A fold over the entries of one trial. Money is in micro-dollars, times in nanoseconds since
    the run began, -1 where they are not known."""

    def __init__(self) -> None:
        self.model_calls = 0
        self.tool_calls = 0
        self.refused = 0
        self.tokens = 0
        self.usd_micro = 0
        self.began_ns = -1
        self.ended_ns = -1
        self.stopped = False
        self.ending = ""

    def step(self, entry: Entry) -> None:
        """Take in one entry."""
        if entry.kind == "reserve":
            if self.began_ns < 0:
                self.began_ns = entry.t
            self.refused += entry.attrs.get("decision") == "deny"
        elif entry.kind == "commit":
            actual = entry.attrs.get("actual", {})
            self.model_calls += actual.get("calls:llm", 0)
            self.tool_calls += actual.get("calls:tool", 0)
            self.tokens += actual.get("tokens", 0)
            self.usd_micro += actual.get("usd_micro", 0)
        elif entry.kind == "note" and entry.name == "anomaly":
            self.stopped = self.stopped or entry.attrs.get("step") == "stop"
        elif entry.kind == "trial" and entry.name == "end":
            self.ended_ns = entry.t
            self.ending = entry.attrs.get("failure") or "passed"

    @property
    def state(self) -> State:
        if self.stopped:
            return "stopped"
        if self.ended_ns >= 0:
            return "ended"
        return "starting" if self.began_ns < 0 else "running"

    def elapsed_ns(self, now_ns: int) -> int:
        """Since its first call, until its end."""
        if self.began_ns < 0:
            return 0
        return max(0, (self.ended_ns if self.ended_ns >= 0 else now_ns) - self.began_ns)

    def an_hour(self, now_ns: int) -> float:
        """Micro-dollars an hour at its pace so far; 0 of one that nothing goes on of."""
        elapsed = self.elapsed_ns(now_ns)
        return 0.0 if self.stopped or not elapsed else self.usd_micro * _HOUR_NS / elapsed
