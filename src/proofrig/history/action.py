"""What a history is made of: entries, and the actions they add up to.

Rules:
1. An entry is a fact that has happened; it is never changed or taken back.
2. An action is the entries that share its id: `reserve`, then `start`, then `commit` or
   `release`. A denied action is one `reserve` entry whose decision is "deny".
3. `t` is nanoseconds since the run began, from one monotonic clock shared by all writers.
4. `attrs` holds what only some entries have. The names in use are listed in
   docs/reference/history.md; a name means the same thing everywhere.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal["reserve", "start", "commit", "release", "fault", "note", "trial"]
Outcome = Literal["ok", "fail", "unknown"]


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One line of the history.

    seq: place in its segment, from 0. t: nanoseconds since run start. kind: see `Kind`.
    trial: `<case>:<repeat>` of the trial, with `~<attempt>` from the second attempt on; empty for
    what belongs to no trial. tenant: whose action it is. scope: `tenant/workflow/agent/run`.
    id: the action's id, unique in the run; empty for notes and trials.
    name: `llm.chat_completions`, `tool.lookup_order`, `begin`, `verdict`, ...
    """

    seq: int
    t: int
    kind: Kind
    name: str
    trial: str = ""
    tenant: str = ""
    scope: str = ""
    id: str = ""
    attrs: dict[str, Any] = {}


class Action(msgspec.Struct, frozen=True, gc=False):
    """The entries of one action, paired. Times are nanoseconds since run start, -1 when absent."""

    id: str
    name: str
    trial: str
    tenant: str
    scope: str
    reserve: Entry | None = None
    start: Entry | None = None
    end: Entry | None = None  # commit or release; None while open or when the run was killed
    faults: tuple[Entry, ...] = ()

    @property
    def denied(self) -> bool:
        """True when the authority refused it; nothing was consumed."""
        return self.reserve is not None and self.reserve.attrs.get("decision") == "deny"

    @property
    def outcome(self) -> Outcome:
        """ok and fail are certain; an action that never ended is unknown."""
        if self.denied or (self.end is not None and self.end.kind == "release"):
            return "fail"
        if self.end is None:
            return "unknown"
        outcome: Outcome = self.end.attrs.get("outcome", "unknown")
        return outcome

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute `name` from the latest entry that has it."""
        for entry in (self.end, self.start, self.reserve):
            if entry is not None and name in entry.attrs:
                return entry.attrs[name]
        return default
