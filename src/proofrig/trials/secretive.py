"""What of a suite and its environment must not be written down: name -> value.

Rules:
1. The keys of vendors are; so is every variable of the environment that is called like one, since
   agents and servers inherit it.
2. Headers that a suite sends are, but for those that never carry a key. So are the values that it
   sets as variables where their names or they themselves look like keys: a path or the name of a
   model must stay what it is.
3. A value that is also part of a common word would shred every text: the redactor leaves what is
   shorter than it wants.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from proofrig.suites import Suite

_LIKE_A_KEY = re.compile(
    r"(?:^|[_.-])(?:api_?key|key|token|secret|passw(?:or)?d|pwd|passphrase|pat|auth|authorization"
    r"|credentials?|cookie|session|signature|dsn|salt)s?(?:$|[_.-](?:id|value|string|\d+)$)",
    re.IGNORECASE,
)
_HARMLESS = frozenset(
    (
        *("accept", "accept-encoding", "accept-language", "content-type", "user-agent"),
        *("cache-control", "connection", "host", "origin", "referer", "mcp-protocol-version"),
    )
)
_SCHEME = re.compile(r"^(?:bearer|basic|token|apikey|digest)\s+", re.IGNORECASE)
# Long, without spaces, of mixed kinds of characters; and no path, URL or name of parts.
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9_+=~-]{20,}")


def secrets_of(suite: Suite, environ: Mapping[str, str]) -> dict[str, str]:
    """Every value that a recording of the suite must not hold, by a name that may be shown."""
    vendors = (getattr(suite.model, name, None) for name in ("openai", "anthropic"))
    names = {vendor.key_env for vendor in vendors if vendor is not None}
    found = {
        name: value for name, value in environ.items() if name in names or _LIKE_A_KEY.search(name)
    }
    for owner, part in (("agent", suite.agent), *((_name(tool), tool) for tool in suite.tools)):
        for name, value in (getattr(part, "env", None) or {}).items():
            if _LIKE_A_KEY.search(name) or _RANDOM.fullmatch(value):
                found[name] = value
        for name, value in (getattr(part, "headers", None) or {}).items():
            if name.lower() not in _HARMLESS:
                found[f"{owner}-{name}"] = _SCHEME.sub("", value)
        for name, value in _in_url(str(getattr(part, "url", None) or "")):
            found[f"{owner}-{name}"] = value
    return {name: value for name, value in found.items() if value}


def _name(tool: object) -> str:
    return str(getattr(tool, "name", None) or getattr(tool, "type", "tool"))


def _in_url(url: str) -> Iterator[tuple[str, str]]:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return
    if password:
        yield "password", password
    for name, value in parse_qsl(parts.query):
        if _LIKE_A_KEY.search(name):
            yield name, value
