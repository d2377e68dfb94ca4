"""Keys that expire, and agents that renew them with real SDKs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import msgspec
import openai
import pytest
from aiohttp import web
from pydantic import ValidationError

from answers_in_forms import APIS, PLAIN, tool_call, tool_result
from fault_rig import CALL, Bench, FaultRig, fault_rig, through, whole
from llm_rig import BINDING, post, request_of, serving
from proofrig.faults.token_expiry import CHALLENGE, TokenExpiry
from proofrig.gateways.auth import AuthGateway
from proofrig.gateways.upstream import path_of
from proofrig.wire import CODECS

TOKEN = BINDING.token


async def statuses(bench: Bench, *calls: tuple[float, str]) -> list[int]:
    """The status of each call, made at this second with this key."""
    found = []
    for at_s, key in calls:
        bench.now_ns = round(at_s * 1e9)
        call = msgspec.structs.replace(CALL, key=key)
        found.append((await bench.through(whole(b"{}"), call)).status)
    return found


async def test_a_key_is_good_for_so_many_calls() -> None:
    bench = Bench([TokenExpiry(calls=2)])
    assert await statuses(bench, *[(0, "t")] * 4) == [200, 200, 401, 401]
    fresh = bench.around.renew("t")
    assert await statuses(bench, *[(1, fresh)] * 3, (1, "t")) == [200, 200, 401, 401]
    assert [one["why"] for one in bench.facts] == ["calls", "calls", "calls", "renewed"]


async def test_a_key_is_good_for_so_long() -> None:
    bench = Bench([TokenExpiry(after_s=10)])
    late = msgspec.structs.replace(CALL, began_ns=5_000_000_000)
    seen = []
    for at_s in (6, 14.9, 15, 40):
        bench.now_ns = round(at_s * 1e9)
        seen.append((await bench.through(whole(b"{}"), late)).status)
    assert seen == [200, 200, 401, 401]
    fresh = bench.around.renew("t")
    assert await statuses(bench, (100, fresh), (109.9, fresh), (110, fresh)) == [200, 200, 401]


async def test_renewing_ends_what_came_before_it() -> None:
    bench = Bench([TokenExpiry(calls=9)])
    assert await statuses(bench, (0, "t")) == [200]
    first, second = bench.around.renew("t"), bench.around.renew("t")
    assert await statuses(bench, (0, "t"), (0, first), (0, second)) == [401, 401, 200]


async def test_a_call_without_a_key_carries_the_trials_token() -> None:
    bench = Bench([TokenExpiry(calls=2)])
    assert await statuses(bench, (0, ""), (0, "t"), (0, ""), (0, "t")) == [200, 200, 401, 401]
    bench.around.renew("t")
    assert await statuses(bench, (0, "")) == [401]


async def test_trials_have_keys_of_their_own() -> None:
    bench = Bench([TokenExpiry(calls=1)])
    other = msgspec.structs.replace(CALL, token="u", trial="case:2")
    assert await statuses(bench, (0, "t"), (0, "t")) == [200, 401]
    assert (await bench.through(whole(b"{}"), other)).status == 200


@pytest.mark.parametrize("call", [tool_call(), tool_call("mcp"), PLAIN], ids=str)
async def test_the_other_surfaces(call: Any) -> None:
    bench = Bench([TokenExpiry(calls=1)])
    assert (await bench.through(tool_result(1), call)).status == 200
    seen = await bench.through(tool_result(1), call)
    assert (seen.status, seen.headers["www-authenticate"], seen.calls) == (401, CHALLENGE, 0)
    assert msgspec.json.decode(seen.body)["error"]["message"] == "Unauthorized."


def test_it_says_when() -> None:
    with pytest.raises(ValidationError, match="expected `calls` or `after_s`"):
        TokenExpiry()


@asynccontextmanager
async def expiring(path: Path, fault: TokenExpiry) -> AsyncIterator[tuple[FaultRig, str]]:
    """A rig whose keys expire, and where they are renewed."""
    async with fault_rig(path, [fault]) as rig:
        app = web.Application()
        app.add_routes(AuthGateway(rig.rig.context).routes())
        async with serving(app) as url:
            yield rig, f"{url}/t/{TOKEN}/auth/token"


async def renewed(url: str) -> str:
    """What an agent does: it asks for a fresh key."""
    form = {"grant_type": "refresh_token"}
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        assert answer.status == 200
        return str((await answer.json())["access_token"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_every_api_says_it_in_its_own_form(tmp_path: Path, api: str, stream: bool) -> None:
    async with expiring(tmp_path, TokenExpiry(calls=1)) as (rig, url):
        assert (await rig.ask(api, stream=stream)).status == 200
        got = await rig.ask(api, stream=stream)
        turn = CODECS[api].decode_response(got.body)
        assert (got.status, turn.finish, rig.calls) == (401, "error", 1)
        assert got.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
        path = f"{rig.base}{path_of(CODECS[api])}"
        key = await renewed(url)
        status, _, _ = await post(path, request_of(api), authorization=f"Bearer {key}")
        assert (status, rig.calls) == (200, 2)
        first, second, third = rig.actions()
        assert [one.outcome for one in (first, second, third)] == ["ok", "fail", "ok"]
        assert second.attr("struck") == ["token_expiry"]


async def ask(client: openai.AsyncOpenAI) -> str | None:
    done = await client.chat.completions.create(
        model="sim", messages=[{"role": "user", "content": "hi"}]
    )
    return done.choices[0].message.content


async def test_openai_with_a_callable_key(tmp_path: Path) -> None:
    async with expiring(tmp_path, TokenExpiry(calls=2)) as (rig, url):
        keys = [TOKEN]

        async def key() -> str:
            return keys[-1]

        async with openai.AsyncOpenAI(base_url=rig.base, api_key=key) as client:
            for _ in range(5):
                try:
                    await ask(client)
                except openai.AuthenticationError as error:
                    assert error.code == "invalid_api_key"
                    keys.append(await renewed(url))
                    assert (await ask(client)) == "one two three four five six seven eight"
        assert keys == [TOKEN, f"{TOKEN}-1", f"{TOKEN}-2"]
        assert (rig.calls, len(rig.facts())) == (5, 2)


async def test_openai_with_another_key(tmp_path: Path) -> None:
    async with expiring(tmp_path, TokenExpiry(calls=1)) as (rig, url):
        client = openai.AsyncOpenAI(base_url=rig.base, api_key=TOKEN)
        async with client:
            await ask(client)
            with pytest.raises(openai.AuthenticationError):
                await ask(client)
            client.api_key = await renewed(url)
            await ask(client)
        assert (rig.calls, len(rig.facts())) == (2, 1)  # a 401 is not tried again by the SDK


async def test_anthropic_with_another_key(tmp_path: Path) -> None:
    async with expiring(tmp_path, TokenExpiry(calls=1)) as (rig, url):
        base = f"{rig.rig.url}/t/{TOKEN}"
        client = anthropic.AsyncAnthropic(base_url=base, api_key=TOKEN)

        async def say() -> Any:
            return await client.messages.create(
                model="sim", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
            )

        async with client:
            await say()
            with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
                await say()
            client.api_key = await renewed(url)
            assert (await say()).content[0].text.startswith("one two")
        assert (rig.calls, len(rig.facts())) == (2, 1)


async def test_it_does_not_strike_while_a_key_lives() -> None:
    seen = await through([TokenExpiry(calls=1, after_s=60)], whole(b"{}"))
    assert (seen.status, seen.facts) == (200, [])


async def test_calls_that_cannot_be_struck_use_the_key_up() -> None:
    bench = Bench(
        [TokenExpiry.model_validate({"calls": 2, "on": {"nth": {"from": 2, "every": 2}}})]
    )
    assert await statuses(bench, *[(0, "t")] * 5) == [200, 200, 200, 401, 200]
