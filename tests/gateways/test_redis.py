"""A real Redis server, real redis-py, and the proxy between them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import uvloop

from proofrig.errors import InfraError, UsageError
from redis_server import ALICE, BOB, Proxied, proxied, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
async def rig(tmp_path: Path, server: int) -> AsyncIterator[Proxied]:
    with redis.Redis(port=server) as direct:
        direct.flushall()
    async with proxied(tmp_path, f"redis://127.0.0.1:{server}/0") as made:
        yield made


async def threaded(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_what_a_client_does_is_recorded_as_its_trials(rig: Proxied, protocol: int) -> None:
    async with redis.asyncio.from_url(rig.alice, protocol=protocol) as client:
        assert await client.get("balance") is None
        assert await client.set("balance", "100") is True
        assert await client.get("balance") == b"100"
        assert await client.incrby("hits", 5) == 5
        assert await client.append("log", "ab") == 2
        assert await client.delete("balance") == 1
        assert await client.delete("balance") == 0
        assert await client.mget("hits", "nothing") == [b"5", None]
        assert await client.hset("cart", mapping={"pen": "2"}) == 1
        assert await client.hgetall("cart") == {b"pen": b"2"}
        with pytest.raises(redis.ResponseError, match="not an integer"):
            await client.incr("log")
    assert rig.told("value", "version") == [
        ("kv.get", "balance", "ok", None, 0),
        ("kv.put", "balance", "ok", "100", 1),
        ("kv.get", "balance", "ok", "100", 1),
        ("kv.incr", "hits", "ok", "5", 1),
        ("kv.append", "log", "ok", "ab", 1),
        ("kv.delete", "balance", "ok", None, 2),
        ("kv.delete", "balance", "fail", None, None),
        ("kv.get", "hits", "ok", "5", 1),
        ("kv.get", "nothing", "ok", None, 0),
        ("kv.put", "cart[pen]", "ok", "2", None),
        ("kv.get", "cart", "ok", '{"pen":"2"}', None),
        ("kv.incr", "log", "fail", "1", None),
    ]
    actions = rig.actions()
    assert {(a.trial, a.tenant, a.scope) for a in actions} == {
        (ALICE.trial, ALICE.tenant, ALICE.scope)
    }
    assert {a.attr("service") for a in actions} == {"redis:memory"}
    assert [a.start.t <= a.end.t for a in actions if a.start and a.end] == [True] * 12


@pytest.mark.parametrize("protocol", [2, 3])
async def test_pipelines_and_threads(rig: Proxied, protocol: int) -> None:
    def work(url: str, name: str) -> list[Any]:
        with redis.from_url(url, protocol=protocol) as client:
            pipe = client.pipeline(transaction=False)
            for n in range(50):
                pipe.set(f"{name}:{n}", str(n))
                pipe.get(f"{name}:{n}")
            return list(pipe.execute())

    found = await asyncio.gather(
        threaded(lambda: work(rig.alice, "a")), threaded(lambda: work(rig.bob, "b"))
    )
    expected = [value for n in range(50) for value in (True, str(n).encode())]
    assert found == [expected, expected]
    actions = rig.actions()
    for trial, name in ((ALICE.trial, "a"), (BOB.trial, "b")):
        mine = [a for a in actions if a.trial == trial]
        assert [a.attr("key") for a in mine] == [f"{name}:{n}" for n in range(50) for _ in "12"]
        assert [a.attr("value") for a in mine] == [str(n) for n in range(50) for _ in "12"]
        assert {a.outcome for a in mine} == {"ok"}


async def test_a_transaction_under_watch_is_a_compare_and_set(rig: Proxied) -> None:
    async with (
        redis.asyncio.from_url(rig.alice) as alice,
        redis.asyncio.from_url(rig.bob) as bob,
    ):
        await alice.set("seats", "2")
        async with alice.pipeline() as pipe:
            await pipe.watch("seats")
            assert await pipe.get("seats") == b"2"
            pipe.multi()
            pipe.set("seats", "1")
            assert await pipe.execute() == [True]
        async with alice.pipeline() as pipe:
            await pipe.watch("seats")
            await pipe.get("seats")
            await bob.set("seats", "0")
            pipe.multi()
            pipe.set("seats", "0 left")
            with pytest.raises(redis.WatchError):
                await pipe.execute()
        async with alice.pipeline() as pipe:  # without WATCH
            pipe.set("a", "1").incr("n")
            assert await pipe.execute() == [True, 1]
    assert rig.told("value", "expected", "version") == [
        ("kv.put", "seats", "ok", "2", None, 1),
        ("kv.get", "seats", "ok", "2", None, 1),
        ("kv.cas", "seats", "ok", "1", 1, 2),
        ("kv.get", "seats", "ok", "1", None, 2),
        ("kv.put", "seats", "ok", "0", None, 3),
        ("kv.cas", "seats", "fail", "0 left", 2, None),
        ("kv.put", "a", "ok", "1", None, 1),
        ("kv.incr", "n", "ok", "1", None, 1),
    ]


async def test_a_transaction_that_is_given_up_or_refused(rig: Proxied) -> None:
    async with redis.asyncio.from_url(rig.alice, single_connection_client=True) as client:
        for command in (["MULTI"], ["SET", "k", "1"], ["DISCARD"]):
            await client.execute_command(*command)
        await client.execute_command("MULTI")
        await client.execute_command("SET", "k", "2")
        with pytest.raises(redis.ResponseError):
            await client.execute_command("NO-SUCH-COMMAND")
        with pytest.raises(redis.exceptions.ExecAbortError):
            await client.execute_command("EXEC")
        assert await client.get("k") is None
    assert rig.told() == [("kv.put", "k", "fail"), ("kv.get", "k", "ok")]


async def test_locks_of_redis_py(rig: Proxied, server: int) -> None:
    async with (
        redis.asyncio.from_url(rig.alice) as alice,
        redis.asyncio.from_url(rig.bob) as bob,
    ):
        mine = alice.lock("lock:1", timeout=5)
        await mine.acquire()
        assert await bob.lock("lock:1", timeout=5, blocking=False).acquire() is False
        waiting = asyncio.create_task(bob.lock("lock:1", timeout=5, sleep=0.01).acquire())
        await asyncio.sleep(0.05)
        await mine.extend(5)
        await mine.release()
        assert await waiting is True
        await bob.delete("lock:1")  # by the holder
        forever = alice.lock("lock:2")
        await forever.acquire()
        async with redis.asyncio.Redis(port=server) as direct:
            await direct.delete("lock:2")
        with pytest.raises(redis.exceptions.LockNotOwnedError):
            await forever.release()
    told = [
        (a.trial, *one)
        for a, one in zip(rig.actions(), rig.told("ttl_ns", "holder", "expired"), strict=True)
        if not a.attr("error", "").startswith("NOSCRIPT")  # the client then loads its script
    ]
    a, b = ALICE.trial, BOB.trial
    waited = [one for one in told if one[:4] == (b, "lock.acquire", "lock:1", "fail")]
    assert len(waited) >= 3 and {one[5] for one in waited} == {a}
    assert [one for one in told if one not in waited] == [
        (a, "lock.acquire", "lock:1", "ok", 5_000_000_000, None, None),
        (a, "lock.renew", "lock:1", "ok", None, None, None),
        (a, "lock.release", "lock:1", "ok", None, None, None),
        (b, "lock.acquire", "lock:1", "ok", 5_000_000_000, None, None),
        (b, "lock.release", "lock:1", "ok", None, None, None),
        (a, "lock.acquire", "lock:2", "ok", None, None, None),
        (a, "lock.release", "lock:2", "fail", None, None, True),
    ]
    got = next(x for x in rig.actions() if x.trial == b and x.outcome == "ok")
    assert got.attr("waited_ns") > 30_000_000


@pytest.mark.parametrize("protocol", [2, 3])
async def test_publish_and_subscribe(rig: Proxied, protocol: int) -> None:
    async with redis.asyncio.from_url(rig.alice, protocol=protocol) as client:
        async with client.pubsub() as listening:
            await listening.subscribe("news", "weather")
            await listening.psubscribe("n*")
            heard: list[Any] = []
            while len(heard) < 3:
                heard.append(await listening.get_message(timeout=5))
            assert await client.publish("news", "hello") == 2
            messages = [await listening.get_message(timeout=5) for _ in range(2)]
            await listening.ping()
            await listening.unsubscribe()
            await listening.punsubscribe()
            ended = [await listening.get_message(timeout=5) for _ in range(4)]
        assert [m["type"] for m in heard] == ["subscribe", "subscribe", "psubscribe"]
        assert [m["type"] for m in messages] == ["message", "pmessage"]
        assert [m["type"] for m in ended if m] == [
            "pong",
            "unsubscribe",
            "unsubscribe",
            "punsubscribe",
        ]
        await client.set("after", "1")
        assert await client.get("after") == b"1"
    assert rig.told("value") == [("kv.put", "after", "ok", "1"), ("kv.get", "after", "ok", "1")]


async def test_blocking_commands_hold_nobody_up(rig: Proxied) -> None:
    async with (
        redis.asyncio.from_url(rig.alice) as alice,
        redis.asyncio.from_url(rig.bob) as bob,
    ):
        popping = asyncio.create_task(alice.blpop(["jobs"], timeout=5))
        await asyncio.sleep(0.02)
        assert not popping.done()
        await bob.rpush("jobs", "first")
        assert list(await popping) == [b"jobs", b"first"]
    assert rig.told("value") == [("kv.append", "jobs", "ok", "first")]


async def test_a_large_value_passes_whole(rig: Proxied) -> None:
    value = bytes(range(256)) * 40_960  # 10 MiB
    text = "word " * 2_000_000

    def work() -> None:
        with redis.from_url(rig.alice) as client:
            client.set("bytes", value)
            assert client.get("bytes") == value
            client.set("text", text)
            assert client.get("text") == text.encode()

    await threaded(work)
    actions = rig.actions()
    marks = [a.attr("value") for a in actions]
    assert marks[0] == marks[1] and marks[2] == marks[3] != marks[0]
    assert [mark[:7] for mark in marks] == ["blake2:"] * 4
    assert [len(a.attr("text", "")) for a in actions] == [0, 0, 16384, 16384]


async def test_bytes_are_the_servers_own(rig: Proxied, server: int) -> None:
    """The same stream of commands, cut anywhere, gets the same bytes with and without."""
    said = (
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n"
        b"PING\r\n"
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
        b"*2\r\n$5\r\nHELLO\r\n$1\r\n9\r\n"
        b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nEXEC\r\n"
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n1\r\n*1\r\n$4\r\nQUIT\r\n"
    )

    async def answers(port: int, step: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for at in range(0, len(said), step):
            writer.write(said[at : at + step])
            await asyncio.sleep(0)
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
        return found

    for step in (1, 7, 1000):
        with redis.Redis(port=server) as direct:
            direct.flushall()
        expected = await answers(server, 1000)
        with redis.Redis(port=server) as direct:
            direct.flushall()
        assert await answers(rig.proxy.port, step) == expected
    assert rig.told("value")[:3] == [
        ("kv.put", "k", "ok", "\r\n"),
        ("kv.get", "k", "ok", "\r\n"),
        ("kv.incr", "n", "ok", "1"),
    ]


async def test_a_trial_named_in_the_stream(rig: Proxied) -> None:
    """One connection, many trials; what names them gets no answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)

    async def said(*commands: bytes) -> bytes:
        writer.write(b"".join(command + b"\r\n" for command in commands))
        return await asyncio.wait_for(reader.readuntil(b"+PONG\r\n"), 5)

    name = b"PROOFRIG.TRIAL "
    alice, bob = ALICE.token.encode(), BOB.token.encode()
    assert await said(b"SET k 0", b"PING") == b"+OK\r\n+PONG\r\n"
    assert await said(name + alice, b"SET k 1", name + bob, b"SET k 2", b"PING") == (
        b"+OK\r\n+OK\r\n+PONG\r\n"
    )
    assert await said(b"SET k 3", b"AUTH " + alice, b"SET k 4", b"PING") == (
        b"+OK\r\n+OK\r\n+OK\r\n+PONG\r\n"
    )
    assert await said(b"CLIENT SETNAME proofrig:" + bob, b"CLIENT GETNAME", b"PING") == (
        b"+OK\r\n$-1\r\n+PONG\r\n"
    )
    assert await said(b"SET k 5", name + b"unknown", b"SET k 6", b"PING") == (
        b"+OK\r\n+OK\r\n+PONG\r\n"
    )
    writer.close()
    await writer.wait_closed()
    a, b = ALICE.trial, BOB.trial
    assert [(x.trial, x.attr("value")) for x in rig.actions()] == [
        ("", "0"),
        (a, "1"),
        (b, "2"),
        (b, "3"),
        (a, "4"),
        (b, "5"),
        ("", "6"),
    ]


async def test_a_password_of_the_users_own_is_the_servers_business(
    tmp_path: Path,
) -> None:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis", "--requirepass", "their-own") as port:
        async with proxied(tmp_path, f"redis://:their-own@127.0.0.1:{port}/3") as rig:
            async with redis.asyncio.from_url(rig.alice.removesuffix("/0")) as client:
                await client.set("k", "1")
            async with redis.asyncio.from_url(rig.url.removesuffix("/0"), password="wrong") as no:
                with pytest.raises(redis.AuthenticationError):
                    await no.get("k")
            assert rig.told("value")[0] == ("kv.put", "3/k", "ok", "1")
        async with redis.asyncio.Redis(port=port, password="their-own", db=3) as direct:
            assert await direct.get("k") == b"1"


async def test_a_connection_lost_on_the_way_leaves_unknown(rig: Proxied) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.transport.abort()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with proxied(rig.folder / "other", f"redis://127.0.0.1:{port}") as lost:
        with socket.create_connection(("127.0.0.1", lost.proxy.port)) as client:
            client.sendall(b"SET k v\r\nGET k\r\nMULTI\r\nSET q 1\r\n")
            assert await asyncio.to_thread(client.recv, 100) == b""
        assert lost.told("error") == [
            ("kv.put", "k", "unknown", "the connection was lost"),
            ("kv.get", "k", "unknown", "the connection was lost"),
        ]
    silent.close()
    await silent.wait_closed()


async def test_what_cannot_be_read_on_passes_blind(rig: Proxied) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
    writer.write(b"CLIENT REPLY SKIP\r\nSET k 1\r\nSET k 2\r\nGET k\r\n")
    assert await asyncio.wait_for(reader.readexactly(12), 5) == b"+OK\r\n$1\r\n2\r\n"
    writer.close()
    await writer.wait_closed()
    assert [(e.name, e.attrs["why"]) for e in rig.entries()] == [("blind", "CLIENT was sent")]


async def test_versions_are_left_out_where_the_order_is_open(rig: Proxied) -> None:
    async with (
        redis.asyncio.from_url(rig.alice) as alice,
        redis.asyncio.from_url(rig.bob) as bob,
    ):
        await asyncio.gather(alice.ping(), bob.ping())
        await asyncio.gather(alice.set("k", "a"), bob.set("k", "b"))
        await alice.set("k", "c")
        await alice.setrange("k", 0, "x")
        await alice.get("k")
    found = rig.told("version")
    assert {one[3] for one in found[:2]} <= {None, 1, 2}
    assert found[2:] == [("kv.put", "k", "ok", 3), ("kv.get", "k", "ok", None)]


async def test_many_connections_at_once(rig: Proxied) -> None:
    """Each speaks before the proxy has its own connection to the server."""

    async def one(n: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.proxy.port)
        writer.write(b"*2\r\n$4\r\nECHO\r\n$4\r\n%04d\r\n" % n)
        found = await asyncio.wait_for(reader.readexactly(10), 10)
        writer.close()
        await writer.wait_closed()
        return found[4:8]

    assert await asyncio.gather(*map(one, range(300))) == [b"%04d" % n for n in range(300)]


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"expected a Redis server at 127\.0\.0\.1:1 for redis:m"):
        async with proxied(tmp_path, "redis://127.0.0.1:1"):
            pass
    with pytest.raises(UsageError, match="expected a Redis URL like redis://localhost:6379/0"):
        async with proxied(tmp_path, "http://127.0.0.1:1"):
            pass


@pytest.mark.parametrize(
    "scenario",
    [
        lambda rig: test_what_a_client_does_is_recorded_as_its_trials(rig, 3),
        lambda rig: test_pipelines_and_threads(rig, 2),
        test_a_transaction_under_watch_is_a_compare_and_set,
        lambda rig: test_publish_and_subscribe(rig, 2),
        test_blocking_commands_hold_nobody_up,
        test_a_large_value_passes_whole,
        test_a_trial_named_in_the_stream,
        test_a_connection_lost_on_the_way_leaves_unknown,
        test_many_connections_at_once,
    ],
)
def test_on_the_rigs_own_loop(
    tmp_path: Path, server: int, scenario: Callable[[Proxied], Coroutine[Any, Any, None]]
) -> None:
    """The same under uvloop, whose transports behave differently."""

    async def run() -> None:
        async with proxied(tmp_path, f"redis://127.0.0.1:{server}/0") as rig:
            await scenario(rig)

    with redis.Redis(port=server) as direct:
        direct.flushall()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
