"""The way to a ledger in Redis: connections that break, servers that forget, keys and journal."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis

from authority_engines import RUN, ask, opened
from proofrig.authority.budget import Balance
from proofrig.authority.redis.engine import RedisEngine
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import JournalError, LedgerError, UsageError
from redis_server import redis_server

SCRIPTS = Path(__file__).parents[3] / "src" / "proofrig" / "authority" / "redis" / "scripts"


@dataclass
class Proxy:
    """A way to the server that can lose answers. swallow: how many answers to scripts to lose,
    each with its connection."""

    port: int
    swallow: int = 0
    at: int = 0
    running: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while asked := await reader.read(1 << 16):
                back.write(asked)
                answer = await there.read(1 << 16)
                if b"EVAL" in asked and self.swallow:
                    self.swallow -= 1
                    break
                writer.write(answer)
        except OSError:
            pass
        finally:
            writer.close()
            back.close()


@pytest.fixture
async def proxy(redis_port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(redis_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.at = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()


async def test_a_lost_answer_is_not_definite_and_the_same_call_gets_it_again(
    url: str, engine: RedisEngine, proxy: Proxy
) -> None:
    await engine.set_budget("acme", {"tokens": 100})
    async with opened(RedisEngine(f"redis://127.0.0.1:{proxy.at}/0")) as far:
        await far.balances("acme")
        for id, tokens, allowed in (("a", 60, True), ("b", 60, False)):
            proxy.swallow = 2  # the client sends it a second time by itself
            with pytest.raises(JournalError, match="the same call again") as lost:
                await far.reserve(ask(id, tokens=tokens))
            assert not lost.value.definite
            assert (await far.reserve(ask(id, tokens=tokens))).allowed is allowed
        for call in (
            lambda: far.start("a"),
            lambda: far.commit("a", {"tokens": 7}, "measured", "ok"),
        ):
            proxy.swallow = 2
            with pytest.raises(JournalError):
                await call()
            await call()
    assert (await engine.balances("acme"))["tokens"] == Balance(100, 0, 7)
    assert [made.event for made in await engine.journal()] == [
        *("budget", "reserve", "deny", "start", "commit")
    ]


async def test_a_server_that_is_not_there_is_named() -> None:
    async with opened(RedisEngine("redis://:secret@127.0.0.1:1/0")) as engine:
        with pytest.raises(JournalError, match=r"127\.0\.0\.1:1, ledger proofrig") as failed:
            await engine.reserve(ask("a", tokens=1))
        assert not failed.value.definite
        assert "secret" not in str(failed.value)


async def test_a_server_that_cannot_write_books_nothing(url: str, engine: RedisEngine) -> None:
    await engine.set_budget("acme", {"tokens": 100})
    async with Redis.from_url(url) as client:
        await client.config_set("maxmemory", "1")
        try:
            with pytest.raises(JournalError, match="nothing was booked") as failed:
                await engine.reserve(ask("a", tokens=1))
            assert failed.value.definite
        finally:
            await client.config_set("maxmemory", "0")
    assert (await engine.reserve(ask("a", tokens=1))).allowed


async def test_scripts_that_the_server_forgot_are_sent_again(url: str, engine: RedisEngine) -> None:
    async with Redis.from_url(url) as client:
        for n in range(3):
            await client.script_flush()
            assert (await engine.reserve(ask(f"{n}", tokens=1))).allowed
            await client.script_flush()
            await engine.start(f"{n}")


async def test_a_ledger_that_is_gone_is_never_taken_for_a_new_one(
    url: str, engine: RedisEngine
) -> None:
    await engine.set_budget("acme", {"tokens": 1})
    assert (await engine.reserve(ask("a", tokens=1))).allowed
    async with Redis.from_url(url) as client:
        await client.flushall()
    async with opened(RedisEngine(url)) as fresh:
        for ledger in ("gone", "begun anew by another"):
            for call in (
                engine.reserve(ask("b", tokens=1)),
                engine.start("a"),
                engine.commit("a", {}, "measured", "ok"),
                engine.balances("acme"),
            ):
                with pytest.raises(JournalError, match="appendonly") as lost:
                    await call
                assert lost.value.definite, ledger
            with pytest.raises(LedgerError, match="was lost with the server's data"):
                await fresh.start("a")
            assert (await fresh.reserve(ask("c", tokens=5))).allowed


async def test_it_works_on_a_node_of_a_cluster(tmp_path: Path) -> None:
    """The server refuses a script whose keys lie in two slots."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bus = str(free.getsockname()[1])
    with redis_server(tmp_path, "--cluster-enabled", "yes", "--cluster-port", bus) as port:
        url = f"redis://127.0.0.1:{port}/0"
        async with Redis.from_url(url) as client:
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            for _ in range(100):
                if b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO"):
                    break
                await asyncio.sleep(0.05)
            slot = await client.execute_command("CLUSTER", "KEYSLOT", "{proofrig}")
            async with opened(RedisEngine(url)) as engine:
                await engine.set_budget("acme", {"tokens": 10, "calls/minute": 5})
                request = ReserveRequest("a", RUN, "tool.x", {"tokens": 3}, also=("@s/x",))
                assert (await engine.reserve(request)).allowed
                await engine.start("a")
                await engine.commit("a", {"tokens": 2}, "measured", "ok")
                assert (await engine.balances("@s"))["tokens"] == Balance(None, 0, 2)
            for key in await client.keys():
                assert await client.execute_command("CLUSTER", "KEYSLOT", key) == slot


def test_scripts_touch_nothing_but_their_keys() -> None:
    calls = 0
    for path in SCRIPTS.glob("*.lua"):
        named = set(re.findall(r"local (own)[, ].*= KEYS\[", path.read_text()))
        for command, key in re.findall(r"\bcall\('(\w+)'(?:, ([\w.\[\] +]+))?", path.read_text()):
            calls += 1
            key = key.strip()
            assert (
                command == "TIME"
                or key in {"LEDGER", "TIMES", "JOURNAL", "SCOPES", "ID"} | named
                or key.startswith("KEYS[")
            ), f"{path.name}: {command} {key}"
    assert calls > 30


async def test_the_journal_can_be_capped_or_left_out(url: str) -> None:
    async with opened(RedisEngine(url, name="none", keep=0)) as engine:
        await engine.reserve(ask("a", tokens=1))
        assert await engine.journal() == []
    async with opened(RedisEngine(url, name="short", keep=100)) as engine:
        for n in range(301):
            await engine.event(ask(f"{n}", tokens=1), "measured", "ok")
        kept = await engine.journal()
        assert 100 <= len(kept) < 301
        assert [made.seq for made in kept] == list(range(302 - len(kept), 302))
        assert [made.seq for made in await engine.journal(299, 1)] == [300]


async def test_ledgers_of_two_names_know_nothing_of_each_other(url: str) -> None:
    async with opened(RedisEngine(url, name="a")) as a, opened(RedisEngine(url, name="b")) as b:
        await a.set_budget("acme", {"tokens": 1})
        assert (await b.reserve(ask("x", tokens=9))).allowed
        assert not (await a.reserve(ask("x", tokens=9))).allowed
        assert await a.scopes() == ("acme",)
        assert await b.scopes() == ("acme", "acme/wf", "acme/wf/bot", RUN)
    with pytest.raises(UsageError, match="letters"):
        RedisEngine(url, name="a}b")
