"""Requests of httpx and httpx2, timed by the `trace` extension of their connection pools.

Rules:
1. Nothing is measured around the call that the pool does not say itself: what comes before
   `connect_tcp.started` or `send_request_headers.started` is waiting for a connection.
2. The agent's own `trace` extension is called too.
3. The action ends with `response_closed`: only then does the connection go back to the pool.
4. A transport that is wrapped and patched records once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from proofrig.observers._watch import Observed
from proofrig.observers.pools import EARLY, Timing, begin, is_stream, pool_name
from proofrig.observers.recorder import RECORDER, Attrs, Recorder


class Trace:
    """The `trace` extension of one request, plain or async."""

    __slots__ = ("theirs", "timing")

    def __init__(self, timing: Timing, theirs: Any) -> None:
        self.timing = timing
        self.theirs = theirs

    def __call__(self, name: str, info: Any) -> Any:
        mark(self.timing, name, info)
        return self.theirs(name, info) if self.theirs is not None else None


class AsyncTrace(Trace):
    __slots__ = ()

    async def __call__(self, name: str, info: Any) -> Any:
        mark(self.timing, name, info)
        return await self.theirs(name, info) if self.theirs is not None else None


def mark(timing: Timing, name: str, info: Any) -> None:
    """Take one event of the pool; `name` is `<layer>.<step>.<started, complete or failed>`."""
    take = EVENTS.get(name[name.find(".") + 1 :])
    if take is not None:
        take(timing, info)


def _connecting(timing: Timing, info: Any) -> None:
    timing.connect = timing.connect or time.monotonic_ns()


def _sending(timing: Timing, info: Any) -> None:
    timing.send, timing.sent, timing.headers = time.monotonic_ns(), 0, 0


def _sent(timing: Timing, info: Any) -> None:
    timing.sent = time.monotonic_ns()


def _answering(timing: Timing, info: Any) -> None:
    timing.headers = time.monotonic_ns()


def _read(timing: Timing, info: Any) -> None:
    timing.body_end = time.monotonic_ns()


def _broken(timing: Timing, info: Any) -> None:
    error = type(info.get("exception")).__name__
    timing.error = "" if error in EARLY else error


def _closed(timing: Timing, info: Any) -> None:
    if timing.status:  # else the exception that closed it is on its way
        timing.finish()


EVENTS: dict[str, Callable[[Timing, Any], None]] = {
    "connect_tcp.started": _connecting,
    "connect_unix_socket.started": _connecting,
    "send_request_headers.started": _sending,
    "send_request_body.complete": _sent,
    "receive_response_headers.complete": _answering,
    "receive_response_body.complete": _read,
    "receive_response_body.failed": _broken,
    "response_closed.complete": _closed,
}


class RecordingTransport(Observed):
    """A transport of httpx or httpx2 that records: `httpx.Client(transport=RecordingTransport(
    httpx.HTTPTransport(limits=...)))`, and the same for `AsyncHTTPTransport`."""

    def __init__(self, inner: Any, *, recorder: Recorder = RECORDER) -> None:
        super().__init__(inner)
        self._recorder = recorder

    def handle_request(self, request: Any) -> Any:
        return send(self._recorder, self._inner, type(self._inner).handle_request, request)

    async def handle_async_request(self, request: Any) -> Any:
        method = type(self._inner).handle_async_request
        return await send_async(self._recorder, self._inner, method, request)

    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        return self._inner.__exit__(*raised)

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        return await self._inner.__aexit__(*raised)


def send(recorder: Recorder, transport: Any, method: Callable[..., Any], request: Any) -> Any:
    """`method(transport, request)` of a plain transport, recorded."""
    timing = _begin(recorder, transport, request)
    if timing is None:
        return method(transport, request)
    before = request.extensions
    request.extensions = {**before, "trace": Trace(timing, before.get("trace"))}
    try:
        response = method(transport, request)
    except BaseException as error:
        timing.finish(error)
        raise
    finally:
        request.extensions = before
    _answered(timing, response)
    return response


async def send_async(
    recorder: Recorder, transport: Any, method: Callable[..., Any], request: Any
) -> Any:
    """`await method(transport, request)` of an async transport, recorded."""
    timing = _begin(recorder, transport, request)
    if timing is None:
        return await method(transport, request)
    before = request.extensions
    request.extensions = {**before, "trace": AsyncTrace(timing, before.get("trace"))}
    try:
        response = await method(transport, request)
    except BaseException as error:
        timing.finish(error)
        raise
    finally:
        request.extensions = before
    _answered(timing, response)
    return response


def _begin(recorder: Recorder, transport: Any, request: Any) -> Timing | None:
    if not recorder.on or isinstance(request.extensions.get("trace"), Trace):
        return None
    library = type(request).__module__.partition(".")[0]
    url = request.url
    about: Attrs = {
        "service": pool_name(transport, library, recorder, lambda: limits_of(transport)),
        "host": url.netloc.decode(),
        "method": request.method,
        "path": url.path,
    }
    retries = _header(request, b"x-stainless-retry-count")
    return begin(recorder, about, retries, told=hasattr(transport, "_pool"))


def _header(message: Any, name: bytes) -> str:
    """A header; looked up here, as httpx takes longer for one than all else here together."""
    for key, value in message.headers.raw:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    return ""


def limits_of(transport: Any) -> Attrs:
    """What the `pool` note says of a transport."""
    pool = getattr(transport, "_pool", None)
    return {
        "max_connections": getattr(pool, "_max_connections", None),
        "max_keepalive": getattr(pool, "_max_keepalive_connections", None),
    }


def _answered(timing: Timing, response: Any) -> None:
    timing.status = response.status_code
    timing.stream = is_stream(_header(response, b"content-type"))
    if not timing.send:  # a transport without a pool, a mock for example: no more will be told
        timing.headers = timing.body_end = time.monotonic_ns()
        timing.finish()


def patch(module: Any) -> None:
    """Make every transport of httpx or httpx2 (`module`) record, those made earlier too."""
    plain, awaited = module.HTTPTransport, module.AsyncHTTPTransport
    if getattr(plain.handle_request, "_proofrig", False):
        return
    inner, inner_async = plain.handle_request, awaited.handle_async_request

    def handle_request(self: Any, request: Any) -> Any:
        return send(RECORDER, self, inner, request)

    async def handle_async_request(self: Any, request: Any) -> Any:
        return await send_async(RECORDER, self, inner_async, request)

    handle_request._proofrig = True  # type: ignore[attr-defined]
    plain.handle_request = handle_request
    awaited.handle_async_request = handle_async_request
