"""What must not be written: secrets become tags, and only headers that are on a list are kept.

Rules:
1. A secret is what the caller names (values of environment variables), what begins as known keys
   do, a private key block, or the trial's token. Its tag is `[redacted:openai-key:1a2b3c]`: the
   digits are an HMAC under the recording's salt, so that equal secrets stay equal. The token's tag
   has none: it is another one in every run.
2. Bodies are searched whole: the borders of chunks hide nothing, and move with the text. In streams
   of events a secret may be told over several events: their texts are joined to be searched, and
   the tag stands where the secret began (see `streams`).
3. Done twice, it is as done once.
4. A compressed body is searched as what it holds, if that can be read here (gzip, deflate); with a
   secret in it, it is kept unpacked. What cannot be read is counted (`unread`).
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from proofrig.cassettes.asked import TOKEN_TAG
from proofrig.cassettes.encoding import decoded

_SHORTEST_CODED = 10
SHORTEST = 8  # characters of a named secret; shorter ones would shred every text

_KEPT_HEADERS = frozenset(
    (
        *("content-type", "content-encoding", "content-language", "content-disposition"),
        *("cache-control", "etag", "last-modified", "location", "link", "vary", "allow"),
        *("retry-after", "retry-after-ms", "x-should-retry", "www-authenticate"),
        *("mcp-session-id", "mcp-protocol-version", "request-id", "x-request-id"),
        *("accept-ranges", "content-range", "x-proofrig-fault"),
    )
)
_KEPT_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")

# Where what might be a word may begin: not inside one, but after an escape of JSON (`\nsk-...`).
_START = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_PEM = (
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    rb"(?:.*?-----END [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]*)"
)
# What a key of each kind looks like, and what a text that holds one must contain.
_KINDS: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = (
    ("private-key", (b"PRIVATE KEY-----",), _PEM),
    ("anthropic-key", (b"sk-ant-",), rb"sk-ant-[\w-]{12,}"),
    ("openai-key", (b"sk-",), rb"sk-(?:proj|svcacct|admin|or)-[\w-]{12,}"),
    ("openai-key", (b"sk-",), _START + rb"sk-(?!ant-)(?=[\w-]*\d)[\w-]{16,}"),
    ("github-token", (b"github_pat_",), rb"github_pat_\w{22,}"),
    (
        "github-token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        rb"gh[oprsu]_[A-Za-z0-9]{20,}",
    ),
    ("gitlab-token", (b"glpat-",), rb"glpat-[\w-]{16,}"),
    ("aws-key", (b"AKIA", b"ASIA"), rb"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    ("slack-token", (b"xox", b"xapp-"), rb"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    ("google-key", (b"AIza", b"ya29."), rb"(?:AIza[\w-]{35}|ya29\.[\w-]{20,})"),
    ("stripe-key", (b"_live_", b"_test_"), rb"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("hugging-face-token", (b"hf_",), rb"hf_[A-Za-z0-9]{30,}"),
    ("npm-token", (b"npm_",), rb"npm_[A-Za-z0-9]{30,}"),
    ("jwt", (b"eyJ",), rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    ("bearer-token", (b"earer ",), rb"(?<=[Bb]earer )[\w.~+/-]{16,}=*"),
    ("url-password", (b"://",), rb"(?<=://)[^/\s:@\"\\<>]{1,64}:[^/\s:@\"\\<>]{3,128}(?=@)"),
)
_HINTED = tuple(
    (hint, name, re.compile(text, re.DOTALL)) for name, hints, text in _KINDS for hint in hints
)
_IN_QUERY = re.compile(
    r"(?<=[?&])((?:[\w-]*(?:key|token|password|passwd|secret|signature|credential|session[_-]?id)"
    r"|sig|code|auth)=)([^&#\s\"\\]+)",
    re.IGNORECASE,
)
_IGNORED = re.compile(rb"\\+[nr]|[\s\\]")  # how a key is broken into lines, in JSON or not


class Edit(NamedTuple):
    """Bytes `start` to `end` become `new`. kind: of the secret, for the report."""

    start: int
    end: int
    new: bytes
    kind: str


class Redactor:
    """Takes secrets out. salt: of the recording. named: what the caller knows to be secret, by
    name. counts: what was taken out of what was written, by kind."""

    def __init__(self, salt: bytes, named: Mapping[str, str] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._salt = salt
        found = ((name, value) for name, value in (named or {}).items() if len(value) >= SHORTEST)
        self._named = [
            (f"env-{name}", value.encode("utf-8", "surrogateescape"), form)
            for name, value in sorted(found, key=lambda one: (-len(one[1]), one[0]))
            for form in _forms(value)
        ]

    def edits(self, data: bytes, token: str = "") -> list[Edit]:
        """Where secrets stand in a text, and their tags; in order, none within another."""
        found: list[Edit] = []
        for form in _forms_of_token(token) if token else ():
            if form in data:
                tag = TOKEN_TAG.encode()
                found += (Edit(*span, tag, "trial-token") for span in _all(form, data))
        for kind, secret, form in self._named:
            if form in data:
                tag = self._tag(kind, secret)
                found += (Edit(*span, tag, kind) for span in _all(form, data))
        for hint, kind, pattern in _HINTED:
            if hint in data:
                for match in pattern.finditer(data):
                    if b"[redacted:" not in match[0]:
                        tag = self._tag(kind, _IGNORED.sub(b"", match[0]))
                        found.append(Edit(*match.span(), tag, kind))
        return _apart(found) if len(found) > 1 else found

    def body(self, data: bytes, token: str = "") -> bytes:
        """A body without secrets; they are counted."""
        return applied(data, self.counted(self.edits(data, token)))

    def text(self, text: str) -> str:
        """A text without secrets; nothing is counted."""
        if len(text) < SHORTEST:
            return text
        data = text.encode("utf-8", "surrogatepass")
        found = self.edits(data)
        return applied(data, found).decode("utf-8", "surrogatepass") if found else text

    def path(self, path: str) -> str:
        """A path or URL without secrets: none in its text, and none as a query's `key=`."""

        def hidden(match: re.Match[str]) -> str:
            if match[2].startswith("[redacted:"):
                return match[0]
            return match[1] + self._tag("query", match[2].encode()).decode()

        return _IN_QUERY.sub(hidden, self.text(path)) if path else path

    def headers(self, headers: Mapping[str, str], token: str = "") -> dict[str, str]:
        """The headers that are kept, by their names in lower case."""
        kept: dict[str, str] = {}
        for name, value in headers.items():
            low = name.lower()
            if low in _KEPT_HEADERS or low.startswith(_KEPT_PREFIXES):
                data = self.body(value.encode("utf-8", "surrogateescape"), token)
                kept[low] = self.path(data.decode("utf-8", "replace"))
            elif low not in ("content-length", "transfer-encoding", "connection", "date"):
                self.counts["headers"] += 1
        return kept

    def unpacked(self, data: bytes, encoding: str, token: str = "") -> bytes | None:
        """What a compressed body holds, if a secret is in it; None when it may stay as it is."""
        plain = decoded(data, encoding)
        if plain is None:
            self.counts["unread"] += 1
            return None
        return plain if self.edits(plain, token) else None

    def counted(self, edits: Sequence[Edit]) -> Sequence[Edit]:
        """The same edits, noted in the report."""
        self.counts.update(edit.kind for edit in edits if edit.kind)
        return edits

    def _tag(self, kind: str, secret: bytes) -> bytes:
        digits = hmac.new(self._salt, secret, "sha256").hexdigest()[:6]
        return f"[redacted:{kind}:{digits}]".encode()


def applied(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The text after its edits."""
    if not edits:
        return data
    parts, at = list[bytes](), 0
    for edit in edits:
        parts += (data[at : edit.start], edit.new)
        at = edit.end
    return b"".join((*parts, data[at:]))


def resized(sizes: Sequence[int], edits: Sequence[Edit]) -> list[int]:
    """The sizes of chunks after edits of what they hold together. A border inside an edit moves
    behind it."""
    if not edits:
        return list(sizes)
    new, before, border, shift, at = list[int](), 0, 0, 0, 0
    for size in sizes:
        border += size
        while at < len(edits) and edits[at].start < border:
            edit = edits[at]
            shift += len(edit.new) - (edit.end - edit.start)
            at += 1
        moved = max(border, edits[at - 1].end if at else 0) + shift
        new.append(moved - before)
        before = moved
    return new


def _apart(edits: list[Edit]) -> list[Edit]:
    """In order, the first and longest of those that overlap."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda one: (one.start, -one.end)):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
        elif edit.end > kept[-1].end:  # the rest of an overlapping one goes with the first
            kept[-1] = kept[-1]._replace(end=edit.end)
    return kept


def _all(secret: bytes, data: bytes) -> list[tuple[int, int]]:
    found, at = list[tuple[int, int]](), data.find(secret)
    while at >= 0:
        found.append((at, at + len(secret)))
        at = data.find(secret, at + len(secret))
    return found


def _forms(value: str) -> list[bytes]:
    """A secret as it may be written: plain, in JSON, in JSON within JSON, in a URL, in base64."""
    once = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    forms = {value, *once, *(json.dumps(text)[1:-1] for text in once)}
    forms |= {quote(value, safe=""), quote(value), quote_plus(value)}
    data = value.encode("utf-8", "surrogateescape")
    found = {form.encode("utf-8", "surrogateescape") for form in forms} | _in_base64(data)
    return sorted(found, key=lambda form: (-len(form), form))


@lru_cache(1 << 12)
def _forms_of_token(token: str) -> tuple[bytes, ...]:
    data = token.encode()
    return (data, *sorted(_in_base64(data)))


def _in_base64(secret: bytes) -> set[bytes]:
    """A secret within base64, wherever it begins there: the digits that are its own alone."""
    found = set[bytes]()
    for before in range(3):
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            digits = encode(bytes(before) + secret).rstrip(b"=")
            own = digits[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
            if len(own) >= _SHORTEST_CODED:
                found.add(own)
    return found
