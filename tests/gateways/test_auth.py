"""Renewing keys: who may, how it is asked and answered, and what stands on the history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fault_rig import FaultRig, fault_rig
from llm_rig import BINDING, serving
from proofrig.faults.fault import Fault
from proofrig.faults.latency import Latency
from proofrig.faults.token_expiry import TokenExpiry
from proofrig.gateways.auth import LIFE_S, AuthGateway

TOKEN = BINDING.token
ROOT = f"/t/{TOKEN}/auth/token"


@asynccontextmanager
async def auth(path: Path, *faults: Fault) -> AsyncIterator[tuple[FaultRig, str]]:
    async with fault_rig(path, faults) as rig:
        gateway = AuthGateway(rig.rig.context)
        app = web.Application()
        app.add_routes(gateway.routes())
        async with serving(app) as url:
            yield rig, url
        await gateway.close()


async def ask(url: str, **request: Any) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(url, **request) as answer:
        assert answer.headers["cache-control"] == "no-store"
        return answer.status, await answer.json()


REFRESH = {"grant_type": "refresh_token", "refresh_token": TOKEN, "client_id": "agent"}


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        (ROOT, {}),
        (ROOT, {"data": {"grant_type": "refresh_token"}}),
        (ROOT, {"json": {"refresh_token": "something else"}}),
        ("/auth/token", {"data": REFRESH}),
        ("/auth/token", {"json": REFRESH}),
        ("/auth/token", {"headers": {"authorization": f"Bearer {TOKEN}"}}),
        ("/auth/token", {"headers": {"baggage": f"proofrig.trial={TOKEN}"}}),
    ],
)
async def test_a_fresh_key_is_given(tmp_path: Path, path: str, request_: dict[str, Any]) -> None:
    async with auth(tmp_path) as (rig, url):
        status, answer = await ask(url + path, **request_)
        assert status == 200
        assert answer == {
            "access_token": f"{TOKEN}-1",
            "token_type": "Bearer",
            "expires_in": LIFE_S,
            "refresh_token": f"{TOKEN}-1",
        }
        bindings = rig.rig.context.bindings
        assert bindings.live(f"{TOKEN}-1") is BINDING
        assert bindings.expired(TOKEN, TOKEN) and not bindings.expired(TOKEN, f"{TOKEN}-1")
        (note,) = rig.entries("note")
        assert (note.name, note.trial, note.tenant) == ("token_refreshed", "case:1", "acme")
        assert TOKEN not in str(note)


async def test_a_fresh_key_renews_again(tmp_path: Path) -> None:
    async with auth(tmp_path) as (_, url):
        key = TOKEN
        for number in (1, 2, 3):
            given = REFRESH | {"refresh_token": key}
            key = (await ask(f"{url}/auth/token", data=given))[1]["access_token"]
            assert key == f"{TOKEN}-{number}"


@pytest.mark.parametrize(
    ("path", "request_", "expected"),
    [
        (ROOT, {"data": {"grant_type": "password"}}, (400, "unsupported_grant_type")),
        (ROOT, {"data": b"[1]"}, (400, "invalid_request")),
        (ROOT, {"data": b"nonsense"}, (400, "invalid_request")),
        ("/auth/token", {"json": REFRESH | {"refresh_token": "no"}}, (400, "invalid_grant")),
        ("/auth/token", {}, (401, "invalid_client")),
        ("/t/unknown/auth/token", {}, (401, "invalid_client")),
    ],
)
async def test_who_gets_none(
    tmp_path: Path, path: str, request_: dict[str, Any], expected: tuple[int, str]
) -> None:
    async with auth(tmp_path) as (rig, url):
        status, answer = await ask(url + path, **request_)
        assert (status, answer["error"]) == expected
        assert answer["error_description"].startswith("proofrig: ")
        assert not rig.entries("note")


async def test_a_trial_that_has_ended_gets_none(tmp_path: Path) -> None:
    async with auth(tmp_path) as (rig, url):
        rig.end_trial()
        assert (await ask(url + ROOT))[0] == 401
        assert (await ask(f"{url}/auth/token", data=REFRESH))[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("faults", "life_s"),
    [
        ([], LIFE_S),
        ([Latency(), TokenExpiry(calls=3)], LIFE_S),
        ([TokenExpiry(after_s=90), TokenExpiry(after_s=30.9)], 30),
        ([TokenExpiry(after_s=0.2)], 1),
    ],
)
async def test_how_long_it_says_that_a_key_lives(
    tmp_path: Path, faults: list[Fault], life_s: int
) -> None:
    async with auth(tmp_path, *faults) as (_, url):
        assert (await ask(url + ROOT))[1]["expires_in"] == life_s
