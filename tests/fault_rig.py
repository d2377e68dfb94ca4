"""A rig whose gateway does to its calls what faults say: real sockets, and a client that tells how
an answer ended.

async with fault_rig(tmp_path, [Reset(after_events=2)]) as rig:
    got = await rig.ask("messages", stream=True)
    got.status, got.body, got.pieces, got.ended       what the agent saw
    rig.calls, rig.facts(), rig.actions()             what the upstream and the history saw
    rig.slept, rig.around.done                        what the faults waited for and reached for

seen = await through([Latency()], made, call)         the same without sockets, at any surface
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11
import msgspec
from aiohttp import web

from llm_rig import BINDING, Handler, Rig, answer, request_of, rig, stream, turn
from proofrig.faults.fault import Fault
from proofrig.faults.injector import Injector, carry
from proofrig.gateways.gateway import Bindings
from proofrig.gateways.upstream import path_of
from proofrig.history.action import Entry
from proofrig.wire import CODECS, codec_for_path
from proofrig.wire.answer import Answer, Cut, Made
from proofrig.wire.codec import Codec
from proofrig.wire.outbound import Outbound
from proofrig.wire.turn import Turn

APIS = tuple(CODECS)
CALL = Outbound(
    surface="llm", form="chat_completions", action="rig.1", name="llm.x", token="t", trial="case:1"
)


def call_at(surface: str = "llm", form: str = "plain", **more: Any) -> Outbound:
    """A call of the trial at this surface, in this form."""
    return msgspec.structs.replace(CALL, surface=surface, form=form, **more)


@dataclass
class Around:
    """What faults reach for, written down in `done`; keys are renewed as a rig does it."""

    bindings: Bindings = field(default_factory=Bindings)
    services: dict[str, Any] = field(default_factory=dict)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    pool: bool = True

    async def pause(self, token: str) -> int:
        self.done.append(("pause", token))
        return 1

    def resume(self, token: str) -> None:
        self.done.append(("resume", token))

    async def kill(self, token: str) -> int:
        self.done.append(("kill", token))
        return 1

    def hold(self, call: Outbound, connections: int) -> Callable[[], None] | None:
        if not self.pool:
            return None
        self.done.append(("hold", connections))
        return lambda: self.done.append(("give_back", connections))

    def renew(self, token: str) -> str:
        self.done.append(("renew", token))
        return self.bindings.renew(token)

    def expired(self, token: str, key: str) -> bool:
        return self.bindings.expired(token, key)


@dataclass
class Got:
    """An answer as an agent saw it. pieces: the chunks of its body as they were framed. ended:
    `whole`, `reset` (RST), or `close` (FIN before its end)."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    ended: str = "close"

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def turn(self, api: str) -> Turn:
        """What is in it. Raises WireError."""
        codec: Codec = CODECS[api]  # type: ignore[index]
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return codec.decode_response(self.body)
        decoder = codec.stream_decoder()
        decoder.feed(self.body)
        return decoder.turn()


@dataclass
class FaultRig:
    """What a test sees. calls: how often the upstream was called; slept: seconds that faults have
    waited for; `rig`: the gateway's own."""

    rig: Rig
    around: Around
    injector: Injector
    slept: list[float]

    @property
    def calls(self) -> int:
        return len(self.rig.received)

    @property
    def base(self) -> str:
        """The base URL of the trial, with its token and `/v1`."""
        return self.rig.trial_url()

    def entries(self, kind: str = "") -> list[Entry]:
        return [entry for entry in self.rig.entries() if not kind or entry.kind == kind]

    def actions(self) -> list[Any]:
        return self.rig.actions()

    def facts(self) -> list[dict[str, Any]]:
        """What the faults wrote down, one for each that struck."""
        return [entry.attrs for entry in self.entries("fault")]

    def ends(self) -> list[Entry]:
        """The commits and releases, in order."""
        return [entry for entry in self.rig.entries() if entry.kind in ("commit", "release")]

    async def ask(self, api: str = "chat_completions", *, stream: bool = False, **more: Any) -> Got:
        """One call of the trial's agent; `more` are further members of its request."""
        return await ask(self.base, api, stream=stream, **more)

    async def until(self, kind: str) -> list[Entry]:
        """Wait until there are entries of this kind; at most ten seconds."""
        for _ in range(1000):
            if found := self.entries(kind):
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"expected an entry {kind}, got none in ten seconds")

    def end_trial(self) -> None:
        """The trial ends, for the gateway and for the faults."""
        self.rig.context.bindings.end(BINDING.token)


async def ask(base: str, api: str, *, stream: bool = False, **more: Any) -> Got:
    """A model asked over a socket of its own, at the base URL of a trial."""
    body: dict[str, Any] = msgspec.json.decode(request_of(api))
    if stream:
        body["stream"] = True
        if api == "chat_completions":
            body["stream_options"] = {"include_usage": True}
    path = path_of(CODECS[api])  # type: ignore[index]
    return await fetch(base + path, msgspec.json.encode(body | more))


async def fetch(url: str, body: bytes = b"", method: str = "POST", **headers: str) -> Got:
    """One request over a socket of its own, read until its end."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    client = h11.Connection(h11.CLIENT)
    sent = {"host": parts.netloc, "content-type": "application/json", "connection": "close"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent["content-length"] = str(len(body))
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = h11.Request(method=method, target=target, headers=list(sent.items()))
    data = [client.send(part) for part in (request, h11.Data(data=body), h11.EndOfMessage())]
    writer.write(b"".join(one for one in data if one))
    got = Got()
    try:
        await _read(client, reader, got)
    except ConnectionResetError:
        got.ended = "reset"
    except h11.RemoteProtocolError:
        got.ended = "close"
    finally:
        writer.close()
    return got


async def _read(client: h11.Connection, reader: asyncio.StreamReader, got: Got) -> None:
    piece: list[bytes] = []
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(1 << 16))
        elif isinstance(event, h11.Response):
            got.status = event.status_code
            got.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            piece.append(bytes(event.data))
            if event.chunk_end or "content-length" in got.headers:
                got.pieces.append(b"".join(piece))
                piece.clear()
        elif isinstance(event, h11.EndOfMessage):
            got.ended = "whole"
            return
        else:
            return


def scripted(said: Callable[[str], Turn], pause_s: float = 0.0) -> Handler:
    """An upstream that says this turn in whichever API it is asked, whole or as a stream; an event
    is a chunk of its own, and comes `pause_s` after the one before."""

    async def handler(request: web.Request) -> web.StreamResponse:
        codec = codec_for_path(request.path)
        assert codec is not None
        asked = codec.decode_request(await request.read())
        if not asked.stream:
            return answer(codec.encode_response(said(codec.api)))
        events = [one for one, _ in codec.encode_stream(said(codec.api), usage=asked.wants_usage)]
        if not pause_s:
            return await stream(request, events)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
            await asyncio.sleep(pause_s)
        await response.write_eof()
        return response

    return handler


def says(text: str = "one two three four five six seven eight", **changes: Any) -> Handler:
    """An upstream whose turn has this text."""
    return scripted(lambda api: turn(api, text=text, **changes))


@asynccontextmanager
async def fault_rig(
    run_dir: Path,
    faults: Sequence[Fault],
    *,
    seed: int = 7,
    handler: Handler | None = None,
    waits: bool = False,
    **options: Any,
) -> AsyncIterator[FaultRig]:
    """A rig with these faults. waits: faults wait for as long as they say; without, they only write
    down for how long. `options` are those of `llm_rig.rig`."""
    async with rig(run_dir, handler or says(), **options) as inner:
        context = inner.context
        around = Around(context.bindings)
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(seconds if waits else 0)

        def write(call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
            owner = {"trial": call.trial, "tenant": call.tenant, "scope": call.scope}
            context.journal.write("fault", kind, **owner, id=call.action, attrs=attrs)

        injector = Injector(faults, seed, context.clock, write, around, sleep=sleep)
        context.faults = injector
        context.bindings.on_end.append(lambda binding: injector.end(binding.trial))
        try:
            yield FaultRig(inner, around, injector, slept)
        finally:
            injector.close()


@dataclass
class Seen:
    """What came of one call that went through faults without a socket: `chunks` until the end or
    until it was `cut`, `said` what the head says of the length, `facts` what was written down."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    cut: str = ""
    said: int = -1
    facts: list[dict[str, Any]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    calls: int = 0
    around: Around = field(default_factory=Around)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Bench:
    """Faults without a socket, kept from call to call. Their waits are written down, not waited
    for; `now_ns` is the time of their clock."""

    def __init__(self, faults: Sequence[Fault], *, seed: int = 7) -> None:
        self.around = Around()
        self.facts: list[dict[str, Any]] = []
        self.slept: list[float] = []
        self.now_ns = 0
        self.injector = Injector(
            faults, seed, lambda: self.now_ns, self._write, self.around, sleep=self._sleep
        )

    def _write(self, call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
        self.facts.append({"kind": kind} | attrs)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ns += round(seconds * 1e9)
        await asyncio.sleep(0)

    async def through(self, answers: Answer | Callable[[], Answer], call: Outbound = CALL) -> Seen:
        """One call with the faults in it; behind them stands an answer, or what makes one."""
        seen = Seen(around=self.around)
        facts, slept = len(self.facts), len(self.slept)

        async def onward() -> Answer:
            seen.calls += 1
            return answers() if callable(answers) else answers

        try:
            got = await carry(self.injector.upon(call), onward)
            seen.status, seen.headers = got.status, {k.lower(): v for k, v in got.headers.items()}
            seen.said = getattr(got, "length", -1)
            while chunk := await got.readany():
                seen.chunks.append(chunk)
            got.close()
        except Cut as cut:
            seen.cut = cut.how
        seen.facts, seen.slept = self.facts[facts:], self.slept[slept:]
        return seen


async def through(
    faults: Sequence[Fault],
    answers: Answer | Callable[[], Answer],
    call: Outbound = CALL,
    *,
    seed: int = 7,
) -> Seen:
    """One call through these faults, at any surface and without a socket."""
    return await Bench(faults, seed=seed).through(answers, call)


def whole(body: bytes, content_type: str = "application/json", status: int = 200) -> Made:
    """A whole body as an answer."""
    return Made(status, body, {"content-type": content_type})


def events_of(*events: bytes, status: int = 200) -> Made:
    """Server-sent events as an answer, each a chunk of its own."""

    async def chunks() -> AsyncIterator[bytes]:
        for event in events:
            yield event

    return Made(status, chunks(), {"content-type": "text/event-stream"})


def said_in(api: str, said: Turn | None = None) -> list[bytes]:
    """A turn as the events of its stream."""
    codec: Codec = CODECS[api]  # type: ignore[index]
    return [event for event, _ in codec.encode_stream(said or turn(api))]
