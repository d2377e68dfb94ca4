"""What the rig changes in a request besides its numbers: tools taken out, a note put in.

Both work on the fields of a request as bytes, and alike for every API: where the shapes differ,
the shape tells the API.

Rules:
1. Lists are cut and lengthened in place; what stays keeps its bytes and the spaces before it.
2. A tool is called as its calls are: by its name, a built-in one without a name by its type.
3. A choice of tools never becomes wider than the agent made it: a forced tool that is gone leaves
   the choice to the model, but an allowed list that is left empty means none.
4. A note joins the last message that is not the assistant's, and no message is added: some servers
   refuse a user message after a tool's result (Mistral) or two in a row (chat templates), and an
   answer that the agent began stays last.
5. Done twice, it is as done once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from proofrig.wire.parts import decode, fields_of, splice

Fields = dict[str, msgspec.Raw]


class _Name(msgspec.Struct):
    name: str | None = None


class _Tool(msgspec.Struct):
    """A tool of a list, or a choice of one, in any API."""

    type: str | None = None
    name: str | None = None
    function: _Name | None = None
    custom: _Name | None = None
    tools: msgspec.Raw = msgspec.Raw(b"")  # of a namespace

    def called(self) -> str:
        inner = self.function or self.custom or _Name()
        if self.type == "mcp":  # a choice of one of its tools hangs on the whole server
            return self.type
        return self.name or inner.name or self.type or ""


class _Role(msgspec.Struct):
    role: Any = None


_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TOOL = msgspec.json.Decoder(_Tool)
_ROLE = msgspec.json.Decoder(_Role)
_OPEN = (b'"auto"', b'"any"', b'"none"')  # the choices of Messages, objects all, that name none
_BETWEEN = b" \t\r\n,"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
_encode = msgspec.json.Encoder().encode


def cut_tools(fields: Fields, names: Collection[str]) -> None:
    """Take the tools of these names out of a request's fields. With the last tool of a list goes
    what only means something beside one."""
    _cut(fields, names, "tools", "tool_choice", "parallel_tool_calls")
    _cut(fields, names, "functions", "function_call")


def note_in_messages(messages: msgspec.Raw | None, note: str) -> msgspec.Raw:
    """The list of messages with the note in it, in a new user message if only the assistant
    spoke."""
    given = b"[]" if messages is None else bytes(messages)
    if not given.startswith(b"["):
        return msgspec.Raw(given)
    spans = _spans(given)
    for start, end in reversed(spans):
        message = given[start:end]
        if _role(message) not in ("assistant", None):
            return msgspec.Raw(given[:start] + _said_in(message, note) + given[end:])
    new = _encode({"role": "user", "content": note})
    return msgspec.Raw(b"[" + new + (b"," if spans else b"") + given[1:])


def note_in_content(content: msgspec.Raw | None, note: str, part: dict[str, Any]) -> msgspec.Raw:
    """The content with the note at its end: a text goes on after a blank line, a list gets the
    part, nothing becomes the note."""
    given = b"null" if content is None else bytes(content)
    said = _encode(note)
    if given in (b"null", b'""'):
        return msgspec.Raw(said)
    if given.startswith(b"["):
        return msgspec.Raw(_appended(given, _encode(part)))
    after = b"\\n\\n" + said[1:]
    if not given.startswith(b'"') or given == said or given.endswith(after):
        return msgspec.Raw(given)
    return msgspec.Raw(given[:-1] + after)


def _cut(fields: Fields, names: Collection[str], tools: str, choice: str, *beside: str) -> None:
    given = bytes(fields.get(tools, b""))
    kept = _without(given, names)
    if kept == given:
        return
    if kept == b"[]":
        for name in (tools, choice, *beside):
            fields.pop(name, None)
        return
    fields[tools] = msgspec.Raw(kept)
    if choice in fields:
        fields[choice] = msgspec.Raw(_chosen(bytes(fields[choice]), names))


def _without(array: bytes, names: Collection[str]) -> bytes:
    """The list without the tools of these names."""
    if not array.startswith(b"["):
        return array
    kept: list[bytes] = []
    end = 1
    head = b""
    for start, stop in _spans(array):
        before, tool = array[end:start], _left(array[start:stop], names)
        head = before if end == 1 else head
        if tool:
            kept.append((before if kept else head) + tool)
        end = stop
    return b"[%b%b" % (b"".join(kept), array[end:]) if kept else b"[]"


def _left(tool: bytes, names: Collection[str]) -> bytes:
    """What is left of one tool: all of it, a smaller namespace, or nothing."""
    try:
        read = _TOOL.decode(tool)
    except _UNREADABLE:
        return tool  # of a shape that is not known
    if read.called() in names:
        return b""
    given = bytes(read.tools)
    kept = _without(given, names)
    if kept == given:
        return tool
    return b"" if kept == b"[]" else splice(tool, tools=msgspec.Raw(kept))


def _chosen(choice: bytes, names: Collection[str]) -> bytes:
    """What becomes of a choice of tools when those of these names are gone and others are not."""
    if not choice.startswith(b"{"):
        return choice
    fields = fields_of(choice)
    for inside, change in (("tools", _without), ("allowed_tools", _chosen)):
        if inside in fields:
            given = bytes(fields[inside])
            left = change(given, names)
            if left in (b"[]", b'"none"'):
                return b'"none"'
            return choice if left == given else splice(choice, **{inside: msgspec.Raw(left)})
    kind = bytes(fields.get("type", b""))
    if kind in _OPEN or _left(choice, names):
        return choice
    if kind != b'"tool"':
        return b'"auto"'
    fields.pop("name", None)
    return splice(_encode(fields), type="auto")


def _spans(array: bytes) -> list[tuple[int, int]]:
    """Where each element of the list starts and ends."""
    spans = []
    end = 1
    for element in decode(_LIST, array, "a list"):
        start = end
        while array[start] in _BETWEEN:
            start += 1
        end = start + memoryview(element).nbytes
        spans.append((start, end))
    return spans


def _role(message: bytes) -> Any:
    try:
        return _ROLE.decode(message).role
    except _UNREADABLE:
        return None


def _said_in(message: bytes, note: str) -> bytes:
    fields = fields_of(message)
    content = note_in_content(fields.get("content"), note, {"type": "text", "text": note})
    if content == fields.get("content"):
        return message
    fields["content"] = content
    return _encode(fields)


def _appended(array: bytes, element: bytes) -> bytes:
    """The list with one more element, unless that is its last already."""
    inside = array[:-1].rstrip()
    if inside.endswith(element):
        return array
    return b"%b%b%b%b" % (inside, b"," if inside != b"[" else b"", element, array[len(inside) :])
