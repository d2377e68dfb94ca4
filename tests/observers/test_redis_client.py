"""One pool of redis-py, many trials: each command is its own trial's."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from proofrig.agents.hosting import HOST
from proofrig.observers.redis_client import _named
from redis_server import ALICE, BOB, proxied, redis_server

AGENT = """
import asyncio, importlib.util, os, sys, threading
def neighbour(name):
    spec = importlib.util.spec_from_file_location("_proofrig_" + name, f"{HOST}/{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
identity = neighbour("identity"); identity.install()
neighbour("observing").install()
import redis, redis.asyncio

url, other, protocol = sys.argv[1], sys.argv[2], int(sys.argv[3])
TRIALS = [("ALICE", "case:0"), ("BOB", "case:1")]
plain = redis.Redis.from_url(url, protocol=protocol, max_connections=2)
plain.set("nobody", "0")

def work(mine):
    identity.IDENTITY.set(mine)
    for n in range(20):
        assert plain.incr(mine[1]) == n + 1
    with plain.pipeline() as pipe:
        pipe.set("p:" + mine[1], "1").get("p:" + mine[1])
        assert pipe.execute() == [True, b"1"]

async def task(client, mine):
    identity.IDENTITY.set(mine)
    for n in range(20):
        assert await client.incr("a:" + mine[1]) == n + 1

async def main():
    client = redis.asyncio.Redis(
        connection_pool=redis.asyncio.BlockingConnectionPool.from_url(
            url, protocol=protocol, max_connections=1))
    await asyncio.gather(*[task(client, mine) for mine in TRIALS])
    await client.connection_pool.disconnect()
    await asyncio.gather(*[task2(client, mine) for mine in TRIALS])
    await client.aclose()

async def task2(client, mine):
    identity.IDENTITY.set(mine)
    await client.set("again:" + mine[1], "1")

threads = [threading.Thread(target=work, args=(mine,)) for mine in TRIALS]
[t.start() for t in threads]; [t.join() for t in threads]
asyncio.run(main())
with redis.Redis.from_url(other) as direct:
    identity.IDENTITY.set(TRIALS[0])
    assert direct.get("nobody") == b"0"  # a server that is not the rig's gets nothing extra
plain.close()
"""


async def test_trials_share_a_pool_and_are_told_apart(tmp_path: Path) -> None:
    program = AGENT.replace("{HOST}", str(HOST.parent))
    program = program.replace("ALICE", ALICE.token).replace("BOB", BOB.token)
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as port:
        for protocol in "23":
            direct = f"redis://127.0.0.1:{port}/0"
            async with proxied(tmp_path / protocol, direct) as rig:
                env = {**os.environ, "PROOFRIG_REDIS_MEMORY_URL": rig.url}
                argv = ["-c", program, rig.url, direct, protocol]
                process = await asyncio.create_subprocess_exec(sys.executable, *argv, env=env)
                assert await process.wait() == 0
                actions = rig.actions()
            async with proxied(tmp_path / f"flush-{protocol}", direct) as rig:
                reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
                writer.write(b"FLUSHALL\r\n")
                assert await reader.readline() == b"+OK\r\n"
                writer.close()
                await writer.wait_closed()
            assert {a.outcome for a in actions} == {"ok"}
            for trial in ("case:0", "case:1"):
                keys = [a.attr("key") for a in actions if a.trial == trial]
                assert sorted(keys) == sorted(
                    [trial] * 20 + [f"p:{trial}"] * 2 + [f"a:{trial}"] * 20 + [f"again:{trial}"]
                )
            assert [a.attr("key") for a in actions if not a.trial] == ["nobody"]


def test_a_socket_is_told_when_the_trial_changes_and_no_more_often() -> None:
    class Connection:
        pass

    connection, socket = Connection(), object()
    assert _named(connection, b"GET", socket, "") == b"GET"
    assert _named(connection, "GET", None, "t1") == [
        b"*2\r\n$14\r\nPROOFRIG.TRIAL\r\n$2\r\nt1\r\n",
        b"GET",
    ]
    connection._proofrig_told = (socket, "t1")  # type: ignore[attr-defined]
    assert _named(connection, [b"A", b"B"], socket, "t1") == [b"A", b"B"]
    assert _named(connection, [b"A", b"B"], socket, "") == [
        b"*2\r\n$14\r\nPROOFRIG.TRIAL\r\n$0\r\n\r\n",
        b"A",
        b"B",
    ]
    assert len(_named(connection, [b"A"], object(), "t1")) == 2
