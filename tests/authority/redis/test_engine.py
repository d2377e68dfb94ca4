"""The ledger in Redis: what is its own, beside the semantics that all engines are held to."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from authority_engines import RUN, Driver, InMemory, InRedis, Journalled, ask, opened
from authority_race import commit_many, reserve_many
from proofrig.authority.budget import MAX_AMOUNT, Balance
from proofrig.authority.decision import Decision
from proofrig.authority.engine import Engine
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.redis.engine import RedisEngine
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import IdempotencyError, LedgerError, UsageError

TESTS = Path(__file__).parents[2]
SECOND = 1_000_000_000


# ---- the race


LIMIT, HELD, SPENT = 20_500, Balance(20_500, 20_000, 0), Balance(20_500, 0, 14_000)


@pytest.mark.parametrize("kind", [InMemory, Journalled, InRedis])
async def test_fifty_at_once_never_pass_a_shared_limit(kind: type[Driver], url: str) -> None:
    driver = InRedis(url) if kind is InRedis else kind()
    await driver.begin(lambda: SECOND, None, SECOND)
    engine = driver.engine
    await engine.set_budget("acme", {"tokens": LIMIT})
    granted = await reserve_many(engine, 0, 50)
    assert len(granted) == 20
    assert (await engine.balances("acme"))["tokens"] == HELD
    await commit_many(engine, granted)
    assert (await engine.balances("acme"))["tokens"] == SPENT
    await driver.end()


async def test_five_processes_at_once_never_pass_a_shared_limit(
    url: str, engine: RedisEngine
) -> None:
    await engine.set_budget("acme", {"tokens": LIMIT})
    argv = [sys.executable, "-m", "authority_race", url]
    others = [
        await asyncio.create_subprocess_exec(
            *argv, str(10 * n), "10", cwd=TESTS, stdin=PIPE, stdout=PIPE
        )
        for n in range(5)
    ]

    async def told(line: bytes = b"") -> list[bytes]:
        for other in others:
            assert other.stdin is not None
            other.stdin.write(line)
        return [await other.stdout.readline() for other in others if other.stdout is not None]

    try:
        assert set(await told()) == {b"ready\n"}
        assert sum(map(int, await told(b"reserve\n"))) == 20
        assert (await engine.balances("acme"))["tokens"] == HELD
        assert set(await told(b"commit\n")) == {b"done\n"}
        assert (await engine.balances("acme"))["tokens"] == SPENT
    finally:
        for other in others:
            with contextlib.suppress(ProcessLookupError):
                other.kill()
            await other.communicate()


# ---- numbers and time


async def test_amounts_are_exact_up_to_the_greatest_and_no_sum_passes_it(
    engine: RedisEngine,
) -> None:
    await engine.set_budget("acme", {"tokens": MAX_AMOUNT, "tokens/day": MAX_AMOUNT})
    assert (await engine.reserve(ask("a", tokens=MAX_AMOUNT - 1))).allowed
    denied = await engine.reserve(ask("b", tokens=2))
    assert denied.remaining == {"tokens": 1, "tokens/day": 1}
    assert (await engine.reserve(ask("c", "other", tokens=MAX_AMOUNT))).allowed
    for call in (
        engine.reserve(ask("d", "other", tokens=1)),
        engine.event(ask("e", "other", tokens=1), "measured", "ok"),
    ):
        with pytest.raises(LedgerError, match="nothing moved"):
            await call
    await engine.start("a")
    await engine.event(ask("f", bytes=1), "measured", "ok")
    with pytest.raises(LedgerError, match=r"bytes of acme.*nothing moved"):
        await engine.commit("a", {"tokens": MAX_AMOUNT, "bytes": MAX_AMOUNT}, "measured", "ok")
    most = {"tokens": MAX_AMOUNT, "bytes": MAX_AMOUNT - 1}
    assert await engine.commit("a", most, "measured", "ok") == most
    replayed, written = Ledger(), await engine.journal()
    for made in written:
        replayed.apply(made)
    assert written[-1].amounts == most
    balances = await engine.balances("acme")
    assert balances["tokens"] == balances["tokens/day"] == Balance(MAX_AMOUNT, 0, MAX_AMOUNT)
    assert balances == replayed.balances("acme", written[-1].t)


async def test_time_is_the_server_s_and_never_goes_back(url: str, engine: RedisEngine) -> None:
    async with Redis.from_url(url) as client:
        seconds, _ = await client.time()
    await engine.reserve(ask("a", tokens=1))
    (made,) = await engine.journal()
    assert abs(made.t // SECOND - seconds) < 60
    assert made.expires - made.t == 60 * SECOND
    times = iter([5 * SECOND, 3 * SECOND, 6 * SECOND])
    async with opened(RedisEngine(url, name="other", now=lambda: next(times))) as behind:
        for id in "ab":
            await behind.reserve(ask(id, tokens=1))
        assert [made.t for made in await behind.journal()] == [5 * SECOND] * 2


async def test_times_are_rounded_up_to_microseconds(url: str) -> None:
    async with opened(RedisEngine(url, now=lambda: 0)) as engine:
        request = ReserveRequest("a", RUN, "tool.x", {"tokens": 1}, ttl_ns=1_001)
        assert await engine.reserve(request) == await engine.reserve(request)
        assert await engine.extend("a", 5_001) == 6_000


# ---- rules and their limits

POLICY = parse_policy(
    """
taint: {tool.fetch: web}
limits: {acme: {tokens: 10}, "*/*/*/*": {calls: 2}}
rules:
  - {name: no-mail, deny: tool.mail, tainted: web}
  - {name: asks, ask: tool.refund, wait_s: 0.3}
  - {name: asks-long, ask: tool.transfer, wait_s: 60}
"""
)


async def test_what_another_process_did_to_a_run_counts_for_the_rules(url: str) -> None:
    async with opened(RedisEngine(url, POLICY)) as one, opened(RedisEngine(url, POLICY)) as two:
        assert (await one.reserve(ask("a", name="tool.mail"))).allowed
        assert (await two.reserve(ask("b", name="tool.fetch"))).allowed
        denied = await one.reserve(ask("c", name="tool.mail"))
        assert (denied.code, denied.rule) == ("forbidden", "no-mail")
        assert (await one.reserve(ask("d", "acme/wf/bot/r2", "tool.mail"))).allowed
        await two.release("b", "it did not come to that")
        assert (await one.reserve(ask("e", name="tool.mail"))).allowed
        assert await one.reserve(ask("c", name="tool.mail")) == denied


async def test_limits_come_from_the_policy_once_and_again_when_it_changed(url: str) -> None:
    other = parse_policy("limits: {acme: {tokens: 30}}")
    async with opened(RedisEngine(url, POLICY)) as one:
        await one.reserve(ask("a", tokens=4))
        assert (await one.balances("acme"))["tokens"] == Balance(10, 4, 0)
        await one.set_budget("acme", {"tokens": 20})  # by hand, while it runs
        async with opened(RedisEngine(url, POLICY)) as same, opened(RedisEngine(url, other)) as two:
            await same.reserve(ask("b", tokens=4))
            assert (await one.balances("acme"))["tokens"] == Balance(20, 8, 0)
            await two.reserve(ask("c", tokens=4))
            assert (await one.balances("acme"))["tokens"] == Balance(30, 12, 0)
        budgets = [made for made in await one.journal() if made.event == "budget"]
        assert [(made.scope, made.reason, made.lifted) for made in budgets] == [
            *(("acme", "policy", ()), (RUN, "policy", ())),
            *(("acme", "", ()), ("acme", "policy", ()), (RUN, "policy", ("calls",))),
        ]
        assert (await one.balances(RUN)).keys() == {"tokens"}


async def test_what_the_policy_limits_no_more_is_lifted(url: str) -> None:
    first = parse_policy(
        "limits: {acme: {tokens: 9, calls/minute: 0, tokens/hour: 9}, '@s': {calls/day: 0}}"
    )
    second = parse_policy("limits: {acme: {tokens/hour: 8, calls/day: 7}}")
    request = ReserveRequest("a", "acme", "tool.x", {"tokens": 5, "calls": 1}, also=("@s",))
    async with opened(RedisEngine(url, first)) as one, opened(RedisEngine(url, second)) as two:
        assert (await one.reserve(request)).code == "rate_exceeded"
        assert (await two.reserve(msgspec.structs.replace(request, id="b"))).allowed
        found, written = await two.balances("acme"), await two.journal()
    assert {unit: balance.allocated for unit, balance in found.items()} == {
        **{"tokens": None, "calls": None, "tokens/hour": 8, "calls/day": 7},
    }
    replayed = Ledger()
    for made in written:
        replayed.apply(made)
    assert replayed.balances("acme", written[-1].t) == found
    assert replayed.balances("@s", written[-1].t)["calls"] == Balance(None, 1, 0)


async def test_a_limit_that_the_server_lost_is_set_again(url: str) -> None:
    """As when a replica takes over that had not seen the last writes."""
    async with opened(RedisEngine(url, POLICY)) as engine:
        await engine.reserve(ask("a", tokens=4))
        async with Redis.from_url(url) as client:
            await client.delete("{proofrig}:in:acme")
        assert (await engine.reserve(ask("b", tokens=4))).allowed
        denied = await engine.reserve(ask("c", "acme/wf/bot/r2", tokens=7))
        assert (denied.code, denied.scope) == ("budget_exceeded", "acme")


async def test_what_has_happened_taints_and_keeps_its_own_ids(url: str) -> None:
    async with opened(RedisEngine(url, POLICY)) as engine:
        seen = ask("seen", name="tool.fetch", tokens=2)
        assert await engine.event(seen, "measured", "ok") == {"tokens": 2, "taint:web": 1}
        assert await engine.event(seen, "measured", "ok") == {"tokens": 2, "taint:web": 1}
        assert (await engine.reserve(ask("a", name="tool.mail"))).rule == "no-mail"
        with pytest.raises(IdempotencyError):
            await engine.reserve(seen)
        with pytest.raises(IdempotencyError):
            await engine.event(ask("a", name="tool.mail"), "measured", "ok")


# ---- approval


async def test_an_answer_reaches_another_process(url: str) -> None:
    async with opened(RedisEngine(url, POLICY)) as one, opened(RedisEngine(url, POLICY)) as two:
        for id in "ab":
            assert (await one.reserve(ask(id, name="tool.transfer", tokens=3))).effect == "ask"
        waiting = [asyncio.create_task(one.answer(id)) for id in "ab"]
        await asyncio.sleep(0.01)
        assert await two.approve("a", "ann") == Decision("allow", "a", rule="asks-long")
        refusal = await two.refuse("b", "bob", "not today")
        assert await asyncio.gather(*waiting) == [Decision("allow", "a", rule="asks-long"), refusal]
        await one.start("a")
        assert (await one.balances("acme"))["tokens"] == Balance(10, 3, 0)
        with pytest.raises(LedgerError, match="a wait for approval"):
            await one.answer("unknown")


async def test_a_wait_ends_in_time_though_nobody_sweeps(url: str) -> None:
    async with opened(RedisEngine(url, POLICY)) as engine:
        assert (await engine.reserve(ask("a", name="tool.refund", tokens=3))).wait_s == 0.3
        answer = await engine.answer("a")
        assert (answer.effect, answer.code) == ("deny", "approval_timeout")
        assert (await engine.balances("acme"))["tokens"] == Balance(10, 0, 0)


# ---- what is kept


async def test_an_id_is_forgotten_by_the_sweep_after_its_retention(url: str) -> None:
    clock = [0]
    async with opened(RedisEngine(url, now=lambda: clock[0], retention_ns=9 * SECOND)) as engine:
        await engine.reserve(ask("a", tokens=1))
        await engine.release("a", "gone")
        clock[0] = 9 * SECOND
        with pytest.raises(IdempotencyError):
            await engine.reserve(ask("a", tokens=2))
        assert await engine.sweep() == 0
        assert (await engine.reserve(ask("a", tokens=2))).allowed
        async with Redis.from_url(url) as client:
            await client.delete("{proofrig}:id:a")  # evicted: its time comes all the same
            clock[0] += 100 * SECOND
            assert await engine.sweep() == 0
            assert await client.zcard("{proofrig}:times") == 0


async def test_what_cannot_be_booked_never_reaches_the_server(engine: RedisEngine) -> None:
    contract: Engine = engine
    for call in (
        contract.reserve(ask("a", "acme/", tokens=1)),
        contract.reserve(ask("a", tokens=-1)),
        contract.reserve(ask("a", furlongs=1)),
        contract.set_budget("acme", {"tokens/week": 1}),
        contract.stop("", "why"),
        contract.event(ask("a", tokens=MAX_AMOUNT + 1), "measured", "ok"),
    ):
        with pytest.raises(UsageError):
            await call
    assert await engine.journal() == []
