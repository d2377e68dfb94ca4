"""What the tool gateways cost: `python benchmarks/bench_tools.py [calls]`.

Prints, from one run on this machine:
- a no-op Python tool over `POST /t/<token>/tools/noop`, CPU of the rig's process per call, beside a
  bare aiohttp handler that reads and answers the same JSON;
- a stdio MCP server through the tap beside the same server without it, milliseconds per call;
- a streamable HTTP MCP server through the tap beside the same server without it.

The rig runs in a process of its own; each figure is the best of several interleaved rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import psutil
import uvloop
from aiohttp import web

from proofrig.authority.authority import recover
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.gateway import Binding, Bindings, Context
from proofrig.gateways.mcp_http import HttpServer, McpHttpGateway
from proofrig.gateways.mcp_stdio import McpStdioGateway
from proofrig.gateways.tap_command import TapPlace, tap_command
from proofrig.gateways.tool_action import Calls
from proofrig.gateways.tool_settings import McpServerSettings, PythonToolSettings
from proofrig.gateways.toolbox import Toolbox
from proofrig.gateways.tools import ToolsGateway
from proofrig.gateways.upstream import open_client
from proofrig.history.journal import Journal

CALLS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 2000
ROUNDS = 5
TOKEN = "bench-token-0123456789"
ECHO = (
    "import sys\n"
    "for line in sys.stdin.buffer:\n"
    "    i = line[line.index(b'\"id\":') + 5 :].split(b',')[0]\n"
    '    sys.stdout.buffer.write(b\'{"jsonrpc":"2.0","id":\' + i + b\',"result":{"content":'
    '[{\\"type\\":\\"text\\",\\"text\\":\\"3\\"}]}}\\n\')\n'
    "    sys.stdout.buffer.flush()\n"
)
REPLY = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"3"}]}}'
CALL = (
    b'{"jsonrpc":"2.0","id":%d,"method":"tools/call",'
    b'"params":{"name":"add","arguments":{"a":%d,"b":2}}}'
)
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


async def serve_rig(folder: Path) -> None:
    """The rig's process: prints its port, serves until its input ends."""
    (folder / "tools.py").write_text("async def noop(text: str) -> str:\n    return text\n")
    async with open_client() as client:
        context = Context(
            journal=Journal(folder, "rig", time.monotonic_ns),
            authority=recover(folder / "ledger.db", time.time_ns),
            bindings=Bindings(),
            asked=AskedCalls(),
            client=client,
            clock=time.monotonic_ns,
        )
        context.bindings.add(Binding(TOKEN, "case:0", "acme", "acme/flow/agent/run"))
        calls = Calls(context)
        settings = [PythonToolSettings(type="python", target="tools:noop")]

        async def bare(request: web.Request) -> web.Response:
            text = json.loads(await request.read())["text"]
            return web.json_response({"result": text})

        async def mcp(request: web.Request) -> web.Response:
            await request.read()
            return web.Response(body=REPLY, content_type="application/json")

        app = web.Application()
        app.router.add_post("/bare", bare)
        app.router.add_post("/upstream", mcp)
        upstream = web.AppRunner(app, access_log=None)
        port = await listen(upstream)
        servers = {"up": HttpServer.at(f"http://127.0.0.1:{port}/upstream")}
        rig = web.Application()
        rig.router.add_post("/bare", bare)
        for gateway in (
            ToolsGateway(context, Toolbox.load(settings, folder, client), calls),
            McpHttpGateway(context, calls, servers),
            McpStdioGateway(context, calls),
        ):
            rig.add_routes(gateway.routes())
        runner = web.AppRunner(rig, access_log=None, handler_cancellation=True)
        print(await listen(runner), port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()
        await upstream.cleanup()


async def listen(runner: web.AppRunner) -> int:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port


async def flood(client: aiohttp.ClientSession, url: str, body: Callable[[int], bytes]) -> None:
    """CALLS requests over 50 connections."""
    left = iter(range(CALLS))

    async def worker() -> None:
        for number in left:
            async with client.post(url, data=body(number), headers=JSON) as answer:
                await answer.read()
                assert answer.status == 200

    await asyncio.gather(*(worker() for _ in range(50)))


async def one_by_one(client: aiohttp.ClientSession, url: str, calls: int) -> float:
    """Milliseconds per call, the median."""
    took = []
    for number in range(calls):
        begun = time.perf_counter()
        async with client.post(url, data=CALL % (1, number), headers=JSON) as answer:
            await answer.read()
        took.append(time.perf_counter() - begun)
    return sorted(took)[len(took) // 2] * 1e3


async def over_stdio(argv: list[str], calls: int) -> tuple[float, float]:
    """Milliseconds to the first answer, and per call after it (median)."""
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    took = []
    for number in range(calls):
        process.stdin.write(CALL % (number, number) + b"\n")
        await process.stdout.readline()
        took.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    process.stdin.close()
    await process.wait()
    return took[0] * 1e3, sorted(took[1:])[len(took) // 2] * 1e3


async def cpu_per_call(process: psutil.Process, work: Callable[[], Awaitable[None]]) -> float:
    """CPU milliseconds of `process` per call."""
    before = process.cpu_times()
    await work()
    after = process.cpu_times()
    return (after.user - before.user + after.system - before.system) / CALLS * 1e3


async def measure(rig: psutil.Process, port: int, upstream: int) -> None:
    base = f"http://127.0.0.1:{port}/t/{TOKEN}"
    rows: dict[str, list[float]] = {}
    settings = McpServerSettings(type="mcp", name="up", command=[sys.executable, "-c", ECHO])
    place = TapPlace(f"127.0.0.1:{port}", TOKEN, Path("/"), "", os.environ["PATH"])
    tapped = tap_command(settings, place)
    few = max(200, CALLS // 10)
    async with open_client() as client:
        for _ in range(ROUNDS):
            for name, url in (
                ("bare", f"http://127.0.0.1:{port}/bare"),
                ("tool", f"{base}/tools/noop"),
            ):
                cost = await cpu_per_call(
                    rig, lambda url=url: flood(client, url, lambda n: b'{"text":"t%d"}' % n)
                )
                rows.setdefault(name, []).append(cost)
            direct = await one_by_one(client, f"http://127.0.0.1:{upstream}/upstream", few)
            rows.setdefault("http direct", []).append(direct)
            through = await one_by_one(client, f"{base}/mcp/up", few)
            rows.setdefault("http tapped", []).append(through)
            for name, argv in (("direct", settings.command or []), ("tapped", tapped)):
                first, each = await over_stdio(argv, few)
                rows.setdefault(f"stdio {name} start", []).append(first)
                rows.setdefault(f"stdio {name}", []).append(each)
    best = {name: min(values) for name, values in rows.items()}
    print(f"{CALLS} calls a round, best of {ROUNDS} rounds")
    print(f"POST /tools/noop      {best['tool']:6.3f} ms CPU a call (goal 0.350)")
    print(
        f"  bare handler        {best['bare']:6.3f} ms CPU, {best['tool'] / best['bare']:.1f} times"
    )
    for name in ("stdio", "http"):
        added = best[f"{name} tapped"] - best[f"{name} direct"]
        print(
            f"{name + ' tap':<18} +{added:9.3f} ms a call (goal 1.000): "
            f"{best[f'{name} direct']:.3f} direct, {best[f'{name} tapped']:.3f} tapped"
        )
    added = best["stdio tapped start"] - best["stdio direct start"]
    print(f"stdio tap's start  +{added:9.3f} ms (goal 40)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, "rig", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        port, upstream = map(int, process.stdout.readline().split())
        uvloop.run(measure(psutil.Process(process.pid), port, upstream))
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["rig"]:
        uvloop.run(serve_rig(Path(sys.argv[2])))
    else:
        main()
