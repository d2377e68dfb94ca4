"""What may be reached."""

from __future__ import annotations

import pytest

from proofrig.gateways.egress.access import Access, Refused, why
from proofrig.gateways.egress.hosts import Place, pattern


def access(*allow: str, port: int = 9) -> Access:
    return Access(tuple(map(pattern, allow)), port)


@pytest.mark.parametrize(
    ("allow", "host", "port", "code"),
    [
        (["*"], "example.com", 443, ""),
        (["example.com"], "example.org", 443, "not_allowed"),
        ([], "example.com", 443, "not_allowed"),
        (["*"], "169.254.169.254", 80, "metadata"),
        (["*"], "metadata.google.internal", 80, "metadata"),
        (["*.internal"], "metadata.google.internal", 80, "metadata"),
        (["metadata.google.internal"], "metadata.google.internal", 80, ""),
        (["*", "169.254.169.254"], "169.254.169.254", 80, ""),
        (["*", "169.254.169.254:80"], "169.254.169.254", 8080, "metadata"),
        (["*"], "127.0.0.1", 9, "loop"),
        (["*"], "localhost", 9, "loop"),
        (["*"], "localhost", 10, ""),
        (["*"], "example.com", 9, ""),
    ],
)
def test_a_place_is_judged(allow: list[str], host: str, port: int, code: str) -> None:
    assert access(*allow).judge(Place(host, port)) == code


def test_what_a_name_resolves_to_is_judged_too() -> None:
    where = Place("innocent.example.com", 80)
    everything = access("*")
    assert everything.reachable(where, ["10.0.0.1", "::1"]) == ["10.0.0.1", "::1"]
    assert everything.reachable(where, ["169.254.169.254", "10.0.0.1"]) == ["10.0.0.1"]
    with pytest.raises(Refused, match="metadata"):
        everything.reachable(where, ["169.254.169.254", "::ffff:169.254.169.254"])
    with pytest.raises(Refused, match="loop"):
        everything.reachable(Place("innocent.example.com", 9), ["127.0.0.1"])
    named = access("innocent.example.com")
    assert named.reachable(where, ["169.254.169.254"]) == ["169.254.169.254"]


def test_a_refusal_says_what_to_do() -> None:
    assert "example.com:443" in why("not_allowed", Place("example.com", 443))
    assert "`egress.max_bytes`" in why("byte_cap", Place("example.com", 443))
