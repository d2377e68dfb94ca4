"""The contract of a shared service: what is checked, what stands on the history, what is kept
apart."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from proofrig.services.service import Misasked, fingerprint, too_large
from service_rig import ACME, ADAPTER, GLOBEX, done, make


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ("plan", "plan"),
        ("x" * 200, "x" * 200),
        (7, "7"),
        (True, "true"),
        ({"b": [1, "é"], "a": 1.5}, '{"b":[1,"é"],"a":1.5}'),
    ],
)
def test_a_short_value_stands_as_it_is(value: Any, shown: str | None) -> None:
    assert fingerprint(value) == shown


def test_a_long_value_stands_as_its_digest() -> None:
    text = "é" * 201
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    assert fingerprint(text) == f"blake2:{digest}"
    value = {"text": text}
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert fingerprint(value) == fingerprint(compact) != fingerprint(text)


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "says"),
    [
        ("putt", {}, 404, "did you mean put?"),
        ("put", {"key": "a"}, 400, "key, fencing (optional), value"),
        ("put", {"key": "", "value": 1}, 400, "length >= 1"),
        ("put", {"key": "a", "value": None}, 400, "value"),
        ("get", {"key": "a", "kye": "b"}, 400, "kye"),
        ("get", b"[1]", 400, "Expected `object`, got `array`"),
        ("get", b"{", 400, "truncated"),
        ("get", b'{"key": "\xff"}', 400, "a JSON object with key"),
    ],
)
def test_what_cannot_be_asked_is_said(
    operation: str, arguments: Any, status: int, says: str
) -> None:
    memory = make({"type": "kv", "name": "memory"})
    with pytest.raises(Misasked) as raised:
        memory.ask(ACME, operation, arguments)
    assert raised.value.status == status
    assert says in raised.value.message


@pytest.mark.parametrize(
    ("partition", "acme", "globex"),
    [("none", "a", "a"), ("tenant", "acme/a", "globex/a"), ("trial", "case:0/a", "case:1/a")],
)
def test_partitions_keep_keys_apart(partition: str, acme: str, globex: str) -> None:
    memory = make({"type": "kv", "name": "memory", "partition": partition, "public": ["pub.*"]})
    asks = [memory.ask(one, "put", {"key": "a", "value": 1}) for one in (ACME, GLOBEX)]
    assert [ask.place for ask in asks] == [acme, globex]
    expected = {"service": "memory", "key": "a", "value": "1"}
    assert asks[0].started == expected | ({"physical": acme} if partition != "none" else {})
    assert memory.ask(ACME, "get", {"key": "pub.x"}).place == "pub.x"


def test_the_topology_says_what_was_declared_and_no_texts() -> None:
    settings = {"type": "kv", "name": "m", "ttl_s": 5, "seed": {"acme": {"a": "secret"}}}
    assert ADAPTER.validate_python(settings).topology() == {
        "type": "kv",
        "partition": "none",
        "latency_ms": 0.0,
        "max_value_bytes": 1 << 20,
        "ttl_s": 5.0,
        "public": [],
        "fencing": False,
    }


def test_sizes_are_counted_in_bytes() -> None:
    assert too_large("m", "é" * 5, 10) is None
    refusal = too_large("m", "é" * 6, 10)
    assert refusal is not None and (refusal.status, refusal.outcome) == (413, "fail")
    assert "at most 10 bytes, got 12" in refusal.error
    assert (
        done(
            make({"type": "kv", "name": "m", "max_value_bytes": 3}), "put", key="a", value="four"
        ).status
        == 413
    )
