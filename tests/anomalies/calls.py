"""One run's calls, told in a few words, on a clock of its own.

run = Calls()
run.model(); run.call("search", "q", "page")     both as they ended, one after another
"""

from __future__ import annotations

from proofrig.anomalies.settings import Done, State

MS = 1_000_000


class Calls:
    """Makes `Done`s; `now` is milliseconds. A model thinks for a second, a tool takes ten ms."""

    def __init__(self) -> None:
        self.now = 0.0

    def model(self, arguments: str = "", takes: float = 1000, tokens: int = 100) -> Done:
        arguments = arguments or f"prompt {self.now}"
        return self._done("llm.messages", arguments, f"turn {self.now}", takes, tokens=tokens)

    def call(
        self,
        name: str,
        arguments: str = "",
        result: str = "same",
        *,
        takes: float = 10,
        state: State = "ok",
        turn: str = "",
    ) -> Done:
        return self._done(f"tool.{name}", arguments, result, takes, state=state, turn=turn)

    def _done(
        self,
        name: str,
        arguments: str,
        result: str,
        takes: float,
        *,
        state: State = "ok",
        tokens: int = 0,
        turn: str = "",
    ) -> Done:
        began = round(self.now * MS)
        self.now += takes
        return Done(name, arguments, result, began, round(self.now * MS), state, tokens, turn)
