"""The library face: an action as a block of code, a tool as a function.

    actions = Actions(engine, scope="acme/desk/bot/run-1")
    async with actions.action("tool.refund", {"amount": 40}, usd_micro=40_000_000) as action:
        paid = await refund(40)
        action.actual(usd_micro=paid.micro)

    @actions.tool(calls=1)
    async def refund(amount: float) -> str: ...

Rules:
1. The block runs only when the action is allowed and its start is kept; a denial raises Denied and
   the block does not run. What asks waits for its answer, as long as its rule says.
2. A block that ends is committed: `actual` as measured, else what was held as estimated. One that
   raises is committed with outcome `fail`, cancelled with `unknown`: the side effect may have
   happened, and what was not said is charged as held. `action.undone()` says that it did not.
3. A hold is kept alive while its block runs. Should it end all the same, the block's end raises
   LedgerError: the hold is charged, and what was said above it is booked as `<id>.late`.
4. One id runs once: a second block under it is refused while the first runs, and afterwards.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from proofrig.authority.budget import (
    MAX_AMOUNT,
    SECOND_NS,
    check_amount,
    one_call,
    unit_and_window,
)
from proofrig.authority.decision import Decision
from proofrig.authority.engine import Engine
from proofrig.authority.transition import MINUTE_NS, ReserveRequest, Source
from proofrig.errors import (
    IdempotencyError,
    InfraError,
    LedgerError,
    ProofrigError,
    UsageError,
)
from proofrig.history.action import Outcome

P = ParamSpec("P")
R = TypeVar("R")

_NONE: dict[str, Any] = {}
_OWNERS = ("self", "cls")  # of a method: no argument of the call
_RUNNING: WeakKeyDictionary[Engine, set[str]] = WeakKeyDictionary()
_encode = msgspec.json.Encoder(order="deterministic").encode


class Action:
    """An action that was allowed, while its block runs. decision: what was decided, with its caps.
    charged: what it came to, once the block has ended."""

    def __init__(self, request: ReserveRequest, decision: Decision) -> None:
        self.id = request.id
        self._request = request
        self.decision = decision
        self.charged: dict[str, int] | None = None
        self._actual: dict[str, int] = {}
        self._source: Source = "estimated"
        self._outcome: Outcome = "ok"
        self._undone = ""
        self._price = ""

    def actual(self, *, source: Source = "measured", price: str = "", **amounts: int) -> None:
        """What it cost, in the authority's units (`usd_micro`, `tokens`, ...); called again, the
        units named replace what was said before. `calls:<kind>` goes by `calls_<kind>`. price:
        where the rates of the money come from."""
        said = {_unit(name): amount for name, amount in amounts.items()}
        for unit, amount in said.items():
            check_amount(unit_and_window(unit)[0], amount)
        self._actual |= said
        self._source = source
        self._price = price or self._price

    def failed(self) -> None:
        """It happened, and did not succeed."""
        self._outcome = "fail"

    def undone(self, reason: str) -> None:
        """It certainly did not happen: its hold is given back when the block ends."""
        self._undone = reason or "it did not happen"

    async def _end(self, engine: Engine, outcome: Outcome) -> None:
        if self._undone:
            await engine.release(self.id, self._undone)
            self.charged = {}
            return
        try:
            self.charged = await engine.commit(
                self.id, self._actual, self._source, outcome, price=self._price
            )
        except IdempotencyError:
            raise
        except LedgerError:
            await self._book_above(engine, outcome)
            raise

    async def _book_above(self, engine: Engine, outcome: Outcome) -> None:
        """Its hold ran out while the block ran, and is charged: book what it cost above that."""
        held = self._request.amounts
        above = {u: n - held.get(u, 0) for u, n in self._actual.items() if n > held.get(u, 0)}
        if above:
            late = msgspec.structs.replace(self._request, id=f"{self.id}.late", amounts=above)
            await engine.event(late, self._source, outcome)


class Actions:
    """Actions of one scope over any engine.

    scope: `tenant/workflow/agent/run`. also: scopes of your own it belongs to. root: the folder
    that relative paths among arguments start from. hold_s: how long a hold lives without this
    process; while a block runs it is extended.
    """

    def __init__(
        self,
        engine: Engine,
        scope: str,
        *,
        also: tuple[str, ...] = (),
        root: str = "",
        hold_s: float = MINUTE_NS / SECOND_NS,
    ) -> None:
        if not 0 < hold_s <= MAX_AMOUNT / SECOND_NS:
            raise UsageError(f"hold_s: expected seconds above 0, at most 104 days, got {hold_s!r}")
        self.engine = engine
        self.scope = scope
        self._also = also
        self._root = root
        self._hold_s = hold_s

    def child(self, name: str) -> Actions:
        """Actions of a scope below this one, whose budget they share."""
        return Actions(
            self.engine,
            f"{self.scope}/{name}",
            also=self._also,
            root=self._root,
            hold_s=self._hold_s,
        )

    @asynccontextmanager
    async def action(
        self, name: str, arguments: Mapping[str, Any] = _NONE, /, *, id: str = "", **amounts: int
    ) -> AsyncIterator[Action]:
        """Reserve and start `name` (`tool.refund`), run the block, commit. amounts: the upper bound
        of what it may cost besides one call. id: the idempotency key, by default a new one.

        Raises Denied when it is not allowed; what `Engine` raises.
        """
        kind, dot, what = name.partition(".")
        if not (kind and dot and what):
            raise UsageError(f"name: expected <kind>.<what> like tool.refund, got {name!r}")
        held = one_call(kind, {_unit(unit): amount for unit, amount in amounts.items()})
        request = ReserveRequest(
            id or uuid.uuid4().hex,
            self.scope,
            name,
            held,
            int(self._hold_s * SECOND_NS),
            arguments,
            self._root,
            self._also,
            digest=_digest(arguments),
        )
        running = _RUNNING.setdefault(self.engine, set())
        if request.id in running:
            raise LedgerError(
                f"action {request.id!r}: expected an id that is not running, got one whose block "
                "has not ended; one id stands for one action"
            )
        running.add(request.id)
        try:
            async with self._begun(request) as action:
                yield action
        finally:
            running.discard(request.id)

    @asynccontextmanager
    async def _begun(self, request: ReserveRequest) -> AsyncIterator[Action]:
        action = Action(request, await self._let_in(request))
        beating = asyncio.create_task(self._beat(request.id))
        try:
            yield action
        except asyncio.CancelledError:
            await action._end(self.engine, "unknown")
            raise
        except BaseException:
            await action._end(self.engine, "fail")
            raise
        else:
            await action._end(self.engine, action._outcome)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating

    def tool(
        self, name: str = "", **amounts: int
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """A decorator: every call of the async function is an action `tool.<name>`, by default the
        function's own name, with the call's arguments by name."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            if not inspect.iscoroutinefunction(function):
                raise UsageError(
                    f"tool: expected an async function, got {function!r}; an action ends when what "
                    "it awaits does: make it `async def`, or use `async with actions.action(...)`"
                )
            signature = inspect.signature(function)
            called = f"tool.{name or function.__name__}"

            @functools.wraps(function)
            async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                said = {key: value for key, value in bound.arguments.items() if key not in _OWNERS}
                async with self.action(called, said, id="", **amounts):
                    return await function(*args, **kwargs)

            return guarded

        return decorate

    async def _let_in(self, request: ReserveRequest) -> Decision:
        """Reserve and start, or hold nothing and raise."""
        decision = await self.engine.reserve(request)
        try:
            if decision.effect == "ask":
                asked = decision
                decision = await self.engine.answer(request.id)
                decision = msgspec.structs.replace(decision, max_tokens=asked.max_tokens)
            if decision.allowed:
                await self.engine.start(request.id)
                return decision
        except BaseException:
            with suppress(ProofrigError):  # then it runs out by itself
                await self.engine.release(request.id, "it was never begun")
            raise
        raise decision.denied()

    async def _beat(self, id: str) -> None:
        while True:
            await asyncio.sleep(self._hold_s / 3)
            try:
                await self.engine.extend(id, int(self._hold_s * SECOND_NS))
            except InfraError:
                continue  # it may be reached again before the hold runs out
            except LedgerError:
                return  # it has ended: the commit says how


def _unit(name: str) -> str:
    return name.replace("calls_", "calls:", 1) if name.startswith("calls_") else name


def _digest(arguments: Mapping[str, Any]) -> str:
    """Of the arguments, so that one id stands for one action. Raises UsageError for what is no
    JSON: rules could not read it either."""
    if not arguments:
        return ""
    try:
        text = _encode(arguments)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"arguments: expected what JSON can say, got {error}; pass plain values to the action "
            "and keep objects for the code inside"
        ) from None
    return hashlib.blake2b(text, digest_size=16).hexdigest()
