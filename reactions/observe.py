"""One cell: one fault upon one client, through real gateways before a model of our own.

Rules:
1. Each cell has a rig, a run folder and a trial of its own; what is observed is read from its
   history, and from what the client's user sees.
2. A fault in an answer strikes every answer from then on, as a provider's bad hour does; an agent's
   tool call before it is well. A fault in a tool call strikes that call alone, so that what the
   agent goes on to do can be seen.
3. Upon a tool a fault strikes from its second call on: the first is well.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofrig.agents.environment import EnvironmentSettings, trial_environment
from proofrig.gateways.gateway import Binding
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from reactions.catalogue import Row
from reactions.columns import Column
from reactions.model import model
from reactions.reaction import Reaction, Traces, read
from reactions.rig import SEED, rig
from reactions.workers import Worker

TOKEN = "token-of-the-trial"


def written(row: Row, column: Column) -> dict[str, Any]:
    """The row's fault as a suite declares it, aimed at the right call of this client."""
    if column.group == "tools":
        on: dict[str, Any] = {"at": "tool", "nth": {"from": 1 if row.at_once else 2}}
    elif row.tool:
        on = {"at": "llm", "nth": 1}
    else:
        on = {"at": "llm", "nth": {"from": 2 if column.agent else 1}}
    return {"kind": row.kind, **row.settings, "on": on}


@dataclass
class Observatory:
    """The model and the workers that cells share."""

    upstream: str
    together: asyncio.Semaphore
    _workers: dict[str, Worker] = field(default_factory=dict)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def worker(self, column: Column) -> Worker:
        """The column's worker, started at its first use."""
        async with self._starting:
            if column.module not in self._workers:
                interpreter = await asyncio.to_thread(column.interpreter)
                self._workers[column.module] = await Worker.start(interpreter, column.module)
            return self._workers[column.module]

    def versions(self) -> dict[str, dict[str, str]]:
        """Of each file of clients, its libraries."""
        return {name: worker.versions for name, worker in sorted(self._workers.items())}

    async def observe(self, row: Row, column: Column) -> Reaction:
        """How this client reacts to this fault."""
        async with self.together:
            return await self._observe(row, column)

    async def _observe(self, row: Row, column: Column) -> Reaction:
        worker = await self.worker(column)
        binding = Binding(TOKEN, "reaction:0", "acme", "acme/shop/agent/0", seed=SEED, state={})
        told: dict[str, Any] = {"timeout_s": row.timeout_s, "tool": row.tool or column.agent}
        told["at_once"] = row.at_once
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder)
            async with rig(written(row, column), binding, self.upstream, run_dir) as made:
                environment = trial_environment(EnvironmentSettings(port=made.port, token=TOKEN))

                def began(pid: int) -> None:
                    made.process.pid = pid

                came = await worker.ask(
                    column.function, environment, told, limit_s=row.limit_s, began=began
                )
                ended_ns = made.context.clock()
                await asyncio.sleep(0.02)  # for the gateway to see that the client is gone
                done = list(binding.state.get("done", ()))
            actions = sorted(
                History(run_dir).actions(), key=lambda one: int(one.id.rsplit(".", 1)[1])
            )
            traces = Traces(came, actions, PayloadReader(run_dir).get, ended_ns, done)
            return read(row, column, traces)

    async def close(self) -> None:
        for worker in self._workers.values():
            await worker.close()


@asynccontextmanager
async def observatory(together: int = 8) -> AsyncIterator[Observatory]:
    """Ready to observe, so many cells at once."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(model())
        made = Observatory(upstream, asyncio.Semaphore(together))
        stack.push_async_callback(made.close)
        yield made


def _silent(_: Reaction) -> None:
    """Says nothing."""


async def observe_all(
    seen: Observatory,
    cells: Sequence[tuple[Row, Column]],
    progress: Callable[[Reaction], None] = _silent,
) -> list[Reaction]:
    """All these cells, in their order."""

    async def one(row: Row, column: Column) -> Reaction:
        reaction = await seen.observe(row, column)
        progress(reaction)
        return reaction

    return list(await asyncio.gather(*(one(row, column) for row, column in cells)))
