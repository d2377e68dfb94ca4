"""CPU time per request of the LLM gateway, beside a bare aiohttp pass-through in the same rounds.

    python benchmarks/bench_gateway.py [--rounds 5] [--seconds 2] [--check]

An echo upstream, a bare aiohttp + uvloop pass-through (reads, forwards, nothing else), the gateway
(attribution, reserve/start/commit with its SQLite journal, usage parsing, history) and the gateway
under a policy of 1,000 rules with limits and windows on every level each run in a process of their
own. Proxies are pinned to core 0, load and echo to core 1. Figures are CPU
milliseconds of the proxy process per request at 50 connections: the best round, the median in
brackets. CPU time is used because wall time on a shared machine says little.

`json` and `sse` (20 chunks) run as fast as they can, so that chunks arrive together; `paced` sends
a chunk every 5 ms, so that each is read and written alone. `--check` exits 1 when the gateway
misses its goals, without or with the policy: 0.45 ms per JSON request, 0.65 ms per stream, and
three times the bare pass-through of the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import uvloop

CHUNKS = 20
CONNECTIONS = 50
RULES = 1_000
GATEWAYS = ("gateway", "policed")
GOALS = {"json": 0.45, "sse": 0.65}
RATIO = 3.0
BODY = json.dumps(
    {"model": "sim-small", "messages": [{"role": "user", "content": "hi " * 100}], "max_tokens": 64}
).encode()
STREAM_BODY = BODY[:-1] + b', "stream": true, "stream_options": {"include_usage": true}}'
PACED_BODY = STREAM_BODY[:-1] + b', "metadata": {"pace": "slow"}}'
BODIES = {"json": BODY, "sse": STREAM_BODY, "paced": PACED_BODY}
PACE_S = 0.005
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"sim-small","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"hello from the echo server"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":6,"total_tokens":18}}'
)
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"sim-small",'
    b'"choices":[{"index":0,"delta":{"content":"tok "},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"sim-small",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"sim-small",'
    b'"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":20,"total_tokens":32}}\n\n'
    b"data: [DONE]\n\n"
)


def framed(body: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(body), body)


class Echo(asyncio.Protocol):
    """Answers each request at once; a stream one chunk per turn of the loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, blank, body = self.held.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.held = b""
        if b'"stream": true' in body:
            self.task = asyncio.ensure_future(self.stream(PACE_S if b'"pace"' in body else 0))
            return
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(ANSWER), ANSWER)
        )

    async def stream(self, pace_s: float) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(CHUNKS):
            self.transport.write(framed(CHUNK))
            await asyncio.sleep(pace_s)
        self.transport.write(framed(LAST) + b"0\r\n\r\n")


async def echo(port: int) -> None:
    """The upstream."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


async def bare(port: int, upstream: int) -> None:
    """The floor: aiohttp on both sides, nothing in between."""
    import aiohttp
    from aiohttp import web

    hop = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te"}
    connector = aiohttp.TCPConnector(limit=0)
    session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in hop}
        url = f"http://127.0.0.1:{upstream}{request.path_qs}"
        async with session.request(request.method, url, headers=headers, data=body) as answer:
            back = {k: v for k, v in answer.headers.items() if k.lower() not in hop}
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                return web.Response(status=answer.status, body=await answer.read(), headers=back)
            response = web.StreamResponse(status=answer.status, headers=back)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    await serve(app, port)


def policy_of_many_rules() -> dict[str, Any]:
    """Rules of every effect and condition, and limits of every kind on every level. Twenty of the
    rules are about the calls that are made here, and let them pass."""
    rules: list[dict[str, Any]] = []
    for n in range(RULES // 10):
        flow = "support" if n % 10 == 0 else f"flow{n}"
        rules += [
            {"name": f"path-{n}", "deny": f"tool.write_{n}", "paths": {"path": ["tests/**"]}},
            {"name": f"amount-{n}", "deny": f"tool.refund_{n}", "when": {"amount": {">": 100}}},
            {"name": f"below-{n}", "deny": f"tool.pay_{n}", "below": "manager"},
            {"name": f"mail-{n}", "deny": f"tool.mail_{n}", "tainted": "web"},
            {"name": f"ask-{n}", "ask": f"tool.buy_{n}", "cel": "args.amount > 50"},
            {"name": f"cap-{n}", "allow": f"tool.get_{n}", "cap": {"calls": 5}},
            {"name": f"agent-{n}", "deny": "llm.*", "agents": [f"agent{n}"]},
            {"name": f"tenant-{n}", "deny": "*", "tenants": [f"tenant{n}"]},
            {"name": f"model-{n}", "deny": "llm.*", "when": {"model": f"gone-{n}"}},
            {"name": f"short-{n}", "allow": "llm.*", "max_tokens": 4096 + n},
        ]
        for rule in rules[-2:]:
            rule["workflows"] = [flow]
    much = {"usd": 1_000_000, "tokens": 10**14, "calls": 10**12}
    windows = {"usd/day": 1_000_000, "tokens/minute": 10**14, "calls/hour": 10**12}
    limits = dict.fromkeys(("acme", "acme/*", "*/*/*", "*/*/*/*", "@models"), much | windows)
    limits["*/*/*/*"] = limits["*/*/*/*"] | {"calls:tool.search": 10, "children": 5}
    return {
        "tiers": {"clerk": ["support*"], "manager": ["lead*"]},
        "taint": {"tool.fetch_*": "web"},
        "scopes": {"@models": ["llm.*"]},
        "limits": limits,
        "rules": rules,
    }


async def gateway(port: int, upstream: int, policed: bool = False) -> None:
    """The gateway as a rig builds it, with both journals on disk."""
    from aiohttp import web

    from proofrig.authority.authority import recover
    from proofrig.authority.policy import parse_policy
    from proofrig.authority.prices import default_prices
    from proofrig.gateways.asked import AskedCalls
    from proofrig.gateways.gateway import Binding, Bindings, Context, RunClock
    from proofrig.gateways.llm import LlmGateway, LlmSettings
    from proofrig.gateways.upstream import open_client
    from proofrig.history.journal import Journal
    from proofrig.providers.provider import Endpoint

    with tempfile.TemporaryDirectory() as folder:
        clock = RunClock(time.monotonic_ns())
        policy = parse_policy(policy_of_many_rules()) if policed else None
        authority = recover(Path(folder) / "ledger.sqlite", time.time_ns, policy)
        if not policed:
            authority.set_budget("acme", {"usd_micro": 10**15, "tokens": 10**15})
        bindings = Bindings()
        for number in range(CONNECTIONS):
            scope = f"acme/support/agent/r{number}"
            bindings.add(Binding(f"token{number}", f"case:{number}", "acme", scope))
        context = Context(
            journal=Journal(Path(folder), "rig", clock),
            authority=authority,
            bindings=bindings,
            asked=AskedCalls(),
            client=open_client(),
            clock=clock,
        )
        endpoint = Endpoint(f"http://127.0.0.1:{upstream}/v1", key="sk-upstream")
        settings = LlmSettings(
            endpoints={"chat_completions": endpoint, "responses": endpoint, "messages": endpoint},
            prices=default_prices(),
        )
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(LlmGateway(context, settings).routes())
        await serve(app, port, handler_cancellation=True)


async def serve(app: object, port: int, **options: object) -> None:
    """Serve an application until the process is ended."""
    from aiohttp import web

    assert isinstance(app, web.Application)
    runner = web.AppRunner(app, access_log=None, **options)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, request: bytes, count: list[int]) -> None:
        self.request = request
        self.count = count
        self.stopped = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.ask()

    def ask(self) -> None:
        self.held = b""
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, blank, body = self.held.partition(b"\r\n\r\n")
        if not blank:
            return
        low = head.lower()
        if b"content-length:" in low:
            length = int(low.partition(b"content-length:")[2].partition(b"\r\n")[0])
            whole = len(body) >= length
        else:
            whole = body.endswith(b"0\r\n\r\n")
        if whole:
            self.count[0 if head.startswith(b"HTTP/1.1 200") else 1] += 1
            if self.stopped:
                self.transport.close()
            else:
                self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def load(port: int, mode: str, seconds: float, pid: int) -> None:
    """Keep CONNECTIONS busy; print requests, failures and CPU seconds of process `pid`."""
    loop = asyncio.get_running_loop()
    count = [0, 0]
    body = BODIES[mode]
    clients = []
    for number in range(CONNECTIONS):
        request = (
            f"POST /t/token{number}/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"authorization: Bearer token{number}\r\nuser-agent: bench\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        _, client = await loop.create_connection(
            lambda request=request: Client(request, count), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.sleep(0.3)
    process = psutil.Process(pid)
    before, cpu, began = list(count), sum(process.cpu_times()[:2]), time.perf_counter()
    await asyncio.sleep(seconds)
    spent, took = sum(process.cpu_times()[:2]) - cpu, time.perf_counter() - began
    answered, failed = (now - then for now, then in zip(count, before, strict=True))
    for client in clients:
        client.stopped = True
    await asyncio.wait([client.closed for client in clients], timeout=5)
    row = {"n": answered, "bad": failed, "cpu": spent, "rps": answered / took}
    print(json.dumps(row), flush=True)


def child(core: int, *words: str) -> list[str]:
    """The command of a role of this file, pinned to a core."""
    return [sys.executable, __file__, "--core", str(core), "--role", *words]


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def bench(rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """CPU ms per request by mode and proxy, one figure per round."""
    ports = {name: free_port() for name in ("echo", "bare", *GATEWAYS)}
    found: dict[str, dict[str, list[float]]] = {mode: {} for mode in BODIES}
    processes = {"echo": subprocess.Popen(child(1, "echo", str(ports["echo"])))}
    try:
        for name in ("bare", *GATEWAYS):
            words = (name, str(ports[name]), str(ports["echo"]))
            processes[name] = subprocess.Popen(child(0, *words))
        for port in ports.values():
            wait_for(port)
        for _ in range(rounds):
            for mode in found:
                for name in ("bare", *GATEWAYS):
                    words = (str(ports[name]), mode, str(seconds), str(processes[name].pid))
                    out = subprocess.run(
                        child(1, "load", *words), capture_output=True, text=True, check=True
                    )
                    row = json.loads(out.stdout)
                    if row["bad"] or not row["n"]:
                        raise SystemExit(f"{name} {mode}: {row['bad']} of {row['n']} failed")
                    found[mode].setdefault(name, []).append(row["cpu"] * 1000 / row["n"])
    finally:
        for process in processes.values():
            process.terminate()
            process.wait()
    return found


def report(found: dict[str, dict[str, list[float]]]) -> bool:
    """Print the figures; True when every goal was met."""
    met = True
    print("CPU ms per request at 50 connections: best round (median)")
    for mode, rows in found.items():
        for name, values in rows.items():
            print(f"  {mode:5} {name:8} {min(values):.3f} ({statistics.median(values):.3f})")
        goal = GOALS.get(mode)
        limit = "" if goal is None else f"<= {goal} ms and "
        for name in GATEWAYS:
            best = min(rows[name])
            ratio = best / min(rows["bare"])
            good = ratio <= RATIO and (goal is None or best <= goal)
            met = met and good
            print(
                f"  {mode:5} {name:8} goal {limit}<= {RATIO:g}x bare: "
                f"{best:.3f} ms, {ratio:.2f}x {'met' if good else 'MISSED'}"
            )
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--core", type=int)
    parser.add_argument("--role", nargs="+")
    options = parser.parse_args()
    if options.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core % (os.cpu_count() or 1)})
    if not options.role:
        met = report(bench(options.rounds, options.seconds))
        raise SystemExit(0 if met or not options.check else 1)
    role, port, *rest = options.role
    if role == "echo":
        uvloop.run(echo(int(port)))
    elif role == "load":
        uvloop.run(load(int(port), rest[0], float(rest[1]), int(rest[2])))
    else:
        roles = {"bare": bare, "gateway": gateway, "policed": partial(gateway, policed=True)}
        uvloop.run(roles[role](int(port), int(rest[0])))


if __name__ == "__main__":
    main()
