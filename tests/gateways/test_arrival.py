"""Arrivals: the first request of each trial behind a gate, timed at the socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from proofrig.authority.authority import Authority
from proofrig.authority.ledger import Ledger
from proofrig.gateways.arrival import Arrivals, stamped
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.gateway import Binding, Bindings, Context, RunClock
from proofrig.history.action import Entry
from proofrig.history.history import History
from proofrig.history.journal import Journal


def binding(number: int, *, gated: bool = True) -> Binding:
    return Binding(
        f"token-{number}-long-enough", f"c@s:{number}", "acme", f"acme/r{number}", gated=gated
    )


@dataclass
class Front:
    """A rig's front door: `get` asks it for a path, with headers."""

    url: str
    client: aiohttp.ClientSession
    context: Context
    arrivals: Arrivals
    run_dir: Path
    worked: list[int]  # when a request was worked on

    async def get(self, path: str, **headers: str) -> int:
        async with self.client.get(self.url + path, headers=headers) as response:
            return response.status

    def notes(self) -> list[Entry]:
        self.context.journal.flush()
        return [entry for entry in History(self.run_dir).entries() if entry.name == "arrival"]


@asynccontextmanager
async def front(run_dir: Path, *bindings: Binding) -> AsyncIterator[Front]:
    clock = RunClock(time.monotonic_ns())
    worked: list[int] = []
    async with aiohttp.ClientSession() as client:
        context = Context(
            journal=Journal(run_dir, "rig", clock),
            authority=Authority(Ledger(), None, clock),
            bindings=Bindings(),
            asked=AskedCalls(),
            client=client,
            clock=clock,
        )
        arrivals = Arrivals(context)
        for each in bindings:
            context.bindings.add(each)
            arrivals.expect(each)

        async def answer(request: web.Request) -> web.Response:
            worked.append(clock())
            if "slow" in request.path:
                time.sleep(0.05)  # noqa: ASYNC251  (holds up whoever comes meanwhile)
            return web.Response(text="ok")

        app = web.Application(middlewares=[arrivals.middleware()])
        app.router.add_get("/t/{token}/{path}", answer)
        app.router.add_get("/{path}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stamped(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield Front(url, client, context, arrivals, run_dir, worked)
        finally:
            await runner.cleanup()
            context.journal.close()


async def test_only_the_first_request_of_a_trial_is_its_arrival(tmp_path: Path) -> None:
    one, two = binding(1), binding(2)
    async with front(tmp_path, one, two) as rig:
        before = rig.context.clock()
        for path in (f"/t/{one.token}/a", f"/t/{two.token}/a", f"/t/{one.token}/b"):
            assert await rig.get(path) == 200
        first, second = rig.notes()
        assert [(note.trial, note.tenant, note.scope) for note in (first, second)] == [
            ("c@s:1", "acme", "acme/r1"),
            ("c@s:2", "acme", "acme/r2"),
        ]
        at = [note.attrs["arrived_ns"] for note in (first, second)]
        assert before <= at[0] <= first.t <= at[1] <= second.t


async def test_a_trial_is_known_by_its_key_as_well(tmp_path: Path) -> None:
    async with front(tmp_path, binding(1)) as rig:
        await rig.get("/a", authorization=f"Bearer {binding(1).token}")
        await rig.get("/a")
        assert [note.trial for note in rig.notes()] == ["c@s:1"]


async def test_trials_that_were_not_parked_and_strangers_have_no_arrival(tmp_path: Path) -> None:
    async with front(tmp_path, binding(1, gated=False), binding(2)) as rig:
        assert await rig.get(f"/t/{binding(1).token}/a") == 200
        assert await rig.get("/t/of-nobody-we-know/a") == 200
        assert rig.notes() == []


async def test_a_trial_that_ended_without_a_request_is_not_waited_for(tmp_path: Path) -> None:
    one = binding(1)
    async with front(tmp_path, one) as rig:
        rig.context.bindings.end(one.token)
        assert await rig.get(f"/t/{one.token}/a") == 200
        assert rig.notes() == []


async def test_what_the_rig_does_with_others_does_not_count_as_lateness(tmp_path: Path) -> None:
    """Both are there at once, and the work on one holds up everything."""
    one, two = binding(1), binding(2)
    async with front(tmp_path, one, two) as rig:
        readers = []
        for each in (one, two):
            _, port = rig.url.rsplit(":", 1)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            readers.append((reader, writer, each))
        await rig.get("/warm")
        for _, writer, each in readers:
            writer.write(f"GET /t/{each.token}/slow HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for reader, writer, _ in readers:
            assert (await reader.readline()).endswith(b"200 OK\r\n")
            writer.close()
        at = [note.attrs["arrived_ns"] for note in rig.notes()]
        assert len(at) == 2
        assert max(at) <= rig.worked[1]  # the first one's work; what was worked on before is /warm
        assert rig.worked[2] >= rig.worked[1] + 50_000_000
