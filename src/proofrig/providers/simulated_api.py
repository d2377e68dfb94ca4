"""The simulated vendor: HTTP requests in, turns out, as three model APIs.

Rules:
1. Everything is answered in the shape of the API that was called: turns, errors, headers.
2. A call is refused before the model is asked, in this order: connection, body, conversation,
   limits. A refused call takes nothing from any limit.
3. Whatever a model raises is a 500 for that call alone, and a line on stderr.
4. The same call (seed, model, conversation) gets the same turn; when it is made again, the reply
   and its tool calls get other ids, as no vendor gives an id twice.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from random import Random
from typing import Any

import msgspec
from aiohttp import web

from proofrig.errors import ProofrigError
from proofrig.providers.answers import (
    Failure,
    ids_of,
    overloaded,
    refused,
    response_headers,
    turn_of,
)
from proofrig.providers.counters import Counters
from proofrig.providers.limits import Meter, Refusal
from proofrig.providers.pacing import Schedule
from proofrig.providers.prompt import (
    Model,
    Prompt,
    Reply,
    conversation_digest,
    hash64,
    input_tokens,
    turns_in,
)
from proofrig.providers.provider import MODEL_FAILED
from proofrig.providers.simulated import SimulatedSettings
from proofrig.providers.threads import Held, Threads, whole
from proofrig.wire.codec import Codec, WireError
from proofrig.wire.turn import Message, Request, Tool, Turn

_SAMPLING = (b'"temperature"', b'"top_p"', b'"top_k"')
_NO_SAMPLING_FROM = "2026-10-21"  # the anthropic-version that refuses sampling parameters
_MOST_SEEN = 50_000
_SOON_S = 0.0005  # what is due this soon goes out now


class SimulatedApi:
    """Answers the calls of the three model APIs."""

    def __init__(self, settings: SimulatedSettings, model: Model, seed: int) -> None:
        self._settings = settings
        self._model = model
        self._seed = seed
        self._threads = Threads()
        self._meters: dict[str, Meter] = {}
        self._seen: dict[int, int] = {}
        self.counters = Counters()

    async def answer(self, request: web.BaseRequest, codec: Codec) -> web.StreamResponse:
        """One call of a model."""
        began = asyncio.get_running_loop().time()
        self.counters.requests += 1
        tenant = self.tenant(request)
        meter = self._meter(tenant, began)
        try:
            return await self._answer(request, codec, tenant, meter, began)
        except Failure as failure:
            self.counters.refuse(tenant, failure)
            return failure_response(codec, failure, self.counters.requests)
        except asyncio.CancelledError:
            self.counters.disconnected += 1
            raise
        except ConnectionError:
            self.counters.disconnected += 1
            return web.Response()  # nobody is there to read it

    async def count(self, request: web.BaseRequest, codec: Codec) -> web.StreamResponse:
        """The input tokens of a request that is not made."""
        try:
            asked, _ = await _read(request, codec)
        except Failure as failure:
            return failure_response(codec, failure, self.counters.requests)
        tokens = input_tokens(asked.messages, asked.tools)
        kind = {"object": "response.input_tokens"} if codec.api == "responses" else {}
        return web.json_response(kind | {"input_tokens": tokens})

    def tenant(self, request: web.BaseRequest) -> str:
        """Whose call it is: the gateway says so; without a gateway, the key does."""
        headers = request.headers
        tenant = headers.get("x-proofrig-tenant")
        if tenant:
            return tenant
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not key:
            return "anonymous"
        return key if key in self._settings.limits.tenants else f"key-{hash64(key):016x}"

    def tenants(self) -> dict[str, Any]:
        """What each tenant used."""
        return {
            tenant: {
                **self.counters.of(tenant),
                "in_flight": meter.in_flight,
                "peak": meter.peak,
            }
            for tenant, meter in self._meters.items()
        }

    async def _answer(
        self, request: web.BaseRequest, codec: Codec, tenant: str, meter: Meter, began: float
    ) -> web.StreamResponse:
        if getattr(request.protocol, "busy", False):
            raise overloaded(codec.api)
        asked, body = await _read(request, codec)
        before = self._before(asked, tenant)
        messages, tools = whole(asked, before)
        given = input_tokens(messages, tools)
        held = given if codec.api == "messages" else given + (asked.max_tokens or 0)
        hold = meter.admit(held, began)
        if isinstance(hold, Refusal):
            raise refused(codec.api, asked.model, hold, meter, began)
        with hold:
            seed = request.headers.get("x-proofrig-seed", "")
            prompt, number = self._prompt(asked.model, messages, tools, seed)
            reply = await self._ask(prompt, tenant)
            ids = ids_of(codec.api, number)
            turn, usage = turn_of(reply, asked, ids, given, int(time.time()))
            hold.settle(usage.input + usage.output)
            self.counters.served(tenant, usage)
            if codec.api == "responses" or (codec.api == "messages" and b'"thread"' in body):
                self._threads.keep(tenant, turn.id, asked, turn.as_message(), before)
            headers = response_headers(codec.api, meter, began, self.counters.requests)
            schedule = self._schedule(prompt, began)
            if asked.stream:
                return await self._stream(request, codec, (asked, turn), schedule, headers)
            if schedule is not None:
                await _until(schedule.at(usage.output))
            return web.Response(body=codec.encode_response(turn), headers=headers)

    def _prompt(
        self, model: str, messages: tuple[Message, ...], tools: tuple[Tool, ...], trial: str
    ) -> tuple[Prompt, int]:
        """What the model is asked, and the number that the reply's ids are made of."""
        digest = conversation_digest(messages)
        seed = hash64(self._seed, trial or digest, model, turns_in(messages))
        mistakes = self._settings.of(model).mistakes
        prompt = Prompt(messages, tools, model=model, seed=seed, mistakes=mistakes)
        return prompt, self._fresh(hash64(seed, digest))

    async def _ask(self, prompt: Prompt, tenant: str) -> Reply:
        try:
            return await self._model.answer(prompt)
        except Exception as error:
            story = f"{type(error).__name__}: {error}"
            if not isinstance(error, ProofrigError):
                last = traceback.extract_tb(error.__traceback__)[-1]
                story += f" ({last.filename}:{last.lineno})"
            print(
                f"proofrig: the simulated model failed at turn {prompt.turn} of model "
                f"{prompt.model!r} for tenant {tenant!r}: {story}",
                file=sys.stderr,
                flush=True,
            )
            message = f"The simulated model failed: {story}"
            headers = (MODEL_FAILED, ("x-should-retry", "false"))  # again, it would fail again
            raise Failure(500, "", message, headers, reason="model_error") from error

    async def _stream(
        self,
        request: web.BaseRequest,
        codec: Codec,
        exchange: tuple[Request, Turn],
        schedule: Schedule | None,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        """Send the turn's events, each when its tokens are out."""
        asked, turn = exchange
        headers["Content-Type"] = "text/event-stream; charset=utf-8"
        headers["Cache-Control"] = "no-cache"
        response = web.StreamResponse(headers=headers)
        events = codec.encode_stream(turn, usage=asked.wants_usage)
        self.counters.streams += 1
        try:
            if schedule is None:
                await response.prepare(request)
                await response.write(b"".join([data for data, _ in events]))
            else:
                await _paced(request, response, events, schedule)
            await response.write_eof()
        finally:
            self.counters.streams -= 1
        return response

    def _schedule(self, prompt: Prompt, began: float) -> Schedule | None:
        """When the tokens of the answer are out; None when all are out at once."""
        latency = self._settings.of(prompt.model).latency or self._settings.latency
        if latency.none:
            return None
        return Schedule(latency, Random(hash64(prompt.seed, "latency")), began)

    def _meter(self, tenant: str, now: float) -> Meter:
        meter = self._meters.get(tenant)
        if meter is None:
            meter = self._meters[tenant] = Meter(self._settings.limits.of(tenant), now)
        return meter

    def _before(self, asked: Request, tenant: str) -> Held | None:
        """The reply that is continued, None when none is. Raises `Failure` for an unknown id."""
        if not asked.previous_id:
            return None
        held = self._threads.find(tenant, asked.previous_id)
        if held is None and asked.api == "messages":
            message = (
                f"No usable Thread state was found for `previous_message_id` {asked.previous_id}."
            )
            raise Failure(404, "thread_not_found", message)
        if held is None:
            message = f"Previous response with id '{asked.previous_id}' not found."
            raise Failure(400, "previous_response_not_found", message, param="previous_response_id")
        return held

    def _fresh(self, base: int) -> int:
        """`base`, or a number that follows from it when it was given before."""
        times = self._seen.pop(base, 0)
        self._seen[base] = times + 1
        if len(self._seen) > _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return hash64(base, times) if times else base


async def _read(request: web.BaseRequest, codec: Codec) -> tuple[Request, bytes]:
    """The request and its bytes. Raises `Failure`."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Failure(413, "request_too_large", "Request body is too large.") from None
    try:
        asked = codec.decode_request(body)
    except WireError as error:
        raise Failure(400, "", str(error)) from None
    if codec.api == "messages" and any(name in body for name in _SAMPLING):
        version = request.headers.get("anthropic-version", "")
        sent = msgspec.json.decode(body)
        named = [name for name in ("temperature", "top_p", "top_k") if name in sent]
        if named and version >= _NO_SAMPLING_FROM:
            message = f"{named[0]}: sampling parameters are not supported in version {version}"
            raise Failure(400, "", message)
    return asked, body


def failure_response(codec: Codec, failure: Failure, number: int) -> web.Response:
    """A failure in the shape of the API."""
    headers = response_headers(codec.api, None, 0.0, number) | dict(failure.headers)
    body = codec.encode_error(failure.status, failure.kind, failure.message)
    if failure.param:
        shaped = msgspec.json.decode(body)
        shaped["error"]["param"] = failure.param
        body = msgspec.json.encode(shaped)
    response = web.Response(status=failure.status, body=body, headers=headers)
    if failure.reason == "overloaded":
        response.force_close()
    return response


async def _paced(
    request: web.BaseRequest, response: web.StreamResponse, events: Any, schedule: Schedule
) -> None:
    loop = asyncio.get_running_loop()
    tokens = 0
    due: list[bytes] = []
    for data, carried in events:
        tokens += carried
        at = schedule.at(tokens)
        if at - loop.time() > _SOON_S:
            if due:
                await response.write(b"".join(due))
                due.clear()
            await _until(at)
            if not response.prepared:
                await response.prepare(request)
        due.append(data)
    if not response.prepared:
        await response.prepare(request)
    await response.write(b"".join(due))


async def _until(at: float) -> None:
    delay = at - asyncio.get_running_loop().time()
    if delay > 0:
        await asyncio.sleep(delay)
