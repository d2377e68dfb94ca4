"""What one action costs in the ledger in Redis, against bare scripts of the same reads and writes.

    python benchmarks/bench_redis_authority.py [actions] [--check]

An action is reserve + start + commit over a path of four levels, every level limited in three
units. The reference is one script for each of the three, over the same keys and with the same
commands, of the same sizes and in the same order, that decides nothing: it writes what it is given.
Both take turns on one server, through the same client, one call after the other. `server` is the
CPU of the server's process, `client` that of this one. `--check` exits 1 above twice the reference
in p50.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count

import msgspec
import psutil
from redis.asyncio import Redis

from proofrig.authority.redis.engine import RedisEngine
from proofrig.authority.transition import ReserveRequest

HOLD = {"usd_micro": 1000, "tokens": 500, "calls": 1}
ACTUAL = {"usd_micro": 700, "tokens": 400, "calls": 1}
PLENTY = dict.fromkeys(HOLD, 10**15)
PATHS = [f"acme/wf{n % 10}/bot{n % 50}/r{n}" for n in range(1000)]
ROUNDS, GOAL = 5, 2.0

BEGIN = """
local call, given = redis.call, cmsgpack.unpack(ARGV[1])
call('HMGET', KEYS[1], 'epoch', 'seq', 't')
call('TIME')
"""
READ = """
for n = 6, #KEYS do
  call('HMGET', KEYS[n], 'stop', 'entered', 'known', 'windows', 'l usd_micro',
    'u usd_micro', 'r usd_micro', 'l tokens', 'u tokens', 'r tokens', 'l calls', 'u calls',
    'r calls')
end
"""
BOOK = """
for n = 6, #KEYS do
  call('HSET', KEYS[n], 'u usd_micro', given.sum, 'r usd_micro', given.sum, 'u tokens', given.sum,
    'r tokens', given.sum, 'u calls', given.sum, 'r calls', given.sum)
end
"""
WRITE = """
call('HSET', KEYS[1], 'seq', given.seq, 't', given.t)
call('XADD', KEYS[3], 'MAXLEN', '~', 100000, given.seq .. '-0', 'body', given.body)
"""
BARE = {
    "reserve": BEGIN
    + "call('HGET', KEYS[5], 'opened')"
    + READ
    + BOOK
    + WRITE
    + """
call('HSET', KEYS[5], 'state', 'reserved', 'seq', given.seq, 'opened', given.body, 'expires',
  given.t)
call('ZADD', KEYS[2], given.t, given.id)
return {'admitted', given.seq, given.t}
""",
    "start": BEGIN
    + "call('HMGET', KEYS[5], 'state', 'expires', 'seq')"
    + WRITE
    + """
call('HSET', KEYS[5], 'state', 'started', 'last', given.body)
return {'moved', given.seq, given.t, given.t}
""",
    "commit": BEGIN
    + "call('HMGET', KEYS[5], 'state', 'seq', 'expires')"
    + READ
    + BOOK
    + WRITE
    + """
call('HSET', KEYS[5], 'state', 'committed', 'last', given.body, 'expires', given.t)
call('ZADD', KEYS[2], given.t, given.id)
return {'moved', given.seq, given.t}
""",
}
# Of the sizes of what the ledger writes.
BODIES = {
    "reserve": '{"seq":1000000,"t":1795243123028705000,"expires":1795243183028705000,'
    '"event":"reserve","id":"1000000","state":"reserved","scope":"acme/wf0/bot0/r1000",'
    '"name":"llm.chat_completions","amounts":{"usd_micro":1000,"tokens":500,"calls":1}}',
    "start": '{"seq":1000000,"t":1795243123028705000,"event":"start","id":"1000000",'
    '"state":"started","scope":"acme/wf0/bot0/r1000"}',
    "commit": '{"seq":1000000,"t":1795243123028705000,"event":"commit","id":"1000000",'
    '"state":"committed","scope":"acme/wf0/bot0/r1000","amounts":{"usd_micro":700,"tokens":400,'
    '"calls":1},"source":"measured","outcome":"ok"}',
}
Act = Callable[[int], Awaitable[None]]


def levels(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[: n + 1]) for n in range(len(names))]


async def bare(client: Redis) -> Act:
    """An action as bare scripts."""
    pack, numbers = msgspec.msgpack.Encoder().encode, count(1)
    digests = {name: await client.script_load(source) for name, source in BARE.items()}
    own = [f"{{bare}}:{part}" for part in ("ledger", "times", "journal", "scopes")]
    for scope in {scope for path in PATHS for scope in levels(path)}:
        limits = {f"l {unit}": n for unit, n in PLENTY.items()}
        await client.hset(f"{{bare}}:in:{scope}", mapping=limits)

    async def act(n: int) -> None:
        scopes = [f"{{bare}}:in:{scope}" for scope in levels(PATHS[n % 1000])]
        id = f"{{bare}}:id:{n}"
        for name, digest in digests.items():
            given = {"seq": next(numbers), "t": 1795243123028705, "id": str(n), "sum": 10**6}
            keys = [*own, id] if name == "start" else [*own, id, *scopes]
            packed = pack({**given, "body": BODIES[name]})
            await client.execute_command("EVALSHA", digest, len(keys), *keys, packed)

    return act


async def ledger(engine: RedisEngine) -> Act:
    """An action of the ledger."""
    for scope in {scope for path in PATHS for scope in levels(path)}:
        await engine.set_budget(scope, PLENTY)

    async def act(n: int) -> None:
        id = str(n)
        await engine.reserve(ReserveRequest(id, PATHS[n % 1000], "llm.chat_completions", HOLD))
        await engine.start(id)
        await engine.commit(id, ACTUAL, "measured", "ok")

    return act


async def measure(act: Act, actions: int, numbers: count[int], server: psutil.Process) -> list[int]:
    """p50, p99, CPU of the client and of the server, per action, in ns."""
    took = []
    client, before = time.process_time_ns(), sum(server.cpu_times()[:2])
    for _ in range(actions):
        n = next(numbers)
        begun = time.perf_counter_ns()
        await act(n)
        took.append(time.perf_counter_ns() - begun)
    client = time.process_time_ns() - client
    spent = (sum(server.cpu_times()[:2]) - before) * 1e9
    took.sort()
    shown = (took[actions // 2], took[actions * 99 // 100], client // actions)
    return [*shown, int(spent / actions)]


async def run(port: int, pid: int, actions: int) -> float:
    """Prints the figures; the ratio of the p50s."""
    client = Redis(host="127.0.0.1", port=port)
    engine = RedisEngine(f"redis://127.0.0.1:{port}")
    members = {"bare scripts": await bare(client), "ledger in Redis": await ledger(engine)}
    numbers, server = count(), psutil.Process(pid)
    rounds: dict[str, list[list[int]]] = {name: [] for name in members}
    for _ in range(ROUNDS):
        for name, act in members.items():
            rounds[name].append(await measure(act, actions, numbers, server))
    best = {name: [min(f) for f in zip(*found, strict=True)] for name, found in rounds.items()}
    print(f"{'microseconds per action':28}{'p50':>8}{'p99':>8}{'client':>8}{'server':>8}")
    for name, figures in best.items():
        print(f"{name:28}" + "".join(f"{figure / 1e3:8.0f}" for figure in figures))
    reference, own = best.values()
    ratios = [mine / base for mine, base in zip(own, reference, strict=True)]
    print(f"{'ratio':28}" + "".join(f"{ratio:8.2f}" for ratio in ratios))
    await engine.close()
    await client.aclose()
    return ratios[0]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("actions", nargs="?", type=int, default=1_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    program = shutil.which("redis-server")
    if program is None:
        print("redis-server is not installed; nothing measured")
        return 0
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        free.close()
        argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        argv += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            ratio = asyncio.run(run(port, server.pid, options.actions))
        finally:
            server.kill()
            server.wait()
    if options.check and ratio > GOAL:
        print(f"expected at most {GOAL} times the bare scripts, got {ratio:.2f}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
