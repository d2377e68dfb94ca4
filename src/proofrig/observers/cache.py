"""`observed_cache`: a cache of the user's, with its hits and whose entries they were.

Standard library only, Python 3.9+.

Rules:
1. A hit is an answer that is not None (and not empty, where the answer is a list).
2. Who stored an entry is kept here, not in the cache: an entry is known again by its content, so
   that a hit across tenants is seen whatever key, embedding or threshold the cache goes by.
3. Several who stored equal content: a hit is the asker's own entry if one is, for nothing tells
   them apart; then one of the same key; then the latest.
4. An entry that another process stored is a hit without an owner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from proofrig.observers._watch import Observed, shown, watched
from proofrig.observers.recorder import RECORDER, Attrs, Recorder, as_text, cut, fingerprint

KEPT = 100_000  # contents whose owners are remembered, the oldest forgotten first
SAME = 16  # owners remembered of one content
READS = frozenset(("get", "aget", "check", "acheck", "lookup", "alookup", "search", "asearch"))
WRITES = frozenset(
    ("put", "aput", "set", "aset", "store", "astore", "update", "aupdate", "add", "aadd")
)
VALUES = ("value", "response", "answer", "return_val", "data", "result")
SIMILARITY = ("similarity", "score")


def _nobody() -> str:
    return ""


def observed_cache(
    cache: Any,
    service: str,
    *,
    owner: Callable[[], str] = _nobody,
    recorder: Recorder = RECORDER,
) -> Any:
    """`cache` with get/put, get/set, check/store or lookup/update recorded, plain or async.

    `owner()` names the tenant for whom the agent is working, where the agent knows it; the trial
    that stored an entry is recorded in any case. The last positional argument of a write, or the
    one named `value`, `response`, `answer` or `return_val`, is the content; the others are the key.
    """
    return ObservedCache(cache, service, owner, recorder) if recorder.on else cache


class Entry:
    """Who stored an entry: its id (the action that stored it), key, trial and tenant."""

    __slots__ = ("id", "key", "owner", "trial")

    def __init__(self, id: str, key: str, trial: str, owner: str) -> None:
        self.id, self.key, self.trial, self.owner = id, key, trial, owner


class ObservedCache(Observed):
    """A cache and the owners of what it holds."""

    def __init__(
        self, cache: Any, service: str, owner: Callable[[], str], recorder: Recorder
    ) -> None:
        super().__init__(cache)
        self._service = service
        self._owner = owner
        self._recorder = recorder
        self._entries: dict[str, list[Entry]] = {}  # content -> who stored it, the latest last
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method) or not (name in READS or name in WRITES):
            return method
        observe = self._get if name in READS else self._put

        def observed(*args: Any, **kwargs: Any) -> Any:
            return observe(method, args, kwargs)

        return observed

    def __getitem__(self, key: Any) -> Any:
        return self._get(self._inner.__getitem__, (key,), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self._put(self._inner.__setitem__, (key, value), {})

    def _put(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        named = next((name for name in VALUES if name in kwargs), None)
        value = kwargs[named] if named is not None else args[-1] if args else None
        key = _key(args if named is not None else args[:-1], kwargs, named)
        attrs: Attrs = {"service": self._service, "key": key}
        owner = self._owner()
        if owner:
            attrs["owner"] = owner
        begun = self._recorder.begin("cache.put", attrs)
        entry = Entry(begun.id, key, begun.trial, owner) if begun is not None else None
        if entry is not None:
            self._remember(value, entry)  # before the cache has it: another may be asking now

        def ended(result: Any, error: BaseException | None) -> None:
            if begun is None:
                return
            if error is None:
                self._recorder.commit(begun, "ok", {"entry": begun.id})
            else:
                told = {"entry": begun.id, "error": shown(error)}
                self._recorder.commit(begun, "unknown", told)

        return watched(method, args, kwargs, ended)

    def _get(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        begun = self._recorder.begin(
            "cache.get", {"service": self._service, "key": _key(args, kwargs, None)}
        )

        def ended(result: Any, error: BaseException | None) -> None:
            if begun is None:
                return
            if error is not None and not isinstance(error, KeyError):
                self._recorder.commit(begun, "fail", {"error": shown(error)})
            elif error is not None or result is None or (result == [] and type(result) is list):
                self._recorder.commit(begun, "ok", {"hit": False})
            else:
                told = self._hit(result, _key(args, kwargs, None), begun.trial)
                self._recorder.commit(begun, "ok", told)

        return watched(method, args, kwargs, ended)

    def _hit(self, result: Any, key: str, trial: str) -> Attrs:
        told: Attrs = {"hit": True}
        entry = self._find(result, key, trial)
        if entry is not None:
            told["entry"] = entry.id
            told.update({"owner": entry.owner} if entry.owner else {})
            told.update({"stored_by": entry.trial} if entry.trial else {})
        similarity = _similarity(result)
        if similarity is not None:
            told["similarity"] = similarity
        text = as_text(result)
        if isinstance(text, str):
            told["text"] = cut(text)
        return told

    def _remember(self, value: Any, entry: Entry) -> None:
        content = _content(value)
        with self._lock:
            known = self._entries.pop(content, [])
            known[:] = [one for one in known if (one.trial, one.key) != (entry.trial, entry.key)]
            self._entries[content] = [*known[-SAME + 1 :], entry]
            if len(self._entries) > KEPT:
                del self._entries[next(iter(self._entries))]

    def _find(self, result: Any, key: str, trial: str) -> Entry | None:
        for part in _parts(result):
            known = self._entries.get(_content(part))
            if known:
                own = [one for one in known if one.trial == trial]
                return (own or [one for one in known if one.key == key] or known)[-1]
        return None


def _key(args: Any, kwargs: Any, value: str | None) -> str:
    named = [v for name, v in kwargs.items() if name != value and isinstance(v, (str, bytes))]
    texts = [text for text in map(as_text, [*args, *named]) if isinstance(text, str)]
    return str(fingerprint("\n".join(texts)))


def _content(value: Any) -> str:
    return str(fingerprint(value))


def _parts(value: Any, depth: int = 3) -> Iterator[Any]:
    """A result, and what it may have wrapped the entry in."""
    yield value
    if depth and isinstance(value, (list, tuple)):
        for part in value[:64]:
            yield from _parts(part, depth - 1)
    elif depth and isinstance(value, dict):
        for part in list(value.values())[:64]:
            yield from _parts(part, depth - 1)


def _similarity(result: Any) -> float | None:
    found = result[0] if isinstance(result, list) and result else result
    if isinstance(found, dict):
        for name in SIMILARITY:
            if isinstance(found.get(name), (int, float)):
                return float(found[name])
    return None
