"""What goes together, and an engine for each."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from authority_service import RUN
from proofrig.authority.http.serving import Serving, _held, open_engine, serve
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import InfraError, JournalError, UsageError

KEYS = "admin-key-0123456789: '*'\n"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "0.0.0.0"}, "there are no API keys"),
        ({"host": "::"}, "there are no API keys"),
        ({"host": "authority.example"}, "there are no API keys"),
        ({"journal": Path("j"), "redis": "redis://x"}, "got both"),
        ({"shadow": True}, "expected --policy FILE"),
        ({"shadow": True, "policy": Path("p"), "redis": "redis://x"}, "got --redis"),
        ({"keys": Path("none")}, "readable file"),
    ],
)
async def test_what_does_not_go_together(fields: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        await serve(Serving(**fields), lambda url: None)  # type: ignore[arg-type]


async def test_it_serves_until_it_is_told_to_end_and_keeps_what_it_booked(tmp_path: Path) -> None:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = Serving(journal=tmp_path / "j")
    running = asyncio.create_task(serve(serving, url.set_result))
    async with aiohttp.ClientSession() as session:
        body = {"id": "e", "scope": RUN, "name": "tool.x", "amounts": {"tokens": 7}}
        async with session.post(f"{await url}/events", json=body) as answer:
            assert answer.status == 201
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 10)
    engine = open_engine(serving)
    assert (await engine.balances("acme"))["tokens"].spent == 7
    await engine.close()


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    busy = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = busy.sockets[0].getsockname()[1]
    async with busy:
        with pytest.raises(UsageError, match="cannot be listened on"):
            await serve(Serving(port=port), lambda url: None)


async def test_a_shadow_keeps_its_own_journal(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("limits: {acme: {tokens: 10}}\n")
    serving = Serving(policy=policy, journal=tmp_path / "j", shadow=True)
    request = ReserveRequest("a", RUN, "tool.x", {"tokens": 50})
    decisions = []
    for _ in "ab":
        engine = open_engine(serving)
        decisions.append(await engine.reserve(request))
        await engine.close()
    assert decisions[0] == decisions[1]
    assert decisions[0].effect == "allow"
    assert decisions[0].shadow is not None and decisions[0].shadow.code == "budget_exceeded"


async def test_a_broken_journal_is_refused_and_let_go(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"not a journal" * 100)
    with pytest.raises(JournalError):
        open_engine(Serving(journal=tmp_path / "j"))


async def test_a_journal_has_one_service(tmp_path: Path) -> None:
    serving = Serving(journal=tmp_path / "a.db")
    with _held(tmp_path / "a.db"), pytest.raises(UsageError, match="another service has it"):
        await serve(serving, lambda url: None)
    with pytest.raises(UsageError, match="cannot be written there"):
        await serve(Serving(journal=tmp_path / "gone" / "a.db"), lambda url: None)


async def test_a_redis_that_is_down_is_said_before_it_listens() -> None:
    with pytest.raises(InfraError, match="expected an answer from Redis"):
        await serve(Serving(redis="redis://127.0.0.1:1"), lambda url: None)
