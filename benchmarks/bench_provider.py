"""What the simulated provider costs, and how well its streams hold their pace.

    python benchmarks/bench_provider.py [--requests 10000] [--streams 200] [--tokens 150]

1. CPU of the provider's process per whole (not streamed) call, without latency and with the echo
   model, next to a bare aiohttp server that reads a body and sends it back, in the same run.
2. The pace of many streams at once, seen by a client on raw sockets: time per token of each stream
   against the declared one, and how late single chunks are.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil
import uvloop

from proofrig.providers import SimulatedSettings, make_provider
from proofrig.providers.pacing import Latency

CONNECTIONS = 50
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
TALK = "Please look up order 4711 and tell the customer when it will arrive. " * 6
TOOL_SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}}


def body_of(path: str, text: str, stream: bool = False) -> bytes:
    """A request of usual size: a system text, a user's text, one tool."""
    system = {"role": "system", "content": "You answer customers of a shop."}
    user = {"role": "user", "content": text}
    tool = {"name": "lookup_order", "description": "Look an order up."}
    schema = {"parameters": TOOL_SCHEMA}
    if path.endswith("/messages"):
        offered = [tool | {"input_schema": TOOL_SCHEMA}]
        rest = {"max_tokens": 4096, "system": system["content"], "messages": [user]}
    elif path.endswith("/responses"):
        offered = [{"type": "function"} | tool | schema]
        rest = {"instructions": system["content"], "input": [user]}
    else:
        offered = [{"type": "function", "function": tool | schema}]
        rest = {"messages": [system, user]}
    return msgspec.json.encode({"model": "sim", "stream": stream, "tools": offered} | rest)


def http_request(path: str, body: bytes) -> bytes:
    """The bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer bench\r\n"
        f"x-proofrig-seed: 7\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


async def calls(port: int, request: bytes, count: int) -> None:
    """`count` calls one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"expected 200, got {head[:200]!r}")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()


async def cpu_per_call(process: psutil.Process, port: int, request: bytes, count: int) -> float:
    """CPU milliseconds of the server's process per call."""
    await asyncio.gather(*(calls(port, request, 20) for _ in range(CONNECTIONS)))
    before = sum(process.cpu_times()[:2])
    each = max(1, count // CONNECTIONS)
    await asyncio.gather(*(calls(port, request, each) for _ in range(CONNECTIONS)))
    return (sum(process.cpu_times()[:2]) - before) * 1000 / (each * CONNECTIONS)


def echo_server(sock: socket.socket) -> None:
    """A bare aiohttp server: body in, body out."""
    from aiohttp import web

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/json")

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/{tail:.*}", echo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


async def stream(port: int, request: bytes) -> list[float]:
    """When each chunk that carries output came, seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    times: list[float] = []
    await reader.readuntil(b"\r\n\r\n")
    while True:
        data = await reader.read(1 << 16)
        now = time.perf_counter()  # uvloop's own clock counts whole milliseconds
        times += [now] * data.count(b'"delta":{"content":"')
        times = times[1:] if times and b'"content":""' in data else times
        if data.endswith(b"0\r\n\r\n") or not data:
            break
    writer.close()
    return times


def quantile(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def bench_cost(count: int) -> None:
    """Print the cost per call of each API and of the echo."""
    provider = make_provider(SimulatedSettings(), Path.cwd(), seed=1)
    endpoints = await provider.start()
    port = int(endpoints["messages"].base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    child = psutil.Process().children()[-1]
    sock = socket.create_server(("127.0.0.1", 0))
    echo = multiprocessing.get_context("fork").Process(target=echo_server, args=(sock,))
    echo.start()
    assert echo.pid is not None
    request = http_request(PATHS[0], body_of(PATHS[0], TALK))
    bare = await cpu_per_call(psutil.Process(echo.pid), sock.getsockname()[1], request, count)
    print(f"bare aiohttp echo        {bare:.3f} ms CPU per call ({CONNECTIONS} connections)")
    for path in PATHS:
        request = http_request(path, body_of(path, TALK))
        cost = await cpu_per_call(child, port, request, count)
        print(f"{path:<24} {cost:.3f} ms CPU per call, {cost / bare:.2f} x the echo")
    echo.terminate()
    echo.join()
    await provider.close()


async def bench_pace(streams: int, tokens: int, per_token_ms: float) -> None:
    """Print how near `streams` streams at once keep to `per_token_ms`."""
    latency = Latency(first_token_ms=100, per_token_ms=per_token_ms)
    provider = make_provider(SimulatedSettings(latency=latency), Path.cwd(), seed=1)
    endpoints = await provider.start()
    port = int(endpoints["messages"].base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    child = psutil.Process().children()[-1]
    request = http_request(PATHS[0], body_of(PATHS[0], "tok " * tokens, stream=True))
    before = sum(child.cpu_times()[:2])
    began = time.perf_counter()
    seen = await asyncio.gather(*(stream(port, request) for _ in range(streams)))
    took = time.perf_counter() - began
    cpu = (sum(child.cpu_times()[:2]) - before) * 1000 / streams
    declared = per_token_ms / 1000
    off = [abs((t[-1] - t[0]) / (len(t) - 1) / declared - 1) for t in seen]
    gaps = [abs((b - a) / declared - 1) for t in seen for a, b in pairwise(t)]
    late = [(at - t[0] - n * declared) * 1000 for t in seen for n, at in enumerate(t)]
    print(
        f"{streams} streams of {len(seen[0])} tokens, {per_token_ms:g} ms per token declared, "
        f"{sum(map(len, seen)) / took:,.0f} tokens/s, {cpu:.2f} ms CPU per stream"
    )
    for name, values in (("pace of a stream", off), ("single gaps", gaps)):
        print(
            f"  {name:<17} off by p50 {quantile(values, 0.5):.2%}, p99 {quantile(values, 0.99):.2%}"
        )
    print(f"  chunks late by    p50 {quantile(late, 0.5):.2f}, p99 {quantile(late, 0.99):.2f} ms")
    await provider.close()


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=150)
    parser.add_argument("--per-token-ms", type=float, default=25)
    asked = parser.parse_args()
    uvloop.run(bench_cost(asked.requests))
    uvloop.run(bench_pace(asked.streams, asked.tokens, asked.per_token_ms))


if __name__ == "__main__":
    main()
