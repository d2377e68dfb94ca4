"""The tape of a rig: what is recorded, and what is answered from a recording.

Rules:
1. Models and hosts are replayed always; tools as the plan says: all others are carried out.
2. A miss is a note of its trial, which fails for it.
3. A trial that asked for less than was recorded says so when it ends.
4. Where the run lies is no part of a request: paths into its folder, which tools' errors and agents
   like to quote, are the same in every run of the suite.
5. A tunnel is on no tape: nobody can read what goes through it. In a strict replay none is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from proofrig.cassettes.canonical import Settings as CanonicalSettings
from proofrig.cassettes.cassette import load
from proofrig.cassettes.exchange import Exchange, Failure
from proofrig.cassettes.miss import Miss
from proofrig.cassettes.player import KIND, Player, PlayerSettings, refused
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.gateways.egress.heads import BLOCKED, told
from proofrig.gateways.egress.outside import Unreachable
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.leg import Send, Tape
from proofrig.gateways.tool_settings import HttpToolSettings, McpServerSettings
from proofrig.gateways.upstream import UpstreamError
from proofrig.rig.protocol import Plan, Taping
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Outbound

RUN = b"[run]"
TUNNEL = "egress.connect"


class Placeless:
    """A tape to which the folder of the run has no name of its own, and which no tunnel reaches.
    no_tunnel: the answer to one that must not be opened."""

    def __init__(
        self,
        tape: Player | Recorder,
        run_dir: Path,
        no_tunnel: Callable[[Outbound], Answer] | None = None,
    ) -> None:
        self._tape = tape
        self._no_tunnel = no_tunnel
        self._names = sorted({str(run_dir).encode(), str(run_dir.resolve()).encode()}, key=len)

    async def carry(self, call: Outbound, send: Send) -> Answer:
        """The answer of the tape to the same call with that folder's name taken out."""
        if call.name == TUNNEL:
            return await send() if self._no_tunnel is None else self._no_tunnel(call)
        body = call.body
        for name in reversed(self._names):
            if name in body:
                body = body.replace(name, RUN)
        if body is not call.body:
            call = msgspec.structs.replace(call, body=body)
        return await self._tape.carry(call, send)

    def keeps(self, call: Outbound) -> bool:
        return self._tape.keeps(call)

    def close(self) -> None:
        self._tape.close()


def open_tape(context: Context, plan: Plan, tools: Iterable[Any]) -> Tape | None:
    """The tape that the plan asks for; None for none. tools: the suite's. What trials leave of it
    is noted as they end. Raises UsageError for a cassette that is none, SuiteError for one that was
    changed, InfraError for a folder that cannot be written."""
    taping = plan.taping
    if taping is None:
        return None
    canonical = CanonicalSettings(ignore=taping.ignore, scrub=taping.scrub)
    replayed = Replayed(taping.tools, tools)
    if not taping.replay:
        recorder = _recorder(plan, taping, canonical, b"")
        context.bindings.on_end.append(lambda binding: recorder.end(binding.trial))
        return Placeless(recorder, Path(plan.run_dir))
    cassette = load(Path(taping.replay))
    copying = None
    if taping.record:
        copying = _recorder(plan, taping, canonical, cassette.manifest.salt)
    settings = PlayerSettings(
        mode=taping.mode,
        pace=taping.pace,
        canonical=canonical,
        secrets=taping.secrets,
        replayed=replayed.call,
        kept=replayed.exchange,
        on_miss=partial(_missed, context, taping),
        failure=_failure,
    )
    player = Player(cassette, settings, copying)
    context.bindings.on_end.append(partial(_ended, context, player))
    no_tunnel = partial(_no_tunnel, context, taping) if taping.mode == "strict" else None
    return Placeless(player, Path(plan.run_dir), no_tunnel)


def _recorder(plan: Plan, taping: Taping, canonical: CanonicalSettings, salt: bytes) -> Recorder:
    settings = RecorderSettings(
        suite=taping.suite,
        run=Path(plan.run_dir).name,
        seed=plan.seed,
        canonical=canonical,
        secrets=taping.secrets,
        salt=salt,
        anew=frozenset(taping.anew),
    )
    return Recorder(Path(taping.record), settings)


class Replayed:
    """Which calls are replayed: of models and hosts all, of tools what `tools` says."""

    def __init__(self, tools: str, settings: Iterable[Any]) -> None:
        settings = list(settings)
        self._tools = tools
        self._endpoints = {one.name for one in settings if isinstance(one, HttpToolSettings)}
        self._servers = {
            one.name for one in settings if isinstance(one, McpServerSettings) and one.url
        }

    def call(self, call: Outbound) -> bool:
        """True when a call is answered from the recording."""
        return call.surface != "tool" or self._tool(call.server, call.tool)

    def exchange(self, exchange: Exchange) -> bool:
        """True when an exchange of the recording answers calls."""
        if exchange.channel not in ("tool", "mcp"):
            return True
        return self._tool(exchange.server, exchange.tool)

    def _tool(self, server: str, tool: str) -> bool:
        if self._tools != "remote":
            return self._tools == "all"
        return server in self._servers if server else tool in self._endpoints


def _missed(context: Context, taping: Taping, call: Outbound, miss: Miss) -> None:
    """Write a miss down; one that is recorded anew is no failure."""
    name = "miss" if taping.mode == "strict" else "recorded_anew"
    said = msgspec.to_builtins(miss)
    attrs = {"says": miss.message, "call": call.action}
    attrs |= {key: value for key, value in said.items() if value not in ("", [], None)}
    attrs.pop("trial", None)
    _note(context, name, call, attrs)


def _no_tunnel(context: Context, taping: Taping, call: Outbound) -> Answer:
    """The miss of a tunnel, said in its reason too: of a CONNECT most clients show no more."""
    where = f"{call.host}:{call.port}"
    miss = Miss("tunnel", call.trial, "", 0, "egress", call.name, asked=where)
    _missed(context, taping, call, miss)
    answer = refused(call, miss)
    answer.reason, answer.headers[BLOCKED] = told(KIND), KIND
    return answer


def _ended(context: Context, player: Player, binding: Binding) -> None:
    left = player.left(binding.trial)
    if left:
        _note(context, "unplayed", binding, {"exchanges": left})
    player.end(binding.trial)


def _note(context: Context, name: str, of: Outbound | Binding, attrs: dict[str, Any]) -> None:
    owner = {"trial": of.trial, "tenant": of.tenant, "scope": of.scope}
    context.journal.write("note", name, **owner, attrs=attrs)


def _failure(exchange: Exchange, failure: Failure) -> Exception:
    """A recorded failure as it was when it was no recording."""
    status = failure.status or 502
    if exchange.channel == "egress":
        return Unreachable(failure.message, status)
    return UpstreamError(failure.message, status=status, definite=failure.definite)
