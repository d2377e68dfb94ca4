"""How an action is let in: asked for, waited for, begun. Written once, for every gateway.

    ask ──▶ allow, cap ──▶ start ──▶ (the gateway carries it out, and settles it)
     │ ╰──▶ ask ──▶ approved ──▶ start
     │           ╰─▶ refused, or nobody answered: released
     ╰────▶ deny: nothing was held, and the history says why

Rules:
1. What is decided stands on the history before anything follows from it.
2. What asks holds its budget until it is answered, its time is over, its agent hangs up or its
   trial ends.
   The history has its end before the end of its trial.
3. The watch over a run (`anomalies.ladder`) is asked first: what it refuses reaches no ledger. Each
   of its steps is a note. A run that it stopped is stopped on the ledger, which then refuses all.
4. The limits of a trial (`limits`) are asked next; what they refuse reaches no ledger either.
5. Where decisions are only noted (shadow mode), nothing is refused, changed or waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from proofrig.anomalies.ladder import Step, Watch
from proofrig.anomalies.settings import Done, Settings, State
from proofrig.authority.decision import Decision
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError, ProofrigError
from proofrig.gateways.limits import CallLimits, Limiter

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding, Context

_NO_ROOM = (429, 503, 529)


class Approval(msgspec.Struct, frozen=True):
    """How a simulated person answers what asks. rule: a glob on the names of rules. after_s:
    seconds until the answer."""

    rule: str = "*"
    answer: Literal["approve", "refuse"] = "refuse"
    after_s: float = 0.0
    by: str = "simulated"
    reason: str = ""


class Asked(msgspec.Struct, frozen=True):
    """What was answered to an action that asks to be let in. warning: what the model should read,
    "" for nothing."""

    decision: Decision
    warning: str = ""


class _Waiting:
    """An action that waits for its answer. by: who answers, where that is known. over: its wait was
    ended from outside, and its end is written."""

    __slots__ = ("binding", "by", "coming", "name", "over")

    def __init__(self, binding: Binding, name: str) -> None:
        self.binding = binding
        self.name = name
        self.coming: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self.by = ""
        self.over: Decision | None = None

    def resolve(self, answer: Decision) -> None:
        if not self.coming.done():
            self.coming.set_result(answer)


class Admission:
    """Lets the actions of a rig in. approvals: who answers what asks; what none of them answers
    runs out of time. watch: thresholds of the watch over every run; None: nothing is watched.
    limiter: holds trials to their limits."""

    def __init__(self, context: Context) -> None:
        self.approvals: Sequence[Approval] = ()
        self.watch: Settings | None = None
        self.limiter = Limiter(CallLimits())
        self.enforces = True
        self._context = context
        self._watches: dict[str, Watch] = {}
        self._waiting: dict[str, _Waiting] = {}
        policy = context.authority.policy
        rules = () if policy is None else policy.compiled
        self._may_ask = any(rule.effect == "ask" for rule in rules)
        context.bindings.on_end.append(self._trial_ended)

    @property
    def asks(self) -> bool:
        """True when some rule asks for approval, so that an action may have to wait."""
        return self._may_ask and self.enforces

    def ahead(self, name: str, calls: int) -> dict[str, int]:
        """What `calls` further calls of this name, which come first, may still take of whatever
        counts single actions."""
        policy = self._context.authority.policy
        return policy.ahead(name, calls) if calls and policy is not None else {}

    def ask(
        self,
        binding: Binding,
        request: ReserveRequest,
        attrs: dict[str, Any],
        digest: str = "",
        broken: Decision | None = None,
    ) -> Asked:
        """Ask for an action, and write down what was decided beside `attrs`. digest: of its
        arguments; without one the watch over the run does not look at it. broken: the denial of a
        limit that it breaks. Raises ProofrigError when that cannot be kept; then nothing is held.
        """
        turn = attrs.get("asked_by", "")
        step = self.seen(binding, request.name, digest, turn) if digest else None
        warned = step.says if step is not None and self.enforces else ""
        decision = refusal(binding, request.id, step) if warned else None
        if decision is None:
            decision = self.within(broken, lambda: self._context.authority.reserve(request))
            decision = with_warning(decision, warned)
        try:
            self.write("reserve", request.name, binding, request.id, attrs | decision.facts())
        except ProofrigError as error:
            if decision.effect != "deny":
                self._undo(binding, request.name, request.id, error)
            raise
        return Asked(decision, warned)

    def within(self, broken: Decision | None, reserve: Callable[[], Decision]) -> Decision:
        """The denial of a limit, or what the authority says; where nothing is refused, both."""
        if broken is None:
            return reserve()
        return broken if self.enforces else msgspec.structs.replace(reserve(), shadow=broken)

    async def approved(self, binding: Binding, name: str, asked: Decision) -> Decision:
        """Wait for the answer to what asks, and write it down: an allow, or its denial."""
        context, began = self._context, self._context.clock()
        waiting = self._waiting[asked.id] = _Waiting(binding, name)
        context.authority.when_answered(asked.id, waiting.resolve)
        timer = self._someone_answers(asked, waiting)
        try:
            answer = await waiting.coming
        except asyncio.CancelledError:
            if waiting.over is None:
                self._withdraw(asked.id, "the agent went away before it was approved")
                self.write("release", name, binding, asked.id, {"reason": "agent_gone"})
            raise
        finally:
            timer[0].cancel()
            del self._waiting[asked.id]
        if waiting.over is not None:
            return waiting.over
        said = {"approval_refused": "refuse", "approval_timeout": "timeout"}
        told: dict[str, Any] = {"rule": asked.rule, "answer": said.get(answer.code, "approve")}
        if waiting.by and answer.code != "approval_timeout":
            told["by"] = waiting.by
        told["waited_ns"] = context.clock() - began
        self.write("note", "approval", binding, asked.id, told)
        if not answer.allowed:
            facts = {"reason": answer.code, "rule": asked.rule, "fix": answer.fix}
            self.write("release", name, binding, asked.id, facts)
        return msgspec.structs.replace(answer, max_tokens=asked.max_tokens)

    def start(
        self, binding: Binding, name: str, id: str, attrs: dict[str, Any] | None = None
    ) -> int:
        """Say that an action begins; when, on the run's clock. Raises ProofrigError when that
        cannot be kept; then its hold is given back and it must not begin."""
        context = self._context
        try:
            started = self.write("start", name, binding, id, attrs)
            context.journal.flush()  # first: what the ledger charges is on the history
            context.authority.start(id)
        except ProofrigError as error:
            self._undo(binding, name, id, error)
            raise
        return started

    # ---- the watch

    def seen(self, binding: Binding, name: str, digest: str, turn: str = "") -> Step | None:
        """What the watch over a run says of an action that is asked for, in the model's turn `turn`
        where that is known; None also once the run is stopped, which the ledger sees to."""
        if self.watch is None or not binding.token:
            return None
        watch = self._watches.get(binding.token)
        if watch is None:
            watch = self._watches[binding.token] = Watch(self.watch)
        step = watch.seen(name, digest, self._context.clock(), turn)
        if step is None or not step.first:
            return None if step is not None and step.step == "stop" else step
        told = {"kind": step.kind, "step": step.step, "count": step.count, "says": step.says}
        if not self.enforces:
            told["shadow"] = True
        self.write("note", "anomaly", binding, "", told)
        if step.step == "stop" and self.enforces:
            self._context.authority.stop(binding.scope, step.says)
        return step

    def ended(self, binding: Binding, done: Done, *, empty: bool = False) -> None:
        """An action of a watched run has ended."""
        watch = self._watches.get(binding.token)
        if watch is not None:
            watch.ended(done, empty=empty)

    # ---- inside

    def write(
        self, kind: Any, name: str, binding: Binding, id: str, attrs: dict[str, Any] | None = None
    ) -> int:
        """Write an entry of an action, or a note, of a trial."""
        return self._context.journal.write(
            kind,
            name,
            trial=binding.trial,
            tenant=binding.tenant,
            scope=binding.scope,
            id=id,
            attrs=attrs,
        )

    def _someone_answers(self, asked: Decision, waiting: _Waiting) -> list[asyncio.TimerHandle]:
        """A person's answer on its way, or else the end of the time for one."""
        loop, authority = asyncio.get_running_loop(), self._context.authority
        one = next((one for one in self.approvals if fnmatchcase(asked.rule, one.rule)), None)

        def answer(one: Approval) -> None:
            waiting.by = one.by
            with suppress(LedgerError):  # its time was over, or its agent gone
                if one.answer == "approve":
                    authority.approve(asked.id, one.by)
                else:
                    authority.refuse(asked.id, one.by, one.reason)

        def time_over() -> None:
            authority.sweep()
            if not waiting.coming.done():  # a timer may be early by a little
                timer[0] = loop.call_later(0.001, time_over)

        if one is not None and one.after_s < asked.wait_s:
            timer = [loop.call_later(one.after_s, answer, one)]
        else:
            timer = [loop.call_later(asked.wait_s, time_over)]
        return timer

    def _undo(self, binding: Binding, name: str, id: str, error: ProofrigError) -> None:
        self._withdraw(id, "it could not be written down")
        with suppress(ProofrigError):
            facts = {"reason": "never_sent", "error": str(error)}
            self.write("release", name, binding, id, facts)

    def _withdraw(self, id: str, why: str) -> None:
        with suppress(LedgerError):  # it has ended by itself
            self._context.authority.release(id, why)

    def _trial_ended(self, binding: Binding) -> None:
        self._watches.pop(binding.token, None)
        self.limiter.end(binding.token)
        for id, waiting in list(self._waiting.items()):
            if waiting.binding.token != binding.token or waiting.over is not None:
                continue
            fix = "the trial ended before it was approved"
            waiting.over = Decision("deny", id, "trial_ended", fix=fix)
            self._withdraw(id, fix)
            self.write("release", waiting.name, waiting.binding, id, {"reason": "trial_ended"})
            waiting.resolve(waiting.over)


def state_of(told: Mapping[str, Any]) -> State:
    """How an action ended, for the watch, from the attributes of its commit: who had no room or
    could not be reached may do better later."""
    outcome = told["outcome"]
    if outcome == "ok" and not told.get("is_error"):
        return "ok"
    busy = told.get("infra") or told.get("harness") or told.get("status") in _NO_ROOM
    return "refused" if busy or outcome == "unknown" else "failed"


def with_warning(decision: Decision, warning: str) -> Decision:
    """A denial that passes a warning on, as no result will."""
    if not warning or decision.effect != "deny":
        return decision
    return msgspec.structs.replace(decision, fix=f"{decision.fix}. {warning}")


def refusal(binding: Binding, id: str, step: Step | None) -> Decision | None:
    """The denial that a step of the watch stands for; None for a mere warning."""
    if step is None or step.step == "warn":
        return None
    return Decision("deny", id, f"{step.kind}_detected", scope=binding.scope, fix=step.says)
