"""What commands do, in the words of the history."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import redis.lock

from proofrig.gateways.redis_commands import Scripts, operations
from proofrig.gateways.redis_protocol import Refusal

TOKEN = "0123456789abcdef0123456789abcdef"
REDLOCK = """if redis.call("get",KEYS[1]) == ARGV[1] then
    return redis.call("del",KEYS[1]) else return 0 end"""


def done(command: str, reply: Any) -> list[tuple[Any, ...]]:
    """(action, key, start's attributes, outcome, commit's attributes); texts are left out."""
    made, _ = operations([w.encode() for w in command.split(" ")], Scripts())

    def plain(attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in attrs.items() if name != "text"}

    return [
        (one.action, one.key.decode(), plain(one.started), ended[0], plain(ended[1]))
        for one in made
        for ended in [one.ended(reply)]
    ]


NX = {"value": "v", "expected": None}


@pytest.mark.parametrize(
    ("command", "reply", "expected"),
    [
        ("get k", b"v", [("kv.get", "k", {}, "ok", {"value": "v"})]),
        ("GET k", None, [("kv.get", "k", {}, "ok", {"value": None})]),
        (
            "MGET a b",
            [b"1", None],
            [
                ("kv.get", "a", {}, "ok", {"value": "1"}),
                ("kv.get", "b", {}, "ok", {"value": None}),
            ],
        ),
        ("SET k v EX 10", b"OK", [("kv.put", "k", {"value": "v"}, "ok", {})]),
        ("SET k v XX", None, [("kv.put", "k", {"value": "v"}, "fail", {})]),
        ("SET k v NX", b"OK", [("kv.cas", "k", NX, "ok", {})]),
        ("SET k v NX", None, [("kv.cas", "k", NX, "fail", {})]),
        ("SET k v nx px 30", b"OK", [("lock.acquire", "k", {"ttl_ns": 30_000_000}, "ok", {})]),
        ("SET k v EX 2 NX", None, [("lock.acquire", "k", {"ttl_ns": 2 * 10**9}, "fail", {})]),
        (f"SET k {TOKEN} NX", b"OK", [("lock.acquire", "k", {}, "ok", {})]),
        (
            "SET k v GET",
            b"old",
            [
                ("kv.get", "k", {}, "ok", {"value": "old"}),
                ("kv.put", "k", {"value": "v"}, "ok", {}),
            ],
        ),
        (
            "SET k v NX GET",
            b"old",
            [("kv.get", "k", {}, "ok", {"value": "old"}), ("kv.cas", "k", NX, "fail", {})],
        ),
        ("SETNX k v", 0, [("kv.cas", "k", NX, "fail", {})]),
        ("SETEX k 5 v", b"OK", [("kv.put", "k", {"value": "v"}, "ok", {})]),
        (
            "MSET a 1 b 2",
            b"OK",
            [("kv.put", "a", {"value": "1"}, "ok", {}), ("kv.put", "b", {"value": "2"}, "ok", {})],
        ),
        ("MSETNX k v", 1, [("kv.cas", "k", NX, "ok", {})]),
        (
            "GETSET k v",
            None,
            [("kv.get", "k", {}, "ok", {"value": None}), ("kv.put", "k", {"value": "v"}, "ok", {})],
        ),
        (
            "GETDEL k",
            b"v",
            [("kv.get", "k", {}, "ok", {"value": "v"}), ("kv.delete", "k", {}, "ok", {})],
        ),
        ("DEL k", 0, [("kv.delete", "k", {}, "fail", {})]),
        ("INCR n", 4, [("kv.incr", "n", {"value": "1"}, "ok", {"value": "4"})]),
        ("DECRBY n 3", 1, [("kv.incr", "n", {"value": "-3"}, "ok", {"value": "1"})]),
        ("APPEND k v", 9, [("kv.append", "k", {"value": "v"}, "ok", {})]),
        (
            "HSET h a 1 b 2",
            2,
            [
                ("kv.put", "h[a]", {"value": "1"}, "ok", {}),
                ("kv.put", "h[b]", {"value": "2"}, "ok", {}),
            ],
        ),
        ("HGET h a", b"1", [("kv.get", "h[a]", {}, "ok", {"value": "1"})]),
        ("HSETNX h a v", 0, [("kv.cas", "h[a]", NX, "fail", {})]),
        ("HGETALL h", [], [("kv.get", "h", {}, "ok", {"value": None})]),
        ("HINCRBY h a 2", 5, [("kv.incr", "h[a]", {"value": "2"}, "ok", {"value": "5"})]),
        ("HDEL h a", 1, [("kv.delete", "h[a]", {}, "ok", {})]),
        ("RPUSH l a b", 2, [("kv.append", "l", {"value": '["a","b"]'}, "ok", {})]),
        ("LRANGE l 0 -1", [b"a", b"b"], [("kv.get", "l", {}, "ok", {"value": '["a","b"]'})]),
        ("PING", b"PONG", []),
        ("GET", Refusal(b"ERR wrong number"), []),
        (
            "INCR n",
            Refusal(b"ERR not an integer"),
            [("kv.incr", "n", {"value": "1"}, "fail", {"error": "ERR not an integer"})],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_commands(command: str, reply: Any, expected: list[Any]) -> None:
    assert done(command, reply) == expected


def test_the_scripts_of_redis_pys_lock_are_known_by_their_sum() -> None:
    lock = redis.lock.Lock
    for text, action in (
        (lock.LUA_RELEASE_SCRIPT, "lock.release"),
        (lock.LUA_EXTEND_SCRIPT, "lock.renew"),
        (lock.LUA_REACQUIRE_SCRIPT, "lock.renew"),
    ):
        sha = hashlib.sha1(text.encode()).hexdigest()
        assert done(f"EVALSHA {sha} 1 l t", 1) == [(action, "l", {}, "ok", {})]
        assert done(f"EVALSHA {sha} 1 l t", 0) == [(action, "l", {}, "fail", {"expired": True})]


def test_a_script_is_known_once_it_has_passed() -> None:
    scripts = Scripts()
    sha = hashlib.sha1(REDLOCK.encode()).hexdigest().encode()
    asked = [b"EVALSHA", sha, b"1", b"lock", b"token"]
    assert operations(asked, scripts) == ([], [b"lock", b"token"])
    assert operations([b"SCRIPT", b"LOAD", REDLOCK.encode()], scripts) == ([], ())
    assert [one.action for one in operations(asked, scripts)[0]] == ["lock.release"]


@pytest.mark.parametrize(
    "text",
    [
        "return redis.call('del', KEYS[1])",
        "redis.call('get', KEYS[1]) redis.call('set', KEYS[1], ARGV[1])",
        "return redis.call('get', KEYS[1]) == ARGV[1]",
    ],
)
def test_other_scripts_are_only_said_to_touch_their_keys(text: str) -> None:
    made, touched = operations([b"EVAL", text.encode(), b"1", b"k", b"a"], Scripts())
    assert (made, list(touched)) == ([], [b"k", b"a"])


def test_what_is_not_described_may_change_what_it_names() -> None:
    assert operations([b"RENAME", b"a", b"b"], Scripts()) == ([], [b"a", b"b"])
    assert operations([b"ttl", b"a"], Scripts()) == ([], ())
