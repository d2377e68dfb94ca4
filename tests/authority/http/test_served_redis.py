"""The Redis ledger behind the service: the same answers as the one in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from aiohttp import web

from authority_service import Api, asked
from proofrig.authority.http.served_redis import ServedRedis
from proofrig.authority.http.service import Service
from proofrig.authority.policy import parse_policy
from redis_server import redis_server

POLICY = {"rules": [{"name": "ask", "ask": "tool.pay", "wait_s": 30}]}


async def test_the_service_over_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        engine = ServedRedis(f"redis://127.0.0.1:{port}/0", parse_policy(POLICY))
        runner = web.AppRunner(Service(engine).application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        async with aiohttp.ClientSession() as session:
            await walk(Api(url, None, session))  # type: ignore[arg-type]
        await runner.cleanup()
        await engine.close()


async def walk(api: Api) -> None:
    assert (await api.get("/health")).json == {"status": "ok"}
    await api("PUT", "/budgets/acme", {"amounts": {"tokens": 150}})
    first = await api.post("/reservations", asked())
    assert first.status == 201
    assert (await api.post("/reservations", asked())).raw == first.raw
    assert (await api.post("/reservations", asked(arguments={"x": 1}))).status == 409
    assert (await api.post("/reservations", asked("a2"))).status == 429
    assert (await api.move("a1", "commit", {"actual": {}})).status == 409
    assert (await api.move("a1", "start")).status == 200
    done = await api.move("a1", "commit", {"actual": {"tokens": 60}})
    assert done.json["charged"] == {"calls": 1, "tokens": 60}
    assert (await api.move("none", "start")).status == 404
    seen = (await api.get("/reservations/a1")).json
    assert (seen["state"], seen["charged"]["tokens"], seen["held"]) == ("committed", 60, {})
    pay = asked("p1", name="tool.pay", amounts={"tokens": 10})
    assert (await api.post("/reservations", pay)).status == 202
    listed = (await api.get("/reservations?state=pending")).json["reservations"]
    assert [one["id"] for one in listed] == ["p1"]
    waiting = asyncio.create_task(api.get("/reservations/p1/answer?wait_s=20"))
    assert (await api.move("p1", "approve", {"by": "dana"})).status == 200
    assert (await waiting).json["decision"] == "allow"
    short = asked("s1", ttl_ms=1, amounts={"tokens": 10})
    assert (await api.post("/reservations", short)).status == 201
    late = None
    for _ in range(100):  # until the service has swept
        late = await api.move("s1", "extend", {"ttl_ms": 1})
        if late.status == 410:
            break
        await asyncio.sleep(0.05)
    assert late is not None and late.status == 410
    assert (await api.get("/scopes")).json["scopes"][0] == "acme"
