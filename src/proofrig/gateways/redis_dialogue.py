"""What one agent says to a Redis server and what comes back, read on the side. Without I/O; see
`redis.py` for the rules.

What was passed on and waits for its reply stands in a queue, in the order of Redis's replies:

    None            a reply that says nothing here
    Answer          not the server's to give: these bytes go to the client when their turn comes
    SWALLOWED       the reply to a command of our own; the client never sees it
    Subscribing     so many confirmations
    a function      takes the reply
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proofrig.gateways.gateway import Binding
from proofrig.gateways.redis_commands import Operation, Scripts, operations
from proofrig.gateways.redis_keys import Keys, Passing, Place
from proofrig.gateways.redis_protocol import Push, Refusal
from proofrig.history.action import Outcome
from proofrig.history.journal import Journal
from proofrig.observers.recorder import Attrs

SWALLOWED = object()
OK = b"+OK\r\n"
NAMED = b"proofrig:"
TRANSACTION = frozenset((b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH", b"RESET"))
SUBSCRIBES = {b"SUBSCRIBE": b"c", b"PSUBSCRIBE": b"p", b"SSUBSCRIBE": b"s"}
UNSUBSCRIBES = {b"UNSUBSCRIBE": b"c", b"PUNSUBSCRIBE": b"p", b"SUNSUBSCRIBE": b"s"}
CONFIRMED = frozenset(name.lower() for name in (*SUBSCRIBES, *UNSUBSCRIBES))
MESSAGES = frozenset((b"message", b"pmessage", b"smessage"))
BLINDING = frozenset((b"MONITOR", b"SYNC", b"PSYNC"))
FLUSHES = frozenset((b"FLUSHALL", b"FLUSHDB", b"SWAPDB"))


@dataclass(slots=True)
class Shared:
    """What all connections of one proxy share. trial_of: token -> its trial, live or ended."""

    journal: Journal
    service: str
    keys: Keys
    scripts: Scripts
    trial_of: Callable[[str], Binding | None]


Whose = dict[str, str]  # trial, tenant and scope of an entry; empty: nobody's


@dataclass(slots=True)
class Answer:
    data: bytes


@dataclass(slots=True)
class Subscribing:
    left: int


def encoded(command: Sequence[bytes]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(command)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in command]
    return b"".join(parts)


class Dialogue:
    """One connection of one client. `blind`: it is not read any further."""

    def __init__(self, shared: Shared, database: int) -> None:
        self.blind = False
        self.special = 0  # of the waiting, those that are answered or swallowed here
        self._shared = shared
        self._waiting: deque[Any] = deque()
        self._whose: Whose = {}
        self._database = database
        self._queued: list[tuple[int, Operation]] | None = None  # inside MULTI
        self._places = 0  # commands queued so far
        self._watched: dict[Place, Any] | None = None  # key -> what was read since
        self._topics: set[bytes] = set()
        self._open: dict[int, tuple[str, Whose, Passing]] = {}

    def expect(self, what: Any, *, special: bool = False) -> None:
        """One more reply is to come."""
        self._waiting.append(what)
        self.special += special

    def answers(self) -> list[bytes]:
        """What the client is to be answered from here, now that all before it was."""
        due: list[bytes] = []
        while self._waiting and isinstance(self._waiting[0], Answer):
            due.append(self._waiting.popleft().data)
            self.special -= 1
        return due

    def command(self, command: list[bytes]) -> bytes | None:
        """Take note of a command; None when it goes to the server as it is, else what goes
        instead."""
        if not command:
            return None
        name = command[0].upper()
        if name in NAMING and (instead := NAMING[name](self, command)) is not None:
            return instead
        if name in TRANSACTION:
            self._transaction(name, command)
        elif self._queued is not None:
            made, touched = operations(command, self._shared.scripts)
            self._lose(touched)
            self._queued += [(self._places, operation) for operation in made]
            self._places += 1
            self.expect(None)
        elif name in SUBSCRIBES or name in UNSUBSCRIBES:
            self._subscribe(name, command[1:])
        elif name in BLINDING or (name == b"CLIENT" and _silences(command)):
            self.go_blind(f"{name.decode()} was sent")
        elif name == b"SELECT" and len(command) == 2 and command[1].isdigit():
            self.expect(self._selected(int(command[1])))
        else:
            self._operate(name, command)
        return None

    def _operate(self, name: bytes, command: list[bytes]) -> None:
        if name in FLUSHES:
            self._shared.keys.lose_all()
        made, touched = operations(command, self._shared.scripts)
        self._lose(touched)
        if not made:
            self.expect(None)
            return
        begun = [self._begin(operation) for operation in made]

        def replied(reply: Any) -> None:
            for passing in begun:
                self._commit(passing, *passing.operation.ended(reply))

        self.expect(replied)

    def _lose(self, touched: Sequence[bytes]) -> None:
        for key in touched[:16]:
            self._shared.keys.lose((self._database, key))

    def _begin(self, operation: Operation) -> Passing:
        shared = self._shared
        place = (self._database, operation.key)
        now = shared.journal.clock()
        passing = Passing(operation, place, self, self._whose.get("trial", ""), now)
        shared.keys.leave(passing)
        action = shared.journal.new_action()
        attrs: Attrs = {"service": shared.service, "key": self._shown(operation.key)}
        attrs.update(operation.started)
        shared.journal.write("start", operation.action, id=action, attrs=attrs, **self._whose)
        self._open[id(passing)] = (action, self._whose, passing)
        return passing

    def _shown(self, key: bytes) -> str:
        text = key.decode("utf-8", "backslashreplace")
        return f"{self._database}/{text}" if self._database else text

    def _commit(self, passing: Passing, outcome: Outcome, told: Attrs) -> None:
        known = self._open.pop(id(passing), None)
        if known is None:
            return
        journal = self._shared.journal
        attrs: Attrs = {"outcome": outcome, **told}
        absent = told.get("value", "") is None
        attrs.update(self._shared.keys.arrive(passing, outcome, journal.clock(), absent=absent))
        if self._watched and passing.place in self._watched and not passing.operation.writes:
            self._watched[passing.place] = attrs.get("version", attrs.get("value"))
        action, whose, _ = known
        journal.write("commit", passing.operation.action, id=action, attrs=attrs, **whose)

    # Transactions.

    def _transaction(self, name: bytes, command: list[bytes]) -> None:
        if name == b"WATCH" and self._queued is None:
            self._watched = self._watched or {}
            self._watched.update(((self._database, key), UNREAD) for key in command[1:])
        elif name == b"MULTI" and self._queued is None:
            self._queued, self._places = [], 0
        elif name == b"EXEC" and self._queued is not None:
            self._execute(self._queued)
            self._queued = self._watched = None
            return
        elif name in (b"DISCARD", b"UNWATCH", b"RESET"):
            if name != b"UNWATCH":
                self._queued = None
            if self._queued is None:
                self._watched = None
            if name == b"RESET":
                self._whose, self._database = {}, 0
                self._topics.clear()
        self.expect(None)

    def _execute(self, queued: list[tuple[int, Operation]]) -> None:
        for _, operation in queued:
            if self._watched and operation.action in ("kv.put", "kv.delete"):
                operation.action = "kv.cas"
                operation.started.setdefault("value", None)
                read = self._watched.get((self._database, operation.key), UNREAD)
                if read is not UNREAD:
                    operation.started["expected"] = read
        begun = [(place, self._begin(operation)) for place, operation in queued]

        def replied(reply: Any) -> None:
            for place, passing in begun:
                if isinstance(reply, list) and place < len(reply):
                    self._commit(passing, *passing.operation.ended(reply[place]))
                else:
                    error = reply[:200].decode("utf-8", "replace") if reply else ""
                    self._commit(passing, "fail", {"error": error} if error else {})

        self.expect(replied)

    def _selected(self, database: int) -> Callable[[Any], None]:
        before, self._database = self._database, database

        def replied(reply: Any) -> None:
            if isinstance(reply, Refusal):
                self._database = before

        return replied

    # Who it is.

    def _named(self, token: bytes) -> bool:
        binding = self._shared.trial_of(token.decode("utf-8", "replace")) if token else None
        if binding is not None:
            self._whose = {
                "trial": binding.trial,
                "tenant": binding.tenant,
                "scope": binding.scope,
            }
        return binding is not None

    def _name_trial(self, command: list[bytes]) -> bytes | None:
        if len(command) < 2 or not self._named(command[1]):
            self._whose = {}
        return b""

    def _name_by_auth(self, command: list[bytes]) -> bytes | None:
        if not any(self._named(word) for word in reversed(command[1:3])):
            return None
        self.expect(Answer(OK), special=True)
        return b""

    def _name_by_hello(self, command: list[bytes]) -> bytes | None:
        upper = [word.upper() for word in command]
        if b"AUTH" not in upper[2:]:
            return None
        at = upper.index(b"AUTH", 2)
        if not any(self._named(word) for word in reversed(command[at + 1 : at + 3])):
            return None
        self.expect(None)
        return encoded([*command[:at], *command[at + 3 :]])

    def _name_by_client(self, command: list[bytes]) -> bytes | None:
        if len(command) != 3 or command[1].upper() != b"SETNAME":
            return None
        if not command[2].startswith(NAMED) or not self._named(command[2][len(NAMED) :]):
            return None
        self.expect(Answer(OK), special=True)
        return b""

    # Subscriptions.

    def _subscribe(self, name: bytes, topics: list[bytes]) -> None:
        if name in SUBSCRIBES:
            self._topics.update(SUBSCRIBES[name] + topic for topic in topics)
            self.expect(Subscribing(len(topics)))
            return
        kind = UNSUBSCRIBES[name]
        gone = (
            {kind + topic for topic in topics}
            if topics
            else {topic for topic in self._topics if topic[:1] == kind}
        )
        self._topics -= gone
        self.expect(Subscribing(max(1, len(topics or gone))))

    def replied(self, value: Any) -> bool:
        """Take a reply to where it belongs; True when the client must not see it."""
        kind = value[0] if isinstance(value, list) and value else None
        kind = kind if isinstance(kind, bytes) else b""
        first = self._waiting[0] if self._waiting else None
        if kind in CONFIRMED and isinstance(first, Subscribing):
            first.left -= 1
            if first.left <= 0:
                self._waiting.popleft()
            return False
        if isinstance(value, Push) or (kind in MESSAGES and self._listens()):
            return False
        if self._waiting:
            self._waiting.popleft()
        if first is SWALLOWED:
            self.special -= 1
            return True
        if callable(first):
            first(value)
        return False

    def _listens(self) -> bool:
        """Messages may come; until the server confirms the end of a subscription, too."""
        return bool(self._topics) or any(isinstance(one, Subscribing) for one in self._waiting)

    def go_blind(self, why: str) -> None:
        """The connection cannot be read on; it is passed through from now on."""
        self.blind = True
        self.settle_unknown("the connection could not be read on")
        attrs = {"service": self._shared.service, "why": why}
        self._shared.journal.write("note", "blind", attrs=attrs, **self._whose)

    def settle_unknown(self, error: str) -> None:
        """Nobody will see the end of what is on its way."""
        for _, _, passing in list(self._open.values()):
            self._commit(passing, "unknown", {"error": error})


UNREAD = object()
NAMING: dict[bytes, Callable[[Dialogue, list[bytes]], bytes | None]] = {
    b"PROOFRIG.TRIAL": Dialogue._name_trial,
    b"AUTH": Dialogue._name_by_auth,
    b"HELLO": Dialogue._name_by_hello,
    b"CLIENT": Dialogue._name_by_client,
}


def _silences(command: list[bytes]) -> bool:
    return len(command) == 3 and command[1].upper() == b"REPLY" and command[2].upper() != b"ON"
