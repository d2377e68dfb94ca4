"""A model written as rules: what a script says, and how a rule becomes a turn.

    captures:
      order: 'order #?(\\d+)'                 # from what the user wrote; the latest match
    rules:
      - when: {lacks: lookup_order, if: order}
        call: {lookup_order: {order_id: "{{ order }}"}}
        mistakes: [{kind: wrong_argument, argument: order_id, rate: 0.1}]
      - when: {after: lookup_order, if: results.lookup_order.status == 'delivered'}
        call: {refund: {order_id: "{{ order }}", cents: "{{ results.lookup_order.cents }}"}}
      - say: "I have looked into order {{ order }}."

Rules:
1. The first rule whose conditions all hold, and whose `chance` comes up, makes the turn. When none
   does, the call fails: a gap in a script must show.
2. A text that is one `{{ expression }}` keeps the expression's type; others become text. The names
   at hand: the captures, named groups of `user_matches`, `user`, `system`, `turn`, `model`,
   `seed`, `tools` (names offered), `results` and `calls` (by tool, the latest one: the result, as
   JSON where it is JSON, and the arguments asked for).
3. A condition that reads what is not there does not hold; a text that does fails the call.
4. At most one mistake is made per turn; each `rate` is its share of the turns of this rule. All
   draws come from the call's seed and the rule's place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from proofrig.errors import UsageError
from proofrig.providers.mistakes import Mistake, make
from proofrig.providers.prompt import Prompt, Reply, same_tool
from proofrig.providers.templates import Missing, compile_condition, compile_value
from proofrig.wire.turn import Finish, ToolCall

Texts = str | list[str]
Calls = dict[str, dict[str, Any]]
NAMES = frozenset({"user", "system", "turn", "model", "seed", "tools", "results", "calls"})


class When(BaseModel):
    """The conditions of a rule; all that are given must hold.

    user_contains: any of these texts is in the last user message, whatever the case.
    user_matches: a regex found in it; its named groups can be used in the rule's texts.
    after: this tool's result came since the model's last turn. has, lacks: results of these tools
    are, or are not, in the conversation. offers: the agent offers this tool. turn: the model's
    turns so far. model: a glob on the model's name. if: an expression."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    user_contains: Texts = Field(default_factory=list)
    user_matches: re.Pattern[str] | None = None
    after: str | None = None
    has: Texts = Field(default_factory=list)
    lacks: Texts = Field(default_factory=list)
    offers: str | None = None
    turn: Annotated[int, Field(ge=0)] | None = None
    model: str | None = None
    condition: str | None = Field(default=None, alias="if")


class Rule(BaseModel):
    """When it applies and what the model then does. `call` maps tools to their arguments; a list
    of such maps calls a tool twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    when: When = When()
    chance: Annotated[float, Field(ge=0, le=1)] = 1.0
    say: str = ""
    call: Calls | list[Calls] = Field(default_factory=dict)
    refuse: str = ""
    finish: Literal["length", "content_filter"] | None = None
    mistakes: list[Mistake] = Field(default_factory=list)

    @model_validator(mode="after")
    def _does_something(self) -> Rule:
        if not (self.say or self.call or self.refuse):
            raise ValueError("expected a rule to `say`, `call` or `refuse`, got none of them")
        total = sum(mistake.rate for mistake in self.mistakes)
        if total > 1 + 1e-9:
            raise ValueError(f"expected mistake rates that add up to at most 1, got {total:g}")
        if not self.call and any(mistake.needs_call for mistake in self.mistakes):
            raise ValueError("expected `call` in a rule whose mistakes change calls, got none")
        arguments = {name for group in self.groups for call in group.values() for name in call}
        for mistake in self.mistakes:
            if mistake.argument is not None and mistake.argument not in arguments:
                raise ValueError(
                    f"expected a mistake in one of the arguments {sorted(arguments)}, "
                    f"got {mistake.argument!r}"
                )
        return self

    @property
    def groups(self) -> list[Calls]:
        """The calls, always as a list of maps."""
        return self.call if isinstance(self.call, list) else [self.call]


class ScriptText(BaseModel):
    """A whole script as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    captures: dict[str, re.Pattern[str]] = Field(default_factory=dict)
    rules: Annotated[list[Rule], Field(min_length=1)]

    @model_validator(mode="after")
    def _names(self) -> ScriptText:
        for name in self.captures:
            if not name.isidentifier() or name in NAMES:
                raise ValueError(f"expected a capture's name that is free, got {name!r}")
        return self


class Script:
    """A script that can answer. Raises `UsageError` when one of its texts cannot be compiled."""

    def __init__(self, text: ScriptText) -> None:
        self._captures = text.captures
        self._rules = [
            _Compiled(rule, place, NAMES | text.captures.keys())
            for place, rule in enumerate(text.rules)
        ]

    async def answer(self, prompt: Prompt) -> Reply:
        """The turn of the first rule that applies. Raises `UsageError` when none does."""
        names = self._names_for(prompt)
        for rule in self._rules:
            reply = rule.answer(prompt, names)
            if reply is not None:
                return reply
        raise UsageError(
            f"expected a rule of the script to apply, got none at turn {prompt.turn} "
            f"of model {prompt.model!r} after the user wrote {prompt.user[:120]!r}: "
            "add a last rule without `when`"
        )

    def _names_for(self, prompt: Prompt) -> dict[str, Any]:
        latest = {tool: (call, content) for tool, call, content in prompt.answered}
        results = _ByTool({tool: _json_or_text(content) for tool, (_, content) in latest.items()})
        calls = _ByTool({tool: call.parsed() for tool, (call, _) in latest.items()})
        names: dict[str, Any] = {
            "user": prompt.user,
            "system": prompt.system,
            "turn": prompt.turn,
            "model": prompt.model,
            "seed": prompt.seed,
            "tools": [tool.name for tool in prompt.tools],
            "results": results,
            "calls": calls,
        }
        if self._captures:
            for name, pattern in self._captures.items():
                names[name] = _latest(pattern, prompt.written)
        return names


class _ByTool(dict[str, Any]):
    """By tool name; a name without the prefix that a framework gave it finds it too."""

    def __missing__(self, name: str) -> Any:
        for offered, value in self.items():
            if same_tool(offered, name):
                return value
        raise KeyError(name)


class _Compiled:
    """One rule, its texts compiled."""

    def __init__(self, rule: Rule, place: int, known: frozenset[str]) -> None:
        self.rule = rule
        self.place = place
        self.where = f"rule {rule.name!r}" if rule.name else f"rule {place + 1}"
        when = rule.when
        groups = when.user_matches.groupindex.keys() if when.user_matches else ()
        known = known | frozenset(groups)
        try:
            self.condition = compile_condition(when.condition, known) if when.condition else None
            self.say = compile_value(rule.say, known)
            self.refuse = compile_value(rule.refuse, known)
            self.calls = [
                (tool, compile_value(arguments, known))
                for group in rule.groups
                for tool, arguments in group.items()
            ]
            self.mistakes = [
                (mistake, compile_value(mistake.value, known), compile_value(mistake.say, known))
                for mistake in rule.mistakes
            ]
        except UsageError as error:
            raise UsageError(f"{self.where}: {error}") from None

    def answer(self, prompt: Prompt, names: Mapping[str, Any]) -> Reply | None:
        known = self._holds(prompt, names)
        if known is None or prompt.chance("chance", self.place) >= self.rule.chance:
            return None
        names = known
        try:
            calls = tuple(
                ToolCall("", prompt.tool_name(tool), _json(arguments(names)))
                for tool, arguments in self.calls
            )
            finish: Finish = self.rule.finish or "unknown"
            reply = Reply(str(self.say(names)), calls, str(self.refuse(names)), finish)
            return self._err(prompt, names, reply)
        except Missing as error:
            raise UsageError(f"{self.where}: {error}") from None

    def _err(self, prompt: Prompt, names: Mapping[str, Any], reply: Reply) -> Reply:
        draw = prompt.chance("mistake", self.place)
        for mistake, value, say in self.mistakes:
            draw -= mistake.rate * prompt.mistakes
            if draw < 0:
                return make(mistake, reply, prompt, value(names), str(say(names) or ""))
        return reply

    def _holds(self, prompt: Prompt, names: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The names at hand when every condition holds, else None."""
        when = self.rule.when
        answered = [tool for tool, _, _ in prompt.answered]
        plain = (
            (when.turn is None or when.turn == prompt.turn)
            and (when.model is None or fnmatchcase(prompt.model, when.model))
            and (not when.user_contains or _contains(prompt.user, when.user_contains))
            and (when.after is None or _any_tool(prompt.just_answered, when.after))
            and all(_any_tool(answered, tool) for tool in _texts(when.has))
            and not any(_any_tool(answered, tool) for tool in _texts(when.lacks))
            and (when.offers is None or any(same_tool(t.name, when.offers) for t in prompt.tools))
        )
        if not plain:
            return None
        if when.user_matches is not None:
            match = when.user_matches.search(prompt.user)
            if match is None:
                return None
            names = {**names, **match.groupdict()}
        return names if self.condition is None or self.condition(names) else None


def _texts(texts: Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _contains(text: str, wanted: Texts) -> bool:
    folded = text.casefold()
    return any(one.casefold() in folded for one in _texts(wanted))


def _any_tool(tools: Any, name: str) -> bool:
    return any(same_tool(tool, name) for tool in tools)


def _latest(pattern: re.Pattern[str], texts: list[str]) -> str | None:
    """The first group (or all) of the last match in the latest text that has one."""
    for text in reversed(texts):
        found = list(pattern.finditer(text))
        if found:
            return found[-1].group(1 if pattern.groups else 0)
    return None


def _json_or_text(content: str) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
