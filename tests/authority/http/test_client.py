"""The client: the engine's contract over HTTP, and what is owed survives its process."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from authority_service import ACME, OTHER, RUN, SECOND, Api, served
from proofrig.authority.decision import Decision
from proofrig.authority.http.client import AuthorityClient, late_id
from proofrig.authority.http.link import KeyRefused, Patience
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import IdempotencyError, InfraError, LedgerError, UsageError

HASTY = Patience(tries=3, first_pause=0.01, timeout=5)
HOLD = {"calls": 1, "tokens": 100}


def request(id: str = "a1", **more: object) -> ReserveRequest:
    fields: dict[str, object] = {"scope": RUN, "name": "tool.refund", "amounts": HOLD}
    return ReserveRequest(id, **(fields | more))  # type: ignore[arg-type]


@asynccontextmanager
async def connected(
    api: Api, outbox: Path | None = None, key: str = ""
) -> AsyncIterator[AuthorityClient]:
    async with AuthorityClient(api.url, key or api.key, outbox, patience=HASTY) as client:
        yield client


async def started(client: AuthorityClient, id: str = "a1") -> None:
    assert (await client.reserve(request(id))).allowed
    await client.start(id)


async def spent(client: AuthorityClient, unit: str = "tokens") -> int:
    return (await client.balances("acme"))[unit].spent


# ---- the contract


async def test_an_action_from_reserve_to_commit() -> None:
    async with served() as api, connected(api) as client:
        await client.set_budget("acme", {"tokens": 1000})
        assert await client.reserve(request()) == Decision("allow", "a1")
        await client.start("a1")
        assert await client.extend("a1", 120 * SECOND) == api.now[0] + 120 * SECOND
        charged = await client.commit("a1", {"tokens": 60}, "measured", "ok", price="table")
        assert charged == {"calls": 1, "tokens": 60}
        balance = (await client.balances("acme"))["tokens"]
        assert (balance.allocated, balance.reserved, balance.spent) == (1000, 0, 60)
        assert (await client.look("a1")).state == "committed"
        assert await client.scopes() == ("acme", "acme/desk", "acme/desk/bot", RUN)


async def test_a_decision_is_the_one_the_engine_gave() -> None:
    policy = {
        "rules": [
            {"name": "short", "allow": "llm.*", "max_tokens": 50},
            {"name": "ask-first", "ask": "tool.pay", "wait_s": 30},
            {"name": "no", "deny": "tool.mail", "fix": "write a note"},
        ]
    }
    async with served(policy=policy) as api, connected(api) as client:
        await client.set_budget("acme", {"calls/minute": 8})
        for n, name in enumerate(("llm.chat", "tool.pay", "tool.mail", "tool.x", "tool.y")):
            amounts = {"calls": 5} if name == "tool.y" else HOLD
            over = await client.reserve(request(f"x{n}", name=name, amounts=amounts))
            here = api.authority.reserve(request(f"y{n}", name=name, amounts=amounts))
            assert over == msgspec.structs.replace(here, id=f"x{n}")


async def test_the_url_may_leave_the_prefix_out() -> None:
    async with served() as api:
        for url in (api.url, f"{api.url}/", api.url.removesuffix("/v1"), api.url[:-2]):
            async with AuthorityClient(url, patience=HASTY) as client:
                assert (await client.reserve(request())).allowed


async def test_ids_and_scopes_of_any_form_arrive_as_they_are() -> None:
    async with served() as api, connected(api) as client:
        for id in ("a/b", "a%2Fb", "a?b#c", "a+b", "a..", "%".join("abc")):
            await started(client, id)
            assert (await client.look(id)).id == id
        scope = "acme//bøt/50% of?it"
        with pytest.raises(UsageError, match="scope"):
            await client.reserve(request("x", scope=scope))
        scope = "acme//bøt/50%of?it#1"
        assert (await client.reserve(request("x", scope=scope))).allowed
        assert (await client.balances(scope))["tokens"].reserved == 100


async def test_what_is_refused_raises_what_an_engine_raises() -> None:
    async with served(keyed=True) as api, connected(api, key=ACME) as client:
        await client.reserve(request())
        with pytest.raises(IdempotencyError):
            await client.reserve(request(amounts={"calls": 2}))
        with pytest.raises(LedgerError, match="expected start"):
            await client.commit("a1", {}, "measured", "ok")
        with pytest.raises(LedgerError, match="unknown"):
            await client.start("none")
        with pytest.raises(UsageError, match="a unit: usd_micro"):
            await client.reserve(request("a2", amounts={"apples": 1}))
        with pytest.raises(UsageError, match="JSON"):
            await client.reserve(request("a2", arguments={"x": object()}))
        with pytest.raises(KeyRefused, match="administrator"):
            await client.set_budget("acme", {"calls": 1})
        with pytest.raises(KeyRefused, match="tenant"):
            await client.reserve(request("a2", scope="other/r"))


async def test_an_answer_is_waited_for() -> None:
    policy = {"rules": [{"name": "ask", "ask": "tool.refund", "wait_s": 30}]}
    async with served(policy=policy) as api, connected(api) as client:
        asking = await client.reserve(request())
        assert (asking.effect, asking.wait_s) == ("ask", 30.0)
        waiting = asyncio.create_task(client.answer("a1"))
        await asyncio.sleep(0.05)
        assert (await client.refuse("a1", "dana", "no")).code == "approval_refused"
        assert (await waiting).code == "approval_refused"
        await client.reserve(request("a2"))
        assert (await client.approve("a2", "dana")).allowed
        assert (await client.answer("a2")).allowed


async def test_fifty_at_once_get_exactly_what_fits() -> None:
    async with served() as api, connected(api) as client:
        await client.set_budget("acme", {"tokens": 2_050})
        requests = [request(f"a{n}", scope=f"acme/desk/bot/r{n}") for n in range(50)]
        decisions = await asyncio.gather(*map(client.reserve, requests))
        assert [one.allowed for one in decisions].count(True) == 20
        granted = [one.id for one in decisions if one.allowed]
        await asyncio.gather(*map(client.start, granted))
        await asyncio.gather(
            *(client.commit(id, {"tokens": 70}, "measured", "ok") for id in granted)
        )
        left = (await client.balances("acme"))["tokens"]
        assert (left.reserved, left.spent, left.remaining) == (0, 1_400, 650)


# ---- a service that is not there


async def test_a_service_that_is_gone_is_infra_and_certain_when_nothing_was_sent() -> None:
    async with AuthorityClient("http://127.0.0.1:9/v1", patience=HASTY) as client:
        with pytest.raises(InfraError, match="in 3 tries") as raised:
            await client.reserve(request())
        assert raised.value.definite


@asynccontextmanager
async def answering(*answers: web.Response | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives `answers` in turn, the last one for good; None drops the connection."""
    left, seen = list(answers), []

    async def handle(request: web.Request) -> web.Response:
        seen.append(await request.read())
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(
            status=answer.status, body=answer.body, headers=answer.headers, content_type=None
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", seen
    finally:
        await runner.cleanup()


ALLOWED = web.Response(status=201, body=b'{"decision":"allow","id":"a1"}')


@pytest.mark.parametrize(
    "first",
    [
        None,
        web.Response(status=503, headers={"Retry-After": "0"}),
        web.Response(status=429, headers={"Retry-After": "0"}),
        web.Response(status=502),
    ],
    ids=["dropped", "503", "429", "502"],
)
async def test_a_lost_or_busy_answer_is_asked_for_again_with_the_same_bytes(
    first: web.Response | None,
) -> None:
    async with answering(first, ALLOWED) as (url, seen):
        client = AuthorityClient(url, patience=HASTY)
        assert (await client.reserve(request())).allowed
        await client.close()
    assert len(seen) == 2 and seen[0] == seen[1]


async def test_retry_after_is_kept_to() -> None:
    busy = web.Response(status=503, headers={"Retry-After": "1"})
    async with answering(busy, ALLOWED) as (url, _):
        client = AuthorityClient(url, patience=HASTY)
        begun = time.monotonic()
        assert (await client.reserve(request())).allowed
        assert time.monotonic() - begun >= 1.0
        await client.close()


async def test_what_never_gets_an_answer_is_not_certain() -> None:
    async with answering(None) as (url, seen):
        client = AuthorityClient(url, patience=HASTY)
        with pytest.raises(InfraError) as raised:
            await client.start("a1")
        assert not raised.value.definite
        await client.close()
    assert len(seen) == 3


async def test_an_answer_of_something_else_says_so() -> None:
    async with answering(web.Response(status=200, body=b"<html>")) as (url, _):
        client = AuthorityClient(url, patience=HASTY)
        with pytest.raises(InfraError, match="/v1"):
            await client.reserve(request())
        await client.close()


async def test_a_restart_of_the_service_in_the_middle_is_not_noticed(tmp_path: Path) -> None:
    async with served(tmp_path / "j") as api:
        port = int(api.url.split(":")[2].split("/")[0])
        url = api.url
        client = AuthorityClient(url, patience=Patience(tries=20, first_pause=0.02))
        await started(client)
    committing = asyncio.create_task(client.commit("a1", {"tokens": 60}, "measured", "ok"))
    await asyncio.sleep(0.1)
    async with served(tmp_path / "j", port=port):
        assert (await committing)["tokens"] == 60
        assert await spent(client) == 60
        await client.close()


# ---- the outbox


async def test_what_is_owed_survives_kill_9(tmp_path: Path) -> None:
    """The process is killed when the actual is on disk and its request is on the way."""
    outbox = tmp_path / "outbox"
    hearing = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
    deaf = hearing.getsockname()[1]
    program = f"""
import asyncio, pathlib
from proofrig.authority.http.client import AuthorityClient
client = AuthorityClient("http://127.0.0.1:{deaf}/v1", outbox=pathlib.Path({str(outbox)!r}))
asyncio.run(client.commit("a1", {{"tokens": 60}}, "measured", "ok"))
"""
    async with served() as api:
        async with connected(api) as client:
            await started(client)
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
        try:
            while not (outbox.exists() and outbox.read_bytes().endswith(b"\n")):
                await asyncio.sleep(0.01)
                assert child.returncode is None
        finally:
            child.kill()
            await child.wait()
        hearing.close()
        async with connected(api, outbox) as client:
            assert await spent(client) == 60
            assert (await client.look("a1")).state == "committed"
        assert outbox.read_bytes() == b""


async def test_two_workers_on_one_outbox_settle_once(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    lines = []
    async with served() as api, connected(api) as client:
        for n in range(20):
            await started(client, f"a{n}")
            if n % 2:  # half of them come too late
                continue
            owed = {"id": f"a{n}", "actual": {"tokens": 60}, "source": "measured", "outcome": "ok"}
            lines.append(json.dumps({"commit": owed}))
        api.now[0] += 100 * SECOND
        api.authority.sweep()
        for n in range(1, 20, 2):
            owed = {"id": f"a{n}", "actual": {"tokens": 150}, "source": "measured", "outcome": "ok"}
            lines.append(json.dumps({"commit": owed}))
        outbox.write_text("\n".join(lines) + "\n")
        workers = [AuthorityClient(api.url, outbox=outbox, patience=HASTY) for _ in "ab"]
        settled = await asyncio.gather(*(worker.settle() for worker in workers))
        assert {*settled[0].booked, *settled[1].booked} == {f"a{n}" for n in range(20)}
        assert not settled[0].kept and not settled[0].refused
        # All 20 holds were charged at their end; ten cost 50 more than that.
        assert await spent(client) == 20 * 100 + 10 * 50
        for worker in workers:
            await worker.settle()
            await worker.close()
        assert await spent(client) == 2500
        assert outbox.read_bytes() == b""


@pytest.mark.parametrize(
    ("begun", "actual", "charged", "booked"),
    [
        (True, 150, {"calls": 1, "tokens": 150}, 150),
        (True, 60, {"calls": 1, "tokens": 100}, 100),
        (False, 60, {"tokens": 60, "calls": 1}, 60),
    ],
)
async def test_a_late_commit_is_booked_as_an_event_of_what_is_above(
    tmp_path: Path, begun: bool, actual: int, charged: dict[str, int], booked: int
) -> None:
    async with served() as api, connected(api, tmp_path / "outbox") as client:
        await client.reserve(request())
        if begun:
            await client.start("a1")
        api.now[0] += 100 * SECOND
        api.authority.sweep()
        cost = {"tokens": actual, "calls": 1}
        for _ in "ab":
            assert await client.commit("a1", cost, "measured", "ok") == charged
        assert await spent(client) == booked
        assert client.outbox is not None and client.outbox.left() == []


async def test_a_refused_key_keeps_what_is_owed_until_another_settles_it(tmp_path: Path) -> None:
    async with (
        served(keyed=True) as api,
        connected(api, tmp_path / "outbox", key=ACME) as client,
    ):
        await started(client)
        client.key = "revoked-key-0123456789"
        with pytest.raises(KeyRefused, match=r"kept in .*outbox"):
            await client.commit("a1", {"tokens": 60}, "measured", "ok")
        assert list((await client.settle()).kept) == ["a1"]
        client.key = OTHER
        assert list((await client.settle()).kept) == ["a1"]
        client.key = ACME
        assert (await client.settle()).booked == ["a1"]
        assert await spent(client) == 60


async def test_a_service_that_is_gone_keeps_what_is_owed(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    async with AuthorityClient("http://127.0.0.1:9/v1", outbox=outbox, patience=HASTY) as client:
        with pytest.raises(InfraError):
            await client.commit("a1", {"tokens": 60}, "measured", "ok")
        settled = await client.settle()
        assert (settled.booked, list(settled.kept)) == ([], ["a1"])


async def test_what_can_never_be_booked_is_told_and_not_tried_again(tmp_path: Path) -> None:
    async with served() as api, connected(api, tmp_path / "outbox") as client:
        await client.reserve(request())
        with pytest.raises(LedgerError, match="expected start"):
            await client.commit("a1", {"tokens": 60}, "measured", "ok")
        settled = await client.settle()
        assert (settled.booked, settled.kept) == ([], {})
        assert "expected start" in settled.refused["a1"]


def test_late_ids_fit() -> None:
    assert late_id("a1") == "a1.late"
    assert len(late_id("a" * 200)) <= 200
    assert late_id("a" * 200) != late_id("a" * 199 + "b")
