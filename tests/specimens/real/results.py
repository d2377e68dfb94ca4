"""Agents that call real tools over HTTP whose results come late or in another order: believed by
their place, or by what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from proofrig.checkers.checker import Finding
from proofrig.faults.fault import Fault
from proofrig.faults.late_result import LateResult
from proofrig.faults.reordered_results import ReorderedResults
from proofrig.history.history import History, pair
from proofrig.history.payloads import PayloadReader
from proofrig.observers import accepted, superseded
from proofrig.trials.accepted import accepted_results
from specimens.real.lab import Lab, Ran, Specimen, now
from specimens.real.retries import Server, serving

ITEMS = ("tea", "salt", "rice", "figs")
LATE_S, PATIENCE_S = 0.15, 0.06
AGENTS = 4
DISORDERS: dict[str, Fault] = {
    "late": LateResult(by_s=LATE_S),
    "swapped": ReorderedResults(within_s=LATE_S, probability=0.5),
}


class Believed:
    """What the agents took for the answer to which call: (trial, what was asked, what was got)."""

    def __init__(self) -> None:
        self.wrong: set[str] = set()

    def true(self, finding: Finding) -> bool:
        return len(finding.trials) == 1 and finding.trials[0] in self.wrong


Tool = Callable[[str, str], Awaitable[str]]  # call id, item


# A call that is given up and asked again


async def first_that_comes(tool: Tool, lab: Lab, believed: Believed) -> None:
    """Ask, ask again when it takes too long, and take what comes first."""
    first = asyncio.create_task(tool("call_1", "tea"))
    await asyncio.wait([first], timeout=PATIENCE_S)
    superseded("call_1", by="call_2", recorder=lab.recorder)
    second = asyncio.create_task(tool("call_2", "tea"))
    done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    if first in done:
        believed.wrong.add(now())
    accepted("call_1" if first in done else "call_2", recorder=lab.recorder)
    await asyncio.gather(first, second)


async def any_of_a_queue(tool: Tool, lab: Lab, believed: Believed) -> None:
    """The same with results that go into one queue, out of which the next is taken."""
    results: asyncio.Queue[str] = asyncio.Queue()

    async def ask(call: str) -> None:
        await tool(call, "tea")
        results.put_nowait(call)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask("call_1"))
        try:
            async with asyncio.timeout(PATIENCE_S):
                got = await results.get()
        except TimeoutError:
            superseded("call_1", by="call_2", recorder=lab.recorder)
            group.create_task(ask("call_2"))
            got = await results.get()
            if got == "call_1":
                believed.wrong.add(now())
        accepted(got, recorder=lab.recorder)


async def by_call(tool: Tool, lab: Lab, believed: Believed) -> None:
    """Ask again, and wait for the answer to that."""
    first = asyncio.create_task(tool("call_1", "tea"))
    await asyncio.wait([first], timeout=PATIENCE_S)
    superseded("call_1", by="call_2", recorder=lab.recorder)
    await tool("call_2", "tea")
    accepted("call_2", recorder=lab.recorder)
    await first


async def hung_up(tool: Tool, lab: Lab, believed: Believed) -> None:
    """Hang up before asking again, so that the first answer reaches nobody."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await tool("call_1", "tea")
    except TimeoutError:
        superseded("call_1", by="call_2", recorder=lab.recorder)
    await tool("call_2", "tea")
    accepted("call_2", recorder=lab.recorder)


# Several calls at once, whose results go into the next prompt

Match = Callable[[Tool, list[str]], Awaitable[list[str]]]  # call ids -> results, in their order


async def as_they_come(tool: Tool, calls: list[str]) -> list[str]:
    asked = [tool(call, item) for call, item in zip(calls, ITEMS, strict=True)]
    return [await result for result in asyncio.as_completed(asked)]


async def appended(tool: Tool, calls: list[str]) -> list[str]:
    results: list[str] = []

    async def ask(call: str, item: str) -> None:
        results.append(await tool(call, item))

    async with asyncio.TaskGroup() as group:
        for call, item in zip(calls, ITEMS, strict=True):
            group.create_task(ask(call, item))
    return results


async def gathered(tool: Tool, calls: list[str]) -> list[str]:
    asked = [tool(call, item) for call, item in zip(calls, ITEMS, strict=True)]
    return list(await asyncio.gather(*asked))


async def keyed(tool: Tool, calls: list[str]) -> list[str]:
    results: dict[str, str] = {}

    async def ask(call: str, item: str) -> None:
        results[call] = await tool(call, item)

    async with asyncio.TaskGroup() as group:
        for call, item in zip(calls, ITEMS, strict=True):
            group.create_task(ask(call, item))
    return [results[call] for call in calls]


def _prompt(calls: list[str], results: list[str], user: str) -> dict[str, Any]:
    """The next prompt: what the model called, and the results."""
    asked = [
        {
            "id": call,
            "type": "function",
            "function": {"name": "look", "arguments": f'{{"item":"{item}"}}'},
        }
        for call, item in zip(calls, ITEMS, strict=True)
    ]
    given = [
        {"role": "tool", "tool_call_id": call, "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    messages = [
        {"role": "user", "content": "What is there?"},
        {"role": "assistant", "content": None, "tool_calls": asked},
        *given,
    ]
    return {"model": "sim", "messages": messages, "user": user}


def _several(match: Match) -> Callable[..., Awaitable[None]]:
    async def agent(
        tool: Tool, lab: Lab, believed: Believed, session: aiohttp.ClientSession
    ) -> None:
        calls = [f"call_{number}" for number in range(len(ITEMS))]
        results = await match(tool, calls)
        if any(item not in result for item, result in zip(ITEMS, results, strict=True)):
            believed.wrong.add(now())
        url = f"{lab.root(now())}/v1/chat/completions"
        async with session.post(url, json=_prompt(calls, results, f"{now()}.1")) as answer:
            assert answer.status == 200, await answer.text()

    return agent


def _single(
    way: Callable[[Tool, Lab, Believed], Awaitable[None]],
) -> Callable[..., Awaitable[None]]:
    async def agent(
        tool: Tool, lab: Lab, believed: Believed, session: aiohttp.ClientSession
    ) -> None:
        await way(tool, lab, believed)

    return agent


async def _play(lab: Lab, way: Callable[..., Awaitable[None]], believed: Believed) -> None:
    tools = [{"type": "python", "target": "stock"}]
    async with (
        serving(Server(rate=1000, burst=1000)) as url,
        lab.rig(model=url, tools=tools),
        aiohttp.ClientSession() as session,
    ):

        async def agent() -> None:
            root = lab.root(now())

            async def tool(call: str, item: str) -> str:
                asked = {"json": {"item": item}, "headers": {"x-tool-call-id": call}}
                async with session.post(f"{root}/tools/look", **asked) as answer:
                    return str((await answer.json())["result"])

            await way(tool, lab, believed, session)
            lab.flush()
            _note_accepted(lab, now())

        await lab.tasks([agent() for _ in range(AGENTS)])


def _note_accepted(lab: Lab, trial: str) -> None:
    """What the runner reads out of the prompts of an agent that has ended."""
    actions = [one for one in pair(History(lab.run_dir).entries()) if one.trial == trial]
    for attrs in accepted_results(actions, PayloadReader(lab.run_dir).get):
        lab.note("accepted", attrs, trial, "acme")


def _specimen(
    variant: str, way: Callable[..., Awaitable[None]], kind: str | None, disorder: str
) -> Specimen:
    def run(folder: Path, seed: int) -> Ran:
        believed = Believed()
        with Lab(folder, seed, "out_of_order") as lab:
            lab.faults = (DISORDERS[disorder],)
            asyncio.run(_play(lab, way, believed))
        return Ran(lab.run_dir, bool(believed.wrong), believed.true)

    return Specimen("stale result", variant, kind, "stale_result", run)


SPECIMENS = [
    _specimen("the first answer that comes", _single(first_that_comes), "stale_result", "late"),
    _specimen("the next out of a queue", _single(any_of_a_queue), "stale_result", "late"),
    _specimen(
        "results by the order they came", _several(as_they_come), "misbound_result", "swapped"
    ),
    _specimen("results appended as they came", _several(appended), "misbound_result", "swapped"),
    _specimen("the answer to the call that counts", _single(by_call), None, "late"),
    _specimen("the call that is given up hung up", _single(hung_up), None, "late"),
    _specimen("results by the order they were asked for", _several(gathered), None, "swapped"),
    _specimen("results by call", _several(keyed), None, "swapped"),
]
