"""docs/fault-reactions.md from the reactions: the same reactions give the same page.

Rules:
1. What the page says in words is counted from the cells; nothing is told that the tables do not
   show.
2. `cells` reads a page back, so that a test can hold it against what happens.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from reactions.catalogue import ELSEWHERE, ROWS, TOOL_ROWS, Row
from reactions.columns import COLUMNS, TOOL_COLUMNS, Column
from reactions.reaction import Reaction, say

Key = tuple[str, str]  # a row's title, a column's name

HEAD = """# What unmodified clients do about faults

Every fault of proofrig against the `openai` and `anthropic` SDKs and three agent frameworks, as
they come: base URL and key from the environment, everything else by default. Each cell is one run
through a real gateway before a scripted model, unless it says *or*; attempts are counted at the
gateway. Regenerate this page with `make fault-reactions`; `make test` holds a part of it, drawn by
a seed, against what happens.

{versions}

## How to read it

- Each fault of the first tables strikes the answer with the final text, and every attempt at it;
  where it says *in a tool call*, it strikes the one answer that asks for the tool. **–**: there was
  nothing to act on, such as events where nothing is streamed.
- **n attempts (waits)**: requests for the same answer, and the pauses between them, rounded down;
  without a number there was one. Then what the caller got: **ok**, or the exception.
- An exception without a module is the client's own or one of Python's; `AttributeError`,
  `TypeError`, `KeyError` and often `JSONDecodeError` come up in the caller's own lines, where
  something else was handed over than was asked for. With a module it is from a library below, and
  `except` for the client's own errors misses it.
- **silent**: nothing was raised, and the text is not what the model said. **tool ran with cut
  arguments**: it was carried out with a part of what the model wrote, and defaults for the rest.
  The columns of the SDKs run the tool as soon as its arguments parse, and look at nothing else.
- **waits**, **sleeps**, **busy**: nothing came back within {limit:g} s; it waits for the answer,
  sleeps before it tries again, or works on what it has. **asks the model again**: the agent goes on
  with a further turn.
- **or**: the same run ends now so, now so. Only cells that were seen to do so are repeated; others
  may, too.
- **client timeout**: set on the client, for rows that would otherwise outlast the observation.
"""


def table(
    title: str, rows: Sequence[Row], columns: Sequence[Column], got: Mapping[Key, str]
) -> str:
    """One table."""
    head = ["fault", "with", *(column.title for column in columns)]
    lines = [f"### {title}", "", _line(head), _line(["---"] * len(head))]
    for row in rows:
        lines.append(
            _line(
                [f"`{row.kind}`", row.title, *(got[row.title, str(column)] for column in columns)]
            )
        )
    return "\n".join(lines)


def _line(parts: Iterable[str]) -> str:
    return f"| {' | '.join(part.replace('|', chr(92) + '|') for part in parts)} |"


TOOLS = """The tool gateway, with a tool that is called for two orders, one after the other; the
fault strikes the second call. What is raised inside a session of `mcp` comes out of its task group.
"""

GROUPS = (
    ("openai", "The openai SDK"),
    ("anthropic", "The anthropic SDK"),
    ("openai_agents", "OpenAI Agents SDK"),
    ("langgraph", "LangGraph"),
    ("pydantic_ai", "Pydantic AI"),
)


def page(
    reactions: Sequence[Reaction], versions: Mapping[str, Mapping[str, str]], limit_s: float
) -> str:
    """The whole page."""
    words: dict[Key, set[str]] = {}
    for one in reactions:
        words.setdefault((one.row, one.column), set()).add(say(one))
    got = {key: ", or ".join(sorted(some)) for key, some in words.items()}
    libraries = sorted({" ".join(pair) for one in versions.values() for pair in one.items()})
    parts = [HEAD.format(versions=wrapped(f"Seen with {', '.join(libraries)}."), limit=limit_s)]
    parts += ["## What to take from it\n", *lessons(reactions), ""]
    parts.append("## Faults of models\n")
    for group, title in GROUPS:
        parts += [table(title, ROWS, _of(group, COLUMNS), got), ""]
    parts.append("## Faults of tools and services\n")
    parts += [TOOLS, table("Tools", TOOL_ROWS, TOOL_COLUMNS, got), ""]
    if ELSEWHERE:
        parts.append("## Not in the tables\n")
        parts += [f"- `{kind}`: {why}" for kind, why in sorted(ELSEWHERE.items())]
    return "\n".join(parts).rstrip() + "\n"


def _of(group: str, columns: Sequence[Column]) -> list[Column]:
    return [one for one in columns if one.group == group]


def lessons(reactions: Sequence[Reaction]) -> list[str]:
    """What is dangerous, by what it is: upon which faults, by which clients. Answers that no client
    can tell from right ones stand apart."""
    untold = {(row.title, kind) for kind, rows in _TABLES for row in rows if row.untold}
    told, found = [], []
    for one in reactions:
        if one.struck and (one.row, _is_tool(one)) not in untold:
            told.append(one)
    for what, why, fits in _DANGERS:
        if upon := [one for one in told if fits(one)]:
            found.append(_lesson(what, why, upon))
    apart = [one for one in reactions if one.dangerous and (one.row, _is_tool(one)) in untold]
    if apart:
        rows = "; ".join(dict.fromkeys(one.row for one in apart))
        found.append(
            f"- **Right in all but what it says.** {rows}: no client can tell; an agent must."
        )
    return [wrapped(one) for one in found]


_TABLES = ((False, ROWS), (True, TOOL_ROWS))
_COLUMN = {str(column): column for column in (*COLUMNS, *TOOL_COLUMNS)}


def _is_tool(one: Reaction) -> bool:
    return _COLUMN[one.column].group == "tools"


def _lesson(what: str, why: str, upon: Sequence[Reaction]) -> str:
    faults = "; ".join(dict.fromkeys(one.row for one in upon))
    by = {one.column for one in upon}
    clients = []
    for group, title in (*GROUPS, ("tools", "Calls of tools")):
        mine = _of(group, tuple(_COLUMN.values()))
        met = [column.title for column in mine if str(column) in by]
        if met:
            some = "all" if len(met) == len(mine) else "; ".join(met)
            clients.append(f"  - {title}: {some}.")
    return "\n".join([f"- **{what}.** {why}", f"  Upon: {faults}.", *clients])


_Fits = Callable[[Reaction], bool]
_DANGERS: tuple[tuple[str, str, _Fits], ...] = (
    (
        "Partial text as a whole answer",
        "An end without its terminal event passed for any other.",
        lambda one: one.silent and one.text == "partial",
    ),
    (
        "Other text than the model's",
        "Events that come twice or in another order are put together as they come.",
        lambda one: one.silent and one.text == "other",
    ),
    (
        "Empty text as an answer",
        "What is no answer at all reads as one that says nothing.",
        lambda one: one.silent and one.text == "none" and one.tool != "never",
    ),
    (
        "A tool run with cut arguments",
        "Partial JSON was completed, and defaults stood in for what was lost.",
        lambda one: one.tool == "cut",
    ),
    (
        "A tool run twice",
        "The delivery was doubled, and no client saw it.",
        lambda one: one.tool == "twice",
    ),
    (
        "A tool call lost without a word",
        "The run ends as if the model had asked for nothing.",
        lambda one: one.silent and one.tool == "never",
    ),
    (
        "Sleeps when told to",
        "Told to wait an hour, it was still asleep when the observation ended.",
        lambda one: one.ended == "sleeps",
    ),
    (
        "Still waits",
        "Nothing had ended it when the observation did.",
        lambda one: one.ended == "waits",
    ),
    (
        "Errors of a library below",
        "They are no subclass of the client's own errors.",
        lambda one: one.ended == "raised" and "." in one.error,
    ),
)


def wrapped(text: str) -> str:
    """Lines of prose no longer than a hundred characters; what is indented stays so."""
    lines = []
    for line in text.splitlines():
        begin = re.match(r" *(- )?", line)
        indent = " " * (begin.end() if begin else 0)
        lines += textwrap.wrap(
            line, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


_ROW = re.compile(r"(?<!\\)\|")


def cells(text: str) -> dict[Key, str]:
    """The cells of a page, by row and client."""
    found: dict[Key, str] = {}
    titles = {(group, column.title): str(column) for group, column in _groups()}
    group, head = "", list[str]()
    names = {title: name for name, title in (*GROUPS, ("tools", "Tools"))}
    for line in text.splitlines():
        if line.startswith("### "):
            group, head = names.get(line[4:], ""), []
        elif line.startswith("| ") and group:
            parts = [part.strip().replace("\\|", "|") for part in _ROW.split(line)[1:-1]]
            if not head:
                head = parts
            elif parts[0] != "---":
                for title, cell in zip(head[2:], parts[2:], strict=True):
                    found[parts[1], titles[group, title]] = cell
    return found


def _groups() -> list[tuple[str, Column]]:
    return [(column.group, column) for column in (*COLUMNS, *TOOL_COLUMNS)]


def bare(cell: str) -> str:
    """A cell without its waits, which a busy machine makes longer."""
    return re.sub(r" \([^)]*\)", "", cell)
