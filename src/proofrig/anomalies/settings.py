"""The thresholds of all anomalies, in one place, and what is known of a call that has ended.

Rules:
1. What is judged afterwards is found at `stop`; what is watched live is warned, denied and stopped
   at its three steps.
2. Nothing here is money: an anomaly is a matter of what is done, not of what it costs.
"""

from __future__ import annotations

from typing import Literal

import msgspec

# refused: who was asked had no room (429, 503) or could not be reached; it may pass later
State = Literal["ok", "failed", "refused"]


class Steps(msgspec.Struct, frozen=True):
    """From which count on an anomaly is warned of, denied and stopped."""

    warn: int
    deny: int
    stop: int

    def level(self, count: int) -> int:
        """0 none, 1 warn, 2 deny, 3 stop."""
        return (count >= self.warn) + (count >= self.deny) + (count >= self.stop)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """When something is an anomaly. The counts of loops are calls with the same result in a row
    (`repeat`), whole rounds (`cycle`), calls that brought nothing (`no_progress`), and the same
    call with another result, or after a wait, in a row (`polling`). Of floods they are windows.

    may_repeat: globs on the names of actions whose repetition means something (`tool.scroll_*`).
    idle_ms: a run in which nothing ran for so long between two calls has waited; model_idle_ms: the
    same where it asked a model in between. long_call_ms: a call that takes so long waits by itself.
    window_s: the length of a window; first: how many of them are the run's own pace; factor: how
    many times that pace a flood is; calls_per_minute, tokens_per_minute: what is none in any case.
    """

    repeat: Steps = Steps(3, 5, 8)
    cycle: Steps = Steps(3, 5, 8)
    no_progress: Steps = Steps(8, 12, 16)
    polling: Steps = Steps(60, 120, 240)
    may_repeat: tuple[str, ...] = ()
    idle_ms: int = 20
    model_idle_ms: int = 1_000
    long_call_ms: int = 5_000

    flood: Steps = Steps(2, 4, 6)
    window_s: float = 10.0
    first: int = 6
    factor: float = 10.0
    calls_per_minute: int = 300
    tokens_per_minute: int = 1_000_000


DEFAULTS = Settings()


class Done(msgspec.Struct, frozen=True, gc=False):
    """A call that has ended, or was denied. name: `tool.search`, `llm.messages`. arguments, result:
    digests, equal where the things are. Times are nanoseconds of one clock. tokens: those that were
    new to the provider. turn: whatever names the model's turn that asked for it, "" when unknown.
    """

    name: str
    arguments: str
    result: str
    began_ns: int
    ended_ns: int
    state: State = "ok"
    tokens: int = 0
    turn: str = ""
