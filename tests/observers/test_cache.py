"""A hit says whose entry it was, whatever the cache went by."""

from __future__ import annotations

import json
from typing import Any

from proofrig.observers import observed_cache
from proofrig.observers.recorder import Recorder

from .conftest import Recorded


class Blurred:
    """A cache that takes any question of the same first word for the same: it leaks."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}

    def check(self, prompt: str) -> list[dict[str, Any]]:
        found = self.held.get(prompt.split()[0])
        return [] if found is None else [{"response": found, "score": 0.91}]

    def store(self, prompt: str, response: str) -> str:
        self.held[prompt.split()[0]] = response
        return "id"


def test_a_hit_across_tenants_is_seen(recorded: Recorded) -> None:
    tenant = ["acme"]
    cache = observed_cache(
        Blurred(), "answers", owner=lambda: tenant[0], recorder=recorded.recorder
    )
    assert cache.check(prompt="balance of acme") == []
    cache.store(prompt="balance of acme", response="1,234")
    tenant[0], recorded.environ["PROOFRIG_TRIAL"] = "globex", "case:1"
    assert cache.check("balance please")[0]["response"] == "1,234"
    put = recorded.actions()[1].id
    assert recorded.told("key", "hit", "entry", "owner", "stored_by", "similarity") == [
        ("cache.get", "ok", "balance of acme", False, None, None, None, None),
        ("cache.put", "ok", "balance of acme", None, put, "acme", None, None),
        ("cache.get", "ok", "balance please", True, put, "acme", "case:0", 0.91),
    ]
    text = recorded.actions()[2].attr("text")
    assert json.loads(text) == [{"response": "1,234", "score": 0.91}]


def test_equal_contents_are_the_askers_own_first(recorded: Recorded) -> None:
    inner: dict[str, str] = {}
    cache = observed_cache(inner, "answers", recorder=recorded.recorder)
    for trial, key in (("case:0", "a"), ("case:1", "b"), ("case:2", "c")):
        recorded.environ["PROOFRIG_TRIAL"] = trial
        cache[key] = "yes"
    found = []
    for trial, key in (("case:0", "c"), ("case:1", "b"), ("case:9", "a"), ("case:9", "other")):
        recorded.environ["PROOFRIG_TRIAL"] = trial
        inner["other"] = "yes"  # behind the wrapper's back
        assert cache.get(key) == "yes"
        found.append(recorded.actions()[-1].attr("stored_by"))
    assert found == ["case:0", "case:1", "case:0", "case:2"]
    inner["foreign"] = "stored by nobody here"
    assert cache["foreign"] == "stored by nobody here"
    last = recorded.actions()[-1]
    assert (last.attr("hit"), last.attr("entry"), last.attr("stored_by")) == (True, None, None)


class Looked:
    """lookup and update, async, with a key of two parts and answers that are objects."""

    class Generation:
        def __init__(self, text: str) -> None:
            self.text = text

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Any] = {}

    async def alookup(self, prompt: str, llm: str) -> Any:
        return self.held.get((prompt, llm))

    async def aupdate(self, prompt: str, llm: str, return_val: Any) -> None:
        self.held[prompt, llm] = return_val


async def test_lookup_and_update(recorded: Recorded) -> None:
    cache = observed_cache(Looked(), "answers", recorder=recorded.recorder)
    assert await cache.alookup("q", "model") is None
    await cache.aupdate("q", "model", [Looked.Generation("42")])
    recorded.environ["PROOFRIG_TRIAL"] = "case:1"
    found = await cache.alookup("q", "model")
    assert found[0].text == "42"
    assert recorded.told("key", "hit", "stored_by", "text") == [
        ("cache.get", "ok", "q\nmodel", False, None, None),
        ("cache.put", "ok", "q\nmodel", None, None, None),
        ("cache.get", "ok", "q\nmodel", True, "case:0", '[{"text":"42"}]'),
    ]


def test_without_a_history_the_cache_itself_is_given_back() -> None:
    inner = Blurred()
    assert observed_cache(inner, "answers", recorder=Recorder({})) is inner
