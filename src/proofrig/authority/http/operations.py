"""The calls of the authority's HTTP service, as a table: what each takes, and how it may answer.

Rules:
1. The routes of the service and its OpenAPI document are both made from this table.
2. `errors` names what the call may answer besides what all of them do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from proofrig.authority.http import messages as m

PREFIX: Final = "/v1"
MAX_WAIT_S: Final = 60
KEY_HEADER: Final = "Idempotency-Key"

Method = Literal["GET", "POST", "PUT"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter and its JSON schema."""

    name: str
    schema: dict[str, Any]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. name: also the service's method. path: below the prefix. answers: status to body.
    errors: statuses of the one shape of errors. admin: only for administrators. public: needs no
    key."""

    name: str
    method: Method
    path: str
    says: str
    answers: dict[int, Any]
    body: type[m.Body] | None = None
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = ()
    admin: bool = False
    public: bool = False
    example: dict[str, Any] = field(default_factory=dict)


_SCOPE = Query("scope", {"$ref": "Scope"}, required=True)
_STATE = Query("state", {"type": "string", "enum": ["pending"]}, required=True)
_WAIT = Query("wait_s", {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0})

_MOVE = (404, 409, 410)

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "reserve",
        "POST",
        "/reservations",
        "Ask for an action and hold its budget. 403: a rule says no; 429: a limit does.",
        {201: m.Allowed, 202: m.Allowed, 403: m.Denied | m.Error, 429: m.Denied},
        m.Reserve,
        errors=(409,),
        example={
            "id": "run-7.call-3",
            "scope": "acme/desk/bot/run-7",
            "name": "tool.refund",
            "amounts": {"usd_micro": 5000, "calls": 1, "calls:tool": 1},
            "arguments": {"order": "A-17", "amount": 40},
        },
    ),
    Operation(
        "pending",
        "GET",
        "/reservations",
        "What waits for approval, oldest first.",
        {200: m.Reservations},
        query=(_STATE,),
    ),
    Operation(
        "look",
        "GET",
        "/reservations/{id}",
        "All that is known of a reservation.",
        {200: m.Reservation},
        errors=(404,),
    ),
    Operation(
        "answer",
        "GET",
        "/reservations/{id}/answer",
        "Wait for the answer to what asked, at most `wait_s` seconds. 202: none yet, ask again.",
        {200: m.Allowed | m.Denied, 202: m.Moved},
        query=(_WAIT,),
        errors=(404, 409),
    ),
    Operation(
        "start",
        "POST",
        "/reservations/{id}/start",
        "Call right before the side effect; it may begin when this answers 200.",
        {200: m.Moved},
        errors=_MOVE,
    ),
    Operation(
        "commit",
        "POST",
        "/reservations/{id}/commit",
        "Book what the action cost, in full, and give the rest of its hold back.",
        {200: m.Charged},
        m.Commit,
        errors=_MOVE,
        example={"actual": {"usd_micro": 3100, "calls": 1}, "source": "measured"},
    ),
    Operation(
        "release",
        "POST",
        "/reservations/{id}/release",
        "Give the whole hold back: the action certainly did not happen.",
        {200: m.Moved},
        m.Release,
        errors=_MOVE,
        example={"reason": "never sent"},
    ),
    Operation(
        "extend",
        "POST",
        "/reservations/{id}/extend",
        "Let the hold live for `ttl_ms` from now; it is never shortened.",
        {200: m.Extended},
        m.Extend,
        errors=_MOVE,
        example={"ttl_ms": 60000},
    ),
    Operation(
        "approve",
        "POST",
        "/reservations/{id}/approve",
        "Let what asked begin.",
        {200: m.Allowed},
        m.Approve,
        errors=_MOVE,
        admin=True,
        example={"by": "dana"},
    ),
    Operation(
        "refuse",
        "POST",
        "/reservations/{id}/refuse",
        "Deny what asked; its hold is given back.",
        {200: m.Denied},
        m.Refuse,
        errors=_MOVE,
        admin=True,
        example={"by": "dana", "reason": "not without the order number"},
    ),
    Operation(
        "event",
        "POST",
        "/events",
        "Book what has already happened, without asking.",
        {201: m.Charged},
        m.Event,
        errors=(409,),
        example={
            "id": "run-7.call-3.late",
            "scope": "acme/desk/bot/run-7",
            "name": "tool.refund",
            "amounts": {"usd_micro": 900},
        },
    ),
    Operation(
        "balances",
        "GET",
        "/balances",
        "Every unit limited or booked in a scope; none for a scope never seen.",
        {200: m.Balances},
        query=(_SCOPE,),
    ),
    Operation(
        "scopes",
        "GET",
        "/scopes",
        "Every scope limited or booked so far that the key may see.",
        {200: m.Scopes},
    ),
    Operation(
        "set_budget",
        "PUT",
        "/budgets/{scope}",
        "Limit a scope in the units named; other units keep their limits.",
        {200: m.Budget},
        m.Limits,
        admin=True,
        example={"amounts": {"usd_micro": 5000000, "calls/minute": 30}},
    ),
    Operation(
        "stop",
        "POST",
        "/scopes/stop",
        "Let nothing new begin in a scope and below it. What has begun goes on.",
        {200: m.Stopped},
        m.Stop,
        admin=True,
        example={"scope": "acme/desk/bot/run-7", "reason": "out of hand"},
    ),
    Operation(
        "health",
        "GET",
        "/health",
        "Whether the service answers and can write down what it answers.",
        {200: m.Health},
        errors=(503,),
        public=True,
    ),
)
