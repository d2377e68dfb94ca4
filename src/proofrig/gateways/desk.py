"""What an LLM gateway decides by settings, and what its calls share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from proofrig.authority.prices import PriceTable
from proofrig.gateways.asked import same_tool
from proofrig.gateways.call import Call
from proofrig.gateways.conversations import Conversations
from proofrig.gateways.gateway import Context
from proofrig.gateways.retries import Retries
from proofrig.gateways.throttle import Throttle
from proofrig.gateways.upstream import Upstream, UpstreamLimits
from proofrig.providers.provider import Endpoint
from proofrig.wire.turn import Api, Request

if TYPE_CHECKING:
    from proofrig.gateways.passing import Aside


_REMEMBERED = 4_096  # names of tools


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """What a rig decides about calls to models.

    endpoints: where each API is served. prices: None books no money; a model the table does not
    price is refused. ceiling: output tokens of a request that sets no limit. unattributed: what
    happens to traffic of no trial. trim: lower the limit of output tokens, whoever set it, to what
    the budget still buys, down to `least_tokens`. retries: attempts the gateway adds of its own,
    the first after `backoff_s`. ask_usage: ask upstream for the usage of chat streams.
    media_tokens: bound of one referred image, file or sound. unknown_conversation_tokens: bound of
    a conversation that a request goes on from by an id of which nothing is held here; a model's
    whole context.
    """

    endpoints: Mapping[Api, Endpoint]
    prices: PriceTable | None = None
    ceiling: int = 16_384
    unattributed: Literal["refuse", "pass"] = "refuse"
    trim: bool = True
    least_tokens: int = 16
    retries: int = 0
    backoff_s: float = 0.5
    ask_usage: bool = True
    media_tokens: int = 20_000
    unknown_conversation_tokens: int = 200_000
    limits: UpstreamLimits = field(default_factory=UpstreamLimits)
    conversation_bytes: int = 64 << 20


@dataclass(slots=True)
class Desk:
    """What the calls of one gateway share."""

    context: Context
    settings: LlmSettings
    upstreams: Mapping[Api, Upstream]
    fixed: Mapping[Api, Mapping[str, str]]
    conversations: Conversations
    retries: Retries
    hold_ns: int  # how long a reservation lives without being settled
    throttles: Mapping[Api, Throttle] = field(default_factory=dict)  # of those with ceilings
    open: set[Call | Aside] = field(default_factory=set)
    # How many tools were known, and what names mean that models know tools by.
    served: tuple[int, dict[str, str]] = field(default_factory=lambda: (0, {}))

    def carried(self, trial: str, asked: Request) -> tuple[int, int]:
        """Tokens that the conversation which a request goes on from adds to its input, at most: of
        one that is held as counted, and of one that is not, or no longer, held as assumed."""
        held = 0
        if asked.previous_id:
            held = self.conversations.tokens(trial, asked.previous_id)
        unknown = bool(asked.conversation) or (bool(asked.previous_id) and not held)
        return held, self.settings.unknown_conversation_tokens if unknown else 0

    def whole(self, trial: str, asked: Request) -> Request | None:
        """The request with its whole conversation in it; None when a part of that is not held."""
        return None if asked.conversation else self.conversations.whole(trial, asked)

    def closed_tools(self, scope: str, asked: Request) -> list[str]:
        """The tools of a request that could not be called any more: a limit or a rule denies them
        whatever their arguments, or no call of them is left."""
        context = self.context
        allows, authority = context.admission.limiter.allows, context.authority
        ruled = authority.policy is not None
        limited = context.admission.limiter.limits.allowed_tools
        if not asked.tools or not context.admission.enforces or not (ruled or limited):
            return []
        served = {tool.name: self._served_as(tool.name) for tool in asked.tools}
        return [
            name
            for name, own in served.items()
            if not allows(own) or (ruled and authority.closed(scope, f"tool.{own}"))
        ]

    def _served_as(self, name: str) -> str:
        """A tool's own name; frameworks prefix the server's. The longest that fits is meant."""
        known = self.context.tools
        if name in known:
            return name
        if self.served[0] != len(known):
            self.served = len(known), {}
        found = self.served[1].get(name)
        if found is None:
            found = max((one for one in known if same_tool(name, one)), key=len, default=name)
            if len(self.served[1]) < _REMEMBERED:
                self.served[1][name] = found
        return found
