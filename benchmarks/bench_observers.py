"""What observing costs: `python benchmarks/bench_observers.py [operations]`.

Prints, from one run on this machine, an operation without and with its observer, in microseconds
and as their ratio: a dict, a cache, a lock, a request of httpx, httpx2 and aiohttp (one connection,
kept alive), in CPU time of this process; and commands through the Redis proxy, one by one and in
pipelines, in wall time. Each figure is the best of several interleaved rounds. The servers run in
processes of their own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx
import httpx2
import redis
import uvloop

from proofrig.gateways.gateway import Bindings
from proofrig.gateways.redis import RedisProxy
from proofrig.history.journal import Journal
from proofrig.observers import (
    RecordingTransport,
    observed_cache,
    observed_kv,
    observed_lock,
    recording_trace_config,
)
from proofrig.observers.recorder import Recorder

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 2000
ROUNDS = 5
SERVER = r"""
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
import threading
def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while client.recv(65536):
        client.sendall(answer)
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""
PROXY = "proxy"


def say(name: str, without: float, observed: float) -> None:
    extra = observed - without
    print(f"{name:34}{without:10.1f}{observed:12.1f}{extra:12.1f}{observed / without:10.2f}")


def best(
    *runs: Callable[[], None], count: int, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Microseconds per operation of each, the best of interleaved rounds."""
    found = [float("inf")] * len(runs)
    for _ in range(ROUNDS):
        for place, run in enumerate(runs):
            begun = clock()
            run()
            found[place] = min(found[place], (clock() - begun) / count * 1e6)
    return found


def wrappers(recorder: Recorder) -> None:
    def kv(store: object) -> Callable[[], None]:
        def run() -> None:
            for _ in range(COUNT // 2):
                store["key"] = "a value"  # type: ignore[index]
                store["key"]  # type: ignore[index]

        return run

    def lock(inner: object) -> Callable[[], None]:
        def run() -> None:
            for _ in range(COUNT // 2):
                with inner:  # type: ignore[attr-defined]
                    pass

        return run

    store = observed_kv({}, "memory", recorder=recorder)
    cache = observed_cache({}, "cache", recorder=recorder)
    locked = observed_lock(threading.Lock(), "locks", "k", recorder=recorder)
    say("dict: get or put", *best(kv({}), kv(store), count=COUNT))
    say("cache: get or put", *best(kv({}), kv(cache), count=COUNT))
    say("lock: acquire or release", *best(lock(threading.Lock()), lock(locked), count=COUNT))


async def requests(recorder: Recorder, url: str) -> None:
    count = COUNT // 4

    async def through(get: Callable[[], Awaitable[object]]) -> float:
        begun = time.process_time()
        for _ in range(count):
            await get()
        return (time.process_time() - begun) / count * 1e6

    for library in (httpx, httpx2):
        inner = library.AsyncHTTPTransport()
        async with (
            library.AsyncClient() as plain,
            library.AsyncClient(transport=RecordingTransport(inner, recorder=recorder)) as seen,
        ):
            await plain.get(url), await seen.get(url)
            rounds = [
                (
                    await through(lambda c=plain: c.get(url)),
                    await through(lambda c=seen: c.get(url)),
                )
                for _ in range(ROUNDS)
            ]
        say(f"{library.__name__}: GET", *map(min, zip(*rounds, strict=True)))

    async def fetch(session: aiohttp.ClientSession) -> None:
        async with session.get(url) as response:
            await response.read()

    configs = [recording_trace_config(recorder=recorder)]
    async with (
        aiohttp.ClientSession() as bare,
        aiohttp.ClientSession(trace_configs=configs) as told,
    ):
        rounds = [
            (await through(lambda: fetch(bare)), await through(lambda: fetch(told)))
            for _ in range(ROUNDS)
        ]
    say("aiohttp: GET", *map(min, zip(*rounds, strict=True)))


def commands(direct: int, proxied: int) -> None:
    def single(client: redis.Redis) -> Callable[[], None]:
        def run() -> None:
            for _ in range(COUNT // 2):
                client.set("key", "a value")
                client.get("key")

        return run

    def pipelined(client: redis.Redis) -> Callable[[], None]:
        def run() -> None:
            for _ in range(COUNT // 100):
                pipe = client.pipeline(transaction=False)
                for _ in range(50):
                    pipe.set("key", "a value").get("key")
                pipe.execute()

        return run

    def large(client: redis.Redis) -> Callable[[], None]:
        value = b"x" * 1_000_000

        def run() -> None:
            for _ in range(10):
                client.set("large", value)

        return run

    wall = time.perf_counter
    one, other = redis.Redis(port=direct), redis.Redis(port=proxied)
    say("redis: GET or SET, one by one", *best(single(one), single(other), count=COUNT, clock=wall))
    say(
        "redis: in pipelines of 100",
        *best(pipelined(one), pipelined(other), count=COUNT, clock=wall),
    )
    say("redis: SET of 1 MB", *best(large(one), large(other), count=10, clock=wall))


async def serve_proxy(folder: Path, upstream: str) -> None:
    """The rig's process: prints its port, serves until its input ends."""
    origin = time.monotonic_ns()

    class Rig:
        journal = Journal(folder, "rig", lambda: time.monotonic_ns() - origin)
        bindings = Bindings()

    proxy = RedisProxy(Rig(), upstream, "redis")
    print(await proxy.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await proxy.close()
    Rig.journal.close()


def started(argv: list[str]) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def redis_part(folder: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        print("redis: not measured, redis-server is not installed")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([*argv, "--loglevel", "warning"], stdout=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.02)
        upstream = f"redis://127.0.0.1:{port}/0"
        proxy, through = started([sys.executable, __file__, PROXY, str(folder / "rig"), upstream])
        commands(port, through)
        proxy.communicate()
    finally:
        server.kill()
        server.wait()


def main() -> None:
    if sys.argv[1:2] == [PROXY]:
        uvloop.run(serve_proxy(Path(sys.argv[2]), sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "history").mkdir()
        environ = {
            "PROOFRIG_HISTORY": str(folder / "history"),
            "PROOFRIG_ORIGIN_NS": str(time.monotonic_ns()),
            "PROOFRIG_TRIAL": "bench:0",
        }
        recorder = Recorder(environ)
        print(f"{'us per operation':34}{'without':>10}{'observed':>12}{'extra':>12}{'ratio':>10}")
        wrappers(recorder)
        server, port = started([sys.executable, "-c", SERVER])
        try:
            asyncio.run(requests(recorder, f"http://127.0.0.1:{port}/"))
        finally:
            server.kill()
            server.communicate()
        redis_part(folder)
        size = sum(path.stat().st_size for path in (folder / "history").iterdir())
        print(f"load {os.getloadavg()[0]:.1f}; agents wrote {size / 1e6:.1f} MB of history")


if __name__ == "__main__":
    main()
