"""One tool call as an action: reserve, start, commit. Written once, for every way to call a tool.

    begin ──▶ started ──▶ end        outcome ok, fail or unknown
      │          ╰──────▶ undo       it was not passed on after all
      ╰─ Denied: nothing started, and the history says why

Rules:
1. Nothing is passed on before `begin` has returned: its reservation and its start are written.
2. Every call that began ends once: with its result, as it fails, or as unknown when nobody will
   ever see its result (`Calls.give_up`).
3. A call is charged as one call, its milliseconds, and the bytes of its arguments (as the history
   keeps them) and its result.
4. A call equal to one that failed before is a retry of that one.
5. Where a fault stands between the tool and its agent, the outcome is what the tool came to, and
   the result is what the agent got (`ToolLeg`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.anomalies.names import empty
from proofrig.anomalies.settings import Done
from proofrig.authority.budget import one_call, opening, traffic
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import Denied, LedgerError
from proofrig.gateways.admission import state_of
from proofrig.gateways.asked import canonical
from proofrig.gateways.gateway import Binding, Channel, Context
from proofrig.gateways.identity import Identity, identify
from proofrig.gateways.retries import FIRST, Attempt, Failed, Retries
from proofrig.history.action import Outcome

if TYPE_CHECKING:
    from proofrig.gateways.tool_leg import ToolLeg

HOLD_NS = 3600 * 1_000_000_000  # a call may run for long; one that is lost is given up, see rule 2


class Asking(msgspec.Struct, frozen=True, gc=False):
    """A tool call as an agent makes it. server: the MCP server's name, "" for the rig's own tools.
    call_id: the model's id for the call, where the agent's framework passes it along."""

    tool: str
    arguments: Any
    server: str = ""
    call_id: str = ""


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a call ended. result: the bytes the agent gets, None when there are none. is_error: the
    result tells of an error. error: what went wrong, for people. infra: what serves the tool could
    not be reached or broke off. struck: the faults that took effect. executed: False when the tool
    was never called, though its agent may have got an answer. undelivered: it was called, and its
    agent got nothing or something else."""

    outcome: Outcome
    result: bytes | None = None
    is_error: bool = False
    error: str = ""
    infra: bool = False
    struck: tuple[str, ...] = ()
    executed: bool = True
    undelivered: bool = False


class OpenCall(msgspec.Struct, gc=False):
    """A call that has begun."""

    id: str
    name: str
    binding: Binding
    sent: int  # bytes of its arguments
    started: int  # nanoseconds since the run began
    call_id: str = ""  # the model's, where it is known
    given_up: bool = False  # whoever asked does not wait for the result any longer
    arguments: str = ""  # their digest
    turn: str = ""  # the action of the model's call that asked for it
    warning: str = ""  # what the model should read with the result
    tool: str = ""  # its own name
    leg: ToolLeg | None = None  # on which faults and a tape stand in its way
    attempt: Attempt = FIRST


class Calls:
    """The tool calls of a rig."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, OpenCall] = {}
        self._noted: dict[str, set[tuple[str, str]]] = {}
        self._latest: dict[str, dict[tuple[str, str], OpenCall]] = {}  # by trial
        self._retries = Retries()
        context.bindings.on_end.append(self._trial_ended)

    def identify(self, headers: Mapping[str, str], path_token: str = "") -> Identity:
        """The trial of a request, from its path token and its headers."""
        return identify(self._context.bindings, headers, path_token)

    async def begin(self, binding: Binding, channel: Channel, asking: Asking) -> OpenCall:
        """Reserve and start a call; waits only for an approval. Raises Denied; another
        ProofrigError when it cannot be written down. Then it must not be passed on."""
        admission = self._context.admission
        text = canonical(asking.arguments).encode()
        request, attrs = self._request(binding, asking, text)
        attrs["channel"] = channel
        attempt = self._attempt(binding, request, attrs)
        limiter, about = admission.limiter, (request.id, binding)
        broken = limiter.tool(*about, asking.tool) or limiter.retry(*about, attempt)
        answer = admission.ask(binding, request, attrs, attrs["arguments"], broken)
        decision = answer.decision
        if decision.effect != "deny":
            limiter.retried(binding, attempt)
        if decision.effect == "ask":
            decision = await admission.approved(binding, request.name, decision)
        if not decision.allowed:
            self._failed(binding, request.id, _key(request.name, attrs["arguments"]), attempt)
            raise decision.denied()
        started = admission.start(binding, request.name, request.id)
        call = self._open[request.id] = OpenCall(
            request.id,
            request.name,
            binding,
            len(text),
            started,
            attrs.get("call_id", ""),
            arguments=attrs["arguments"],
            turn=attrs.get("asked_by", ""),
            warning=answer.warning,
            tool=asking.tool,
            attempt=attempt,
        )
        self._supersede(call, attrs["arguments"])
        return call

    def _request(
        self, binding: Binding, asking: Asking, text: bytes
    ) -> tuple[ReserveRequest, dict[str, Any]]:
        """What is asked of the authority, and what its reserve says. text: the arguments."""
        context, name = self._context, f"tool.{asking.tool}"
        held = one_call("tool", opening(len(text)))
        attrs: dict[str, Any] = {
            "estimate": held,
            "server": asking.server,
            "arguments": context.journal.payload(text),
        }
        if asking.call_id:
            attrs["call_id"] = asking.call_id
        said = binding.trial, asking.tool, asking.arguments, asking.call_id
        claimed = context.asked.claim(*said)
        if claimed is None:
            ahead = context.asked.ahead(*said)
        else:
            asked, how, ahead = claimed
            attrs |= {"asked_by": asked.action, "call_id": asked.call_id, "joined": how}
        if ahead:
            attrs["ahead"] = ahead
        request = ReserveRequest(
            context.journal.new_action(),
            binding.scope,
            name,
            held,
            HOLD_NS,
            asking.arguments,
            binding.world,
            ahead=context.admission.ahead(name, ahead),
        )
        return request, attrs

    def _attempt(self, binding: Binding, request: ReserveRequest, attrs: dict[str, Any]) -> Attempt:
        """Which attempt a call is; where it is a retry, its reserve says so."""
        key, now = _key(request.name, attrs["arguments"]), self._context.clock()
        attempt = self._retries.attempt(binding.trial, key, None, now)
        if attempt.retry_of:
            attrs["retry_of"] = attempt.retry_of
            attrs |= self._context.admission.limiter.marked(binding, attempt)
        return attempt

    def _failed(self, binding: Binding, id: str, key: bytes, attempt: Attempt) -> None:
        failed = Failed(id, attempt.number, self._context.clock())
        self._retries.note(binding.trial, key, failed)

    def _supersede(self, call: OpenCall, arguments: str) -> None:
        """A call that is asked again after it was given up, or while it runs: its result is out of
        date. Two equal calls that a model asked for at once are two."""
        asked = (call.name, arguments)
        latest = self._latest.setdefault(call.binding.trial, {})
        before = latest.get(asked)
        latest[asked] = call
        if before is None:
            return
        again = bool(before.call_id) and call.call_id in ("", before.call_id)
        if before.given_up or (before.id in self._open and again):
            self.note(call.binding, "superseded", {"call": before.id, "by": call.id})

    def end(self, call: OpenCall, ending: Ending) -> None:
        """Commit a call. One that has ended before is left as it is."""
        if self._open.pop(call.id, None) is None:
            return
        context = self._context
        if call.leg is not None:
            ending = call.leg.ending(ending)
        result = ending.result
        service_ns = context.clock() - call.started
        received = 0 if result is None else len(result)
        actual = one_call("tool", traffic(service_ns, call.sent + received))
        attrs: dict[str, Any] = {
            "outcome": ending.outcome,
            "actual": actual,
            "service_ns": service_ns,
            "is_error": ending.is_error,
        }
        if result is not None:
            attrs["result"] = context.journal.payload(result)
        if ending.error:
            attrs["error"] = ending.error[:2000]
        if ending.infra:
            attrs["infra"] = True
        attrs |= _of_faults(ending)
        try:
            charged = context.authority.commit(call.id, actual, "measured", ending.outcome)
            attrs["actual"] = charged  # with what rules count besides
        except LedgerError as error:  # its hold ran out: it is charged, as unknown
            attrs["ledger"] = str(error)
        admission = context.admission
        ended = admission.write("commit", call.name, call.binding, call.id, attrs)
        key = _key(call.name, call.arguments)
        if ending.outcome == "ok" and not ending.is_error and not ending.undelivered:
            self._retries.forget(call.binding.trial, key)
        else:
            self._failed(call.binding, call.id, key, call.attempt)
        if admission.watch is not None:
            said = call.name, call.arguments, attrs.get("result") or attrs.get("error", "")
            done = Done(*said, call.started, ended, state_of(attrs), 0, call.turn)
            admission.ended(call.binding, done, empty=empty(result))

    def undo(self, call: OpenCall, why: str) -> None:
        """Release a call that certainly was not passed on; it costs nothing."""
        if self._open.pop(call.id, None) is None:
            return
        self._context.authority.release(call.id, why)
        attrs = {"reason": why}
        self._context.admission.write("release", call.name, call.binding, call.id, attrs)

    def give_up(self, calls: Iterable[OpenCall], why: str) -> None:
        """End calls whose result nobody will see."""
        for call in list(calls):
            call.given_up = True
            self.end(call, Ending("unknown", error=why))

    def close(self) -> None:
        """Give up every open call."""
        self.give_up(self._open.values(), "the rig ended before the call did")

    def note_tools(self, binding: Binding, server: str, tools: list[Any]) -> None:
        """Write down what a server offers, once per trial and list."""
        text = msgspec.json.encode(tools)
        digest = self._context.journal.payload(text)
        noted = self._noted.setdefault(binding.trial, set())
        if (server, digest) in noted:
            return
        noted.add((server, digest))
        names = [tool.get("name") for tool in tools if isinstance(tool, dict)]
        self._context.tools.update(name for name in names if isinstance(name, str))
        self.note(binding, "tools_offered", {"server": server, "tools": names, "list": digest})

    def note(self, binding: Binding | None, name: str, attrs: dict[str, Any]) -> None:
        """Write a note about a trial, or about none."""
        if binding is None:
            self._context.journal.write("note", name, attrs=attrs)
        else:
            self._context.admission.write("note", name, binding, "", attrs)

    def note_stranger(self, identity: Identity, asking: Asking | None, server: str) -> str:
        """Write down a request that belongs to no running trial; what to tell its sender."""
        attrs = {
            "channel": identity.channel,
            "hint": identity.hint,
            "server": server,
            "tool": asking.tool if asking else "",
            "answer": "refuse",
        }
        self.note(identity.binding, "late" if identity.binding else "unattributed", attrs)
        if identity.state == "late" and identity.binding is not None:
            return (
                f"proofrig: trial {identity.binding.trial} has ended, and this call came after its "
                "end. Wait for all calls before the agent returns."
            )
        carried = f"{identity.channel} {identity.hint}".strip()
        return (
            "proofrig: expected a call of a running trial, named by its path /t/<token>/ or its "
            f"baggage (proofrig.trial=<token>), got {carried}. Use the URLs and variables that "
            "proofrig puts into the agent's environment."
        )

    def _trial_ended(self, binding: Binding) -> None:
        self._noted.pop(binding.trial, None)
        self._latest.pop(binding.trial, None)
        mine = [call for call in self._open.values() if call.binding.token == binding.token]
        self.give_up(mine, "the trial ended before the call did")
        self._retries.end(binding.trial)


def _key(name: str, arguments: str) -> bytes:
    """What equal calls have in common. arguments: their digest."""
    return f"{name} {arguments}".encode()


def _of_faults(ending: Ending) -> dict[str, Any]:
    """What a commit says of the faults in its way."""
    said: dict[str, Any] = {}
    if ending.struck:
        said["struck"] = list(ending.struck)
    if not ending.executed:
        said["executed"] = False
    if ending.undelivered:
        said["undelivered"] = True
    return said


def denial_text(denied: Denied) -> str:
    """A denial as an agent reads it: rule, scope, what remains, what to do."""
    text = f"proofrig refused this call: {denied.code}"
    text += f" by rule {denied.rule}" if denied.rule else ""
    text += f" at {denied.scope}" if denied.scope else ""
    if denied.remaining:
        left = ", ".join(f"{amount} {unit}" for unit, amount in sorted(denied.remaining.items()))
        text += f"; what remains there: {left}"
    return f"{text}. {denied.fix}" if denied.fix else f"{text}."
