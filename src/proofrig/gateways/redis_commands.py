"""What a Redis command does, in the words of the history.

Rules:
1. Pure: words in, operations out; each operation turns its reply into an outcome.
2. `SET key value NX` with a time to live takes a lock, and so does one without whose value is such
   a random token as redis-py's `Lock` writes; any other `NX` is a compare-and-set with nothing.
3. A script that compares a key with its argument and deletes it releases a lock; one that sets
   its time to live renews it. Other scripts are passed on unseen.
4. A member of a hash has the key `hash[field]`. Lists, sets and hashes have no version.
5. What is not described here may still change keys: those are named, so that nobody counts on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from proofrig.gateways.redis_protocol import Refusal
from proofrig.history.action import Outcome
from proofrig.observers.recorder import Attrs, contents, fingerprint

Words = Sequence[bytes]
End = Callable[[Any], tuple[Outcome, Attrs]]

TOKEN = re.compile(rb"[0-9a-f]{32}")
SECOND, MILLI = 1_000_000_000, 1_000_000


class Operation:
    """One action on one key. started: attributes of its `start`; end: reply -> how it ended (a
    refusal is handled already). counted: the key's versions are counted. token: of a lock."""

    __slots__ = ("action", "counted", "end", "key", "started", "token")

    def __init__(
        self, action: str, key: bytes, end: End, started: Attrs | None = None, token: bytes = b""
    ) -> None:
        self.action = action
        self.key = key
        self.end = end
        self.started = started or {}
        self.token = token
        self.counted = action.startswith("kv.")

    @property
    def writes(self) -> bool:
        return self.action != "kv.get"

    def ended(self, reply: Any) -> tuple[Outcome, Attrs]:
        """Outcome and attributes of `commit`."""
        if isinstance(reply, Refusal):
            return "fail", {"error": reply[:200].decode("utf-8", "replace")}
        return self.end(reply)


def _done(reply: Any) -> tuple[Outcome, Attrs]:
    return "ok", {}


def _unless_null(reply: Any) -> tuple[Outcome, Attrs]:
    return ("fail" if reply is None else "ok"), {}


def _if_counted(reply: Any) -> tuple[Outcome, Attrs]:
    return ("ok" if reply else "fail"), {}


def _read(reply: Any) -> tuple[Outcome, Attrs]:
    return "ok", contents("value", _plain(reply))


def _number(reply: Any) -> tuple[Outcome, Attrs]:
    return "ok", {"value": fingerprint(reply)}


def _held(reply: Any) -> tuple[Outcome, Attrs]:
    return ("ok", {}) if reply else ("fail", {"expired": True})


def _nth(place: int) -> End:
    return lambda reply: _read(reply[place] if isinstance(reply, list) else None)


def _pairs(reply: Any) -> tuple[Outcome, Attrs]:
    """A hash: members and values in turn."""
    flat = _plain(reply) or []
    return "ok", contents("value", dict(zip(flat[::2], flat[1::2], strict=False)) or None)


def _plain(value: Any) -> Any:
    """A reply as text, as far as it is; bytes alone stay what they are."""
    if isinstance(value, list):
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else _plain(v) for v in value]
    return value


def _get(words: Words) -> list[Operation]:
    return [Operation("kv.get", words[1], _read)]


def _mget(words: Words) -> list[Operation]:
    return [Operation("kv.get", key, _nth(n)) for n, key in enumerate(words[1:])]


def _set(words: Words) -> list[Operation]:
    key, value = words[1], words[2]
    options = [word.upper() for word in words[3:]]
    put = contents("value", value)
    old = [Operation("kv.get", key, _read)] if b"GET" in options else []
    if b"NX" in options:
        end: End = _unless_null if not old else lambda reply: _if_counted(reply is None)
        if (ttl := _ttl(options)) or TOKEN.fullmatch(value):
            started = {"ttl_ns": ttl} if ttl else {}
            return [*old, Operation("lock.acquire", key, end, started, value)]
        return [*old, Operation("kv.cas", key, end, {**put, "expected": None})]
    end = _unless_null if b"XX" in options and not old else _done
    return [*old, Operation("kv.put", key, end, put)]


def _ttl(options: list[bytes]) -> int:
    for name, unit in ((b"PX", MILLI), (b"EX", SECOND)):
        if name in options[:-1]:
            amount = options[options.index(name) + 1]
            return int(amount) * unit if amount.isdigit() else 0
    return 0


def _put(value_at: int, end: End = _done) -> Callable[[Words], list[Operation]]:
    return lambda words: [Operation("kv.put", words[1], end, contents("value", words[value_at]))]


def _setnx(words: Words) -> list[Operation]:
    return [
        Operation(
            "kv.cas", words[1], _if_counted, {**contents("value", words[2]), "expected": None}
        )
    ]


def _mset(words: Words) -> list[Operation]:
    return [
        Operation("kv.put", words[n], _done, contents("value", words[n + 1]))
        for n in range(1, len(words) - 1, 2)
    ]


def _msetnx(words: Words) -> list[Operation]:
    return [
        Operation(
            "kv.cas",
            words[n],
            _if_counted,
            {**contents("value", words[n + 1]), "expected": None},
        )
        for n in range(1, len(words) - 1, 2)
    ]


def _delete(words: Words) -> list[Operation]:
    return [Operation("kv.delete", key, _if_counted) for key in words[1:]]


def _getdel(words: Words) -> list[Operation]:
    return [*_get(words), Operation("kv.delete", words[1], _unless_null)]


def _getset(words: Words) -> list[Operation]:
    return [*_get(words), *_put(2)(words)]


def _incr(sign: int, amount_at: int = 0) -> Callable[[Words], list[Operation]]:
    def made(words: Words) -> list[Operation]:
        amount = words[amount_at].decode("utf-8", "replace") if amount_at else "1"
        return [
            Operation("kv.incr", words[1], _number, {"value": "-" + amount if sign < 0 else amount})
        ]

    return made


def _append(words: Words) -> list[Operation]:
    return [Operation("kv.append", words[1], _done, contents("value", words[2]))]


def _member(words: Words, field: bytes) -> bytes:
    return words[1] + b"[" + field + b"]"


def _hset(words: Words) -> list[Operation]:
    return _uncounted(
        Operation("kv.put", _member(words, words[n]), _done, contents("value", words[n + 1]))
        for n in range(2, len(words) - 1, 2)
    )


def _hsetnx(words: Words) -> list[Operation]:
    started = {**contents("value", words[3]), "expected": None}
    return _uncounted([Operation("kv.cas", _member(words, words[2]), _if_counted, started)])


def _hget(words: Words) -> list[Operation]:
    return _uncounted([Operation("kv.get", _member(words, words[2]), _read)])


def _hmget(words: Words) -> list[Operation]:
    return _uncounted(
        Operation("kv.get", _member(words, field), _nth(n)) for n, field in enumerate(words[2:])
    )


def _hdel(words: Words) -> list[Operation]:
    return _uncounted(
        Operation("kv.delete", _member(words, field), _if_counted) for field in words[2:]
    )


def _hincrby(words: Words) -> list[Operation]:
    started = {"value": fingerprint(words[3])}
    return _uncounted([Operation("kv.incr", _member(words, words[2]), _number, started)])


def _whole(end: End) -> Callable[[Words], list[Operation]]:
    return lambda words: _uncounted([Operation("kv.get", words[1], end)])


def _push(words: Words) -> list[Operation]:
    added = words[2] if len(words) == 3 else _plain(list(words[2:]))
    return _uncounted([Operation("kv.append", words[1], _done, contents("value", added))])


def _uncounted(operations: Any) -> list[Operation]:
    made = list(operations)
    for operation in made:
        operation.counted = False
    return made


# name -> (fewest words, what it does)
COMMANDS: dict[bytes, tuple[int, Callable[[Words], list[Operation]]]] = {
    b"GET": (2, _get),
    b"GETEX": (2, _get),
    b"MGET": (2, _mget),
    b"SET": (3, _set),
    b"SETNX": (3, _setnx),
    b"SETEX": (4, _put(3)),
    b"PSETEX": (4, _put(3)),
    b"MSET": (3, _mset),
    b"MSETNX": (3, _msetnx),
    b"GETSET": (3, _getset),
    b"GETDEL": (2, _getdel),
    b"DEL": (2, _delete),
    b"UNLINK": (2, _delete),
    b"INCR": (2, _incr(1)),
    b"DECR": (2, _incr(-1)),
    b"INCRBY": (3, _incr(1, 2)),
    b"DECRBY": (3, _incr(-1, 2)),
    b"INCRBYFLOAT": (3, _incr(1, 2)),
    b"APPEND": (3, _append),
    b"HGET": (3, _hget),
    b"HMGET": (3, _hmget),
    b"HGETALL": (2, _whole(_pairs)),
    b"HSET": (4, _hset),
    b"HMSET": (4, _hset),
    b"HSETNX": (4, _hsetnx),
    b"HDEL": (3, _hdel),
    b"HINCRBY": (4, _hincrby),
    b"LRANGE": (4, _whole(_read)),
    b"SMEMBERS": (2, _whole(_read)),
    b"RPUSH": (3, _push),
    b"LPUSH": (3, _push),
    b"SADD": (3, _push),
}

HARMLESS = frozenset(  # no value of theirs changes
    b"AUTH HELLO ACL QUIT SCRIPT CLUSTER LATENCY SLOWLOG "
    b"PING ECHO TTL PTTL EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST EXISTS TYPE STRLEN SCAN KEYS "
    b"GETRANGE OBJECT DUMP WATCH UNWATCH PUBLISH SELECT CLIENT INFO CONFIG COMMAND DBSIZE TIME "
    b"WAIT TOUCH MEMORY HLEN HEXISTS HKEYS HVALS HSCAN LLEN LINDEX SCARD SISMEMBER SSCAN".split()
)


class Scripts:
    """The scripts whose meaning is known, by SHA-1: redis-py's own, and those that pass."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {
            b"c3f8721cbb97f72bc19e972846bd7aaf91901658": "lock.release",
            b"a4e8783852e6b949f9ef3a97212805108459a890": "lock.renew",  # extend
            b"1cac51482acf5858da00f6d685d68f886cd6b6b2": "lock.renew",  # reacquire
        }

    def learn(self, text: bytes) -> str:
        """The action of a script: `lock.release`, `lock.renew` or ""."""
        action = meaning(text)
        if action:
            self._known[hashlib.sha1(text).hexdigest().encode()] = action
        return action

    def operations(self, words: Words) -> list[Operation]:
        """Of EVAL or EVALSHA."""
        if len(words) < 5 or words[2] != b"1":
            return []
        if words[0].upper() == b"EVAL":
            action = self.learn(words[1])
        else:
            action = self._known.get(words[1].lower(), "")
        return [Operation(action, words[3], _held, token=words[4])] if action else []


def meaning(text: bytes) -> str:
    """What a script does with a lock, from its calls."""
    calls = {call.lower() for call in re.findall(rb"redis\.p?call\(\s*['\"](\w+)['\"]", text)}
    if b"ARGV[1]" not in text or b"get" not in calls:
        return ""
    if calls <= {b"get", b"del"} and b"del" in calls:
        return "lock.release"
    if calls <= {b"get", b"pttl", b"ttl", b"expire", b"pexpire"} and calls & {
        b"expire",
        b"pexpire",
    }:
        return "lock.renew"
    return ""


def operations(words: Words, scripts: Scripts) -> tuple[list[Operation], Sequence[bytes]]:
    """What a command does, and the keys that it may change in ways not described."""
    name = words[0].upper()
    found = COMMANDS.get(name)
    if found is not None:
        fewest, make = found
        return (make(words), ()) if len(words) >= fewest else ([], ())
    if name in (b"EVAL", b"EVALSHA"):
        made = scripts.operations(words)
        return made, () if made else words[3:]
    if name == b"SCRIPT":
        if len(words) > 2 and words[1].upper() == b"LOAD":
            scripts.learn(words[2])
        return [], ()
    return [], () if name in HARMLESS else words[1:]
