"""Which headers pass, both ways."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proofrig.gateways.gateway import Binding
from proofrig.gateways.headers import downstream_headers, fixed_headers, upstream_headers
from proofrig.providers.provider import MODEL_FAILED, Endpoint


@pytest.mark.parametrize(
    ("api", "key", "expected"),
    [
        ("messages", "k", {"accept-encoding": "identity", "x-api-key": "k"}),
        ("responses", "k", {"accept-encoding": "identity", "authorization": "Bearer k"}),
        ("chat_completions", "", {"accept-encoding": "identity"}),
    ],
)
def test_the_endpoints_own_headers(api: str, key: str, expected: dict[str, str]) -> None:
    assert fixed_headers(Endpoint("http://x/v1", key=key), api) == expected


def test_headers_of_an_endpoint_win_over_the_agents() -> None:
    endpoint = Endpoint("http://x/v1", headers={"OpenAI-Organization": "ours"})
    came = CIMultiDict({"openai-organization": "theirs", "X-Other": "1"})
    out = upstream_headers(came, fixed_headers(endpoint, "responses"), None)
    assert out.getall("openai-organization") == ["ours"] and out["x-other"] == "1"


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "Proxy-Authorization",
        "Content-Length",
        "Content-Encoding",
        "Expect",
        "Authorization",
        "X-Api-Key",
        "Api-Key",
        "X-Proofrig-Anything",
    ],
)
def test_what_ends_at_the_gateway(name: str) -> None:
    out = upstream_headers(CIMultiDict({name: "x", "X-Kept": "1"}), {}, None)
    assert list(out.items()) == [("X-Kept", "1")]


def test_what_a_simulated_provider_says_of_itself_ends_here() -> None:
    came = CIMultiDict([MODEL_FAILED, ("X-Kept", "1")])
    assert list(downstream_headers(came).items()) == [("X-Kept", "1")]


def test_headers_named_by_connection_end_here_both_ways() -> None:
    came = CIMultiDict({"Connection": "close, X-Once", "X-Once": "1", "X-Kept": "1"})
    assert list(upstream_headers(came, {}, None).items()) == [("X-Kept", "1")]
    assert list(downstream_headers(came).items()) == [("X-Kept", "1")]


def test_repeated_headers_keep_their_order() -> None:
    came: CIMultiDict[str] = CIMultiDict()
    for name, value in (("B", "1"), ("A", "2"), ("B", "3")):
        came.add(name, value)
    assert list(downstream_headers(came).items()) == [("B", "1"), ("A", "2"), ("B", "3")]


@pytest.mark.parametrize(
    ("baggage", "passed"),
    [("proofrig.trial=t", None), ("a=1,proofrig.trial=t", "a=1"), ("a=1", "a=1")],
)
def test_baggage_loses_only_what_is_proofrigs(baggage: str, passed: str | None) -> None:
    assert upstream_headers(CIMultiDict({"Baggage": baggage}), {}, None).get("baggage") == passed


def test_only_a_simulated_endpoint_is_told_of_the_trial() -> None:
    told = Binding("token", "case:1", "acme", "acme/x", seed=9)
    assert dict(upstream_headers(CIMultiDict(), {}, told)) == {
        "x-proofrig-seed": "9",
        "x-proofrig-tenant": "acme",
    }
