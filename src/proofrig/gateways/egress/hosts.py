"""Hosts as requests and settings name them.

Rules:
1. A host is compared in lower case, without a dot at its end; an IPv6 address without brackets.
2. A pattern is `host`, `*.host` (what lies below it), `*`, each also with `:port`.
3. A name is what the agent wrote; what it resolves to is looked at again before connecting.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import msgspec

from proofrig.errors import UsageError

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_WILD = re.compile(rf"\*(?:\.{_LABEL})*")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds serve credentials to whoever asks, beside all link-local addresses.
METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data"})
METADATA_ADDRESSES = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a request goes."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place(authority: str, port: int = 0) -> Place:
    """`host:port` as a place; `port` where it names none. Raises UsageError."""
    host, given = _split(authority)
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    number = number if given else port
    known = _address(host) is not None or (_NAME.fullmatch(host) and len(host) <= 253)
    if not known or not 0 < number < 65_536:
        raise UsageError(f"expected a host and a port such as example.com:443, got {authority!r}")
    return Place(host, number)


def _split(authority: str) -> tuple[str, str]:
    """Host and port of `host:port`, `host`, `[v6]:port`, `[v6]`; the port "" where none is."""
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            return "", ""
        return host.lower(), rest[1:]
    host, _, given = authority.partition(":")
    if ":" in given:  # an address without brackets
        return authority.lower(), ""
    return host.lower().rstrip("."), given


class Pattern(msgspec.Struct, frozen=True, gc=False):
    """Places by their names. port 0: any. exact: it names one host, no `*` in it."""

    host: str
    port: int = 0

    @property
    def exact(self) -> bool:
        return not self.host.startswith("*")

    @property
    def names(self) -> bool:
        """True when it says something of the host."""
        return self.host != "*"

    def fits(self, where: Place) -> bool:
        if self.port and self.port != where.port:
            return False
        if self.exact:
            return self.host == where.host
        return where.host.endswith(self.host[1:])


def pattern(written: str) -> Pattern:
    """A pattern as it is written in settings. Raises ValueError."""
    host, given = _split(written.strip())
    port = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    known = _address(host) is not None or _NAME.fullmatch(host) or _WILD.fullmatch(host)
    if not known or (given and not 0 < port < 65_536):
        raise ValueError(
            "expected a host such as api.example.com, *.example.com or example.com:443, or * for "
            f"all, got {written!r}; leave scheme and path out"
        )
    return Pattern(host, port)


def fits(patterns: Iterable[Pattern], where: Place) -> bool:
    """True when one of them fits."""
    return any(one.fits(where) for one in patterns)


def local(host: str) -> bool:
    """True for a name or an address of this machine's loopback."""
    address = _address(host)
    if address is not None:
        return loopback(address)
    return host in ("localhost", "localhost.localdomain", "ip6-localhost") or host.endswith(
        ".localhost"
    )


def secretive(host: str) -> bool:
    """True for a name or an address of a cloud's metadata, or a link-local address."""
    address = _address(host)
    return host in METADATA_NAMES if address is None else guarded(address)


def loopback(address: Address) -> bool:
    """True for what ends on this machine."""
    return address.is_loopback or address.is_unspecified


def guarded(address: Address) -> bool:
    """True for an address that is refused unless it is named."""
    return address.is_link_local or address in METADATA_ADDRESSES


def _address(host: str) -> Address | None:
    try:
        return address_of(host)
    except ValueError:
        return None


def address_of(text: str) -> Address:
    """An address; of an IPv4 address in IPv6 clothes, the IPv4 address. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped
