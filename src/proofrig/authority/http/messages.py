"""What the authority's HTTP service takes and gives, as typed values.

Rules:
1. The service decodes with these and its OpenAPI document is made from these: they cannot differ.
2. What is not named here is refused: an unknown field, a float for an integer, a number of 2^53 or
   more, and nothing (0) of what rules count: `calls:<name>` and `taint:<label>`.
3. A body is told by what opened the reservation alone, so that the same request gets the same bytes
   again. `extend` tells when the hold ends now, `would` what a shadow says now: those may change.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from proofrig.authority.budget import MAX_AMOUNT
from proofrig.authority.transition import Source, State
from proofrig.history.action import Outcome

MAX_ID = 200
MAX_DEPTH = 32  # of arguments
DAY_MS = 86_400_000
MS_NS = 1_000_000

# In Python `$` stands before a last line feed too.
END = r"$(?!\n)"
# Of a scope: neither spaces nor control characters.
_LEVEL = r"[^/\x00-\x20\x7f-\xa0]"
_LEVELS = rf"(/{_LEVEL}*)*"
_PLAIN = "usd_micro|tokens|ms|bytes|calls"
_BOOKED = rf"{_PLAIN}|calls:[!-.0-~]+"

Id = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][!-~]*" + END,
        max_length=MAX_ID,
        description="The reservation's id, chosen by the caller: its idempotency key.",
        examples=["run-7.call-3"],
    ),
]
Path = Annotated[
    str,
    Meta(
        pattern=rf"^(?!@){_LEVEL}+({_LEVELS}/{_LEVEL}+)?{END}",
        max_length=512,
        description="tenant/workflow/agent/run, of any depth; a level may be left empty inside.",
        examples=["acme/desk/bot/run-7"],
    ),
]
Scope = Annotated[
    str,
    Meta(
        pattern=rf"^{_LEVEL}+({_LEVELS}/{_LEVEL}+)?{END}",
        max_length=512,
        description="A path tenant/workflow/agent/run, or a scope of your own that begins with @.",
        examples=["acme/desk", "@writes"],
    ),
]
OwnScope = Annotated[
    str,
    Meta(
        pattern=rf"^@{_LEVEL}*({_LEVELS}/{_LEVEL}+)?{END}",
        max_length=512,
        description="A scope of your own, beside the path.",
        examples=["@writes"],
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_]+\.[!-~]+" + END,
        max_length=200,
        description="The action, <kind>.<what>.",
        examples=["tool.refund", "llm.chat_completions"],
    ),
]
# What rules read of a run's units is their count: one that is named is at least 1.
COUNTED = r"^(calls|taint):"
PLAIN = f"^({_PLAIN})$"
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
UNITS = "a unit: usd_micro, tokens, calls, calls:<kind or name>, ms or bytes"
Unit = Annotated[str, Meta(pattern=rf"^({_BOOKED}|taint:[!-.0-~]+){END}", max_length=200)]
Booked = Annotated[str, Meta(pattern=rf"^({_BOOKED}){END}", max_length=200)]
Limited = Annotated[
    str,
    Meta(pattern=rf"^({_BOOKED}|children)(/(minute|hour|day))?{END}", max_length=200),
]
_UNITS = "Integers per unit: usd_micro, tokens, calls, calls:<kind or name>, ms, bytes"
Hold = Annotated[
    dict[Unit, Amount],
    Meta(
        max_length=64,
        description=f"{_UNITS}, taint:<label>. The most that the action may cost.",
        examples=[{"usd_micro": 5000, "tokens": 800, "calls": 1}],
    ),
]
Actual = Annotated[
    dict[Booked, Amount],
    Meta(
        max_length=64,
        description=f"{_UNITS}. What it cost; a unit of the hold left out is charged as held.",
        examples=[{"usd_micro": 3100, "tokens": 512}],
    ),
]
LimitAmounts = Annotated[
    dict[Limited, Amount],
    Meta(
        min_length=1,
        max_length=64,
        description=f"{_UNITS}, children; each but children also with /minute, /hour or /day.",
        examples=[{"usd_micro": 5_000_000, "calls/minute": 30}],
    ),
]
Ttl = Annotated[
    int, Meta(ge=1, le=DAY_MS, description="How long the hold lives, in ms; the longest is a day.")
]
Who = Annotated[
    str, Meta(min_length=1, max_length=200, description="Who decided.", examples=["dana"])
]
Why = Annotated[str, Meta(max_length=500, description="Why.", examples=["never sent"])]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a call takes."""


class Reserve(Body, frozen=True, kw_only=True):
    """What an action asks for. Without an `id`, the header Idempotency-Key has it."""

    id: Id | UnsetType = UNSET
    scope: Path
    name: Name
    amounts: Hold
    ttl_ms: Ttl = 60_000
    arguments: Annotated[
        dict[str, Any], Meta(description="What rules read, 32 levels deep at most.")
    ] = {}
    root: Annotated[
        str, Meta(max_length=4096, description="The folder that relative paths start from.")
    ] = ""
    also: Annotated[list[OwnScope], Meta(max_length=16)] = []
    ahead: Annotated[
        dict[Unit, Amount], Meta(max_length=64, description="Must also fit, and is not held.")
    ] = {}
    digest: Annotated[
        str, Meta(max_length=200, description="Of whatever else makes it the same request.")
    ] = ""


class Commit(Body, frozen=True, kw_only=True):
    """What the action came to."""

    actual: Actual
    source: Source = "measured"
    outcome: Outcome = "ok"
    price: Annotated[str, Meta(max_length=500, description="Where the rates come from.")] = ""


class Release(Body, frozen=True, kw_only=True):
    """The action certainly did not happen."""

    reason: Why = ""


class Extend(Body, frozen=True, kw_only=True):
    """The action takes longer."""

    ttl_ms: Ttl


class Approve(Body, frozen=True, kw_only=True):
    """Somebody lets it begin."""

    by: Who


class Refuse(Body, frozen=True, kw_only=True):
    """Somebody does not let it begin."""

    by: Who
    reason: Why = ""


class Limits(Body, frozen=True, kw_only=True):
    """What a scope may use."""

    amounts: LimitAmounts


class Stop(Body, frozen=True, kw_only=True):
    """Nothing new begins in the scope and below it."""

    scope: Scope
    reason: Annotated[str, Meta(min_length=1, max_length=500, examples=["out of hand"])]


class Event(Body, frozen=True, kw_only=True):
    """What has already happened. Without an `id`, the header Idempotency-Key has it."""

    id: Id | UnsetType = UNSET
    scope: Path
    name: Name
    amounts: Actual
    source: Source = "measured"
    outcome: Outcome = "ok"
    also: Annotated[list[OwnScope], Meta(max_length=16)] = []
    digest: Annotated[
        str, Meta(max_length=200, description="Of whatever else makes it the same request.")
    ] = ""


# ---- answers


class Reason(msgspec.Struct, frozen=True):
    """Why not: the code, the rule or scope that refused, what remains there per limited unit, what
    to do, and in how long it would fit, null when that is not known."""

    code: str
    rule: str
    scope: str
    remaining: dict[str, int]
    fix: str
    retry_after_ms: int | None


class Verdict(msgspec.Struct, frozen=True):
    """What was decided, or would have been where decisions are only noted."""

    decision: Literal["allow", "cap", "ask", "deny"]
    rule: str
    max_tokens: int | None
    reason: Reason | None


class Allowed(msgspec.Struct, frozen=True, omit_defaults=True):
    """It may start: `cap` with `max_tokens` output tokens at most. `ask`: its budget is held, and
    somebody has to approve it within `wait_ms`."""

    decision: Literal["allow", "cap", "ask"]
    id: str
    rule: str = ""
    max_tokens: int | None = None
    wait_ms: int = 0
    would: Verdict | None = None


class Denied(msgspec.Struct, frozen=True):
    """It may not start, and consumed nothing."""

    decision: Literal["deny"]
    id: str
    reason: Reason


class Moved(msgspec.Struct, frozen=True):
    """The state that the reservation is in after the call."""

    id: str
    state: Literal["pending", "started", "released"]


class Charged(msgspec.Struct, frozen=True):
    """What was booked."""

    id: str
    state: Literal["committed"]
    charged: dict[str, int]


class Extended(msgspec.Struct, frozen=True):
    """When the hold ends, in ms on the authority's clock."""

    id: str
    expires_ms: int


class Reservation(msgspec.Struct, frozen=True):
    """All that is known of an id. asked: as requested, with what rules added. held: what is held
    now. charged: what was booked when it ended. expires_ms: when an open hold ends."""

    id: str
    state: State
    scope: str
    name: str
    also: list[str]
    decision: Verdict | None
    asked: dict[str, int]
    held: dict[str, int]
    charged: dict[str, int]
    source: str
    outcome: str
    expires_ms: int | None


class Reservations(msgspec.Struct, frozen=True):
    """What waits for approval, oldest first."""

    reservations: list[Reservation]


class UnitBalance(msgspec.Struct, frozen=True):
    """One unit of a scope; allocated and remaining are null where nobody set a limit."""

    allocated: int | None
    reserved: int
    spent: int
    remaining: int | None
    debt: int


class Balances(msgspec.Struct, frozen=True):
    """Every unit limited or booked in a scope."""

    scope: str
    balances: dict[str, UnitBalance]


class Scopes(msgspec.Struct, frozen=True):
    """Every scope limited or booked so far that the key may see."""

    scopes: list[str]


class Budget(msgspec.Struct, frozen=True):
    """The limits that were set."""

    scope: str
    amounts: dict[str, int]


class Stopped(msgspec.Struct, frozen=True):
    """The scope in which nothing new begins."""

    scope: str
    reason: str


class Health(msgspec.Struct, frozen=True):
    """The service answers and can write down what it answers."""

    status: Literal["ok"]


FaultType = Literal[
    "bad_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "conflict",
    "idempotency_mismatch",
    "expired",
    "too_large",
    "unsupported_media_type",
    "unavailable",
    "internal",
]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong: expected, got, where, what to do. definite: whether the call certainly moved
    nothing; with `unavailable`. reservation: with `expired`, what became of the hold."""

    type: FaultType
    message: str
    definite: bool | None = None
    reservation: Reservation | None = None


class Error(msgspec.Struct, frozen=True):
    """The one shape of every error."""

    error: Fault
