"""Stores behave as before, and say what was read and written."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from proofrig.observers import observed_kv
from proofrig.observers.recorder import Recorder

from .conftest import Recorded


def test_a_mapping_is_recorded_operation_by_operation(recorded: Recorded) -> None:
    inner: dict[Any, Any] = {}
    store = observed_kv(inner, "memory", recorder=recorded.recorder)
    assert isinstance(store, MutableMapping)
    store["a"] = {"n": 1}
    assert store["a"] == {"n": 1}
    with pytest.raises(KeyError):
        store["b"]
    assert store.get("b", "fallback") == "fallback"
    assert store.setdefault("b", "new") == "new"
    assert store.setdefault("b", "newer") == "new"
    store.update({"c": "1"}, d="2")
    store |= {("e", 1): "3"}
    assert store.pop("c") == "1"
    assert store.pop("c", None) is None
    del store["d"]
    with pytest.raises(KeyError):
        del store["d"]
    assert ("a" in store, len(store), sorted(store, key=str)) == (True, 3, [("e", 1), "a", "b"])
    assert store == inner == {"a": {"n": 1}, "b": "new", ("e", 1): "3"}
    assert recorded.told("key", "value", "expected") == [
        ("kv.put", "ok", "a", '{"n":1}', None),
        ("kv.get", "ok", "a", '{"n":1}', None),
        ("kv.get", "ok", "b", None, None),
        ("kv.get", "ok", "b", None, None),
        ("kv.cas", "ok", "b", "new", None),
        ("kv.cas", "fail", "b", "newer", None),
        ("kv.put", "ok", "c", "1", None),
        ("kv.put", "ok", "d", "2", None),
        ("kv.put", "ok", '["e",1]', "3", None),
        ("kv.get", "ok", "c", "1", None),
        ("kv.delete", "ok", "c", None, None),
        ("kv.get", "ok", "c", None, None),
        ("kv.delete", "fail", "c", None, None),
        ("kv.delete", "ok", "d", None, None),
        ("kv.delete", "fail", "d", None, None),
    ]
    assert {a.attr("service") for a in recorded.actions()} == {"memory"}
    assert {a.trial for a in recorded.actions()} == {"case:0"}


class Client:
    """A store with methods, as a client library has it."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.broken = False

    def _check(self) -> None:
        if self.broken:
            raise TimeoutError("no answer")

    def get(self, key: str) -> Any:
        self._check()
        return self.held.get(key)

    def set(self, key: str, value: Any, ttl: int = 0) -> bool:
        self._check()
        self.held[key] = value
        return True

    def delete(self, key: str) -> None:
        self._check()
        del self.held[key]

    def incr(self, key: str, amount: int = 1) -> int:
        self.held[key] = self.held.get(key, 0) + amount
        return int(self.held[key])

    def compare_and_set(self, key: str, expected: Any, new: Any) -> bool:
        if self.held.get(key) != expected:
            return False
        self.held[key] = new
        return True

    def ping(self) -> str:
        return "pong"


class AsyncClient(Client):
    async def get(self, key: str) -> Any:
        await asyncio.sleep(0)
        return super().get(key)

    async def aset(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        super().set(key, value)

    async def slow(self) -> None: ...

    async def put(self, key: str, value: Any) -> None:
        await asyncio.sleep(60)


def test_a_client_is_recorded_by_the_names_of_its_methods(recorded: Recorded) -> None:
    inner = Client()
    store = observed_kv(inner, "memory", recorder=recorded.recorder)
    assert store.set("k", "1", ttl=5) is True
    assert store.get(key="k") == "1"
    assert (store.incr("n"), store.incr("n", amount=4)) == (1, 5)
    assert store.compare_and_set("k", "1", "2") is True
    assert store.compare_and_set("k", expected="1", new="3") is False
    store.delete("k")
    with pytest.raises(KeyError):
        store.delete("k")
    inner.broken = True
    for call in (lambda: store.get("k"), lambda: store.set("k", "4")):
        with pytest.raises(TimeoutError, match="no answer"):
            call()
    assert (store.ping(), store.broken, bool(store)) == ("pong", True, True)
    assert recorded.told("key", "value", "expected", "error") == [
        ("kv.put", "ok", "k", "1", None, None),
        ("kv.get", "ok", "k", "1", None, None),
        ("kv.incr", "ok", "n", "1", None, None),
        ("kv.incr", "ok", "n", "5", None, None),
        ("kv.cas", "ok", "k", "2", "1", None),
        ("kv.cas", "fail", "k", "3", "1", None),
        ("kv.delete", "ok", "k", None, None, None),
        ("kv.delete", "fail", "k", None, None, "KeyError: 'k'"),
        ("kv.get", "fail", "k", None, None, "TimeoutError: no answer"),
        ("kv.put", "unknown", "k", "4", None, "TimeoutError: no answer"),
    ]


async def test_what_is_awaited_ends_when_the_awaiting_does(recorded: Recorded) -> None:
    store = observed_kv(AsyncClient(), "memory", recorder=recorded.recorder)
    await store.aset("k", "1")
    both = await asyncio.gather(store.get("k"), store.get("k"))
    assert both == ["1", "1"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.put("k", "2"), 0.01)
    kinds = [(e.kind, e.name) for e in recorded.entries()]
    assert kinds == [
        *[("start", "kv.put"), ("commit", "kv.put")],
        *[("start", "kv.get")] * 2,
        *[("commit", "kv.get")] * 2,
        *[("start", "kv.put"), ("commit", "kv.put")],
    ]
    assert recorded.told("value")[-1] == ("kv.put", "unknown", "2")


def test_without_a_history_the_store_itself_is_given_back() -> None:
    inner: dict[str, str] = {}
    assert observed_kv(inner, "memory", recorder=Recorder({})) is inner
