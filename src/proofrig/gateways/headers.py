"""Which headers pass a gateway, and which are its own business.

Rules:
1. Hop-by-hop headers (RFC 9110 7.6.1) and those that `Connection` names end here, both ways.
2. An agent's credentials end here; the endpoint's own go out in the form its API takes.
3. Nothing of proofrig leaves for a real provider: no header, no baggage member. A simulated one is
   told the trial's seed and tenant; what it says about itself ends here.
4. Upstream is asked for identity encoding: the stream is read as it passes.
5. All other headers pass as they came, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

from proofrig.gateways.gateway import Binding
from proofrig.gateways.identity import without_trial
from proofrig.providers.provider import MODEL_FAILED, Endpoint

_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_UPSTREAM = _HOP | {
    "host",
    "content-length",  # set anew: the body may be amended
    "content-encoding",  # the server has decoded the body
    "accept-encoding",
    "expect",
    "authorization",
    "x-api-key",
    "api-key",
    "baggage",
}
_NOT_DOWNSTREAM = _HOP | {"content-length"}


def fixed_headers(endpoint: Endpoint, api: str) -> dict[str, str]:
    """What every request to this endpoint carries, whatever the agent sent."""
    key = endpoint.key
    own = {"accept-encoding": "identity"}
    if key:
        own |= {"x-api-key": key} if api == "messages" else {"authorization": f"Bearer {key}"}
    return own | dict(endpoint.headers)


def upstream_headers(
    came: Mapping[str, str], fixed: Mapping[str, str], told: Binding | None
) -> CIMultiDict[str]:
    """The headers of the request upstream. `fixed`: see `fixed_headers`. `told`: the trial, for a
    simulated endpoint."""
    named = _named(came.get("connection"))
    out: CIMultiDict[str] = CIMultiDict()
    for name, value in came.items():
        low = name.lower()
        if low in _NOT_UPSTREAM:
            if low == "baggage" and (others := without_trial(value)):
                out.add(name, others)
        elif low not in named and not low.startswith("x-proofrig-"):
            out.add(name, value)
    out.update(fixed)
    if told is not None:
        out["x-proofrig-seed"] = str(told.seed)
        out["x-proofrig-tenant"] = told.tenant
    return out


def downstream_headers(came: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers of the response to the agent."""
    named = _named(came.get("connection"))
    out: CIMultiDict[str] = CIMultiDict()
    for name, value in came.items():
        low = name.lower()
        if low not in _NOT_DOWNSTREAM and low not in named and low != MODEL_FAILED[0]:
            out.add(name, value)
    return out


def _named(connection: str | None) -> Iterable[str]:
    """The further headers that a `Connection` header ends."""
    if connection is None or connection in ("keep-alive", "close"):
        return ()
    return {part.strip().lower() for part in connection.split(",")}
