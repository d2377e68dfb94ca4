"""One tools/call between an agent and a stdio MCP server, where faults or a tape stand in its way.

    client's line ──▶ [faults, tape] ──▶ server ──▶ its line, held ──▶ [faults] ──▶ agent

Rules:
1. The client's line passes when the call gets as far as its server; delivered again, it has an id
   of its own, whose answer nobody gets.
2. A line whose call gets an answer elsewhere is replied to, and never passes.
3. When a fault breaks the connection, the agent's end of its server is closed.
4. A call with nothing in its way crosses as it would without faults and tape.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from proofrig.errors import ProofrigError
from proofrig.gateways.mcp_leg import McpLeg
from proofrig.gateways.mcp_messages import (
    PASS,
    REFUSED,
    Exchange,
    Verdict,
    call_key,
    error_reply,
)
from proofrig.gateways.tool_action import Ending
from proofrig.gateways.tool_leg import BROKE
from proofrig.wire.answer import Answer, Cut, Made, read

UNASKED = b"0"


class _Untouched(Exception):
    """Nothing stands in the call's way; it has passed."""


class Tap(Protocol):
    """The tap's connection."""

    async def say(self, number: bytes, verdict: Verdict) -> None: ...
    def expect(self, key: object, crossing: Crossing) -> None: ...
    def forget(self, crossing: Crossing) -> None: ...


class Crossing:
    """A call of the client's line `number`, which has begun and has not passed."""

    def __init__(
        self, tap: Tap, exchange: Exchange, leg: McpLeg, number: bytes, line: bytes
    ) -> None:
        self._tap = tap
        self._exchange = exchange
        self._leg = leg
        self._number = number
        self._line = line
        self._passed = False
        self._said = b""  # by the server
        self._replies: dict[Any, asyncio.Future[bytes]] = {}
        self._asked: dict[Any, bytes] = {}  # the tap's question about the answer to an id

    @property
    def id(self) -> Any:
        """Of the request."""
        return self._leg.id

    async def cross(self) -> None:
        """Carry the call out, and let its agent have what comes of it."""
        leg, exchange = self._leg, self._exchange
        try:
            answer = await leg.send(self._to_server)
            try:
                await self._hand_over(answer)
            finally:
                answer.close()
        except _Untouched:
            pass
        except asyncio.CancelledError:
            for number in (*self._asked.values(), *(() if self._passed else (self._number,))):
                await self._tap.say(number, Verdict("drop"))
            raise
        except Cut:
            exchange.end(leg.id, Ending("fail", error=BROKE))
            await self._tap.say(UNASKED, Verdict("cut"))
        except ProofrigError as error:
            exchange.end(leg.id, Ending("fail", error=str(error)))
            await self._say(Verdict("reply", error_reply(leg.id, REFUSED, f"proofrig: {error}")))
        finally:
            self._tap.forget(self)

    def came(self, key: object, number: bytes, line: bytes) -> None:
        """The server has answered; the tap holds its line."""
        self._asked[key] = number
        if not self._replies[key].done():
            self._replies[key].set_result(line)

    async def _to_server(self) -> Answer:
        """Let the line pass, or have it sent again; the server's answer to it."""
        identity, verdict = self._leg.id, PASS
        if self._passed:
            identity = f"{identity}-again-{len(self._replies)}"
            line = msgspec.json.decode(self._line) | {"id": identity}
            verdict = Verdict("send", msgspec.json.encode(line))
        if self._leg.untouched:
            await self._tap.say(self._number, PASS)
            raise _Untouched
        key = call_key(identity)
        reply = self._replies[key] = asyncio.get_running_loop().create_future()
        self._tap.expect(key, self)
        await self._tap.say(UNASKED if self._passed else self._number, verdict)
        self._passed = True
        line = await reply
        if identity != self._leg.id:
            await self._tap.say(self._asked.pop(key), Verdict("drop"))
        else:
            self._said = line
        return Made(200, line, {"content-type": "application/json"})

    async def _hand_over(self, answer: Answer) -> None:
        body = await read(answer)
        line = self._leg.line_of(answer.status, body)
        verdict = self._exchange.from_server(line)
        if verdict.do == "pass":
            verdict = Verdict("send", line)
        # What was no response to the call has not ended it.
        self._exchange.end(self._leg.id, Ending("ok", line))
        await self._say(verdict)

    async def _say(self, verdict: Verdict) -> None:
        """Give the agent a line: in the place of the server's, or as a reply to its own."""
        asked = self._asked.pop(call_key(self._leg.id), None)
        if asked is not None:
            same = verdict.body == self._said.removesuffix(b"\n")
            await self._tap.say(asked, PASS if same else Verdict("send", verdict.body))
        elif not self._passed:
            await self._tap.say(self._number, Verdict("reply", verdict.body))
