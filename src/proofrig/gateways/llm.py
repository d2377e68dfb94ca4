"""The LLM gateway: three model APIs on one port, each call attributed, reserved and written down.

Rules:
1. Each API is served at its path, with and without `/v1`, bare and below `/t/<token>`.
2. What an SDK asks besides turns (`models`, `count_tokens`, `input_tokens`) passes through and is
   an action that costs its time and bytes. Any other path is answered with a 404 that says what is
   served.
3. Traffic of no live trial is a note on the history, and refused unless the settings let it pass.
4. A trial's end gives up its open calls as unknown and frees what was kept for it.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from proofrig.gateways import answers
from proofrig.gateways.call import Call
from proofrig.gateways.conversations import Conversations
from proofrig.gateways.desk import Desk, LlmSettings
from proofrig.gateways.exchange import exchange
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.headers import fixed_headers
from proofrig.gateways.identity import Identity, identify, trace_of
from proofrig.gateways.passing import Aside, api_of
from proofrig.gateways.retries import Retries
from proofrig.gateways.throttle import open_throttles
from proofrig.gateways.upstream import UpstreamLimits, open_upstreams, path_of
from proofrig.wire import CODECS
from proofrig.wire.outbound import Outbound

__all__ = ["LlmGateway", "LlmSettings", "UpstreamLimits"]

# One route for all turns: a router walks its routes one by one.
_CODEC_AT = {path_of(codec)[1:]: codec for codec in CODECS.values()}
_TURNS = f"(?:v1/)?(?:{'|'.join(_CODEC_AT)})"
_ASIDE = "(?:v1/)?(?:models(?:/.+)?|messages/count_tokens|responses/input_tokens)"
_NOBODY = Binding("", "", "unattributed", "unattributed")


class LlmGateway:
    """Serves model calls to the agents of a rig. Routes hold for one application; `context.client`
    should come from `upstream.open_client`."""

    def __init__(self, context: Context, settings: LlmSettings) -> None:
        self._context = context
        self._settings = settings
        upstreams = open_upstreams(settings.endpoints, context.client, settings.limits)
        self._desk = Desk(
            context,
            settings,
            upstreams,
            {api: fixed_headers(endpoint, api) for api, endpoint in settings.endpoints.items()},
            Conversations(max_bytes=settings.conversation_bytes),
            Retries(),
            hold_ns=settings.limits.longest_ns,
            throttles=open_throttles(upstreams),
        )
        context.bindings.on_end.append(self._ended)

    def routes(self) -> list[web.RouteDef]:
        """The routes, each bare and below `/t/{token}`. The catch-all is the last of them; routes
        that begin with another fixed segment are found before it, in whatever order they come."""
        return [
            web.post(f"/t/{{token}}/{{api:{_TURNS}}}", self._turn),
            web.post(f"/{{api:{_TURNS}}}", self._turn),
            web.route("*", f"/t/{{token}}/{{aside:{_ASIDE}}}", self._aside),
            web.route("*", f"/{{aside:{_ASIDE}}}", self._aside),
            web.route("*", "/{other:.*}", self._elsewhere),
        ]

    async def close(self) -> None:
        """Settle what is open as unknown and free what is kept."""
        for call in list(self._desk.open):
            call.give_up("the rig ended")
        for throttle in self._desk.throttles.values():
            throttle.close()
        if self._ended in self._context.bindings.on_end:
            self._context.bindings.on_end.remove(self._ended)

    def open_calls(self, trial: str) -> int:
        """How many calls of a trial are not settled yet; its end gives them up as unknown."""
        return sum(call.binding.trial == trial for call in self._desk.open)

    def hold(self, call: Outbound, connections: int) -> Callable[[], None] | None:
        """Take up to so many connections of the pool that a call needs; what gives them back. None
        when its pool has no cap."""
        upstream = next(
            (one for api, one in self._desk.upstreams.items() if api == call.form), None
        )
        return None if upstream is None else upstream.hold(connections)

    async def _turn(self, request: web.Request) -> web.StreamResponse:
        match, headers = request.match_info, request.headers
        codec = _CODEC_AT[match["api"].removeprefix("v1/")]
        try:
            body = await request.read()  # first: the trial may end while it comes
        except web.HTTPRequestEntityTooLarge as error:
            return answers.refuse(codec, 413, "request_too_large", f"proofrig: {error.text}")
        except (HttpProcessingError, web.RequestPayloadError) as error:
            said = f"proofrig: expected a body that can be read, got: {error}"
            return answers.refuse(codec, 400, "invalid_request", said)
        identity = identify(self._context.bindings, headers, match.get("token", ""))
        binding = self._binding(identity, request)
        if binding is None:
            return answers.unattributed(codec, identity)
        if codec.api not in self._desk.upstreams:
            return answers.not_served(codec, request.path, self._settings.endpoints)
        call = Call(self._desk, codec, binding, identity.channel, body)
        call.said = headers.get("x-stainless-retry-count")
        call.trace = trace_of(headers)
        return await exchange(self._desk, request, call)

    async def _aside(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["aside"].removeprefix("v1/")
        api = api_of(path, request.headers, self._desk.upstreams)
        codec = CODECS.get(api) if api else None
        identity = identify(
            self._context.bindings, request.headers, request.match_info.get("token", "")
        )
        binding = self._binding(identity, request)
        if binding is None:
            return answers.unattributed(codec, identity)
        if api is None:
            return answers.not_served(codec, request.path, self._settings.endpoints)
        return await Aside(self._desk, api, path, binding, identity.channel).carry_out(request)

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        return answers.not_served(None, request.path, self._settings.endpoints)

    def _binding(self, identity: Identity, request: web.Request) -> Binding | None:
        """Whose call it is; None when it is refused. What is of no live trial is written down."""
        if identity.state == "live":
            return identity.binding
        attrs = {
            "channel": identity.channel,
            "method": request.method,
            "path": answers.tidy(request.path),
            "agent": request.headers.get("user-agent", ""),
        }
        if identity.hint:
            attrs["hint"] = identity.hint
        passes = identity.state != "late" and self._settings.unattributed == "pass"
        attrs["answer"] = "pass" if passes else "refuse"
        late = identity.binding
        self._context.journal.write(
            "note",
            "late" if late else "unattributed",
            trial=late.trial if late else "",
            tenant=late.tenant if late else "",
            scope=late.scope if late else "",
            attrs=attrs,
        )
        return _NOBODY if passes else None

    def _ended(self, binding: Binding) -> None:
        for call in [call for call in self._desk.open if call.binding.trial == binding.trial]:
            call.give_up("the trial ended")
        self._desk.conversations.end(binding.trial)
        self._desk.retries.end(binding.trial)
