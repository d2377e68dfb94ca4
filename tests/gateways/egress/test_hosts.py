"""Places, patterns, and what is refused unless it is named."""

from __future__ import annotations

import pytest

from proofrig.errors import UsageError
from proofrig.gateways.egress.hosts import (
    Place,
    address_of,
    fits,
    guarded,
    local,
    pattern,
    place,
    secretive,
)


@pytest.mark.parametrize(
    ("written", "port", "found"),
    [
        ("example.com:443", 0, Place("example.com", 443)),
        ("Example.COM.:8443", 0, Place("example.com", 8443)),
        ("example.com", 443, Place("example.com", 443)),
        ("[::1]:8080", 0, Place("::1", 8080)),
        ("[FE80::1]", 443, Place("fe80::1", 443)),
        ("10.0.0.1:80", 0, Place("10.0.0.1", 80)),
        ("my_host-1:1", 0, Place("my_host-1", 1)),
    ],
)
def test_a_place_is_read(written: str, port: int, found: Place) -> None:
    assert place(written, port) == found


@pytest.mark.parametrize(
    "written",
    [
        *("", ":443", "example.com", "example.com:0", "example.com:65536", "example.com:x"),
        *("[::1", "[::1]x:1", "[nonsense]:443", "-a.com:443", "a..b:443", "a@b:443", "a/b:443"),
        *("a b:1", "x" * 254 + ":443", "example.com:٣"),
    ],
)
def test_what_is_no_place_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="expected a host and a port"):
        place(written)


def test_a_place_reads_as_it_is_written() -> None:
    assert str(Place("::1", 443)) == "[::1]:443"
    assert str(Place("example.com", 80)) == "example.com:80"


@pytest.mark.parametrize(
    ("written", "host", "port", "fitting"),
    [
        ("*", "example.com", 443, True),
        ("*:443", "example.com", 443, True),
        ("*:443", "example.com", 80, False),
        ("example.com", "example.com", 80, True),
        ("EXAMPLE.com.", "example.com", 80, True),
        ("example.com", "www.example.com", 80, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("*.example.com", "www.example.com", 80, True),
        ("*.example.com", "a.b.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("*.example.com", "badexample.com", 80, False),
        ("[::1]:443", "::1", 443, True),
        ("::1", "::1", 443, True),
    ],
)
def test_a_pattern_fits(written: str, host: str, port: int, fitting: bool) -> None:
    assert fits([pattern(written)], Place(host, port)) is fitting


@pytest.mark.parametrize(
    "written", ["", "https://example.com", "example.com/path", "a*.com", "*.*.com", "a:0", "a:x"]
)
def test_what_is_no_pattern_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected a host such as"):
        pattern(written)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "localhost", "x.localhost"]
)
def test_loopback_is_known(host: str) -> None:
    assert local(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "example.com", "localhost.example.com", "fe80::1"])
def test_what_is_elsewhere_is_not_local(host: str) -> None:
    assert not local(host)


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "169.254.1.2", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"),
        *("100.100.100.200", "metadata.google.internal", "::ffff:169.254.169.254"),
    ],
)
def test_metadata_is_known(host: str) -> None:
    assert secretive(host)


def test_other_addresses_are_not_guarded() -> None:
    assert not guarded(address_of("10.0.0.1"))
    assert not secretive("example.com")
