"""The openai SDK, and agents around it, before a server that really refuses: retry storms,
synchronised retries, and how each is prevented."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pvariance

import aiohttp
import httpx2
from aiohttp import web
from openai import AsyncOpenAI, RateLimitError

from proofrig.checkers.checker import Finding
from proofrig.observers import RecordingTransport
from specimens.real.lab import Lab, Ran, Specimen, now

AGENTS = 60
RATE, BURST = 50, 6  # requests a second, and at once, of a bucket
WIDE = {"rate": 200, "burst": 24}  # one that only the first of each agent's requests overflows
WINDOW_S, A_WINDOW = 0.4, 12  # of a window quota: requests in each
JITTER_S, CALLS = 0.8, 6
MESSAGES = [{"role": "user", "content": "hello"}]


@dataclass
class Server:
    """A chat completions API that lets in so much and refuses the rest with Retry-After: a bucket
    says a fixed time, a window the time until the next one begins. arrived: (when, what), at the
    server; what is a trial, a dot and the number of its request."""

    window: bool = False
    rate: int = RATE
    burst: int = BURST
    after_s: float = 0.2
    arrived: list[tuple[float, str]] = field(default_factory=list)
    sent: list[tuple[float, str]] = field(default_factory=list)  # the same, as the client sends it
    refused: int = 0

    def __post_init__(self) -> None:
        self._level, self._at = float(self.burst), time.monotonic()
        self._let_in: Counter[int] = Counter()

    def _wait(self, at: float) -> float:
        """Seconds to wait; 0 when it is let in."""
        if self.window:
            place = int(at / WINDOW_S)
            if self._let_in[place] < A_WINDOW:
                self._let_in[place] += 1
                return 0.0
            return (place + 1) * WINDOW_S - at
        self._level = min(self.burst, self._level + (at - self._at) * self.rate)
        self._at = at
        if self._level < 1:
            return self.after_s
        self._level -= 1
        return 0.0

    async def chat(self, request: web.Request) -> web.Response:
        at = time.monotonic()
        self.arrived.append((at, (await request.json())["user"]))
        wait = self._wait(at)
        if wait:
            self.refused += 1
            headers = {"retry-after-ms": f"{wait * 1000:.0f}"}
            return web.json_response(
                {"error": {"message": "slow down"}}, status=429, headers=headers
            )
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}}
        choice["finish_reason"] = "stop"
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        about = {"id": "1", "object": "chat.completion", "created": 1, "model": "sim"}
        return web.json_response(about | {"choices": [choice], "usage": usage})

    # What really happened

    @property
    def stormed(self) -> bool:
        return self.refused > 0 and len(self.arrived) > 1.2 * len(
            {what for _, what in self.arrived}
        )

    def counted(self, finding: Finding) -> bool:
        """The witness shows all attempts of one agent, and there were so many."""
        attempts = Counter(what for _, what in self.arrived)
        told = [attempts[f"{trial}.1"] for trial in finding.trials]
        return told == [len(finding.witness)] and told > [1]

    @property
    def retries(self) -> list[tuple[float, str]]:
        seen: set[str] = set()
        asked = self.sent or self.arrived
        return [one for one in asked if one[1] in seen or seen.add(one[1])]

    def _fullest(self) -> list[tuple[float, str]]:
        """The retries of the fullest 100 ms."""
        every = self.retries
        return max(
            ([one for one in every if at <= one[0] < at + 0.1] for at, _ in every),
            key=len,
            default=[],
        )

    @property
    def herded(self) -> bool:
        """More came in 100 ms than a quarter of all, and in 50 ms now none, now many: the variance
        is 12 times the mean. What a client's own work takes is a jitter too, so that on a busy
        machine there is no herd."""
        at = sorted(at for at, _ in self.retries)
        if len(self._fullest()) <= 0.25 * len(at):
            return False
        bins = Counter(int((each - at[0]) / 0.05) for each in at)
        counts = [bins[place] for place in range(max(10, max(bins) + 1))]
        return pvariance(counts) > 12 * fmean(counts)

    def together(self, finding: Finding) -> bool:
        """The witness names those whose retries came together."""
        there = {what.rpartition(".")[0] for _, what in self._fullest()}
        return len(finding.trials) > 1 and set(finding.trials) <= there


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


# What agents do


@dataclass
class Agents:
    """What the agents of a run share. direct: the server's URL where they do not pass the gateway;
    random: theirs; turn: when the next may ask."""

    lab: Lab
    direct: str
    client: AsyncOpenAI
    session: aiohttp.ClientSession
    random: random.Random
    turn: float = 0.0
    budget: int = AGENTS // 10  # retries that all of them have together

    def url(self) -> str:
        return self.direct or f"{self.lab.root(now())}/v1"

    async def ask(self, retries: int, number: int = 1) -> None:
        client = self.client.with_options(base_url=self.url(), max_retries=retries)
        await client.chat.completions.create(
            model="sim", messages=MESSAGES, user=f"{now()}.{number}"
        )

    async def pace(self, rate: float) -> None:
        """Wait for one's turn."""
        at = asyncio.get_running_loop().time()
        self.turn = max(at, self.turn + 1 / rate)
        await asyncio.sleep(self.turn - at)

    async def post(self, number: int = 1) -> float:
        """Ask without an SDK; the seconds it is told to wait, 0 when it was answered."""
        body = {"model": "sim", "messages": MESSAGES, "user": f"{now()}.{number}"}
        async with self.session.post(f"{self.url()}/chat/completions", json=body) as answer:
            await answer.read()
            return float(answer.headers.get("retry-after-ms", 0)) / 1000


Way = Callable[[Agents], Awaitable[None]]


def told(refusal: RateLimitError) -> float:
    return float(refusal.response.headers["retry-after-ms"]) / 1000


async def sdk_default(agents: Agents) -> None:
    await agents.ask(retries=2)


async def stacked(agents: Agents) -> None:
    """A framework that tries again around an SDK that does."""
    for attempt in range(3):
        try:
            return await agents.ask(retries=1)
        except RateLimitError:
            if attempt == 2:
                raise
            await asyncio.sleep(0.05)


async def paced(agents: Agents) -> None:
    await agents.pace(0.9 * RATE)
    await agents.ask(retries=0)


async def budgeted(agents: Agents) -> None:
    try:
        return await agents.ask(retries=0)
    except RateLimitError as refusal:
        if agents.budget <= 0:
            raise
        agents.budget -= 1
        await asyncio.sleep(told(refusal) + agents.random.random() * 0.2)
    await agents.ask(retries=0)


async def obedient(agents: Agents) -> None:
    """Come back exactly when told."""
    for _ in range(4):
        wait = await agents.post()
        if not wait:
            return
        await asyncio.sleep(wait)


async def jittered(agents: Agents) -> None:
    """Come back when told, and as much later as the service needs for all; later requests keep to
    its pace, so that retries stay a small part of all."""
    for number in range(1, CALLS + 1):
        while wait := await agents.post(number):  # noqa: ASYNC110
            await asyncio.sleep(wait + agents.random.random() * JITTER_S)
        await agents.pace(0.55 * WIDE["rate"])


async def jittered_sdk(agents: Agents) -> None:
    """The same around the SDK, whose own retries are off."""
    for number in range(1, CALLS + 1):
        while True:
            try:
                await agents.ask(0, number)
                break
            except RateLimitError as refusal:
                await asyncio.sleep(told(refusal) + agents.random.random() * JITTER_S)
        await agents.pace(0.55 * WIDE["rate"])


async def _play(lab: Lab, server: Server, way: Way, *, direct: bool) -> None:
    """direct: the pool of the SDK's client is observed instead of the gateway; what lies between
    the agents and the server then takes so little time that it spreads nothing."""
    async with AsyncExitStack() as closing:
        entered = closing.enter_async_context
        url = await entered(serving(server))
        if direct:

            async def sending(request: httpx2.Request) -> None:
                server.sent.append((time.monotonic(), f"{now()}.1"))

            inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=2 * AGENTS))
            transport = RecordingTransport(inner, recorder=lab.recorder)
            http = httpx2.AsyncClient(transport=transport, event_hooks={"request": [sending]})
            client = AsyncOpenAI(api_key="none", http_client=http)
        else:
            await entered(lab.rig(model=url))
            client = AsyncOpenAI(api_key="none")
        await entered(client)
        session = await entered(aiohttp.ClientSession())
        agents = Agents(lab, url if direct else "", client, session, random.Random(lab.seed))

        async def agent() -> None:
            with suppress(RateLimitError):  # it gave up, which is not this specimen's matter
                await way(agents)

        await lab.tasks([agent() for _ in range(AGENTS)])


def _run(
    way: Way, checker: str, *, direct: bool = False, **limits: int
) -> Callable[[Path, int], Ran]:
    def run(folder: Path, seed: int) -> Ran:
        server = Server(**limits)
        with Lab(folder, seed) as lab:
            asyncio.run(_play(lab, server, way, direct=direct))
        if checker == "retry_amplification":
            return Ran(lab.run_dir, server.stormed, server.counted)
        return Ran(lab.run_dir, server.herded, server.together)

    return run


def _storm(variant: str, way: Way, *, bad: bool) -> Specimen:
    checker, kind = "retry_amplification", "retry_storm" if bad else None
    return Specimen("retry amplification", variant, kind, checker, _run(way, checker))


def _herd(variant: str, way: Way, *, bad: bool, **limits: int) -> Specimen:
    checker = "synchronised_retries"
    kind = checker if bad else None
    return Specimen(checker.replace("_", " "), variant, kind, checker, _run(way, checker, **limits))


SPECIMENS = [
    _storm("openai: the SDK's own retries", sdk_default, bad=True),
    _storm("openai: retries around the SDK's", stacked, bad=True),
    _storm("openai: max_retries=0 and pacing", paced, bad=False),
    _storm("openai: a budget for retries", budgeted, bad=False),
    _herd(
        "openai: Retry-After of a window, obeyed", sdk_default, bad=True, window=True, direct=True
    ),
    _herd("aiohttp: Retry-After of a bucket, obeyed", obedient, bad=True),
    _herd("openai: Retry-After and as much again", jittered_sdk, bad=False, **WIDE),
    _herd("aiohttp: Retry-After and as much again", jittered, bad=False, **WIDE),
]
