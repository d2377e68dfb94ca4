"""The canonical form of a request: what must be equal for a recorded answer to be its answer.

Rules:
1. The order of keys does not matter, tool arguments are compared as values, and ids are the number
   of their first appearance, so that only which of them are the same matters.
2. Results of calls that stand next to each other are in the order of their calls.
3. Tool schemas, sampling fields, models and texts matter; what `volatile` and `scrub` name does
   not, nor what the user ignores.
4. A request is a row of pieces: its messages (results inside of one apart), then its other fields.
   Pieces are made once per bytes and kept: a conversation that grows by one message costs one.
5. `chain` has a digest for each piece and all before: the common beginning of two conversations.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from proofrig.cassettes._pieces import MARK, Paths, Piece, Pieces, paths_of, without
from proofrig.cassettes.asked import Asked
from proofrig.cassettes.redaction import Redactor
from proofrig.cassettes.scrub import rules_of

ID = "proofrig-1"
VOLATILE = ("$.prompt_cache_key", "$.safety_identifier", "$.metadata.user_id")
_MCP = ("$.id", "$.params._meta", "$._meta", "$.clientInfo.version")
_TURNS = {"chat_completions": "messages", "messages": "messages", "responses": "input"}
_OPENING = ("system", "instructions")
_CONTINUES = ("previous_response_id", "thread", "conversation")
_ID = re.compile(rb'"(?:previous_message_id|id)"\s*:\s*"([^"]+)"')
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ROOM = 64 << 20  # bytes of pieces that are kept


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What else does not matter. ignore: JSON paths into the request (`$.metadata.trace`,
    `$.messages[*].name`). scrub: name -> regular expression, in any text."""

    ignore: tuple[str, ...] = ()
    scrub: Mapping[str, str] = {}


class Canonical:
    """A request's canonical form. hash: 32 hex digits. chain: of its conversation. root: of where
    the conversation begins: instructions and all up to the first that the user says. continues:
    the id of the reply it goes on from, or empty. rules: what applied."""

    __slots__ = (
        *("_fields", "_ordinals", "_turns", "_where", "chain", "continues", "hash", "root"),
        "rules",
    )

    def __init__(
        self,
        head: bytes,
        where: Piece,
        turns: tuple[str, list[Piece]],
        fields: list[tuple[str, Piece]],
    ) -> None:
        ordinals: dict[str, int] = {}
        head = _linked(head, where, ordinals)
        key, pieces = turns
        said = _in_order(pieces, ordinals)
        link, chain, root = head, list[bytes](), b""
        for piece in said:
            link = _linked(link, piece, ordinals)
            chain.append(link)
            if piece.user and not root:
                root = link
        opening = b"".join(piece.digest for name, piece in fields if name in _OPENING)
        for name, piece in fields:
            link = _linked(link + name.encode("utf-8", "replace"), piece, ordinals)
        self.chain = tuple(chain)
        self.hash = _digest(link).hex()
        self.root = _digest(root + opening) if chain else _digest(head)
        self.continues = ""
        self.rules = frozenset().union(
            *(piece.rules for piece in said), *(piece.rules for _, piece in fields)
        )
        self._turns, self._fields, self._ordinals = (key, said), fields, ordinals
        self._where = where

    @property
    def ids(self) -> tuple[str, ...]:
        """Its ids in the order of their numbers. Of two forms with one hash, those with one number
        stand for each other."""
        return tuple(self._ordinals)

    @property
    def address(self) -> str:
        """Host and path, without secrets."""
        return "".join(self._numbered(self._where))

    def value(self) -> Any:
        """The form as a JSON value, to be compared and shown; ids are `#0`, `#1`, ..."""
        key, said = self._turns
        if self._fields and not self._fields[0][0]:  # no object
            return self._numbered(self._fields[0][1])
        shown: dict[str, Any] = {}
        if key:
            shown[key] = messages = list[Any]()
            waiting = iter(said)
            for piece in waiting:
                value = self._numbered(piece)
                if piece.parts:
                    value["content"] = [self._numbered(next(waiting)) for _ in range(piece.parts)]
                messages.append(value)
        for _, piece in self._fields:
            shown |= self._numbered(piece)
        return shown

    def _numbered(self, piece: Piece) -> Any:
        numbers = [self._ordinals[id] for id in piece.ids]
        return _shown(piece.value, numbers)


class Canonicaliser:
    """Makes canonical forms. Raises UsageError for settings that cannot be used."""

    def __init__(self, settings: Settings, redactor: Redactor) -> None:
        self.settings = settings
        self._redactor = redactor
        self._rules = rules_of(settings.scrub)
        self._pieces = Pieces(self._rules, redactor)
        self._llm = paths_of((*VOLATILE, *settings.ignore))
        self._mcp = paths_of((*_MCP, *settings.ignore))
        self._other = paths_of(settings.ignore)
        self._kept: dict[tuple[bytes, Paths, bool], tuple[Piece, ...]] = {}
        self._size = 0

    def described(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "id": ID,
            "volatile": [*VOLATILE, *(f"$..{key}" for key in sorted(without))],
            "scrub": {rule.name: rule.pattern.pattern for rule in self._rules},
            "ignore": list(self.settings.ignore),
        }

    def form(self, asked: Asked) -> Canonical:
        """The canonical form of a request."""
        who = (asked.channel, asked.form, asked.name, asked.tool, asked.server)
        told = (*who, asked.method, asked.child)
        head = _digest("\0".join(told).encode("utf-8", "replace"))
        where = self._pieces.address(asked.host, self._redactor.path(asked.path))
        try:
            return self._object(asked, head, where)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Canonical(head, where, ("", []), [("", self._pieces.other(asked.body))])

    def _object(self, asked: Asked, head: bytes, where: Piece) -> Canonical:
        """The form of a body that is a JSON object."""
        key = _TURNS.get(asked.form, "") if asked.channel == "llm" else ""
        fields = _FIELDS.decode(asked.body)
        if not key:
            message = asked.channel == "mcp" and (not asked.tool or b'"jsonrpc"' in asked.body)
            paths = self._mcp if message else self._other
            return Canonical(head, where, ("", []), self._fields(fields, paths, plain=True))
        turns = fields.pop(key, None)
        said = [] if turns is None else self._said(bytes(turns), self._llm.get(key, ()))
        made = Canonical(head, where, (key, said), self._fields(fields, self._llm, plain=False))
        made.continues = _continues(fields)
        return made

    def _said(self, turns: bytes, paths: Sequence[Any]) -> list[Piece]:
        if turns.startswith(b'"'):  # an input that is one text
            turns = b'[{"role":"user","content":' + turns + b"}]"
        try:
            each = _LIST.decode(turns)
        except msgspec.MsgspecError:
            return [self._pieces.other(turns)]
        found: list[Piece] = []
        for place, turn in enumerate(each):
            active = tuple(path[1:] for path in paths if path[0] in ("*", place)) if paths else ()
            if () not in active:
                found += self._piece(bytes(turn), active, turn=True)
        return found

    def _fields(
        self, fields: Mapping[str, msgspec.Raw], paths: Mapping[str, Any], *, plain: bool
    ) -> list[tuple[str, Piece]]:
        found = list[tuple[str, Piece]]()
        for name in sorted(fields):
            active = paths.get(name, ())
            if () not in active and (plain or name not in without):
                body = b"{" + msgspec.json.encode(name) + b":" + bytes(fields[name]) + b"}"
                inner = tuple((name, *path) for path in active)
                piece = self._piece(body, inner, turn=False, plain=plain)[0]
                found.append((name, piece))
        return found

    def _piece(
        self, raw: bytes, active: Paths, *, turn: bool, plain: bool = False
    ) -> tuple[Piece, ...]:
        key = (raw if len(raw) < 64 else _digest(raw), active, plain)
        found = self._kept.get(key)
        if found is None:
            self._size += len(raw)
            if self._size > _ROOM:
                self._kept.clear()
                self._size = len(raw)
            value = msgspec.json.decode(raw)
            made = self._pieces.turn(value, active) if turn else None
            found = self._kept[key] = made or (self._pieces.field(value, active, plain),)
        return found


def _in_order(pieces: list[Piece], ordinals: dict[str, int]) -> list[Piece]:
    """The pieces, results that stand next to each other in the order of their calls; ids are
    numbered on the way."""
    said: list[Piece] = []
    at, count = 0, len(pieces)
    while at < count:
        piece = pieces[at]
        end = at + 1
        if piece.call:
            while end < count and pieces[end].call:
                end += 1
        if end - at > 1:
            run = sorted(
                pieces[at:end],
                key=lambda one: (ordinals.get(one.call, len(ordinals)), one.digest),
            )
        else:
            run = pieces[at:end]
        for one in run:
            for id in one.ids:
                if id not in ordinals:
                    ordinals[id] = len(ordinals)
        said += run
        at = end
    return said


def _linked(link: bytes, piece: Piece, ordinals: dict[str, int]) -> bytes:
    data = link + piece.digest
    if piece.ids:
        for id in piece.ids:
            if id not in ordinals:
                ordinals[id] = len(ordinals)
        data += repr([ordinals[id] for id in piece.ids]).encode()
    return hashlib.blake2b(data, digest_size=16).digest()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _continues(fields: Mapping[str, msgspec.Raw]) -> str:
    for name in _CONTINUES:
        raw = bytes(fields.get(name, b""))
        if raw.startswith(b'"'):
            return str(msgspec.json.decode(raw))
        if raw.startswith(b"{") and (found := _ID.search(raw)):
            return found[1].decode("utf-8", "replace")
    return ""


def _number(mark: re.Match[str], numbers: Sequence[int]) -> str:
    place = int(mark[1][:9])
    return f"#{numbers[place]}" if place < len(numbers) else mark[0]  # a text may hold anything


def _shown(value: Any, numbers: Sequence[int]) -> Any:
    if isinstance(value, str):
        return MARK.sub(lambda mark: _number(mark, numbers), value)
    if isinstance(value, dict):
        return {key: _shown(part, numbers) for key, part in value.items()}
    if isinstance(value, list):
        return [_shown(part, numbers) for part in value]
    return value
