"""Tool results that overtake each other: who goes by position believes the wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.suites import case, run_suite, write_suite

AGENT = """
import asyncio, json, os
import aiohttp

async def ask(session, messages):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    async with session.post(url, json={"model": "sim-small", "messages": messages}) as answer:
        return (await answer.json())["choices"][0]["message"]

async def call(session, asked):
    function = asked["function"]
    url = os.environ["PROOFRIG_TOOLS_URL"] + "/" + function["name"]
    headers = {"x-tool-call-id": asked["id"]}
    body = json.loads(function["arguments"])
    async with session.post(url, json=body, headers=headers) as answer:
        return asked["id"], (await answer.json())["result"]

async def solve(task, by_id):
    async with aiohttp.ClientSession() as session:
        messages = [{"role": "user", "content": task}]
        while True:
            message = await ask(session, messages)
            messages.append(message)
            calls = message.get("tool_calls")
            if not calls:
                return message["content"]
            came = []
            for done in asyncio.as_completed([call(session, one) for one in calls]):
                came.append(await done)
            for asked, (id, result) in zip(calls, came):
                messages.append({
                    "role": "tool",
                    "tool_call_id": id if by_id else asked["id"],
                    "content": json.dumps(result),
                })

async def by_position(task):
    return await solve(task, False)

async def by_id(task):
    return await solve(task, True)
"""
MODEL = """
from proofrig import Reply, ToolCall

def model(prompt):
    if prompt.answered:
        return "42"
    calls = [ToolCall(f"call-{n}", "price", '{"item": "i%d"}' % n) for n in range(4)]
    return Reply(calls=tuple(calls))
"""
TOOLS = """
async def price(item: str) -> str:
    return "the price of " + item
"""


@pytest.mark.parametrize(("target", "verdict"), [("by_position", "invalid"), ("by_id", "valid")])
async def test_results_out_of_order(tmp_path: Path, target: str, verdict: str) -> None:
    for name, text in (("o_agent", AGENT), ("o_model", MODEL), ("o_tools", TOOLS)):
        (tmp_path / f"{name}.py").write_text(text)
    suite = write_suite(
        tmp_path,
        [case("one")],
        agent={"type": "python", "target": f"o_agent:{target}", "mode": "shared"},
        model={"provider": "simulated", "function": "o_model:model"},
        tools=[{"type": "python", "target": "o_tools:price"}],
        scenarios={"out_of_order": {"agents": 6, "rate": 0.5, "late_s": 0.2}},
    )
    _, concluded = await run_suite(suite, tmp_path, scenarios=("out_of_order",), baselines=False)
    (scenario,) = concluded.summary.scenarios
    found = next(one for one in scenario.checked if one.checker == "stale_result")
    assert found.exposure["disordered"] > 0
    assert found.verdict == verdict, found
    if verdict == "invalid":
        assert found.findings[0].kind == "misbound_result"
