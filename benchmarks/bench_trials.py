"""What a trial costs, all proofrig processes together.

Runs N trials (default 2,000) of a Python agent in shared mode against the simulated provider: once
with one model call each, once with five model calls and five tool calls each. Prints CPU
milliseconds per trial over the runner, the rig, the provider, the keeper and the agent's host (its
HTTP client included), the growth of the runner's memory per finished trial, and, measured in the
same run, what one bare aiohttp request costs client and server together.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from proofrig.conclusion import Options
from proofrig.evaluation import run
from proofrig.suites import Suite, load_suite

AGENT = """
import os, aiohttp, json
session = None

async def ask(messages):
    global session
    if session is None:
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = {"model": "sim-small", "messages": messages}
    async with session.post(url, json=body) as answer:
        return (await answer.json())["choices"][0]["message"]

async def call(name, arguments):
    url = os.environ["PROOFRIG_TOOLS_URL"] + "/" + name
    async with session.post(url, json=arguments) as answer:
        return (await answer.json())["result"]

async def once(task):
    return (await ask([{"role": "user", "content": task}]))["content"]

async def five(task):
    messages = [{"role": "user", "content": task}]
    while True:
        message = await ask(messages)
        messages.append(message)
        if not message.get("tool_calls"):
            return message["content"]
        for asked in message["tool_calls"]:
            function = asked["function"]
            result = await call(function["name"], json.loads(function["arguments"]))
            messages.append(
                {"role": "tool", "tool_call_id": asked["id"], "content": json.dumps(result)}
            )
"""
MODEL = """
from proofrig.wire.turn import ToolCall, Turn

def once(prompt):
    return "42"

def five(prompt):
    done = sum(len(message.tool_results) for message in prompt.messages)
    if done == 5:
        return "42"
    wanted = range(done, 2 if done == 0 else done + 1)  # two at first, then one by one
    calls = tuple(ToolCall(f"c{n}", "add", '{"a": 40, "b": %d}' % n) for n in wanted)
    return Turn("chat_completions", tool_calls=calls, finish="tool_calls")
"""
TOOLS = '''
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
'''


def suite(folder: Path, kind: str, trials: int, concurrency: int) -> Suite:
    (folder / "bench_agent.py").write_text(AGENT)
    (folder / "bench_model.py").write_text(MODEL)
    (folder / "bench_tools.py").write_text(TOOLS)
    (folder / "suite.yaml").write_text(f"""
suite: bench_{kind}
agent: {{type: python, target: "bench_agent:{kind}", mode: shared}}
model: {{provider: simulated, function: "bench_model:{kind}"}}
tools: [{{type: python, target: "bench_tools:add"}}]
repeats: {trials}
concurrency: {concurrency}
cases:
  - id: sum
    task: "What is 40 + 2?"
    verify: [{{type: exact, value: "42"}}]
""")
    return load_suite(folder / "suite.yaml")


def cpu() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def memory_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def measure(kind: str, trials: int, concurrency: int) -> float:
    """Run it; returns CPU milliseconds per trial beyond a run of few trials (the fixed cost)."""
    spent = {}
    for count in (100, trials):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            loaded = suite(place, kind, count, concurrency)
            marks: dict[int, int] = {}

            def watch(progress: object, marks: dict[int, int] = marks) -> None:
                done = progress.done  # type: ignore[attr-defined]
                if done % 100 == 0:
                    marks[done] = memory_kib()

            store = f"sqlite:///{place}/store.db"
            options = Options(root=place / "runs", store=store, baselines=False)
            before, began = cpu(), time.monotonic()
            _, conclusion = asyncio.run(run(loaded, place / "suite.yaml", options, watch))
            spent[count] = cpu() - before
            overall = conclusion.summary.overall
            assert overall.passed == count, overall
            if count == trials:
                wall = time.monotonic() - began
                grown = (marks[max(marks)] - marks[len(marks) // 2 * 100]) / (count / 2)
                print(
                    f"{kind:<6} {count:,} trials  {overall.llm_calls / count:.0f} model + "
                    f"{overall.tool_calls / count:.0f} tool calls  {wall:.1f} s wall  "
                    f"runner grows {grown:.2f} KiB per trial"
                )
    per_trial = 1000 * (spent[trials] - spent[100]) / (trials - 100)
    print(f"       {per_trial:.2f} ms CPU per trial, fixed {spent[100]:.2f} s for the first 100")
    return per_trial


async def bare(requests: int = 5_000) -> float:
    """CPU milliseconds of one aiohttp request, client and server in one process."""
    import aiohttp
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"choices": [{"message": {"content": "42"}}]})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "What is 40 + 2?"}]}
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            for _ in range(requests // 20):
                async with session.post(url, json=body) as answered:
                    await answered.json()

        before = time.process_time()
        await asyncio.gather(*(work() for _ in range(20)))
        spent = time.process_time() - before
    await runner.cleanup()
    return 1000 * spent / requests


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    concurrency = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, {concurrency} at once")
    reference = asyncio.run(bare())
    print(f"reference: one bare aiohttp request, client and server: {reference:.2f} ms CPU")
    for kind, calls in (("once", 1), ("five", 11)):
        spent = measure(kind, trials, concurrency)
        print(f"       {spent / (calls * reference):.1f} x the reference per call")


if __name__ == "__main__":
    main()
