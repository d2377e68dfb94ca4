"""The agents' client, against a real rig."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import types
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from proofrig.services import client
from proofrig.services.client import AsyncServices, ServiceError, Services, connect
from service_rig import OTHER, service_rig

SETTINGS: list[dict[str, Any]] = [
    {"type": "kv", "name": "memory"},
    {"type": "lock", "name": "jobs"},
    {"type": "semantic_cache", "name": "answers"},
    {"type": "queue", "name": "work"},
    {"type": "quota", "name": "search", "capacity": 1, "retry_after_s": 2},
]


async def run(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_every_service_in_its_own_words(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:

        def work() -> None:
            found = Services(rig.url())
            memory, queue = found.kv("memory"), found.queue("work")
            assert memory.get("a") is None
            assert memory.put("a", {"x": "é"}) == 1
            assert memory.cas("a", 5, expected=1) == 2
            assert memory.incr("a", 2) == 7
            assert memory.read("a") == (7, 3)
            memory.delete("a")
            assert memory.append("a", "one") == ["one"]
            assert found.cache("answers").get("What is the salary of our CFO?") is None
            found.cache("answers").put("What is the salary of our CFO?", "$7")
            assert found.cache("answers").get("Please, what is the salary of our CFO?") == "$7"
            sent = queue.publish({"do": 1})
            assert queue.receive(wait_s=1) == {"message": sent, "body": {"do": 1}, "delivery": 1}
            queue.ack(sent)
            assert queue.receive() is None
            assert found.quota("search").take() == {"left": 0}
            with pytest.raises(ServiceError) as over:
                found.quota("search").take()
            assert (over.value.status, over.value.retry_after) == (429, 2.0)

        await run(work)
        assert {one.trial for one in rig.actions()} == {"case:0"}


async def test_a_lock_is_held_for_a_block(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:

        def work() -> None:
            mine, theirs = Services(rig.url()).lock("jobs"), Services(rig.url(OTHER)).lock("jobs")
            with mine.acquire("row", ttl_s=5, wait_s=1) as held:
                assert held.fencing == 1
                held.renew()
                with pytest.raises(ServiceError, match="held by another"):
                    theirs.acquire("row")
            with theirs.acquire("row") as other:
                assert other.fencing == 2
            with pytest.raises(ServiceError) as lost, mine.acquire("row") as held:
                held.release()
            assert lost.value.status == 409
            with pytest.raises(ZeroDivisionError), mine.acquire("row") as held:
                held.release()
                print(1 / 0)

        await run(work)


async def test_connections_are_kept_and_errors_are_one_class(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS) as rig:

        def work() -> tuple[Any, Any]:
            found = Services(rig.url())
            found.kv("memory").put("a", 1)
            first = found._mine.connection.sock
            with pytest.raises(ServiceError) as wrong:
                found.call("memroy", "get", key="a")
            assert (wrong.value.status, wrong.value.error["type"]) == (404, "misasked")
            found.kv("memory").get("a")
            return first, found._mine.connection.sock

        first, last = await run(work)
        assert first is last
    with pytest.raises(ServiceError, match="no connection to") as away:
        await run(lambda: Services(rig.url()).kv("memory").get("a"))
    assert away.value.status == 0


async def test_identity_goes_with_each_request_of_a_shared_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = types.ModuleType("_proofrig_identity")
    module.IDENTITY = ContextVar("identity", default=None)
    monkeypatch.setitem(sys.modules, "_proofrig_identity", module)
    async with service_rig(tmp_path, SETTINGS) as rig:
        monkeypatch.setenv(client.VARIABLE, f"http://127.0.0.1:{rig.port}/services")
        module.IDENTITY.set((OTHER.token, OTHER.trial))
        found = AsyncServices()
        assert await found.kv("memory").put("a", 1) == 1
        async with await found.lock("jobs").acquire("row") as held:
            assert held.fencing == 1
        module.IDENTITY.set(None)
        with pytest.raises(ServiceError) as stranger:
            await run(lambda: connect().kv("memory").get("a"))
        assert stranger.value.status == 401
        assert {one.trial for one in rig.actions()} == {"case:1"}


def test_without_a_url_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(client.VARIABLE, raising=False)
    with pytest.raises(ServiceError, match="expected PROOFRIG_SERVICES_URL"):
        connect()


def test_it_needs_the_standard_library_only() -> None:
    code = "import sys, proofrig.services.client; print(*sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in made.stdout.split()}
    assert loaded.isdisjoint({"pydantic", "msgspec", "aiohttp"})
    source = Path(client.__file__).read_text()
    compile(source, "client.py", "exec")
    assert "match " not in source and "except*" not in source
