"""One call to a model as the authority and the history see it, without any I/O of its own.

Rules:
1. Every entry of the call is written here, and every attribute is listed in
   docs/reference/history.md.
2. `settled` turns true once; whatever settles later changes nothing.
3. A retried request is linked to the attempt before it, on both entries' action ids.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.anomalies.settings import Done
from proofrig.authority.budget import traffic
from proofrig.authority.decision import Decision
from proofrig.authority.transition import Source
from proofrig.errors import Denied, LedgerError, ProofrigError
from proofrig.gateways.admission import state_of, with_warning
from proofrig.gateways.charges import (
    Bound,
    actual,
    at_most,
    believed,
    bound_of,
    usage_of,
)
from proofrig.gateways.gateway import Binding, Channel
from proofrig.gateways.leg import stayed, told
from proofrig.gateways.llm_leg import LlmLeg
from proofrig.gateways.permission import amend, ask, watched
from proofrig.gateways.retries import FIRST, Attempt, Failed, count_said
from proofrig.gateways.upstream import UpstreamError, at_fault
from proofrig.history.action import Outcome
from proofrig.wire.codec import Codec, StreamDecoder, WireError
from proofrig.wire.turn import Request, Turn, Usage

if TYPE_CHECKING:
    from proofrig.gateways.desk import Desk
    from proofrig.gateways.throttle import Patience

_encode = msgspec.json.Encoder().encode
_SECOND_NS = 1_000_000_000


class Call:
    """One call to a model. Times are nanoseconds of the run's clock; `received` is the bytes of the
    answer so far, as they came; `known` the input tokens of the conversation that it continues by
    id, `assumed` those of one nothing is held of."""

    __slots__ = (
        *("__weakref__", "amended", "asked", "asked_usage", "assumed", "attempt", "backoff_ns"),
        *("binding", "body", "bound", "channel", "clock", "codec", "decoder", "desk", "digest"),
        *("held", "id", "known", "leg", "patience", "queue_ns", "received", "said", "sent_ns"),
        *("settled", "status", "task", "trace", "ttft_ns", "upstream_body"),
    )

    asked: Request
    bound: Bound

    def __init__(
        self, desk: Desk, codec: Codec, binding: Binding, channel: Channel, body: bytes
    ) -> None:
        context = desk.context
        self.desk = desk
        self.codec = codec
        self.binding = binding
        self.channel = channel
        self.body = self.upstream_body = body
        self.clock = context.clock
        self.id = context.journal.new_action()
        self.said: str | None = None  # the client's own count of retries
        self.trace = ""
        self.task: asyncio.Task[object] | None = asyncio.current_task()
        self.attempt: Attempt = FIRST
        self.held: dict[str, int] = {}
        self.amended: list[str] = []
        self.asked_usage = False
        self.digest = ""  # of the body, where the run is watched
        self.decoder: StreamDecoder | None = None
        self.leg: LlmLeg | None = None  # where something stands in the way
        self.patience: Patience | None = None  # where the vendor has ceilings
        self.settled = False
        self.status = self.received = self.known = self.assumed = 0
        self.queue_ns = self.backoff_ns = self.sent_ns = 0
        self.ttft_ns = -1

    # Before the call

    def decode(self) -> None:
        """Read the request. Raises WireError."""
        self.asked = self.codec.decode_request(self.body)

    def malformed(self, message: str) -> None:
        """The request could not be read; nothing was reserved."""
        attrs = {"decision": "deny", "code": "invalid_request", "fix": message}
        self._write("reserve", self._reserve_attrs() | attrs)
        self.settled = True

    async def reserve(self) -> Denied | None:
        """Ask for the call and write down what was decided; waits only for an approval. Returns the
        denial, if it is one."""
        desk, trial, admission = self.desk, self.binding.trial, self.desk.context.admission
        self.attempt = desk.retries.attempt(trial, self.body, self.said, self.clock())
        self.backoff_ns = self.attempt.backoff_ns
        settings, asked = desk.settings, self.asked
        self.known, self.assumed = desk.carried(trial, asked)
        self.bound = bound_of(
            asked,
            self.body,
            before=self.known + self.assumed,
            ceiling=settings.ceiling,
            media_tokens=settings.media_tokens,
        )
        decision, warning = watched(self)
        if decision is None:
            decision = with_warning(ask(self), warning)
        attrs = self._reserve_attrs()
        attrs |= {"estimate": self.held} | decision.facts()
        if decision.effect == "deny":
            return self._refused(decision, attrs)
        try:
            amend(self, decision, warning)
        except WireError:  # read as a request, but not as an object whose parts can be changed
            desk.context.authority.release(self.id, "invalid_request")
            raise
        if self.amended:
            attrs["amended"] = self.amended
        self._write("reserve", attrs)
        admission.limiter.retried(self.binding, self.attempt)
        if decision.effect == "ask":
            held, self.held = self.held, {}  # until then there is nothing here to settle
            answer = await admission.approved(self.binding, self.name, decision)
            if not answer.allowed:
                self._failed()
                self.settled = True
                return answer.denied()
            self.held = held
        return None

    def start(self) -> None:
        """Say that the request is about to leave. Raises JournalError when that cannot be kept;
        then it must not leave."""
        try:
            self.desk.context.admission.start(self.binding, self.name, self.id)
        except ProofrigError:
            self.settled = True  # its hold was given back
            self._failed()
            raise

    # After the call

    def answered(self, status: int, turn: Turn, model_failed: bool = False) -> None:
        """The provider's answer is whole, or its stream ended, with or without a terminal event.
        model_failed: the suite's own simulated model raised."""
        turn = believed(turn)
        self.status = status
        said_status, said = self._said(status, turn)
        source, usage = usage_of(said_status, said, self.bound, self._reasoning())
        good = _good(status, turn)
        outcome: Outcome = "ok" if good else "fail"
        nonsense = said_status < 300 and not _good(said_status, said)
        endpoint = self.desk.settings.endpoints[self.codec.api]
        fault = {"infra": True} if nonsense else at_fault(endpoint, said_status)
        if stayed(self.leg):
            source, usage, fault = "measured", Usage(), {}
        if model_failed and endpoint.simulated:
            fault = {"harness": True}
        self._commit(outcome, source, usage, turn, told(self.leg, fault, blamed=said is not turn))
        if good:
            desk, trial = self.desk, self.binding.trial
            if source == "measured" and usage is not None:
                counted = usage.input - self.known
                desk.context.admission.limiter.counted(self.binding, counted, self.fresh)
            desk.retries.forget(trial, self.body)
            desk.context.asked.note(trial, self.id, self.asked, turn)
            api = turn.api
            if api == "responses" or (api == "messages" and b'"thread"' in self.body):
                if turn.usage is None:
                    usage = at_most(turn, self.bound, self._reasoning())
                    turn = msgspec.structs.replace(turn, usage=usage)
                desk.conversations.keep(trial, self.asked, turn, size=len(self.body))

    def fail(self, error: UpstreamError) -> None:
        """The provider could not be reached, or broke off."""
        if self.settled:
            return
        if error.definite:
            self._release("throttled" if error.throttled else "unreachable", error.facts)
        else:
            self.status = self.status or error.status
            self._broken("fail", error.facts | {"status": self.status})

    def cut_off(self) -> None:
        """A fault has broken the connection, perhaps before the request left."""
        if not self._finished():
            why = {"error": "a fault broke the connection", "status": self.status}
            self._broken("fail", why)

    def gone(self) -> None:
        """The agent went away before the end: nobody knows what the provider went on to do, unless
        it had said how the turn finished, which is when some agents stop reading."""
        if not self._finished():
            self._broken("unknown", {"error": "the agent closed the connection"})

    def give_up(self, why: str) -> None:
        """Settle as unknown and end the work: the trial or the rig has ended."""
        if not self._finished():
            self._broken("unknown", {"error": why})
        if self.task is not None:
            self.task.cancel()

    def broke(self, error: str) -> None:
        """The gateway itself failed; settle what it holds."""
        self._broken("unknown", {"error": f"gateway: {error}", "harness": True})

    def retried(self, why: str, wait_s: float) -> None:
        """The gateway is about to try again by itself."""
        attrs = {"why": why, "wait_ns": int(wait_s * _SECOND_NS)}
        self._write("note", attrs, name="retry")

    # Inside

    def _refused(self, decision: Decision, attrs: dict[str, Any]) -> Denied:
        self._write("reserve", attrs)
        self._failed()
        self.settled = True
        return decision.denied()

    def _reserve_attrs(self) -> dict[str, Any]:
        attrs: dict[str, Any] = {
            "api": self.codec.api,
            "channel": self.channel,
            "attempt": self.attempt.number,
        }
        told = {"retry_of": self.attempt.retry_of, "trace": self.trace}
        attrs |= {name: value for name, value in told.items() if value} | count_said(self.said)
        attrs |= self.desk.context.admission.limiter.marked(self.binding, self.attempt)
        journal = self.desk.context.journal
        asked: Request | None = getattr(self, "asked", None)
        attrs["request"] = self.digest or journal.payload(self.body)
        if asked is None:
            return attrs
        attrs["model"] = asked.model
        attrs["stream"] = asked.stream
        goes_on = asked.previous_id or asked.conversation
        if not goes_on:
            return attrs
        attrs["continues"] = goes_on
        if self.assumed:
            attrs["assumed"] = self.assumed
        whole = self.desk.whole(self.binding.trial, asked)
        if whole is not None:
            attrs["raw"] = attrs["request"]
            attrs["request"] = journal.payload(self.codec.encode_request(whole))
        return attrs

    def _finished(self) -> bool:
        """Settle as answered a stream whose turn is whole, though its end has not come."""
        if self.settled or self.decoder is None:
            return self.settled
        turn = self.decoder.turn()
        if turn.complete:
            self.answered(self.status, turn)
        return self.settled

    def _said(self, status: int, turn: Turn) -> tuple[int, Turn]:
        """What the provider said; where faults struck, its agent got something else."""
        if self.leg is None or (said := self.leg.said) is None:
            return status, turn
        return self.leg.status, believed(said)

    def _reasoning(self) -> int:
        heard = self.leg is not None and self.leg.said is not None
        decoder = self.leg.decoder if heard and self.leg is not None else self.decoder
        return 0 if decoder is None else decoder.reasoning_bytes

    def _broken(self, outcome: Outcome, facts: dict[str, Any]) -> None:
        if self.settled:
            return
        if not self.held:
            self.settled = True  # nothing was reserved
            return
        turn = self.decoder.turn() if self.decoder is not None else Turn(self.codec.api)
        turn = msgspec.structs.replace(believed(turn), complete=False)
        held = self.patience is not None and self.patience.held
        if not self.sent_ns or held or stayed(self.leg):
            self._release("never_sent", facts)
            return
        status, said = self._said(0, turn)
        heard = said is not turn or self.decoder is not None
        known = usage_of(status, said, self.bound, self._reasoning())
        source, usage = known if heard else ("estimated", None)
        self._commit(outcome, source, usage, turn, told(self.leg, facts))

    def _release(self, reason: str, facts: dict[str, Any]) -> None:
        """Nothing can have happened: give the hold back."""
        self.settled = True
        with suppress(LedgerError):  # its hold had run out
            self.desk.context.authority.release(self.id, reason)
        times = {"queue_ns": self.queue_ns, "backoff_ns": self.backoff_ns}
        waited = self.patience.settle(0) if self.patience is not None else {}
        self._write("release", {"reason": reason} | told(self.leg, facts) | times | waited)
        self._failed()

    def _commit(
        self,
        outcome: Outcome,
        source: Source,
        usage: Usage | None,
        turn: Turn,
        facts: dict[str, Any],
    ) -> None:
        """Charge and write down. `usage` None charges tokens and money as held: nobody knows."""
        self.settled = True
        context = self.desk.context
        prices = self.desk.settings.prices if "usd_micro" in self.held else None
        service_ns = self.clock() - self.sent_ns if self.sent_ns else 0
        cost = traffic(service_ns, len(self.body) + self.received)
        if usage is not None:
            cost |= actual(usage, self.asked.model, prices)
        else:
            cost |= {unit: self.held[unit] for unit in ("tokens", "usd_micro") if unit in self.held}
        price = "" if prices is None else prices.price(self.asked.model).told
        try:
            charged = context.authority.commit(self.id, cost, source, outcome, price=price)
        except LedgerError as error:  # its hold had run out, and was charged
            charged, source = self.held, "estimated"
            facts = {"error": str(error)} | facts
        attrs: dict[str, Any] = {
            "outcome": outcome,
            "status": self.status,
            "actual": charged,
            "source": source,
            "response": context.journal.payload(_encode(turn)),
            "finish": turn.finish,
            "calls": len(turn.tool_calls),
            "complete": turn.complete,
            "queue_ns": self.queue_ns,
            "backoff_ns": self.backoff_ns,
            "service_ns": service_ns,
        }
        if price:
            attrs["price"] = price
        if usage is not None:
            attrs["usage"] = usage
        if self.ttft_ns >= 0:
            attrs["ttft_ns"] = self.ttft_ns
        if turn.error:
            attrs["error"] = turn.error
        attrs |= facts
        if self.patience is not None:
            attrs |= self.patience.settle(charged.get("tokens", 0))
        ended = self._write("commit", attrs)
        if context.admission.watch is not None:
            self._tell_watch(attrs, usage, ended)
        if outcome != "ok":
            self._failed()

    def _tell_watch(self, told: dict[str, Any], usage: Usage | None, ended: int) -> None:
        new = usage.input - usage.cache_read + usage.output if usage is not None else 0
        said = self.name, self.digest, told["response"]
        done = Done(*said, self.sent_ns, ended, state_of(told), new, self.id)
        self.desk.context.admission.ended(self.binding, done)

    def _failed(self) -> None:
        failed = Failed(self.id, self.attempt.number, self.clock())
        self.desk.retries.note(self.binding.trial, self.body, failed)

    @property
    def name(self) -> str:
        return f"llm.{self.codec.api}"

    @property
    def fresh(self) -> int:
        """What bounds its input besides the conversation that it continues by id."""
        return self.bound.input - self.known - self.assumed

    def _write(self, kind: Any, attrs: dict[str, Any] | None, name: str = "") -> int:
        return self.desk.context.admission.write(
            kind, name or self.name, self.binding, self.id, attrs
        )


def _good(status: int, turn: Turn) -> bool:
    return status < 300 and turn.complete and not turn.error
