from __future__ import annotations

from proofrig.agents.agent import Attempt, Reply
from proofrig.agents.null import NullAgent


async def test_does_nothing() -> None:
    agent = NullAgent()
    await agent.start()
    attempt = Attempt(trial="c:0", task="do", token="t", env={}, workdir="/nowhere", timeout_s=1)
    assert await agent.run(attempt) == Reply(answer="", ending="ok")
    await agent.close()
