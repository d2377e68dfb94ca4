"""Whose request it is: channels in, trial out."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proofrig.agents.environment import trace_id
from proofrig.gateways.gateway import Binding, Bindings
from proofrig.gateways.identity import (
    Identity,
    identify,
    key_of,
    masked,
    trace_of,
    trial_in_baggage,
    without_trial,
)

LIVE = {name: Binding(name, f"case:{name}", "acme", f"acme/{name}") for name in ("a", "b", "c")}
GONE = Binding("gone", "case:gone", "acme", "acme/gone")
UNKNOWN = "sk-somebody-elses-1234"


def bindings() -> Bindings:
    made = Bindings()
    for binding in (*LIVE.values(), GONE):
        made.add(binding)
    made.end("gone")
    return made


@pytest.mark.parametrize(
    ("path", "baggage", "key", "state", "channel", "trial"),
    [
        ("a", "b", "c", "live", "path", "case:a"),
        ("", "b", "c", "live", "baggage", "case:b"),
        ("", "", "c", "live", "key", "case:c"),
        (UNKNOWN, "b", "c", "live", "baggage", "case:b"),
        (UNKNOWN, UNKNOWN, "c", "live", "key", "case:c"),
        ("", UNKNOWN, "c", "live", "key", "case:c"),
        ("a", "", UNKNOWN, "live", "path", "case:a"),
        ("gone", "b", "c", "late", "path", "case:gone"),
        ("", "gone", "c", "late", "baggage", "case:gone"),
        ("", "", "gone", "late", "key", "case:gone"),
        (UNKNOWN, "", "", "unknown", "path", None),
        ("", "", UNKNOWN, "unknown", "key", None),
        ("", "", "", "none", "none", None),
    ],
)
def test_precedence(
    path: str, baggage: str, key: str, state: str, channel: str, trial: str | None
) -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    if baggage:
        headers["Baggage"] = f"user=ann, proofrig.trial={baggage};ttl=1"
    if key:
        headers["Authorization"] = f"Bearer {key}"
    found = identify(bindings(), headers, path)
    assert (found.state, found.channel) == (state, channel)
    assert (found.binding.trial if found.binding else None) == trial


def test_an_unknown_key_is_never_shown_whole() -> None:
    found = identify(bindings(), {"x-api-key": UNKNOWN})
    assert found == Identity("unknown", "key", None, "...1234")


@pytest.mark.parametrize(("secret", "shown"), [("", "..."), ("short", "..."), (UNKNOWN, "...1234")])
def test_masked(secret: str, shown: str) -> None:
    assert masked(secret) == shown


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer k1"}, "k1"),
        ({"authorization": "bearer  k1 "}, "k1"),
        ({"authorization": "Basic abc"}, ""),
        ({"authorization": "Basic abc", "x-api-key": "k2"}, "k2"),
        ({"authorization": "Bearer k1", "x-api-key": "k2"}, "k1"),
        ({"api-key": "k3"}, "k3"),
        ({}, ""),
    ],
)
def test_key_of(headers: dict[str, str], key: str) -> None:
    assert key_of(headers) == key


@pytest.mark.parametrize(
    ("baggage", "trial", "others"),
    [
        ("proofrig.trial=t1", "t1", ""),
        ("a=1,proofrig.trial=t1,b=2", "t1", "a=1,b=2"),
        (" proofrig.trial = t%201 ;p=1, b=2", "t 1", " b=2"),
        ("a=1,b=2", "", "a=1,b=2"),
        ("proofrig.trials=t1", "", ""),
        ("", "", ""),
        (",,=,proofrig.trial", "", "="),
    ],
)
def test_baggage(baggage: str, trial: str, others: str) -> None:
    assert (trial_in_baggage(baggage), without_trial(baggage)) == (trial, others)


def spans_of(token: str) -> str:
    """A `traceparent` of a span that the agent began below the trial's own."""
    return f"00-{trace_id(token)}-{'cd' * 8}-01"


@pytest.mark.parametrize(
    ("headers", "state", "channel", "trial"),
    [
        ({"traceparent": spans_of("a")}, "live", "trace", "case:a"),
        ({"traceparent": spans_of("a"), "x-api-key": "c"}, "live", "trace", "case:a"),
        (
            {"traceparent": spans_of("a"), "baggage": "proofrig.trial=b"},
            "live",
            "baggage",
            "case:b",
        ),
        ({"traceparent": spans_of("gone")}, "late", "trace", "case:gone"),
        ({"traceparent": spans_of("nobody")}, "none", "none", ""),
    ],
)
def test_a_trace_names_its_trial_where_the_baggage_was_dropped(
    headers: dict[str, str], state: str, channel: str, trial: str
) -> None:
    found = identify(bindings(), CIMultiDict(headers))
    assert (found.state, found.channel) == (state, channel)
    assert (found.binding.trial if found.binding else "") == trial


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        ("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "ab" * 16),
        ("00-short-x-01", ""),
        ("nonsense", ""),
    ],
)
def test_trace_of(traceparent: str, trace: str) -> None:
    assert trace_of({"traceparent": traceparent}) == trace


@pytest.mark.parametrize(
    ("baggage", "scope"),
    [
        ("proofrig.child=researcher", "acme/a/researcher"),
        ("x=1, proofrig.child=team%2Fwriter ;p=1, proofrig.trial=a", "acme/a/team/writer"),
        ("proofrig.child=../b", "acme/a"),
        ("proofrig.child=", "acme/a"),
        ("proofrig.child=a//b", "acme/a"),
        (f"proofrig.child={'a' * 65}", "acme/a"),
        (f"proofrig.child={'/'.join('abcdefghi')}", "acme/a"),
        ("user=ann", "acme/a"),
    ],
)
def test_the_baggage_may_name_a_child_scope_of_the_trials_own(baggage: str, scope: str) -> None:
    for path in ("a", ""):
        headers = CIMultiDict({"Baggage": baggage, "x-api-key": "a"})
        found = identify(bindings(), headers, path)
        assert found.binding is not None
        assert (found.binding.scope, found.binding.trial) == (scope, "case:a")
