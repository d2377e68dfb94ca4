"""The semantic cache: whose answer is found by which query."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from proofrig.errors import UsageError
from proofrig.services.embedding import OWN
from proofrig.services.semantic_cache import SemanticCache
from proofrig.services.service import Done
from service_rig import ACME, GLOBEX, Clock, done, make

CACHE = {"type": "semantic_cache", "name": "answers"}
SALARY = "What is the salary of our CFO?"


def test_a_query_in_similar_words_finds_the_answer_and_its_owner() -> None:
    cache = make(CACHE)
    put = done(cache, "put", query=SALARY, answer="$7")
    assert put.result == {"entry": "answers-1"}
    got = done(cache, "get", GLOBEX, query=f"Please, {SALARY} Thanks!")
    similarity = got.attrs.pop("similarity")
    assert got.attrs == {"hit": True, "entry": "answers-1", "owner": "acme"}
    assert (got.result, got.text) == ({"hit": True, "answer": "$7", "similarity": similarity}, "$7")
    assert 0.9 < similarity < 1
    miss = done(cache, "get", query="Translate hello into French.")
    assert (miss.result, miss.text, miss.attrs["hit"]) == ({"hit": False}, None, False)


def test_what_stands_at_the_start() -> None:
    cache = make(CACHE | {"partition": "tenant"})
    ask = cache.ask(ACME, "put", {"query": SALARY, "answer": {"a": 1}})
    expected = {"service": "answers", "key": SALARY, "physical": f"acme/{SALARY}"}
    assert ask.started == expected | {"entry": "answers-1"}
    assert cache.ask(ACME, "get", {"query": SALARY}).started == expected


def test_the_threshold_decides() -> None:
    for threshold, hit in ((0.5, True), (0.99, False), (1.0, False)):
        cache = make(CACHE | {"threshold": threshold})
        done(cache, "put", query=SALARY, answer="$7")
        assert done(cache, "get", query="What is the salary of our CTO?").attrs["hit"] is hit
        assert done(cache, "get", query=SALARY).attrs["similarity"] == 1.0
        assert done(cache, "get", query=SALARY).attrs["hit"] is True


def test_the_nearest_wins_and_of_equals_the_last() -> None:
    cache = make(CACHE | {"threshold": 0.5})
    for query, answer in ((SALARY, "old"), ("What is the salary of our CTO?", "cto"), (SALARY, 1)):
        done(cache, "put", query=query, answer=answer)
    assert done(cache, "get", query=SALARY.upper()).result["answer"] == 1
    assert done(cache, "get", query="salary of our CTO").result["answer"] == "cto"


def test_partitions_are_searched_apart_but_what_is_for_all_is_found() -> None:
    cache = make(
        CACHE
        | {
            "partition": "tenant",
            "public": ["What are your opening hours*"],
            "seed": {
                "acme": [{"query": SALARY, "answer": "$7"}],
                "*": [{"query": "Where is the office?", "answer": "Oslo"}],
            },
        }
    )
    assert done(cache, "get", GLOBEX, query=SALARY).attrs["hit"] is False
    assert done(cache, "get", ACME, query=SALARY).attrs["owner"] == "acme"
    office = done(cache, "get", GLOBEX, query="Where is the office?").attrs
    assert (office["hit"], office["public"], "owner" in office) == (True, True, False)
    put = done(cache, "put", ACME, query="What are your opening hours?", answer="9 to 5")
    assert put.attrs == {"public": True}
    hours = done(cache, "get", GLOBEX, query="What are your opening hours?").attrs
    assert (hours["hit"], hours["public"], hours["owner"]) == (True, True, "acme")


def test_the_longest_unused_goes_first_and_time_ends_all() -> None:
    clock = Clock()
    cache = make(CACHE | {"max_entries": 2, "ttl_s": 10}, clock)
    queries = ["reset the coffee machine", "translate hello", "boil an egg"]
    done(cache, "put", query=queries[0], answer=0)
    done(cache, "put", query=queries[1], answer=1)
    done(cache, "get", query=queries[0])
    done(cache, "put", query=queries[2], answer=2)
    assert [done(cache, "get", query=one).attrs["hit"] for one in queries] == [True, False, True]
    clock.pass_s(10)
    assert [done(cache, "get", query=one).attrs["hit"] for one in queries] == [False] * 3


def test_a_large_answer_is_refused() -> None:
    cache = make(CACHE | {"max_value_bytes": 4})
    assert done(cache, "put", query="a", answer="12345").status == 413
    assert done(cache, "get", query="a").attrs["hit"] is False


async def test_a_slow_embedding_is_asked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lengths:
        slow = True

        def embed(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 0.0] if len(text) < 5 else [0.0, 1.0] for text in texts]

    module: Any = types.ModuleType("lengths")
    module.make = lambda model: Lengths()
    monkeypatch.setitem(sys.modules, "lengths", module)
    monkeypatch.setitem(OWN, "lengths", "lengths:make")
    cache = make(CACHE | {"embedding": "lengths"})

    async def later(operation: str, **arguments: Any) -> Done:
        made = cache.apply(cache.ask(ACME, operation, arguments))
        assert not isinstance(made, Done)
        return await made

    assert (await later("put", query="ab", answer=2)).result == {"entry": "answers-1"}
    assert (await later("get", query="xyz")).result["answer"] == 2
    assert (await later("get", query="longer")).result == {"hit": False}


def test_an_embedding_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="expected one of hashed, sentence, got 'hased'"):
        make(CACHE | {"embedding": "hased"})
    with pytest.raises(UsageError, match="model: expected none"):
        make(CACHE | {"model": "x"})


def test_a_cache_that_is_flushed_finds_nothing_and_numbers_on() -> None:
    cache = make(CACHE)
    notes: list[tuple[str, dict[str, Any]]] = []
    cache.note = lambda name, attrs: notes.append((name, attrs))
    done(cache, "put", query="what is the price of tea", answer=1)
    assert isinstance(cache, SemanticCache)
    assert cache.flush() == 1
    assert notes == [("flushed", {"service": "answers", "entries": 1})]
    assert not done(cache, "get", query="what is the price of tea").result["hit"]
    assert done(cache, "put", query="what is it", answer=2).result == {"entry": "answers-2"}
