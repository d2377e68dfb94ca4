"""An interface that changed over night: other names, other places, other types.

Rules:
1. Without `rename`, one member of the result is drawn by the seed, and changed in the way that is
   drawn or asked for: in the object, or in all objects of the list.
2. A model's answer, and each event of its stream, gets a member that nobody knows, and another name
   for one that clients can do without: what a new version of an API does.
3. A list of tools, as MCP has it, gets another name for one argument of each tool that has any.
4. `rename` renames wherever the names are found, at any depth, and does nothing else.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import Field

from proofrig.faults._forms import Facts, codec_of, with_json, with_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface

Way = Literal["rename", "move", "retype"]
WAYS: tuple[Way, ...] = ("rename", "move", "retype")
# What clients of a model's API can do without, and what it is called then.
_OPTIONAL = {
    "chat_completions": ("created", "created_at"),
    "responses": ("created_at", "created"),
    "messages": ("stop_sequence", "stop_string"),
}
_NEW = {"api_revision": "2", "links": [{"rel": "self", "href": "/"}]}


class SchemaDrift(Fault):
    """Renames, moves or retypes members of a result. `move`: into an object `attributes`. `retype`:
    a number as text and the other way round, a text, list or object inside an object or list."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "members of a result renamed, moved, or of another type"

    kind: Literal["schema_drift"] = "schema_drift"
    rename: dict[str, str] = Field(default={}, description="Old name -> new name.")
    way: Way | None = Field(default=None, description="Default: one drawn by the seed.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        drawn = hit.rng.choice(WAYS)
        change = with_value if codec_of(hit.call.form) is None else with_json
        if self.rename:
            return await change(hit, onward, self._renamed, rename=self.rename)
        if (names := _OPTIONAL.get(hit.call.form)) is not None:
            facts = {"rename": dict([names]), "added": sorted(_NEW)}
            return await change(hit, onward, partial(_newer, names), **facts)
        return await change(hit, onward, partial(_drifted, self.way or drawn, hit.rng))

    def _renamed(self, value: Any) -> tuple[Any, Facts]:
        return _everywhere(value, self.rename), {}


def _everywhere(value: Any, rename: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_everywhere(one, rename) for one in value]
    if not isinstance(value, dict):
        return value
    return {rename.get(name, name): _everywhere(one, rename) for name, one in value.items()}


def _newer(names: tuple[str, str], value: Any) -> tuple[Any, Facts]:
    """A model's answer, or an event: the object itself, and the one inside that it is about."""
    if not isinstance(value, dict):
        return value, {}
    old, new = names
    changed = {new if name == old else name: inside for name, inside in value.items()}
    for name in ("response", "message", "delta"):
        if isinstance(value.get(name), dict):
            changed[name] = {(new if k == old else k): v for k, v in value[name].items()}
    return changed | _NEW, {}


def _drifted(way: Way, rng: Random, value: Any) -> tuple[Any, Facts]:
    if isinstance(value, dict) and isinstance(value.get("tools"), list):
        tools = [_tool(one, rng) for one in value["tools"]]
        return value | {"tools": tools}, {"way": "rename", "of": "tools"}
    objects = (
        [one for one in value if isinstance(one, dict)] if isinstance(value, list) else [value]
    )
    first = objects[0] if objects else None
    if not isinstance(first, dict) or not first:
        return value, {}
    name = rng.choice(sorted(first))
    if isinstance(value, dict):
        return _one(way, value, name), {"way": way, "of": name}
    changed = [_one(way, one, name) if isinstance(one, dict) else one for one in value]
    return changed, {"way": way, "of": name}


def _one(way: Way, value: dict[str, Any], name: str) -> dict[str, Any]:
    """The object with one of its members changed, in its place."""
    if name not in value:
        return value
    if way == "rename":
        return {(_other_name(k) if k == name else k): inside for k, inside in value.items()}
    if way == "retype":
        return value | {name: _retyped(value[name])}
    rest = {k: inside for k, inside in value.items() if k != name}
    return rest | {"attributes": {name: value[name]}}


def _other_name(name: str) -> str:
    """The name in the other spelling: `order_id` and `orderId`; a short one with a suffix."""
    first, *words = name.split("_")
    if words and first:
        return first + "".join(word.capitalize() for word in words)
    spelt = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    return spelt if spelt != name else f"{name}_value"


def _retyped(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() else {"value": value}
    if isinstance(value, list):
        return {"items": value, "count": len(value)}
    return [value] if isinstance(value, dict) else ""


def _tool(tool: Any, rng: Random) -> Any:
    schema = tool.get("inputSchema") if isinstance(tool, dict) else None
    arguments = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(arguments, dict) or not arguments:
        return tool
    old = rng.choice(sorted(arguments))
    new = _other_name(old)
    properties = {(new if k == old else k): inside for k, inside in arguments.items()}
    changed = schema | {"properties": properties}
    if isinstance(schema.get("required"), list):
        changed["required"] = [new if k == old else k for k in schema["required"]]
    return tool | {"inputSchema": changed}
