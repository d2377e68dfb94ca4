"""Whose traffic it is: the trial named by the proxy's credentials, or by the request's headers.

Rules:
1. The credentials' user is the trial's token. Where it names none (hosts that many trials share),
   baggage, trace and key of the request are looked at, which a CONNECT does not carry.
2. A client that brings no credentials is asked for them (407). It is written down as unattributed
   when it does not come back with some within `PATIENCE_S`: many clients send them only then.
3. Traffic of no live trial is a note, and refused or passed as the settings say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.agents.environment import SHARED_KEY
from proofrig.gateways.answers import tidy
from proofrig.gateways.egress.heads import CHALLENGE
from proofrig.gateways.egress.hosts import Place
from proofrig.gateways.gateway import Binding
from proofrig.gateways.identity import Identity, identify

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Context

PATIENCE_S = 5.0
NOBODY = Binding("", "", "unattributed", "unattributed")


class Asked(msgspec.Struct, frozen=True):
    """What a request is called before it is anybody's. user: of the proxy's credentials, None where
    there are none; path "" where it is not seen."""

    method: str
    where: Place
    headers: Mapping[str, str]
    user: str | None
    path: str = ""


class Caller(msgspec.Struct, frozen=True):
    """Who asks. channel: how it was named; `proxy` for the credentials."""

    binding: Binding
    channel: str


class Stranger(msgspec.Struct, frozen=True):
    """Who asks is not let in."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = {}


class Callers:
    """Tells the trials of a rig apart. passes: traffic of no trial passes."""

    def __init__(self, context: Context, *, passes: bool) -> None:
        self._context = context
        self._passes = passes
        self._challenged: dict[Place, list[tuple[asyncio.TimerHandle, dict[str, Any]]]] = {}

    def look(self, asked: Asked) -> Identity:
        """Who it says that it is; nothing is written."""
        user = "" if asked.user in (None, SHARED_KEY) else asked.user
        return identify(self._context.bindings, asked.headers, user or "")

    def admit(self, asked: Asked, identity: Identity) -> Caller | Stranger:
        """Let it in, or say why not. What is of no live trial is written down."""
        channel = "proxy" if identity.channel == "path" else identity.channel
        if identity.state == "live" and identity.binding is not None:
            self._met(asked.where)
            return Caller(identity.binding, channel)
        attrs = {
            "channel": channel,
            "method": asked.method,
            "host": asked.where.host,
            "agent": asked.headers.get("user-agent", ""),
        }
        attrs |= {"path": tidy(asked.path)} if asked.path else {}
        attrs |= {"hint": identity.hint} if identity.hint else {}
        if identity.binding is not None:
            self._note("late", attrs | {"answer": "refuse"}, identity.binding)
            return Stranger(
                403,
                "late",
                f"proofrig: trial {identity.binding.trial} has ended, and this request came after "
                "its end. Wait for all requests before the agent returns.",
            )
        if self._passes:
            self._note("unattributed", attrs | {"answer": "pass"})
            return Caller(NOBODY, channel)
        if asked.user is None:
            self._challenge(asked.where, attrs | {"answer": "refuse"})
            return Stranger(407, "unattributed", _WANTED.format("no credentials"), CHALLENGE)
        self._note("unattributed", attrs | {"answer": "refuse"})
        return Stranger(403, "unattributed", _WANTED.format(f"{channel} {identity.hint}".strip()))

    def close(self) -> None:
        """Write down who was asked for credentials and has not come back."""
        for where in list(self._challenged):
            while where in self._challenged:
                self._given_up(where)

    def _challenge(self, where: Place, attrs: dict[str, Any]) -> None:
        timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._given_up, where)
        self._challenged.setdefault(where, []).append((timer, attrs))

    def _met(self, where: Place) -> None:
        if where in self._challenged:
            self._oldest(where)

    def _given_up(self, where: Place) -> None:
        self._note("unattributed", self._oldest(where))

    def _oldest(self, where: Place) -> dict[str, Any]:
        waiting = self._challenged[where]
        timer, attrs = waiting.pop(0)
        timer.cancel()
        if not waiting:
            del self._challenged[where]
        return attrs

    def _note(self, name: str, attrs: dict[str, Any], binding: Binding = NOBODY) -> None:
        owner = {"trial": binding.trial, "tenant": binding.tenant, "scope": binding.scope}
        if binding is NOBODY:
            owner = {}
        self._context.journal.write("note", name, **owner, attrs=attrs)


_WANTED = (
    "proofrig: expected the token of a running trial as the proxy's user "
    "(http://<token>:x@127.0.0.1:<port>), got {}. Use HTTP_PROXY and HTTPS_PROXY as proofrig puts "
    "them into the agent's environment."
)
