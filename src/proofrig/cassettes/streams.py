"""Secrets that are told over several events of a stream, as models tell everything.

Rules:
1. The texts that grow event by event are joined by where they stand in their events and by the
   indexes that the events carry.
2. An event that loses nothing keeps its bytes; one that does keeps all of its other fields.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from proofrig.cassettes.redaction import Edit, Redactor
from proofrig.wire.sse import EventSplitter, parse_event

_GROWING = frozenset(
    (
        *("content", "text", "delta", "arguments", "partial_json", "thinking", "refusal", "input"),
        *("reasoning", "reasoning_content", "reasoning_text", "summary", "data", "transcript"),
    )
)
_INDEXES = ("index", "output_index", "content_index", "summary_index", "item_id")


class _Fragment(NamedTuple):
    block: int
    holder: dict[str, Any]
    field: str


class _Block(NamedTuple):
    start: int
    raw: bytes
    data: bytes
    value: Any


def told_in_pieces(redactor: Redactor, body: bytes, token: str = "") -> list[Edit]:
    """The events of a stream that must change, for secrets that no single event holds. They are
    counted."""
    blocks = list(_blocks(body))
    growing: dict[tuple[Any, ...], list[_Fragment]] = {}
    for number, block in enumerate(blocks):
        for key, holder, field in _texts(block.value, ()):
            growing.setdefault(key, []).append(_Fragment(number, holder, field))
    touched: set[int] = set()
    for fragments in growing.values():
        if len(fragments) > 1:
            touched |= _redact(redactor, fragments, token)
    return [_rewritten(blocks[number]) for number in sorted(touched)]


def _redact(redactor: Redactor, fragments: list[_Fragment], token: str) -> set[int]:
    """Take secrets out of a text that is told in fragments; the blocks that changed."""
    texts = [one.holder[one.field].encode() for one in fragments]
    edits = redactor.counted(redactor.edits(b"".join(texts), token))
    starts = [0, *accumulate(map(len, texts))]
    touched = set()
    for edit in reversed(edits):  # from the end, so that what comes before stays where it is
        new = edit.new
        for place in range(bisect_right(starts, edit.start) - 1, len(texts)):
            at = starts[place]
            if at >= edit.end:
                break
            start, end = max(edit.start, at) - at, min(edit.end, starts[place + 1]) - at
            texts[place] = texts[place][:start] + new + texts[place][end:]
            touched.add(fragments[place].block)
            new = b""
    for fragment, text in zip(fragments, texts, strict=True):
        fragment.holder[fragment.field] = text.decode("utf-8", "replace")
    return touched


def _rewritten(block: _Block) -> Edit:
    new = block.raw.replace(block.data, msgspec.json.encode(block.value), 1)
    return Edit(block.start, block.start + len(block.raw), new, "")


def _blocks(body: bytes) -> Iterator[_Block]:
    splitter, at = EventSplitter(), 0
    for raw in splitter.feed(body):
        event = parse_event(raw)
        if event is not None and event.data.startswith(b"{") and event.data in raw:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                yield _Block(at, raw, event.data, msgspec.json.decode(event.data))
        at += len(raw)


def _texts(
    value: Any, key: tuple[Any, ...]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], str]]:
    if isinstance(value, dict):
        key = (*key, *(value[name] for name in _INDEXES if isinstance(value.get(name), int | str)))
        for field, part in value.items():
            if isinstance(part, str):
                if part and field in _GROWING:
                    yield (*key, field), value, field
            else:
                yield from _texts(part, (*key, field))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            own = isinstance(part, dict) and isinstance(part.get("index"), int)
            yield from _texts(part, key if own else (*key, place))
