"""CONNECT: a tunnel to a host, or TLS that ends here.

Rules:
1. A tunnel is one action from its CONNECT to its end. What is in it is not seen.
2. Of a host that is intercepted each request is an action of its own; the CONNECT is none.
3. Faults strike a CONNECT as they strike a request; once it is answered, none does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from proofrig.errors import ProofrigError, UsageError
from proofrig.gateways.breaking import hang_up
from proofrig.gateways.egress.callers import Asked, Caller, Stranger
from proofrig.gateways.egress.heads import ConnectHead, connect_head, head_bytes, proxy_user
from proofrig.gateways.egress.hosts import place
from proofrig.gateways.egress.outside import Unreachable
from proofrig.gateways.egress.passage import Passage
from proofrig.gateways.egress.tunnel import End, Tunnel
from proofrig.gateways.leg import clear
from proofrig.wire.answer import Answer, Cut, Made, read

if TYPE_CHECKING:
    from proofrig.gateways.egress.desk import Desk
    from proofrig.gateways.egress.front import Front
    from proofrig.gateways.egress.requests import Reading

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Connect:
    """Carries out the CONNECTs of a gateway. reading: makes what reads requests inside TLS."""

    def __init__(self, desk: Desk, reading: Callable[[Asked | None], Reading]) -> None:
        self._desk = desk
        self._reading = reading

    async def __call__(self, front: Front, head: bytes) -> None:
        """Carry one out. Raises CancelledError when its agent goes away."""
        try:
            said = connect_head(head)
            asked = _asked(said)
        except UsageError as error:
            front.refuse(400, "malformed", f"proofrig: {error}")
            return
        if self._desk.reads(asked.where):
            await self._end_tls(front, asked)
        elif self._desk.reporters.meant(asked.where):
            binding = self._desk.callers.look(asked).binding
            self._desk.note("telemetry", binding, host=asked.where.host, method="CONNECT", bytes=0)
            front.refuse(403, "telemetry", "proofrig: telemetry does not leave the rig")
        else:
            await self._tunnel(front, asked)

    # ---- tunnels

    async def _tunnel(self, front: Front, asked: Asked) -> None:
        desk = self._desk
        caller = desk.callers.admit(asked, desk.callers.look(asked))
        if isinstance(caller, Stranger):
            _turn_away(front, caller)
            return
        passage = desk.passage(asked, caller, "tunnel")
        passage.task = asyncio.current_task()
        desk.open.add(passage)
        opened = _Opened()
        try:
            blocked = "rig" if desk.rigs(asked.where) else desk.access.judge(asked.where)
            refusal = await passage.begin(blocked)
            if refusal is not None:
                front.refuse(403, refusal.code, refusal.message)
                return
            await self._join(front, asked, passage, opened)
        except Cut as cut:
            passage.settle("fail", status=0, error="a fault broke the connection")
            hang_up(front.transport, cut.how)
        except Unreachable as error:
            passage.settle("fail", **error.facts)
            front.refuse(error.status, error.code or "unreachable", f"proofrig: {error}")
        except asyncio.CancelledError:
            passage.give_up("agent", "the agent closed the connection")
            front.transport.abort()
            raise
        except ProofrigError as error:
            passage.fail(str(error))
            front.refuse(503, "rig_failed", f"proofrig: {error}")
        except BaseException as error:
            passage.fail(f"{type(error).__name__}: {error}")
            front.transport.abort()
            raise
        finally:
            opened.close()
            desk.open.discard(passage)

    async def _join(self, front: Front, asked: Asked, passage: Passage, opened: _Opened) -> None:
        """Connect to the host, answer the agent, and stay until the tunnel has ended."""
        desk = self._desk

        async def onward() -> Answer:
            far = opened.again()
            far.transport, rest = await desk.outside.dial(asked.where, lambda: far)
            if rest:
                far.data_received(rest)
            return Made(200)

        if clear(desk.context):
            answer = await onward()
        else:
            answer = await passage.outbound(asked.headers).send(onward)
        far = opened.far
        if answer.status != 200 or far is None or far.transport is None:
            await _pass_on(front, passage, answer)
            return
        near = End()
        near.transport = front.transport
        front.leave()
        front.transport.write(ESTABLISHED)
        front.transport.set_protocol(near)
        front.transport.resume_reading()
        if front.early:
            near.data_received(front.early)
        opened.far = None
        tunnel = Tunnel(passage, near, far, desk.limits.half_s)
        passage.stop = tunnel.finish
        await tunnel.over

    # ---- TLS that ends here

    async def _end_tls(self, front: Front, asked: Asked) -> None:
        desk = self._desk
        identity = desk.callers.look(asked)
        named = identity.state in ("live", "late") or asked.user is None
        caller = desk.callers.admit(asked, identity) if named else None
        if isinstance(caller, Stranger):
            _turn_away(front, caller)
            return
        if front.early:
            said = "proofrig: bytes came before the CONNECT was answered"
            front.refuse(400, "malformed", said)
            return
        assert desk.certificates is not None
        context = desk.certificates.context_for(asked.where.host)
        reading = self._reading(asked)
        front.transport.write(ESTABLISHED)
        try:
            inside = await asyncio.get_running_loop().start_tls(
                front.transport,
                reading,
                context,
                server_side=True,
                ssl_handshake_timeout=desk.limits.handshake_s,
            )
        except (OSError, TimeoutError) as error:
            binding = caller.binding if isinstance(caller, Caller) else None
            said = str(error) or type(error).__name__
            desk.note("tls_refused", binding, host=asked.where.host, error=said)
            front.transport.abort()
            return
        finally:
            front.leave()
        if inside is not None and not reading.lost:
            reading.connection_made(inside)


class _Opened:
    """The connection to a host, as long as nobody else sees to its end. A fault may have it made
    twice; the latest counts."""

    def __init__(self) -> None:
        self.far: End | None = None

    def again(self) -> End:
        self.close()
        self.far = End()
        return self.far

    def close(self) -> None:
        if self.far is not None and self.far.transport is not None:
            self.far.transport.abort()


def _asked(said: ConnectHead) -> Asked:
    return Asked("CONNECT", place(said.authority, 443), said.headers, proxy_user(said.headers))


def _turn_away(front: Front, stranger: Stranger) -> None:
    front.refuse(stranger.status, stranger.code, stranger.message, stranger.headers)


async def _pass_on(front: Front, passage: Passage, answer: Answer) -> None:
    """An answer that is no tunnel: a fault's, or a recording's."""
    try:
        body = await read(answer)
    finally:
        answer.close()
    headers = dict(answer.headers) | {"connection": "close"}
    status = answer.status
    passage.receive(len(body))
    passage.settle("fail", status=status, error="the CONNECT was answered without a tunnel")
    front.say(head_bytes(status, answer.reason or "", headers) + body)
