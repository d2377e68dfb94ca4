"""The null agent: does nothing, answers nothing. What it scores, a case gives away for free."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from proofrig.agents.agent import Attempt, Reply


class NullAgentSettings(BaseModel):
    """`agent: {type: "null"}`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["null"] = "null"


class NullAgent:
    async def start(self) -> None: ...

    async def run(self, attempt: Attempt) -> Reply:
        return Reply()

    async def close(self) -> None: ...
