"""The contract of a shared service: one instance, held by the rig, for which agents contend.

    ask ──▶ Ask (checked, and what its `start` says) ──▶ apply ──▶ Done (result, what its end says)

Rules:
1. An operation takes effect in one step, between two turns of the loop. Only one that has to wait
   for others (a lock, an empty queue) answers with an awaitable.
2. Time is the clock that is passed in, chance is drawn from the seed: the same asks at the same
   times get the same answers.
3. Nothing is partitioned unless the suite says so: by default all tenants and trials share one
   space of keys, as a naive deployment has it.
4. What time alone frees is freed by `sweep`; `due` says when that will be.
5. A refusal is an answer (`Done.status`), never an exception; what cannot be understood raises
   Misasked, and nothing has happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.history.action import Outcome

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Partition = Literal["none", "tenant", "trial"]
Clock = Callable[[], int]  # nanoseconds since the run began

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Json = str | int | float | bool | list[Any] | dict[str, Any]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]

EVERYONE = "*"  # in `seed`: what all tenants are given
VERBATIM = 200  # characters of a value that stands on the history as it is
SECOND_NS = 1_000_000_000


def text_of(value: Any) -> str:
    """A value as text: text as it is, all else as compact JSON, members in the order given."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def fingerprint(value: Any) -> str | None:
    """A value as it stands on the history: its text when that has at most 200 characters, else
    `blake2:` and the BLAKE2b-128 of the text in UTF-8 as hex; None for None."""
    if value is None:
        return None
    text = text_of(value)
    if len(text) <= VERBATIM:
        return text
    data = text.encode("utf-8", "replace")
    return f"blake2:{hashlib.blake2b(data, digest_size=16).hexdigest()}"


def nanoseconds(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * SECOND_NS)


class ServiceSettings(BaseModel):
    """What a suite declares of every service. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    name: Name
    partition: Partition = Field(
        "none",
        description="Whose keys are kept apart: `none` (one space for all), `tenant` or `trial`.",
    )
    latency_ms: float = Field(
        0.0, ge=0, description="Time from the effect of an operation to its answer."
    )

    def topology(self) -> dict[str, Any]:
        """What the scenario's note says of it: all but the name and the texts of the seed."""
        return self.model_dump(mode="json", exclude={"name", "seed"}, exclude_none=True)


class StoreSettings(ServiceSettings):
    """What services that keep content declare beside that."""

    max_entries: int | None = Field(None, gt=0, description="Entries at once; None: no limit.")
    max_value_bytes: int = Field(1 << 20, gt=0, description="A larger value is refused.")
    ttl_s: float | None = Field(None, gt=0, description="Seconds that an entry lives.")
    public: list[str] = Field(
        [], description="Patterns (`*`, `?`, `[...]`) of keys that are meant for all tenants."
    )


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who asks. The trial is the session."""

    trial: str
    tenant: str


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    """What an operation takes; its docstring is what a model is told."""

    def started(self) -> dict[str, Any]:
        """What `start` says of it beside service and key."""
        return {}


class Operation(msgspec.Struct, frozen=True):
    """One thing a service can do. name: also the method's. action: its name on the history.
    mutates: it changes what others see."""

    name: str
    action: str
    takes: type[Arguments]
    mutates: bool = True


class Ask(msgspec.Struct, frozen=True):
    """An operation as asked for: checked, not yet done. started: the attributes of its `start`."""

    operation: Operation
    caller: Caller
    arguments: Any
    started: dict[str, Any]

    @property
    def place(self) -> str:
        """The key under which it is really stored."""
        place: str = self.started.get("physical", self.started.get("key", ""))
        return place


class Done(msgspec.Struct, frozen=True):
    """How an operation ended.

    result: JSON for the caller. attrs: of its `commit`. status: 200; 409 refused, 413 too large,
    429 over a limit. error: why, for the caller. text: the content that was read, for what is
    searched for leaks. retry_after_ns: of a 429. after: called once the answer is due.
    """

    result: Any = None
    attrs: dict[str, Any] = {}
    status: int = 200
    error: str = ""
    text: str | None = None
    retry_after_ns: int = 0
    after: Callable[[], None] | None = None

    @property
    def outcome(self) -> Outcome:
        return "ok" if self.status == 200 else "fail"


class Misasked(Exception):
    """An operation that does not exist (404), or arguments that cannot be used (400)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _unheard(name: str, attrs: dict[str, Any]) -> None:
    pass


def _unseen() -> None:
    pass


class Service:
    """One shared instance. Members give `operations` and a method for each of them.

    `note` is called with the name and attributes of what happens by itself (`lock_expired`),
    `changed` after something was done to it that no operation did.
    """

    operations: ClassVar[Mapping[str, Operation]] = {}

    def __init__(self, settings: ServiceSettings, clock: Clock) -> None:
        self.name = settings.name
        self.latency_ns = round(settings.latency_ms * 1_000_000)
        self.note: Callable[[str, dict[str, Any]], None] = _unheard
        self.changed: Callable[[], None] = _unseen
        self._partition = settings.partition
        self._public: list[str] = getattr(settings, "public", [])
        self._clock = clock

    def ask(self, caller: Caller, operation: str, arguments: bytes | Mapping[str, Any]) -> Ask:
        """Check a call; `arguments` is a JSON object, as bytes or decoded. Raises Misasked."""
        found = self.operations.get(operation)
        if found is None:
            raise Misasked(404, unknown(f"operation of {self.name}", operation, self.operations))
        try:
            if isinstance(arguments, bytes):
                given = msgspec.json.decode(arguments or b"{}", type=found.takes)
            else:
                given = msgspec.convert(arguments, found.takes)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            takes = ", ".join(_shown(field) for field in msgspec.structs.fields(found.takes))
            raise Misasked(
                400,
                f"{self.name}.{operation}: expected a JSON object with {takes}; got one where "
                f"{str(error)[:300]}",
            ) from error
        started = {"service": self.name} | self.started(caller, given) | given.started()
        return Ask(found, caller, given, started)

    def apply(self, ask: Ask) -> Done | Awaitable[Done]:
        """Do it. Of an awaitable, nothing has taken effect until it is awaited to its end."""
        done: Done | Awaitable[Done] = getattr(self, ask.operation.name)(ask)
        return done

    def started(self, caller: Caller, arguments: Any) -> dict[str, Any]:
        """The key of an ask, and the one under which it is really stored."""
        key = getattr(arguments, "key", "")
        physical = self.physical(caller, key)
        if not key:
            return {"physical": physical} if physical else {}
        return {"key": key} if physical == key else {"key": key, "physical": physical}

    def physical(self, caller: Caller, key: str) -> str:
        """The key under which `key` of this caller is really stored."""
        if self._partition == "none" or self.is_public(key):
            return key
        whose = caller.tenant if self._partition == "tenant" else caller.trial
        return f"{whose}/{key}" if key else whose

    def is_public(self, key: str) -> bool:
        """True where the suite declares the key to be for all tenants."""
        return any(fnmatchcase(key, pattern) for pattern in self._public)

    def due(self) -> int | None:
        """When time frees something next, nanoseconds since the run began; None: never."""
        return None

    def sweep(self) -> None:
        """Free what time has freed by now."""

    def forget(self, trial: str) -> None:
        """A trial has ended: refuse what it still waits for. What it holds, it holds."""


def unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    """What is said of a name that does not exist."""
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown {what}: {name!r}; {hint}there is {', '.join(sorted(known)) or 'none'}"


def refused(error: str, *, status: int = 409, **attrs: Any) -> Done:
    """An operation that certainly did not happen."""
    return Done(None, attrs, status, error)


def too_large(service: str, value: Any, limit: int) -> Done | None:
    """The refusal of a value that has more than `limit` bytes as text; None when it has not."""
    text = text_of(value)
    if len(text) * 4 <= limit or (size := len(text.encode("utf-8", "replace"))) <= limit:
        return None
    return refused(
        f"{service}: expected a value of at most {limit:,} bytes, got {size:,}", status=413
    )


def _shown(field: msgspec.structs.FieldInfo) -> str:
    return field.name if field.required else f"{field.name} (optional)"
