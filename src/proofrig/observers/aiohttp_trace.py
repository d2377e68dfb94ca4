"""Requests of aiohttp sessions, timed by aiohttp's own tracing.

Rules:
1. Waiting is what the connector calls queued; a connection that is at hand costs none.
2. The action ends when the connection goes back to the connector, with the end of the body or
   with its being given up.
3. Each hop of a redirect is a request of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from proofrig.observers._watch import shown
from proofrig.observers.pools import Timing, begin, is_stream, pool_name
from proofrig.observers.recorder import RECORDER, Attrs, Recorder


def recording_trace_config(*, recorder: Recorder = RECORDER) -> Any:
    """An `aiohttp.TraceConfig` that records: `ClientSession(trace_configs=[...])`."""
    from aiohttp import TraceConfig

    config = TraceConfig()
    config._proofrig = True  # type: ignore[attr-defined]

    async def started(session: Any, context: Any, params: Any) -> None:
        context.hop = _begin(recorder, session, params, params.url)

    async def redirected(session: Any, context: Any, params: Any) -> None:
        if context.hop is not None:
            context.hop.answered(params.response)
        headers = params.response.headers
        to = headers.get("location") or headers.get("uri") or ""
        url = params.url.join(type(params.url)(to))
        context.hop = _begin(recorder, session, params, url)

    async def ended(session: Any, context: Any, params: Any) -> None:
        if context.hop is not None:
            context.hop.answered(params.response)

    async def raised(session: Any, context: Any, params: Any) -> None:
        if context.hop is not None:
            context.hop.timing.finish(params.exception)

    def on(mark: Callable[[Hop, int], None]) -> Any:
        async def marked(session: Any, context: Any, params: Any) -> None:
            if context.hop is not None:
                mark(context.hop, time.monotonic_ns())

        return marked

    config.on_request_start.append(started)
    config.on_request_redirect.append(redirected)
    config.on_request_end.append(ended)
    config.on_request_exception.append(raised)
    config.on_connection_queued_start.append(on(Hop.queued))
    config.on_connection_queued_end.append(on(Hop.unqueued))
    config.on_connection_create_start.append(on(Hop.connecting))
    config.on_connection_create_end.append(on(Hop.sending))
    config.on_connection_reuseconn.append(on(Hop.sending))
    config.on_request_headers_sent.append(on(Hop.sent))
    config.on_request_chunk_sent.append(on(Hop.sent))
    return config


class Hop:
    """One request over one connection."""

    __slots__ = ("timing",)

    def __init__(self, timing: Timing) -> None:
        self.timing = timing

    def queued(self, now: int) -> None:
        """It waits, perhaps once more: another took the connection that came free."""
        self.timing.connect = self.timing.send = 0

    def unqueued(self, now: int) -> None:
        """Nothing yet: a connection came free, and is now reused or made."""

    def connecting(self, now: int) -> None:
        self.timing.connect = now

    def sending(self, now: int) -> None:
        self.timing.send = now

    def sent(self, now: int) -> None:
        self.timing.sent = now

    def answered(self, response: Any) -> None:
        """The headers came; the connection is held until the body's end."""
        timing = self.timing
        timing.headers = time.monotonic_ns()
        timing.status = response.status
        timing.stream = is_stream(response.headers.get("content-type", ""))
        connection = response.connection
        if connection is None:  # the body came along
            self._released(response)
        else:
            connection.add_callback(lambda: self._released(response))

    def _released(self, response: Any) -> None:
        error = response.content.exception()
        if error is not None:
            # what aiohttp says of a body that the agent itself closed is no error
            closed = type(error).__name__ == "ClientConnectionError"
            self.timing.error = "" if closed else shown(error)
        elif response.content.is_eof():
            self.timing.body_end = time.monotonic_ns()
        self.timing.finish()


def _begin(recorder: Recorder, session: Any, params: Any, url: Any) -> Hop | None:
    connector = session.connector
    if not recorder.on or connector is None:
        return None
    about: Attrs = {
        "service": pool_name(connector, "aiohttp", recorder, lambda: limits_of(connector)),
        "host": f"{url.host}:{url.port}",
        "method": params.method,
        "path": url.path,
    }
    timing = begin(recorder, about, params.headers.get("x-stainless-retry-count"), told=True)
    return Hop(timing) if timing is not None else None


def limits_of(connector: Any) -> Attrs:
    """What the `pool` note says of a connector."""
    per_host = connector.limit_per_host
    return {"max_connections": min(filter(None, (connector.limit, per_host)), default=0)}


def patch(module: Any) -> None:
    """Make every session of aiohttp (`module`) that is made from now on record."""
    inner = module.ClientSession.__init__
    if getattr(inner, "_proofrig", False):
        return

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        configs = list(kwargs.pop("trace_configs", None) or ())
        if not any(hasattr(config, "_proofrig") for config in configs):
            configs.append(recording_trace_config())
        inner(self, *args, trace_configs=configs, **kwargs)

    __init__._proofrig = True  # type: ignore[attr-defined]
    module.ClientSession.__init__ = __init__
