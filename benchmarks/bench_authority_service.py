"""Latency and CPU of the authority's HTTP service, beside a bare aiohttp echo in the same rounds.

    python benchmarks/bench_authority_service.py [--rounds 5] [--actions 1000] [--check]

The service (`proofrig authority serve` with a journal in SQLite, with keys and with limits on all
four levels) and the echo (reads a body and answers as many bytes) run in a process of their own, on
core 0. One blocking connection from core 1 makes one call after another, so latency is the whole
round trip. Figures are of the best round; CPU is that of the server's process per call.

`--check` exits 1 when the median of a reserve is above 1 ms and more than three times the echo's:
on a machine with busy neighbours the echo is slow too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import uvloop
from aiohttp import web

GOAL_MS, RATIO = 1.0, 3.0
KEY = "bench-key-0123456789"
HOLD = {"usd_micro": 1000, "tokens": 500, "calls": 1, "calls:llm": 1}
ACTUAL = {"usd_micro": 700, "tokens": 400}
PLENTY = {"tokens": 10**15, "usd_micro": 10**15}
ANSWER = b'{"decision":"allow","id":"r1-123"}'
LINE = "{:<28}{:>10}{:>10}{:>14}"


class Connection:
    """One blocking connection that makes prebuilt calls."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, request: bytes) -> float:
        """Milliseconds until the whole answer is there. Raises SystemExit when it is no success."""
        begun = time.perf_counter()
        self._socket.sendall(request)
        data = self._socket.recv(65536)
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        took = (time.perf_counter() - begun) * 1e3
        if not head.startswith(b"HTTP/1.1 20"):
            raise SystemExit((head + body).decode())
        return took


def request(path: str, body: object, method: str = "POST") -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} /v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return (head + kind).encode() + data


def scope(n: int) -> str:
    return f"acme/wf{n % 10}/bot{n % 50}/r{n % 1000}"


def reserve(id: str, n: int) -> bytes:
    body = {"id": id, "scope": scope(n), "name": "llm.chat_completions", "amounts": HOLD}
    return request("/reservations", body)


async def echo() -> None:
    """A bare server: reads a body, answers JSON of as many bytes as a reserve gets."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=ANSWER, content_type="application/json")

    app = web.Application()
    app.router.add_route("POST", "/v1/reservations", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1"}), flush=True)
    await asyncio.Event().wait()


@contextmanager
def server(*argv: str) -> Iterator[tuple[int, psutil.Process]]:
    """Runs a server that prints its URL; gives its port and its process."""
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        port = int(json.loads(child.stdout.readline())["url"].split(":")[2].split("/")[0])
        pin(child.pid, 0)
        yield port, psutil.Process(child.pid)
    finally:
        child.terminate()
        child.communicate()


def pin(pid: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core % (os.cpu_count() or 1)})


def measure(
    connection: Connection, process: psutil.Process, groups: list[list[bytes]]
) -> tuple[float, float, float]:
    """p50 and p99 of a group of calls in ms, and the server's CPU per group in ms."""
    before = sum(process.cpu_times()[:2])
    took = sorted(sum(map(connection.call, group)) for group in groups)
    cpu = (sum(process.cpu_times()[:2]) - before) * 1e3 / len(groups)
    return took[len(took) // 2], took[len(took) * 99 // 100], cpu


def bench(rounds: int, actions: int) -> dict[str, list[tuple[float, float, float]]]:
    found: dict[str, list[tuple[float, float, float]]] = {}
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        (folder / "keys.json").write_text(json.dumps({KEY: "*"}))
        words = ["--json", "--journal", str(folder / "j"), "--keys", str(folder / "keys.json")]
        program = [sys.executable, "-m", "proofrig", "authority", "serve", *words]
        port, service = closing.enter_context(server(*program))
        bare_port, bare = closing.enter_context(server(sys.executable, __file__, "--echo"))
        pin(0, 1)
        calls, echoes = Connection(port), Connection(bare_port)
        for n in range(1000):
            for depth in range(1, 5):
                path = "/".join(scope(n).split("/")[:depth])
                if n < 50 or depth == 4:
                    calls.call(request(f"/budgets/{path}", {"amounts": PLENTY}, "PUT"))
        for round in range(rounds):
            ids = [f"r{round}-{n}" for n in range(actions)]
            plain = [[reserve(id, n)] for n, id in enumerate(ids)]
            whole = [
                [
                    reserve(f"w{id}", n),
                    request(f"/reservations/w{id}/start", None),
                    request(f"/reservations/w{id}/commit", {"actual": ACTUAL}),
                ]
                for n, id in enumerate(ids)
            ]
            for name, connection, process, groups in (
                ("bare aiohttp echo", echoes, bare, plain),
                ("reserve", calls, service, plain),
                ("reserve + start + commit", calls, service, whole),
            ):
                found.setdefault(name, []).append(measure(connection, process, groups))
    return found


def report(found: dict[str, list[tuple[float, float, float]]]) -> bool:
    """Print the figures; True when the goal was met."""
    print(LINE.format("ms, best round", "p50", "p99", "server CPU"))
    best = {name: [min(row) for row in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, figures in best.items():
        print(LINE.format(name, *(f"{figure:.3f}" for figure in figures)))
    p50, bare = best["reserve"][0], best["bare aiohttp echo"][0]
    met = p50 <= max(GOAL_MS, RATIO * bare)
    told = f"{p50:.3f} ms, {p50 / bare:.1f}x the echo: {'met' if met else 'MISSED'}"
    print(f"goal: p50 of a reserve <= {GOAL_MS:g} ms: {told}")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--actions", type=int, default=1000)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        uvloop.run(echo())
    met = report(bench(options.rounds, options.actions))
    raise SystemExit(0 if met or not options.check else 1)


if __name__ == "__main__":
    main()
