"""Key-value memory."""

from __future__ import annotations

from typing import Any

from proofrig.services.kv import KvService
from service_rig import ACME, GLOBEX, Clock, done, make

KV = {"type": "kv", "name": "memory"}


def test_versions_grow_by_one_with_each_write() -> None:
    memory = make(KV)
    assert done(memory, "get", key="a").result == {"value": None, "version": 0}
    assert done(memory, "put", key="a", value=1).result == {"version": 1}
    assert done(memory, "incr", key="a", value=4).result == {"value": 5, "version": 2}
    assert done(memory, "delete", key="a").result == {"version": 3}
    assert done(memory, "delete", key="a").result == {"version": 3}
    assert done(memory, "append", key="a", value="x").result == {"value": ["x"], "version": 4}
    got = done(memory, "get", GLOBEX, key="a")
    assert got.attrs == {"value": '["x"]', "version": 4, "owner": "acme"}
    assert got.text == '["x"]'


def test_cas_writes_only_at_the_expected_version() -> None:
    memory = make(KV)
    assert done(memory, "cas", key="a", value=1, expected=0).result == {"version": 1}
    refused = done(memory, "cas", GLOBEX, key="a", value=2, expected=0)
    assert (refused.status, refused.outcome, refused.attrs) == (409, "fail", {"version": 1})
    assert "expected version 0, it is 1" in refused.error
    assert done(memory, "get", key="a").result == {"value": 1, "version": 1}


def test_a_kind_that_cannot_be_added_to_is_refused() -> None:
    memory = make(KV)
    done(memory, "put", key="a", value=True)
    assert "expected a number, it is true or false" in done(memory, "incr", key="a").error
    assert "expected a list, it is true or false" in done(memory, "append", key="a", value=1).error
    assert done(memory, "get", key="a").result == {"value": True, "version": 1}


def test_fencing_refuses_a_write_under_an_older_token() -> None:
    memory = make(KV | {"fencing": True})
    assert done(memory, "put", key="a", value=0).status == 200
    assert done(memory, "put", key="a", value=1, fencing=7).status == 200
    assert done(memory, "put", key="a", value=2, fencing=7).status == 200
    for operation, arguments in (
        ("put", {"value": 3, "fencing": 6}),
        ("put", {"value": 3}),
        ("cas", {"value": 3, "expected": 3, "fencing": 6}),
        ("delete", {"fencing": 6}),
        ("incr", {"fencing": 6}),
    ):
        assert done(memory, operation, key="a", **arguments).status == 409  # type: ignore[arg-type]
    assert done(memory, "get", key="a").result == {"value": 2, "version": 3}
    assert done(make(KV), "put", key="a", value=1, fencing=3).status == 200


def test_without_fencing_an_older_token_is_written() -> None:
    memory = make(KV)
    assert done(memory, "put", key="a", value=1, fencing=7).status == 200
    assert done(memory, "put", key="a", value=2, fencing=6).result == {"version": 2}


def test_an_entry_ends_with_its_time_and_makes_room() -> None:
    clock = Clock()
    memory = make(KV | {"ttl_s": 10, "max_entries": 1}, clock)
    done(memory, "put", key="a", value=1)
    clock.pass_s(9.9)
    assert done(memory, "get", key="a").result == {"value": 1, "version": 1}
    assert "is full: it holds 1 entries" in done(memory, "put", key="b", value=1).error
    clock.pass_s(0.1)
    assert done(memory, "get", key="a").result == {"value": None, "version": 1}
    assert done(memory, "put", key="b", value=1).status == 200
    assert done(memory, "put", key="b", value=2).status == 200


def test_a_shared_memory_begins_with_every_seed() -> None:
    seed = {"globex": {"b": 2}, "*": {"b": 0, "p": "hi"}, "acme": {"a": 1}}
    memory = make(KV | {"seed": seed})
    assert done(memory, "get", key="b").attrs == {"value": "2", "version": 2, "owner": "globex"}
    assert done(memory, "get", key="p").attrs == {"value": "hi", "version": 1, "public": True}
    assert done(memory, "get", GLOBEX, key="a").attrs["owner"] == "acme"


def test_each_partition_begins_with_its_own_seed() -> None:
    seed: dict[str, Any] = {"*": {"p": "hi"}, "acme": {"a": 1}, "globex": {"a": 2}}
    memory = make(KV | {"seed": seed, "partition": "tenant"})
    assert done(memory, "get", ACME, key="a").result["value"] == 1
    assert done(memory, "get", GLOBEX, key="a").result["value"] == 2
    done(memory, "put", ACME, key="p", value="mine")
    assert done(memory, "get", GLOBEX, key="p").attrs == {
        "value": "hi",
        "version": 1,
        "public": True,
    }


def test_a_key_for_all_tenants_is_one_in_every_partition() -> None:
    seed = {"*": {"pub.news": "n"}, "acme": {"pub.x": "x"}}
    memory = make(KV | {"seed": seed, "partition": "trial", "public": ["pub.*"]})
    done(memory, "put", ACME, key="pub.news", value="new")
    got = done(memory, "get", GLOBEX, key="pub.news")
    assert got.attrs == {"value": "new", "version": 2, "owner": "acme", "public": True}


def test_a_memory_that_is_flushed_keeps_its_versions() -> None:
    memory = make(KV | {"max_entries": 2})
    notes: list[tuple[str, dict[str, Any]]] = []
    memory.note = lambda name, attrs: notes.append((name, attrs))
    for key in ("a", "b"):
        done(memory, "put", key=key, value=1)
    assert isinstance(memory, KvService)
    assert (memory.flush(), memory.flush()) == (2, 0)
    assert notes[0] == ("flushed", {"service": KV["name"], "entries": 2})
    assert done(memory, "get", key="a").result == {"value": None, "version": 1}
    assert done(memory, "cas", key="a", value=2, expected=1).result == {"version": 2}
    assert done(memory, "put", key="c", value=3).status == 200  # there is room again
