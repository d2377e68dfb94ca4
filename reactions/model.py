"""The model behind the gateway: it calls the tool where it is offered one, until that has done what
it should; then it answers.

Rules:
1. The same request gets the same bytes, in whichever API it is asked.
2. What it says has letters of several bytes, so that broken ones can be seen.
3. A model that is told of an error tries again, `PATIENCE` times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from proofrig.wire import codec_for_path
from proofrig.wire.turn import Request, ToolCall, Turn, Usage

TEXT = "Order ORD-7 is refunded: 25 € go back to Zoë’s card, on Tuesday at the latest."
ARGUMENTS = {"order_id": "ORD-7", "cents": 2500, "note": "Zoë asked – twice, and nicely"}
DONE = "refunded ORD-7"  # what the tool gives back
PATIENCE = 3
_USAGE = Usage(input=40, output=24)


def turn_of(asked: Request) -> Turn:
    """The model's turn."""
    turns = sum(message.role == "assistant" for message in asked.messages)
    done = any(DONE in one.content for message in asked.messages for one in message.tool_results)
    made = Turn(asked.api, id="turn_1", model=asked.model, usage=_USAGE, created=1_760_000_000)
    if asked.tools and not done and turns < PATIENCE:
        arguments = msgspec.json.encode(ARGUMENTS).decode()
        call = ToolCall(f"call_{turns + 1}", "refund", arguments)
        made = msgspec.structs.replace(made, tool_calls=(call,), finish="tool_calls")
    else:
        made = msgspec.structs.replace(made, text=TEXT, finish="stop")
    return msgspec.structs.replace(made, id=f"turn_{turns + 1}")


async def _answer(request: web.Request) -> web.StreamResponse:
    codec = codec_for_path(request.path)
    if codec is None:
        return web.Response(status=404)
    asked = codec.decode_request(await request.read())
    turn = turn_of(asked)
    if not asked.stream:
        return web.Response(body=codec.encode_response(turn), content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event, _ in codec.encode_stream(turn, usage=asked.wants_usage):
        await response.write(event)
    await response.write_eof()
    return response


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """An application on a free loopback port."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def model() -> AsyncIterator[str]:
    """The model's base URL."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("POST", "/{path:.*}", _answer)
    async with serving(app) as port:
        yield f"http://127.0.0.1:{port}/v1"
