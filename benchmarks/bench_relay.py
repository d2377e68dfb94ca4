"""What the relay between a box and the rig costs, beside a direct connection in the same rounds.

    python benchmarks/bench_relay.py [--rounds 5] [--check]

A server and the relay (on uvloop, as the runner has it) run in a process each; the client speaks
to the server directly, then through the relay. `up` and `down` are MB/s of 200 MB on one
connection; `kept` is the median time of a request and its answer of 200 bytes on one connection,
`fresh` that of a new connection each. Printed are the best of the rounds, the ratio to the direct
connection (median of the rounds), and the relay's CPU milliseconds per MB and per request.

`--check` exits 1 when the relay misses its goals: 200 MB/s in both directions, 0.3 ms more for a
request on a kept connection and 1 ms more on a fresh one.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import psutil
import uvloop

from proofrig.sandboxes.relay import Relay

MEGABYTE = 1 << 20
AMOUNT, REQUESTS, SIZE = 200, 1000, 200  # megabytes, requests, bytes of a request
UP, DOWN, ASK = b"u", b"d", b"a"
GOALS = {"up": 200.0, "down": 200.0, "kept": 0.3, "fresh": 1.0}


def serve(pipe: Connection) -> None:
    """Take, give, or answer, as the first byte of a connection says."""
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    block = bytes(MEGABYTE)
    while True:
        with listener.accept()[0] as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            what = client.recv(1)
            if what == UP:
                while client.recv(MEGABYTE):
                    pass
                client.sendall(b".")
            elif what == DOWN:
                for _ in range(AMOUNT):
                    client.sendall(block)
            else:
                while data := client.recv(SIZE):
                    client.sendall(data)


def relay(pipe: Connection, port: int) -> None:
    async def carry() -> None:
        made = Relay(None, lambda: None)
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        made.serve(listener, port)
        pipe.send(listener.getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(carry())


def connected(port: int, what: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(what)
    return client


def up(port: int) -> float:
    block = bytes(MEGABYTE)
    with connected(port, UP) as client:
        began = time.perf_counter()
        for _ in range(AMOUNT):
            client.sendall(block)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
        return AMOUNT / (time.perf_counter() - began)


def down(port: int) -> float:
    with connected(port, DOWN) as client:
        began, left = time.perf_counter(), AMOUNT * MEGABYTE
        while left:
            left -= len(client.recv(MEGABYTE))
        return AMOUNT / (time.perf_counter() - began)


def answered(client: socket.socket) -> None:
    client.sendall(bytes(SIZE))
    left = SIZE
    while left:
        left -= len(client.recv(left))


def kept(port: int) -> float:
    took = []
    with connected(port, ASK) as client:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            answered(client)
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def fresh(port: int) -> float:
    took = []
    for _ in range(REQUESTS // 4):
        began = time.perf_counter()
        with connected(port, ASK) as client:
            answered(client)
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


MEASURES: dict[str, tuple[Callable[[int], float], str, int]] = {
    "up": (up, "MB/s", AMOUNT),
    "down": (down, "MB/s", AMOUNT),
    "kept": (kept, "ms", REQUESTS),
    "fresh": (fresh, "ms", REQUESTS // 4),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    direct = ours.recv()
    carrier = context.Process(target=relay, args=(theirs, direct), daemon=True)
    carrier.start()
    relayed = ours.recv()
    process = psutil.Process(carrier.pid)
    missed = []
    print(f"{'':8}{'direct':>14}{'relay':>14}{'ratio':>8}{'relay CPU':>22}")
    for name, (measure, unit, count) in MEASURES.items():
        rounds = []
        before = process.cpu_times()
        for _ in range(options.rounds):
            rounds.append((measure(direct), measure(relayed)))
        after = process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        fast = max if unit == "MB/s" else min
        plain, through = (fast(each) for each in zip(*rounds, strict=True))
        ratio = statistics.median(b / a for a, b in rounds)
        each = spent * 1000 / count / options.rounds
        per = f"{each:.2f} ms per {'MB' if unit == 'MB/s' else 'request'}"
        print(f"{name:8}{plain:9.2f} {unit:4}{through:9.2f} {unit:4}{ratio:8.2f}{per:>22}")
        met = through >= GOALS[name] if fast is max else through - plain <= GOALS[name]
        missed += [] if met else [name]
    carrier.terminate()
    server.terminate()
    if options.check and missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
