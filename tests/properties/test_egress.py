"""The egress gateway over whatever comes: heads, places, bytes."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.errors import UsageError
from proofrig.gateways.egress.allowance import Allowance
from proofrig.gateways.egress.heads import connect_head, head_bytes, proxy_user
from proofrig.gateways.egress.hosts import Pattern, place

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PORT = st.integers(1, 65_535)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda b: b"CONNECT " + b))
@settings(max_examples=200, deadline=None)
def test_a_head_is_read_or_refused_and_nothing_else(head: bytes) -> None:
    with suppress(UsageError):
        said = connect_head(head)
        proxy_user(said.headers)
        where = place(said.authority)
        assert 0 < where.port < 65_536


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_place_that_is_read_is_written_as_it_is_read(authority: str) -> None:
    with suppress(UsageError):
        found = place(authority)
        assert place(str(found)) == found


@given(NAME, PORT, LABEL)
@settings(max_examples=100, deadline=None)
def test_what_lies_below_fits_and_the_host_itself_does_not(
    name: str, port: int, below: str
) -> None:
    wild = Pattern(f"*.{name}")
    assert wild.fits(place(f"{below}.{name}", port))
    assert not wild.fits(place(name, port))
    assert not wild.fits(place(f"{below}{name}", port))


@given(st.integers(0, 500), st.lists(st.integers(1, 200), max_size=20))
@settings(max_examples=100, deadline=None)
def test_bytes_pass_up_to_the_limit_and_its_end_is_said_once(limit: int, sizes: list[int]) -> None:
    said: list[int] = []
    allowance = Allowance(limit, lambda one: said.append(one.used))
    taken = [allowance.take(size) for size in sizes]
    assert sum(taken) == allowance.used == min(limit, sum(sizes))
    assert len(said) == (sum(sizes) > limit > 0)


@given(st.integers(100, 999), st.text(max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_head_that_is_written_has_one_end(status: int, reason: str) -> None:
    reason = "".join(reason.split())
    written = head_bytes(status, reason, {"a": "b"})
    assert written.count(b"\r\n\r\n") == 1 and written.endswith(b"\r\n\r\n")
