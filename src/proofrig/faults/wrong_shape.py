"""Valid JSON of another shape than was agreed."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.faults._forms import Facts, codec_of, with_json, with_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface

Shape = Literal["listed", "nested", "stringified", "missing", "nulled"]
SHAPES: tuple[Shape, ...] = ("listed", "nested", "stringified", "missing", "nulled")
# What a model's answer, or an event of its stream, cannot do without.
_NEEDED = {
    "chat_completions": ("choices",),
    "responses": ("output", "response", "delta", "item"),
    "messages": ("content", "delta", "content_block"),
}


class WrongShape(Fault):
    """Changes the shape of a result, of a model's whole answer, or of each event of its stream.
    `listed`: a list around an object, an object around a list. `nested`: one level deeper.
    `stringified`: numbers and truth values as text; what has none, as JSON in a text. `missing`,
    `nulled`: a member left out or null: of a model what matters most (`choices`, `output`,
    `content`), else one drawn by the seed."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "valid JSON of another shape"

    kind: Literal["wrong_shape"] = "wrong_shape"
    shape: Shape | None = Field(default=None, description="Default: one drawn by the seed.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        drawn = hit.rng.choice(SHAPES)
        shape = self.shape or drawn
        needed = _NEEDED.get(hit.call.form, ())
        change = partial(_reshaped, shape, needed, hit.rng)
        bend = with_value if codec_of(hit.call.form) is None else with_json
        return await bend(hit, onward, change, shape=shape)


def _reshaped(shape: Shape, needed: tuple[str, ...], rng: Random, value: Any) -> tuple[Any, Facts]:
    if shape == "nested":
        return {"data": value}, {}
    if shape == "listed":
        return ({"items": value} if isinstance(value, list) else [value]), {}
    if shape == "stringified":
        changed = _stringified(value)
        return (changed if changed != value else _text(value)), {}
    return _without(value, needed, rng, null=shape == "nulled"), {}


def _stringified(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stringified(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_stringified(inside) for inside in value]
    return _text(value) if isinstance(value, bool | int | float) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _without(value: Any, needed: tuple[str, ...], rng: Random, *, null: bool) -> Any:
    """Without one member: the object's, or that of all objects of a list. What has no members is
    null, or an empty object."""
    objects = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    first = value if isinstance(value, dict) else next(iter(objects), {})
    members = [name for name in needed if name in first] if needed else sorted(first)
    if not members:
        return value if needed else None if null else {}
    member = members[0] if needed else rng.choice(members)
    if isinstance(value, dict):
        return _member_gone(value, member, null=null)
    return [_member_gone(one, member, null=null) if one in objects else one for one in value]


def _member_gone(value: dict[str, Any], member: str, *, null: bool) -> dict[str, Any]:
    if null:
        return value | {member: None}
    return {name: inside for name, inside in value.items() if name != member}
