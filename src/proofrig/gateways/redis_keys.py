"""What a Redis proxy knows of its keys: how often each was written, and who holds which lock.

Rules:
1. A version is the number of writes that were confirmed since the proxy first saw the key. It is
   given only where the order is certain: a write's, when no other connection's write of the key
   was on its way meanwhile; a read's, when none was at all.
2. A write whose end nobody saw, or a change of another kind, ends the counting of its key; so does
   a read that finds nothing where something was written: the server was emptied, or let it go.
3. Who holds a lock is what this proxy saw; it is used to name holders, never to refuse.
"""

from __future__ import annotations

from proofrig.gateways.redis_commands import Operation
from proofrig.history.action import Outcome
from proofrig.observers.recorder import Attrs

KEYS_MAX = 200_000  # keys whose versions are counted; those that come later have none
Place = tuple[int, bytes]  # database and key


class _Key:
    __slots__ = ("begun", "connection", "deleted", "lost", "mixed", "open", "version")

    def __init__(self) -> None:
        self.version = 0
        self.open = 0  # writes on their way
        self.begun = 0  # writes ever begun
        self.connection: object = None  # whose the writes on their way are
        self.mixed = False  # those of several connections
        self.deleted = True  # by the last write that was confirmed, or never written
        self.lost = False


class _Lock:
    __slots__ = ("token", "trial", "until")

    def __init__(self, trial: str, token: bytes, until: int) -> None:
        self.trial = trial
        self.token = token
        self.until = until  # nanoseconds since the run began; 0: for ever


class Passing:
    """An operation on its way: whose it is, on which connection, and what was so when it left."""

    __slots__ = ("begun", "certain", "connection", "operation", "place", "t", "trial")

    def __init__(
        self, operation: Operation, place: Place, connection: object, trial: str, t: int
    ) -> None:
        self.operation = operation
        self.place = place
        self.connection = connection
        self.trial = trial
        self.t = t
        self.begun = 0
        self.certain = False


class Keys:
    """The keys of one server. Times are nanoseconds since the run began."""

    def __init__(self) -> None:
        self._keys: dict[Place, _Key] = {}
        self._locks: dict[Place, _Lock] = {}
        self._asked: dict[tuple[Place, bytes], int] = {}  # lock and token -> first asked for

    def leave(self, passing: Passing) -> None:
        """An operation is about to go to the server."""
        operation = passing.operation
        if operation.action == "kv.delete" and self._holder(passing) == passing.trial != "":
            operation.action, operation.counted = "lock.release", False
        if operation.action == "lock.acquire":
            if len(self._asked) > KEYS_MAX:
                self._asked.clear()
            self._asked.setdefault((passing.place, operation.token), passing.t)
        key = self._key(passing.place)
        if key is None:
            return
        if not operation.counted:
            key.lost = True  # a lock's key, or one that holds no string
        elif operation.writes:
            key.mixed = key.mixed or (key.open > 0 and key.connection is not passing.connection)
            key.open += 1
            key.begun += 1
            key.connection = passing.connection
        else:
            passing.certain = not key.open
            passing.begun = key.begun

    def _key(self, place: Place) -> _Key | None:
        key = self._keys.get(place)
        if key is None and len(self._keys) < KEYS_MAX:
            key = self._keys[place] = _Key()
        return key

    def arrive(
        self, passing: Passing, outcome: Outcome, now: int, *, absent: bool = False
    ) -> Attrs:
        """Its end was seen, or is `unknown`; what else there is to say of it. absent: it read that
        there is nothing."""
        operation = passing.operation
        if operation.action.startswith("lock."):
            return self._lock(passing, outcome, now)
        key = self._keys.get(passing.place) if operation.counted else None
        if key is None:
            return {}
        if not operation.writes:
            certain = passing.certain and passing.begun == key.begun
            key.lost = key.lost or (certain and absent and not key.deleted)
            certain = certain and not key.lost
            return {"version": key.version} if certain and outcome == "ok" else {}
        certain = not key.mixed
        key.open = max(0, key.open - 1)
        if not key.open:
            key.mixed = False
        if outcome == "unknown":
            key.lost = True
        if outcome != "ok":
            return {}
        key.version += 1
        key.deleted = operation.action == "kv.delete"
        self._locks.pop(passing.place, None)
        return {"version": key.version} if certain and not key.lost else {}

    def lose(self, place: Place) -> None:
        """The key may have changed in a way that nobody counted."""
        if key := self._keys.get(place):
            key.lost = True

    def lose_all(self) -> None:
        """Every key may have changed."""
        for key in self._keys.values():
            key.lost = True
        self._locks.clear()

    def _holder(self, passing: Passing) -> str | None:
        lock = self._locks.get(passing.place)
        return lock.trial if lock and (not lock.until or lock.until > passing.t) else None

    def _lock(self, passing: Passing, outcome: Outcome, now: int) -> Attrs:
        operation, place = passing.operation, passing.place
        if operation.action == "lock.acquire":
            asked = (place, operation.token)
            waited = now - self._asked.get(asked, passing.t)
            if outcome == "ok":
                self._asked.pop(asked, None)
                ttl = operation.started.get("ttl_ns", 0)
                self._locks[place] = _Lock(passing.trial, operation.token, ttl and now + ttl)
                return {"waited_ns": waited}
            lock = self._locks.get(place)
            return {"waited_ns": waited, **({"holder": lock.trial} if lock and lock.trial else {})}
        if operation.action == "lock.release" and outcome == "ok":
            self._locks.pop(place, None)
        return {}
