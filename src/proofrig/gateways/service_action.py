"""One operation of a shared service as an action: reserve, start, effect, commit.

Rules:
1. Reservation and start are with the operating system before the operation takes effect.
2. Its effect is one step of the loop; what the service takes to answer (`latency_ms`) lies between
   effect and answer, so that others get in between.
3. Every operation that began ends once. One whose caller went away, or whose trial ended, ends as
   what it came to: `ok` when it changed something, `fail` when it was still waiting, `unknown` when
   it only read, for nobody saw what.
4. An operation inside a tool call is charged as `calls:service` alone; its time and bytes are the
   tool call's.
5. Faults strike before an operation is carried out, or once it is; no tape stands in its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from proofrig.authority.budget import one_call, opening, traffic
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError, ProofrigError
from proofrig.gateways.gateway import Binding, Channel, Context
from proofrig.gateways.leg import Leg, Send, outbound
from proofrig.services.service import (
    VERBATIM,
    Ask,
    Caller,
    Done,
    Misasked,
    Service,
    text_of,
    unknown,
)
from proofrig.wire.answer import Answer, Cut, Made

HOLD_NS = 2 * 3600 * 1_000_000_000  # longer than anything may wait

# Called with `before_write`, `after_write` or `after_ack`, the trial and the action's id. Before a
# write, True says that the trial is dead: the write never came to anything.
Kills = Callable[[str, Binding, str], bool | None]
_CONTENT = ("value", "answer", "body")  # the arguments that are what is kept


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Whose operation it is. parent: the action of the tool call that it is part of."""

    binding: Binding
    channel: Channel = "none"
    parent: str = ""


NOT_YET = Done()


class OpenOperation(msgspec.Struct, gc=False):
    """An operation that has begun. done: what it came to; only once it is `applied`."""

    id: str
    ask: Ask
    asker: Asker
    sent: int
    started: int  # nanoseconds since the run began
    done: Done = NOT_YET
    applied: bool = False
    leg: Leg | None = None  # on which faults stand in its way
    killed: list[str] = []  # the faults that killed its trial

    @property
    def struck(self) -> list[str]:
        """The faults that took effect so far."""
        return self.killed + (self.leg.struck if self.leg is not None else [])


class _Leg(Leg):
    """The leg of an operation, which ends in the rig itself."""

    async def outside(self, send: Send) -> Answer:
        return await send()


class ServiceCalls:
    """The shared services of a rig, and the operations on them."""

    def __init__(
        self, context: Context, services: Mapping[str, Service], kills: Kills | None = None
    ) -> None:
        self.services = dict(services)
        self.kills = kills
        self._context = context
        self._open: dict[str, OpenOperation] = {}
        self._timers: dict[str, tuple[int, asyncio.TimerHandle]] = {}
        for service in services.values():
            service.note = self._note
            service.changed = partial(self._arm, service)
        context.bindings.on_end.append(self._trial_ended)

    def find(self, name: str) -> Service:
        """The service of this name. Raises Misasked."""
        service = self.services.get(name)
        if service is None:
            raise Misasked(404, unknown("service", name, self.services))
        return service

    async def call(
        self, asker: Asker, service: str, operation: str, arguments: bytes | Mapping[str, Any]
    ) -> OpenOperation:
        """Carry out an operation; `done` is what it came to.

        Raises Misasked (nothing happened, a note says so), Denied, or another ProofrigError when it
        cannot be written down or the trial was killed; then it has not taken effect.
        """
        binding = asker.binding
        if self._context.bindings.live(binding.token) is None:
            said = {"service": service, "operation": operation, "answer": "refuse"}
            self._context.admission.write("note", "late", binding, "", said)
            raise Misasked(401, f"proofrig: trial {binding.trial} has ended; this came after it")
        try:
            found = self.find(service)
            ask = found.ask(Caller(binding.trial, binding.tenant), operation, arguments)
        except Misasked as wrong:
            said = {"service": service, "operation": operation, "error": wrong.message[:2000]}
            self._context.admission.write("note", "misasked", binding, "", said)
            raise
        sent = len(arguments) if isinstance(arguments, bytes) else 1
        opened = await self._begin(asker, ask, sent, arguments)
        try:
            if self._context.faults is None:
                await self._carry_out(found, opened)
            else:
                await self._through(found, opened, arguments)
        except asyncio.CancelledError:
            self._give_up(opened, "the caller went away before the answer")
            raise
        except Exception as error:  # an embedding of the user's own may raise anything
            outcome = opened.done.outcome if opened.applied else "unknown"
            self._end(opened, outcome, f"{type(error).__name__}: {error}")
            raise
        self._end(opened, opened.done.outcome, opened.done.error)
        return opened

    def acknowledged(self, ended: OpenOperation) -> None:
        """The answer to this operation has been handed on."""
        self._kill("after_ack", ended)

    def close(self) -> None:
        """Give up every open operation."""
        for _, timer in self._timers.values():
            timer.cancel()
        for opened in list(self._open.values()):
            self._give_up(opened, "the rig ended before the answer")

    async def _through(
        self, service: Service, opened: OpenOperation, arguments: bytes | Mapping[str, Any]
    ) -> None:
        """Carry it out behind the faults."""
        binding, name = opened.asker.binding, opened.ask.operation.action
        body = arguments if isinstance(arguments, bytes) else msgspec.json.encode(arguments)
        out = outbound(
            binding, "service", "plain", opened.id, name, service=service.name, body=body
        )
        opened.leg = leg = _Leg(self._context, out)

        async def carry_out() -> Answer:
            await self._carry_out(service, opened)
            return Made(opened.done.status)

        try:
            await leg.send(carry_out)
        except Cut as cut:
            why = f"a fault ended the call of trial {binding.trial}"
            if not opened.applied:
                self._release(opened, why)
            raise ProofrigError(why, definite=not opened.applied) from cut

    async def _carry_out(self, service: Service, opened: OpenOperation) -> None:
        if self._kill("before_write", opened):
            self._release(opened, "the trial was killed before the write")
            raise ProofrigError(f"trial {opened.asker.binding.trial} was killed before the write")
        made = service.apply(opened.ask)
        opened.done = done = made if isinstance(made, Done) else await made
        opened.applied = True
        self._arm(service)
        try:
            if service.latency_ns:
                await asyncio.sleep(service.latency_ns / 1e9)
        finally:
            if done.after is not None:
                done.after()
        self._kill("after_write", opened)

    def _kill(self, point: str, opened: OpenOperation) -> bool:
        """Pass a point at which what changes something may be killed; True when it was."""
        if self.kills is None or not opened.ask.operation.mutates or opened.done.status != 200:
            return False
        binding = opened.asker.binding
        killed = bool(self.kills(point, binding, opened.id))
        if killed and binding.kill is not None and binding.kill.fault:
            opened.killed.append(binding.kill.fault)
        return killed

    async def _begin(
        self, asker: Asker, ask: Ask, sent: int, arguments: bytes | Mapping[str, Any]
    ) -> OpenOperation:
        context, name, binding = self._context, ask.operation.action, asker.binding
        admission = context.admission
        action = context.journal.new_action()
        nested = bool(asker.parent)
        held = {"calls:service": 1} if nested else one_call("service", opening(sent))
        attrs: dict[str, Any] = {"estimate": held, "service": ask.started["service"]}
        attrs |= {"parent": asker.parent} if nested else {"channel": asker.channel}
        said: dict[str, Any] = {}
        if context.authority.policy is not None:
            if isinstance(arguments, bytes):
                arguments = msgspec.json.decode(arguments or b"{}", type=dict[str, Any])
            said = {**arguments, "service": ask.started["service"]}
        request = ReserveRequest(action, binding.scope, name, held, HOLD_NS, said)
        decision = admission.ask(binding, request, attrs).decision
        if decision.effect == "ask":
            decision = await admission.approved(binding, name, decision)
        if not decision.allowed:
            raise decision.denied()
        started = admission.start(binding, name, action, self._started(ask))
        opened = self._open[action] = OpenOperation(action, ask, asker, sent, started)
        return opened

    def _started(self, ask: Ask) -> dict[str, Any]:
        """What `start` says, with the payload of content that does not stand there itself."""
        content = next(
            (getattr(ask.arguments, n) for n in _CONTENT if hasattr(ask.arguments, n)), None
        )
        if content is None:
            return ask.started
        text = text_of(content)
        if "value" in ask.started and len(text) <= VERBATIM:
            return ask.started
        return ask.started | {"payload": self._payload(text)}

    def _payload(self, text: str) -> str:
        return self._context.journal.payload(text.encode("utf-8", "replace"))

    def _end(self, opened: OpenOperation, outcome: Any, error: str) -> None:
        if self._open.pop(opened.id, None) is None:
            return
        context, done = self._context, opened.done
        service_ns = context.clock() - opened.started
        actual = {"calls:service": 1}
        if not opened.asker.parent:
            actual = one_call("service", traffic(service_ns, opened.sent))
        attrs: dict[str, Any] = {"outcome": outcome, "actual": actual, "service_ns": service_ns}
        attrs |= done.attrs
        if done.text is not None:
            attrs["payload"] = self._payload(done.text)
        if error:
            attrs["error"] = error[:2000]
        if opened.struck:
            attrs["struck"] = opened.struck
        try:
            attrs["actual"] = context.authority.commit(opened.id, actual, "measured", outcome)
        except LedgerError as late:  # its hold ran out: it is charged, as unknown
            attrs["ledger"] = str(late)
        name = opened.ask.operation.action
        context.admission.write("commit", name, opened.asker.binding, opened.id, attrs)

    def _release(self, opened: OpenOperation, why: str) -> None:
        if self._open.pop(opened.id, None) is not None:
            self._context.authority.release(opened.id, why)
            name, attrs = opened.ask.operation.action, dict[str, Any](reason=why)
            if opened.struck:
                attrs["struck"] = opened.struck
            self._context.admission.write("release", name, opened.asker.binding, opened.id, attrs)

    def _give_up(self, opened: OpenOperation, why: str) -> None:
        done = opened.done
        if not opened.applied:
            self._end(opened, "fail", f"{why}; it was still waiting")
        elif opened.ask.operation.mutates or done.status != 200:
            self._end(opened, done.outcome, done.error or why)
        else:
            self._end(opened, "unknown", why)

    def _note(self, name: str, attrs: dict[str, Any]) -> None:
        self._context.journal.write("note", name, attrs=attrs)

    def _arm(self, service: Service) -> None:
        """See to it that the service is swept when its time comes."""
        due = service.due()
        armed = self._timers.get(service.name)
        if armed is not None:
            if due is not None and armed[0] <= due:
                return
            armed[1].cancel()
            del self._timers[service.name]
        if due is not None:
            delay = max(0.0, (due - self._context.clock()) / 1e9)
            timer = asyncio.get_running_loop().call_later(delay, self._ring, service)
            self._timers[service.name] = (due, timer)

    def _ring(self, service: Service) -> None:
        self._timers.pop(service.name, None)
        service.sweep()
        self._arm(service)

    def _trial_ended(self, binding: Binding) -> None:
        mine = [o for o in self._open.values() if o.asker.binding.token == binding.token]
        for opened in mine:
            self._give_up(opened, "the trial ended before the answer")
        for service in self.services.values():
            service.forget(binding.trial)
