"""A tape that answers in the place of what was recorded.

Rules:
1. strict: nothing leaves. What is not on the tape is answered with 409 in the form of its API, told
   not to be tried again, and the miss goes to `on_miss`, so that the trial fails.
2. record_missing: what is not on the tape goes out, and so does all that follows in its lineage.
   With a recorder, the new recording holds both: what was replayed and what went out.
3. live: everything goes out.
4. A call that never got an answer when it was recorded gets none again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec

from proofrig.cassettes.asked import Channel, channel_of
from proofrig.cassettes.canonical import Canonicaliser, Settings
from proofrig.cassettes.cassette import Cassette
from proofrig.cassettes.exchange import Exchange, Failure
from proofrig.cassettes.miss import Miss
from proofrig.cassettes.played import Pace, Played, id_of, with_id
from proofrig.cassettes.recorder import Recorder, Send
from proofrig.cassettes.redaction import Redactor
from proofrig.cassettes.shelf import Shelf
from proofrig.errors import ProviderError
from proofrig.wire import CODECS
from proofrig.wire.answer import Answer, Cut, Made
from proofrig.wire.outbound import Outbound

Mode = Literal["strict", "record_missing", "live"]
STATUS = 409
KIND = "replay_miss"


def unheard(call: Outbound, miss: Miss) -> None:
    """Nobody is told of a miss."""


def provider_error(exchange: Exchange, failure: Failure) -> Exception:
    """A recorded failure as the error that every gateway knows."""
    return ProviderError(failure.message, definite=failure.definite)


def everything(call: Outbound) -> bool:
    """Every call that can be replayed is."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerSettings:
    """How a recording is replayed.

    pace: see `pace_of`. canonical, secrets: as for recording; the rules that the recording was
    made with are in its manifest, and these are in force. replayed: which calls, and kept: which
    exchanges, for the two must be the same; all others go out. on_miss: told of each miss, in
    strict mode and in record_missing. failure: makes the error of an exchange that failed, in the
    terms of the gateways. clock: nanoseconds; sleep: seconds.
    """

    mode: Mode = "strict"
    pace: float = 0.0
    canonical: Settings = field(default_factory=Settings)
    secrets: Mapping[str, str] = field(default_factory=dict)
    replayed: Callable[[Outbound], bool] = everything
    kept: Callable[[Exchange], bool] = lambda exchange: True
    on_miss: Callable[[Outbound, Miss], None] = unheard
    failure: Callable[[Exchange, Failure], Exception] = provider_error
    clock: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Player:
    """Replays a cassette; `recorder` records what goes out, and takes over what does not."""

    def __init__(
        self, cassette: Cassette, settings: PlayerSettings, recorder: Recorder | None = None
    ) -> None:
        redactor = Redactor(cassette.manifest.salt, settings.secrets)
        self.settings = settings
        self.cassette = cassette
        self._shelf = Shelf(cassette, Canonicaliser(settings.canonical, redactor), settings.kept)
        self._pace = Pace(settings.pace, settings.clock, settings.sleep)
        self._recorder = recorder

    async def carry(self, call: Outbound, send: Send) -> Answer:
        """The recorded answer to a call, or what `send` gives where it goes out. Raises Cut and
        what `failure` makes, where that was recorded; and what `send` raises."""
        settings = self.settings
        channel = channel_of(call)
        if channel is None or settings.mode == "live" or not settings.replayed(call):
            return await self._out(call, send)
        found = self._shelf.find(call, channel)
        if isinstance(found, Exchange):
            return await self._play(call, channel, found)
        if isinstance(found, Miss):
            settings.on_miss(call, found)
            if settings.mode == "strict":
                return refused(call, found)
            self._shelf.go_live(call.trial, found.lineage)
        return await self._out(call, send)

    def keeps(self, call: Outbound) -> bool:
        """True when such a call never leaves."""
        return self.settings.mode == "strict" and self.settings.replayed(call)

    def left(self, trial: str) -> int:
        """How many recorded exchanges of a trial were not asked for."""
        return self._shelf.left(trial)

    def end(self, trial: str) -> None:
        """A trial has ended."""
        self._shelf.end(trial)
        if self._recorder is not None:
            self._recorder.end(trial)

    def close(self) -> None:
        """Give back what is held; the recording that was made ends. Raises InfraError."""
        self.cassette.close()
        if self._recorder is not None:
            self._recorder.close()

    async def _out(self, call: Outbound, send: Send) -> Answer:
        return await (send() if self._recorder is None else self._recorder.carry(call, send))

    async def _play(self, call: Outbound, channel: Channel, exchange: Exchange) -> Answer:
        began = self.settings.clock()
        body = self.cassette.response(exchange)
        changed = exchange
        if channel == "mcp":
            changed, body = with_id(exchange, body, self.cassette.request(exchange), call.body)
        if self._recorder is not None:
            self._recorder.copy(call, channel, changed, body)
        await self._pace.until(began, exchange.ttfb_us)
        if not exchange.status:
            raise self._broke(exchange)
        return Played(
            changed,
            body,
            self._pace,
            unread=partial(self._shelf.give_back, call.trial, exchange),
            broke=partial(self._broke, exchange),
        )

    def _broke(self, exchange: Exchange) -> Exception:
        if exchange.failure is not None:
            return self.settings.failure(exchange, exchange.failure)
        return Cut("reset" if exchange.end == "reset" else "close")


def refused(call: Outbound, miss: Miss) -> Made:
    """The answer to a call that is not on the tape."""
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    text = f"proofrig: {miss.message}"
    match call.form:
        case "chat_completions" | "responses" | "messages":
            body = CODECS[call.form].encode_error(STATUS, KIND, text)
        case "tool":
            body = msgspec.json.encode({"error": {"type": KIND, "message": text}})
        case "mcp":
            id = msgspec.Raw(id_of(call.body) or b"null")
            error = {"code": -32603, "message": text, "data": {"type": KIND}}
            body = msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": error})
        case _:
            headers["content-type"] = "text/plain; charset=utf-8"
            body = text.encode("utf-8", "replace")
    return Made(STATUS, body, headers)
