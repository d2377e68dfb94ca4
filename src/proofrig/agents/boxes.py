"""The boxes that an agent's processes run in.

Rules:
1. A trial brings its box (`Attempt.box`), which whoever made it ends. Hosts of many trials, and the
   look whether an agent can be found, have boxes of their own, which end with them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from proofrig.agents.agent import Attempt
from proofrig.sandboxes.sandbox import Box, BoxSettings, Sandbox

NO_SETTINGS = BoxSettings(trial="", marker="")


@dataclass(frozen=True, slots=True)
class Boxes:
    """Where boxes come from. settings: what all of them have. interpreter: the Python of their
    image, "" where the host's own programs are there. gates: they see the host's named pipes, so
    that hosts can park in them."""

    sandbox: Sandbox
    settings: BoxSettings = NO_SETTINGS
    interpreter: str = ""
    gates: bool = True

    async def start(self, trial: str, marker: str) -> Box:
        """A box without a world. Raises SandboxError."""
        settings = msgspec.structs.replace(self.settings, trial=trial, marker=marker)
        return await self.sandbox.start(settings)

    @asynccontextmanager
    async def of(self, attempt: Attempt) -> AsyncIterator[Box]:
        """The attempt's box, or one for as long as this lasts."""
        if attempt.box is not None:
            yield attempt.box
            return
        box = await self.start(attempt.trial, attempt.token)
        try:
            yield box
        finally:
            await box.close()
