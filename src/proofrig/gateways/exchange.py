"""One call to a model, from the agent's request to its settlement.

    reserve -> start -> [queue] -> forward -> relay -> commit
       \\ deny                \\ never connected: release

Rules:
1. The call is settled exactly once, and before the agent can know that its answer has ended: when
   the terminal event passes, or the whole body is here. What a broken call saw is charged.
2. A stream is passed on chunk by chunk as it arrives; reading stops while the agent does not read.
3. A chunk is written as it came, unless the usage in it is the gateway's own question.
4. When the provider breaks off a stream, the agent's connection breaks too: a clean end would be a
   lie. When the agent goes away, the provider's connection is closed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from proofrig.errors import ProofrigError
from proofrig.gateways import answers
from proofrig.gateways.breaking import break_off, broken, relay_whole
from proofrig.gateways.call import Call
from proofrig.gateways.decoding import reader_of
from proofrig.gateways.headers import downstream_headers, upstream_headers
from proofrig.gateways.identity import key_of
from proofrig.gateways.leg import Leg, clear, outbound
from proofrig.gateways.llm_leg import LlmLeg, turn_of
from proofrig.gateways.throttle import Patience
from proofrig.gateways.upstream import LiveAnswer, Place, UpstreamError, path_of
from proofrig.providers.provider import MODEL_FAILED
from proofrig.wire.answer import Answer, Cut, streams
from proofrig.wire.codec import WireError

if TYPE_CHECKING:
    from proofrig.gateways.desk import Desk

_RETRIED = frozenset({408, 429, 500, 502, 503, 504, 529})


async def exchange(desk: Desk, request: web.Request, call: Call) -> web.StreamResponse:
    """Carry one call out and answer the agent. The call is settled when this returns or raises."""
    codec = call.codec
    desk.open.add(call)
    try:
        call.decode()
        reason = await call.reserve()
        if reason is not None:
            return answers.denied(codec, reason)
        call.start()
        return await _forward(desk, request, call)
    except WireError as error:
        call.malformed(str(error))
        return answers.refuse(codec, 400, "invalid_request", f"proofrig: {error}")
    except UpstreamError as error:
        call.fail(error)
        message = f"proofrig: {error}"
        return answers.refuse(codec, error.status, "upstream_unreachable", message, retry=True)
    except Cut as cut:
        call.cut_off()
        break_off(request, cut.how)
        return broken()
    except asyncio.CancelledError:
        call.gone()
        raise
    except ConnectionResetError:
        call.gone()
        return broken()
    except ProofrigError as error:
        call.broke(str(error))
        if call.decoder is not None:
            raise  # the answer has begun; its connection breaks
        return answers.refuse(codec, 503, "rig_failed", f"proofrig: {error}")
    except BaseException as error:
        call.broke(f"{type(error).__name__}: {error}")
        raise
    finally:
        desk.open.discard(call)


async def _forward(desk: Desk, request: web.Request, call: Call) -> web.StreamResponse:
    place = Place(desk.upstreams[call.codec.api])
    asked = call.clock()
    if await place.take():
        call.queue_ns = call.clock() - asked
    try:
        answer = await _send(desk, request, call, place)
        try:
            if streams(answer):
                return await _relay_stream(request, call, answer)
            if isinstance(answer, LiveAnswer):
                return await _relay_whole(call, answer)
            return await _relay_pieces(request, call, answer)
        finally:
            answer.close()  # a whole answer has given its connection back already
    finally:
        place.give_back()


async def _send(desk: Desk, request: web.Request, call: Call, place: Place) -> Answer:
    """Send the request; again when the settings allow the gateway retries of its own."""
    upstream = desk.upstreams[call.codec.api]
    headers = upstream_headers(
        request.headers,
        desk.fixed[call.codec.api],
        call.binding if upstream.endpoint.simulated else None,
    )
    path = path_of(call.codec)
    if query := request.query_string:
        path = f"{path}?{request.rel_url.raw_query_string or query}"
    once = partial(upstream.send, "POST", path, headers, call.upstream_body)
    if (throttle := desk.throttles.get(call.codec.api)) is not None:
        note = partial(desk.context.admission.write, "note", "throttle", call.binding, call.id)
        call.patience = Patience(throttle, call, call.held.get("tokens", 0), note, place)
        once = partial(throttle.carry, call.patience, once)
    leg = None if clear(desk.context) else _leg(desk, request, call)
    left = desk.settings.retries
    wait_s = desk.settings.backoff_s
    while True:
        call.sent_ns = call.clock()
        try:
            answer = await (once() if leg is None else leg.send(once))
        except UpstreamError as error:
            if left <= 0 or not error.definite:
                raise
            why = str(error)
        else:
            if left <= 0 or answer.status not in _RETRIED:
                return answer
            why = f"status {answer.status}"
            wait_s = _said(answer.headers.get("retry-after"), wait_s)
            answer.close()
        left -= 1
        call.retried(why, wait_s)
        await asyncio.sleep(wait_s)
        call.backoff_ns += call.clock() - call.sent_ns
        wait_s *= 2


def _leg(desk: Desk, request: web.Request, call: Call) -> Leg:
    call.leg = LlmLeg(
        desk.context,
        outbound(
            call.binding,
            "llm",
            call.codec.api,
            call.id,
            call.name,
            model=call.asked.model,
            method="POST",
            path=path_of(call.codec),
            key=key_of(request.headers),
            headers=request.headers,
            body=call.body,
            stream=call.asked.stream,
        ),
        call.codec,
    )
    return call.leg


def _said(retry_after: str | None, otherwise: float) -> float:
    """Seconds to wait, as the provider says or as planned; never above a minute."""
    try:
        return min(60.0, max(0.0, float(retry_after or otherwise)))
    except ValueError:
        return otherwise


async def _relay_whole(call: Call, answer: LiveAnswer) -> web.Response:
    body = await answer.read()
    _whole(call, answer, body)
    return web.Response(
        status=answer.status,
        reason=answer.reason,
        body=body,
        headers=downstream_headers(answer.headers),
    )


def _whole(call: Call, answer: Answer, body: bytes) -> None:
    """The body of an answer is here."""
    call.received = len(body)
    call.ttft_ns = call.clock() - call.sent_ns
    plain = reader_of(answer.headers.get("content-encoding", ""))
    turn = turn_of(call.codec, answer.status, plain(body) if plain else body)
    call.answered(answer.status, turn, MODEL_FAILED[0] in answer.headers)


async def _relay_pieces(request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
    """A body that a fault or a recording made: piece by piece, at its own pace."""
    call.status = answer.status

    def seen(came: int) -> None:
        call.received = came

    headers = downstream_headers(answer.headers)
    try:
        whole = partial(_whole, call, answer)
        response, cut = await relay_whole(request, answer, headers, whole, seen)
    except UpstreamError as error:  # after the head: nothing else can be answered
        call.fail(error)
        break_off(request, "reset")
        return broken()
    if cut is not None:
        call.cut_off()
    return response


async def _relay_stream(request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=downstream_headers(answer.headers)
    )
    decoder = call.decoder = call.codec.stream_decoder()
    call.status = answer.status
    plain = reader_of(answer.headers.get("content-encoding", ""))
    stripper = call.codec.usage_stripper() if call.asked_usage and plain is None else None
    await response.prepare(request)
    while True:
        try:
            chunk = await answer.readany()
        except UpstreamError as error:
            call.fail(error)
            break_off(request, "reset")
            return response
        except Cut as cut:
            call.cut_off()
            break_off(request, cut.how)
            return response
        if not chunk:
            break
        call.received += len(chunk)
        decoder.feed(chunk if plain is None else plain(chunk))
        if call.ttft_ns < 0 and decoder.output_seen:
            call.ttft_ns = call.clock() - call.sent_ns
        if decoder.ended and not call.settled and (turn := decoder.turn()).complete:
            call.answered(answer.status, turn)
        if stripper is not None:
            chunk = stripper.feed(chunk)
        if chunk:
            await response.write(chunk)
    if not call.settled:
        call.answered(answer.status, decoder.turn())
    await response.write_eof(stripper.flush() if stripper is not None else b"")
    return response
