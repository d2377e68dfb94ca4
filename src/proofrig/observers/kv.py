"""`observed_kv`: a key-value store of the user's, with its reads and writes on the history.

For mappings and for objects with methods like `get`, `set` and `delete`, plain or async. Standard
library only, Python 3.9+.

Rules:
1. One operation of the store stays one: `pop` and `setdefault` of a dict are not taken apart.
2. What was read is the value that the agent got; an absent key was read as null.
3. A write that raised is `unknown`: the store may have it. A read that raised is `fail`.
4. Reading all of a store at once (`items`, `values`, `copy`) is passed on unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from proofrig.observers._watch import Observed, shown, watched
from proofrig.observers.recorder import (
    RECORDER,
    Attrs,
    Begun,
    Recorder,
    as_text,
    contents,
    fingerprint,
)

MISSING: Any = object()

# What a method's name says it does; `a` and `async_` before it change nothing.
READS = frozenset(("get", "get_item", "getitem", "read", "load"))
WRITES = frozenset(("set", "put", "set_item", "setitem", "write", "store", "save"))
DELETES = frozenset(("delete", "remove", "del", "unset"))
SWAPS = {  # name -> places of the expectation and of the new value
    "cas": (2, 1),
    "compare_and_set": (1, 2),
    "compare_and_swap": (1, 2),
}
ADDS = {"incr": "kv.incr", "increment": "kv.incr", "append": "kv.append"}
KEYS, VALUES, EXPECTED = (
    ("key", "name", "id", "k"),
    ("value", "new", "new_value", "amount", "by", "v"),
    ("expected", "old", "old_value", "version", "cas"),
)


def observed_kv(store: Any, service: str, *, recorder: Recorder = RECORDER) -> Any:
    """`store` with its reads and writes recorded as actions of `service`; the store itself when
    nothing is recorded. Wrap it once, where it is made, and share the wrapper."""
    if not recorder.on:
        return store
    return (ObservedMapping if hasattr(store, "__getitem__") else ObservedStore)(
        store, service, recorder
    )


def key_of(key: Any) -> str:
    """A key as it stands on the history."""
    text = as_text(key)
    return text if isinstance(text, str) else str(fingerprint(text))


class ObservedStore(Observed):
    """A store with methods."""

    def __init__(self, store: Any, service: str, recorder: Recorder) -> None:
        super().__init__(store)
        self._service = service
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        plain = name[6:] if name.startswith("async_") else name
        if plain[:1] == "a" and plain not in ADDS:
            plain = plain[1:]
        make = METHODS.get(plain)
        if make is None or not callable(method):
            return method

        def observed(*args: Any, **kwargs: Any) -> Any:
            return make(self, plain, method, args, kwargs)

        return observed

    def __enter__(self) -> Any:
        entered = self._inner.__enter__()
        return self if entered is self._inner else entered

    def __exit__(self, *raised: Any) -> Any:
        return self._inner.__exit__(*raised)

    async def __aenter__(self) -> Any:
        entered = await self._inner.__aenter__()
        return self if entered is self._inner else entered

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._inner.__aexit__(*raised)

    def _begin(self, name: str, key: Any, attrs: Attrs | None = None) -> Begun | None:
        told: Attrs = {"service": self._service, "key": key_of(key)}
        if attrs:
            told.update(attrs)
        return self._recorder.begin(name, told)

    def _end(self, begun: Begun | None, outcome: str, attrs: Attrs) -> None:
        if begun is not None:
            self._recorder.commit(begun, outcome, attrs)

    def _read(self, call: Callable[..., Any], args: Any, kwargs: Any, key: Any) -> Any:
        begun = self._begin("kv.get", key)

        def ended(result: Any, error: BaseException | None) -> None:
            if error is None or isinstance(error, KeyError):
                found = None if error is not None or result is MISSING else result
                self._end(begun, "ok", contents("value", found))
            else:
                self._end(begun, "fail", {"error": shown(error)})

        return watched(call, args, kwargs, ended)

    def _change(self, begun: Begun | None, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        def ended(result: Any, error: BaseException | None) -> None:
            if error is None:
                self._end(begun, "ok", {})
            else:
                outcome = "fail" if isinstance(error, KeyError) else "unknown"
                self._end(begun, outcome, {"error": shown(error)})

        return watched(call, args, kwargs, ended)


class ObservedMapping(ObservedStore):
    """A mapping."""

    def __getitem__(self, key: Any) -> Any:
        return self._read(self._inner.__getitem__, (key,), {}, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        begun = self._begin("kv.put", key, contents("value", value))
        self._change(begun, self._inner.__setitem__, (key, value), {})

    def __delitem__(self, key: Any) -> None:
        self._change(self._begin("kv.delete", key), self._inner.__delitem__, (key,), {})

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def get(self, key: Any, default: Any = None) -> Any:
        if not isinstance(self._inner, Mapping):
            given = () if default is None else (default,)
            return self._read(self._inner.get, (key, *given), {}, key)
        found = self._read(self._inner.get, (key, MISSING), {}, key)
        return default if found is MISSING else found

    def pop(self, key: Any, *default: Any) -> Any:
        read, deleted = self._begin("kv.get", key), self._begin("kv.delete", key)

        def ended(result: Any, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, KeyError):
                self._end(read, "fail", {"error": shown(error)})
                self._end(deleted, "unknown", {"error": shown(error)})
                return
            absent = error is not None or (bool(default) and result is default[0])
            self._end(read, "ok", contents("value", None if absent else result))
            self._end(deleted, "fail" if absent else "ok", {})

        return watched(self._inner.pop, (key, *default), {}, ended)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        given = {**contents("value", default), "expected": None}
        begun = self._begin("kv.cas", key, given)

        def ended(result: Any, error: BaseException | None) -> None:
            if error is not None:
                self._end(begun, "unknown", {"error": shown(error)})
            else:
                self._end(begun, "ok" if result is default else "fail", {})

        return watched(self._inner.setdefault, (key, default), {}, ended)

    def update(self, *args: Any, **kwargs: Any) -> Any:
        changes: dict[Any, Any] = dict(*args, **kwargs)
        begun = [self._begin("kv.put", k, contents("value", v)) for k, v in changes.items()]

        def ended(result: Any, error: BaseException | None) -> None:
            outcome, attrs = ("ok", {}) if error is None else ("unknown", {"error": shown(error)})
            for one in begun:
                self._end(one, outcome, attrs)

        return watched(self._inner.update, (changes,), {}, ended)


MutableMapping.register(ObservedMapping)


def _argument(args: Any, kwargs: Any, place: int, names: tuple[str, ...]) -> Any:
    if len(args) > place:
        return args[place]
    return next((kwargs[name] for name in names if name in kwargs), None)


def _get(self: Any, name: str, method: Any, args: Any, kwargs: Any) -> Any:
    return self._read(method, args, kwargs, _argument(args, kwargs, 0, KEYS))


def _put(self: Any, name: str, method: Any, args: Any, kwargs: Any) -> Any:
    value = contents("value", _argument(args, kwargs, 1, VALUES))
    begun = self._begin("kv.put", _argument(args, kwargs, 0, KEYS), value)
    return self._change(begun, method, args, kwargs)


def _delete(self: Any, name: str, method: Any, args: Any, kwargs: Any) -> Any:
    begun = self._begin("kv.delete", _argument(args, kwargs, 0, KEYS))
    return self._change(begun, method, args, kwargs)


def _add(self: Any, name: str, method: Any, args: Any, kwargs: Any) -> Any:
    added = _argument(args, kwargs, 1, VALUES)
    attrs = {"value": fingerprint(1 if added is None and name[0] == "i" else added)}
    begun = self._begin(ADDS[name], _argument(args, kwargs, 0, KEYS), attrs)

    def ended(result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._end(begun, "unknown", {"error": shown(error)})
        else:
            self._end(begun, "ok", {} if result is None else {"value": fingerprint(result)})

    return watched(method, args, kwargs, ended)


def _swap(self: Any, name: str, method: Any, args: Any, kwargs: Any) -> Any:
    expected_at, value_at = SWAPS[name]
    expected = _argument(args, kwargs, expected_at, EXPECTED)
    attrs = contents("value", _argument(args, kwargs, value_at, VALUES))
    attrs["expected"] = expected if type(expected) is int else fingerprint(expected)
    begun = self._begin("kv.cas", _argument(args, kwargs, 0, KEYS), attrs)

    def ended(result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._end(begun, "unknown", {"error": shown(error)})
        else:
            self._end(begun, "fail" if result is False or result is None else "ok", {})

    return watched(method, args, kwargs, ended)


METHODS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(READS, _get),
    **dict.fromkeys(WRITES, _put),
    **dict.fromkeys(DELETES, _delete),
    **dict.fromkeys(ADDS, _add),
    **dict.fromkeys(SWAPS, _swap),
}
