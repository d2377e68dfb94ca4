"""The agent under test: an account assistant that many customers' staff use at once.

It keeps what all deployments keep: a cache of answers, a memory, a search service with a quota, and
one pool of connections to the model. FORM=fixed is the same agent with the four mistakes mended:

    as it was                                     mended
    one cache for all tenants                     (the cache is partitioned, see fixed.yaml)
    count visits: read, add one, write            compare and set, again when somebody was faster
    when search refuses: wait as told, again      ask at the pace of the quota in the first place
    short answers and long reports in one pool    a pool for each

Alone, both forms work.
"""

import asyncio
import os

from httpx import Limits
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from proofrig.services.client import AsyncServices, ServiceError

FIXED = os.environ.get("FORM") == "fixed"
CONNECTIONS = 4
SEARCHES_PER_S = 20


def model_client() -> AsyncOpenAI:
    pool = Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return AsyncOpenAI(http_client=DefaultAsyncHttpxClient(limits=pool), timeout=60)


model = model_client()
reporting = model_client() if FIXED else model
shared = AsyncServices()
cache, memory, files = shared.cache("answers"), shared.kv("memory"), shared.kv("files")
search_quota = shared.quota("search")


async def assistant(task: str, tenant: str) -> str:
    """Do what a member of the customer's staff asks."""
    if task.startswith("Write"):
        return await report(task)
    if "visit" in task:
        return await note_visit()
    if "opening hours" in task:
        return await search(task)
    return await look_up(task)


async def look_up(question: str) -> str:
    """Answer from the tenant's own files, or from what was answered before."""
    known = await cache.get(question)
    if known is not None:
        return known
    document = await files.get("contract")
    answer = await ask(model, "sim-small", f"Answer from this document.\n{document}", question)
    await cache.put(question, answer)
    return answer


async def note_visit() -> str:
    """Count a visit; the number is the visitor's."""
    if not FIXED:
        visits = (await memory.get("visits") or 0) + 1
        await memory.put("visits", visits)
        return f"Noted, you are visitor number {visits}."
    while True:
        visits, version = await memory.read("visits")
        visits = (visits or 0) + 1
        try:
            await memory.cas("visits", visits, expected=version)
            return f"Noted, you are visitor number {visits}."
        except ServiceError as refused:
            if refused.status != 409:
                raise


async def search(question: str) -> str:
    """Ask the search service, which lets in so many a second."""
    if FIXED:
        await pace.turn()
    for attempt in range(5):
        try:
            await search_quota.take()
            return await ask(model, "sim-small", "The depot opens at 7.", question)
        except ServiceError as refused:
            if refused.status != 429 or attempt == 4:
                raise
            await asyncio.sleep(refused.retry_after)
    raise AssertionError


async def report(task: str) -> str:
    """A long text, streamed."""
    parts = []
    stream = await reporting.chat.completions.create(
        model="sim-report", messages=[{"role": "user", "content": task}], stream=True
    )
    async with stream:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                parts.append(chunk.choices[0].delta.content)
    return "".join(parts)


async def ask(client: AsyncOpenAI, name: str, system: str, question: str) -> str:
    reply = await client.chat.completions.create(
        model=name,
        messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
    )
    return reply.choices[0].message.content or ""


class Pace:
    """Lets callers through one by one, at most `rate` a second."""

    def __init__(self, rate: float) -> None:
        self.gap = 1 / rate
        self.free_at = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self.free_at = max(now, self.free_at + self.gap)
        await asyncio.sleep(self.free_at - now)


pace = Pace(SEARCHES_PER_S * 0.9)
