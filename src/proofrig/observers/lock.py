"""`observed_lock`: a lock of the user's, with who held it when and how long others waited.

For `threading.Lock` and `RLock`, `asyncio.Lock`, locks of redis-py and whatever has `acquire` and
`release`, plain or async. Standard library only, Python 3.9+.

Rules:
1. A lock that its holder takes again (`RLock`) is held once: only the outermost is recorded.
2. A fencing token is recorded where the lock gives one: what `acquire` returns, when that is a
   number, or the lock's `fencing` or `fencing_token`.
3. A release that the lock refuses is `fail`; one that met another error is `unknown`. Waiting that
   was given up on a lock of this process is `fail`: it is not held.
4. `threading.Condition` over an observed lock releases and takes it where all can see.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from proofrig.observers._watch import Observed, shown, watched
from proofrig.observers.recorder import RECORDER, Attrs, Begun, Recorder

REFUSED = ("LockError", "LockNotOwnedError", "RuntimeError")
LOCAL = ("_thread", "threading", "asyncio.locks")  # modules of locks that nobody else can hold
UNSEEN = ("_release_save", "_acquire_restore")  # how a Condition would get round the wrapper


def observed_lock(lock: Any, service: str, key: str, *, recorder: Recorder = RECORDER) -> Any:
    """`lock` with acquire, release and `with` recorded as actions of `service` on `key`; the lock
    itself when nothing is recorded."""
    return ObservedLock(lock, service, key, recorder) if recorder.on else lock


class ObservedLock(Observed):
    """A lock, its service and its key."""

    def __init__(self, lock: Any, service: str, key: str, recorder: Recorder) -> None:
        super().__init__(lock)
        self._about: Attrs = {"service": service, "key": key}
        self._recorder = recorder
        self._depth = 0  # of an RLock, below the outermost; changed by its holder alone
        self._local = type(lock).__module__ in LOCAL

    def __getattr__(self, name: str) -> Any:
        if name in UNSEEN:
            raise AttributeError(name)
        return super().__getattr__(name)

    def acquire(self, *args: Any, **kwargs: Any) -> Any:
        return self._acquire(self._inner.acquire, args, kwargs)

    def release(self, *args: Any, **kwargs: Any) -> Any:
        return self._release(self._inner.release, args, kwargs)

    def extend(self, *args: Any, **kwargs: Any) -> Any:
        return self._ending("lock.renew", self._inner.extend, args, kwargs)

    def reacquire(self, *args: Any, **kwargs: Any) -> Any:
        return self._ending("lock.renew", self._inner.reacquire, args, kwargs)

    def __enter__(self) -> Any:
        entered = self._acquire(self._inner.__enter__, (), {})
        return self if entered is self._inner else entered

    def __exit__(self, *raised: Any) -> Any:
        return self._release(self._inner.__exit__, raised, {})

    async def __aenter__(self) -> Any:
        entered = await self._acquire(self._inner.__aenter__, (), {})
        return self if entered is self._inner else entered

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._release(self._inner.__aexit__, raised, {})

    def _held_here(self) -> bool:
        owned = getattr(self._inner, "_is_owned", None)
        return owned is not None and bool(owned())

    def _acquire(self, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._held_here():
            result = call(*args, **kwargs)
            self._depth += 1
            return result
        attrs = dict(self._about)
        ttl = getattr(self._inner, "timeout", None)
        if isinstance(ttl, (int, float)) and ttl > 0:
            attrs["ttl_ns"] = round(ttl * 1e9)
        begun = self._recorder.begin("lock.acquire", attrs)

        def ended(result: Any, error: BaseException | None) -> None:
            if begun is None:
                return
            told: Attrs = {"waited_ns": time.monotonic_ns() - begun.t}
            if error is not None:
                told["error"] = shown(error)
                certain = self._local or type(error).__name__ in REFUSED
                self._recorder.commit(begun, "fail" if certain else "unknown", told)
            elif result is False:
                self._recorder.commit(begun, "fail", told)
            else:
                told.update(self._fencing(result))
                self._recorder.commit(begun, "ok", told)

        return watched(call, args, kwargs, ended)

    def _fencing(self, result: Any) -> Attrs:
        for token in (
            result,
            getattr(self._inner, "fencing", None),
            getattr(self._inner, "fencing_token", None),
        ):
            if type(token) is int:
                return {"fencing": token}
        return {}

    def _release(self, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._depth and self._held_here():
            self._depth -= 1
            return call(*args, **kwargs)
        return self._ending("lock.release", call, args, kwargs)

    def _ending(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        begun: Begun | None = self._recorder.begin(name, {**self._about, **self._fencing(None)})

        def ended(result: Any, error: BaseException | None) -> None:
            if begun is None:
                return
            if error is None:
                self._recorder.commit(begun, "ok", {})
                return
            told: Attrs = {"error": shown(error)}
            if "NotOwned" in type(error).__name__:
                told["expired"] = True
            outcome = "fail" if type(error).__name__ in REFUSED else "unknown"
            self._recorder.commit(begun, outcome, told)

        return watched(call, args, kwargs, ended)
