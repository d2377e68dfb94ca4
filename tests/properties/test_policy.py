"""Policies over random rules and actions: what no order, state or spelling may change."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.authority.arguments import Unread
from proofrig.authority.paths import path_condition
from proofrig.authority.policy import Policy, parse_policy
from proofrig.authority.ruling import Act, Used

NAMES = ("tool.a", "tool.b", "tool.ab", "llm.chat")
GLOBS = ("tool.a", "tool.*", "*", "tool.?", "llm.*")
TOP: dict[str, Any] = {
    "tiers": {"low": "bot*", "high": "lead*"},
    "steps": [{"name": "one"}, {"name": "two", "after": "tool.b"}],
    "taint": {"tool.ab": "web"},
}

numbers = st.one_of(st.integers(-5, 5), st.floats(-5, 5))
odd = st.sampled_from([None, True, "3", float("nan"), float("inf"), [], {}, [1, "2"], 10**400])
arguments = st.one_of(
    st.fixed_dictionaries({}, optional={"x": numbers | odd, "y": numbers | odd}),
    st.sampled_from([None, [], "x", 5]),
)
acts = st.builds(
    Act,
    scope=st.sampled_from(["t/w/bot/r", "t/w/lead/r", "t//bot/r", "u/w/x/r", "t"]),
    name=st.sampled_from(NAMES),
    arguments=arguments,
)
used = st.fixed_dictionaries({"taint:web": st.integers(0, 1), "step:two": st.integers(0, 1)}).map(
    lambda units: lambda unit: units.get(unit, 0)
)
comparisons = st.dictionaries(
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers, min_size=1, max_size=2
)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    effect = draw(st.sampled_from(["deny", "ask", "allow"]))
    rule: dict[str, Any] = {effect: draw(st.sampled_from(GLOBS))}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "agents": st.sampled_from(["bot", "lead*"]),
        "below": st.sampled_from(["low", "high"]),
        "step": st.sampled_from(["one", "two"]),
        "tainted": st.sampled_from([True, False, "web"]),
        "when": st.dictionaries(st.sampled_from(["x", "y"]), comparisons, min_size=1, max_size=2),
    }
    for key in draw(st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True)):
        rule[key] = draw(optional[key])
    return rule


policies = st.lists(rules(), max_size=6)
defaults = st.sampled_from(["allow", "deny", "strict"])


def made(written: list[dict[str, Any]], default: str) -> Policy:
    named = [{"name": f"r{n}", **rule} for n, rule in enumerate(written)]
    return parse_policy({**TOP, "default": default, "rules": named})


def by_the_book(written: list[dict[str, Any]], default: str, act: Act, used: Used) -> str:
    """The effect as the rules of `policy` state it: no index, no memory, one rule at a time."""
    effects = []
    for rule in written:
        single = made([rule], "deny").decide(act, used)
        if single.code.startswith("argument_"):
            return "deny"
        if single.code != "not_allowed" or single.rule:
            effects.append(single.effect)
    if effects:
        return next(effect for effect in ("deny", "ask", "allow") if effect in effects)
    return made([], default).decide(act, used).effect


@settings(max_examples=150, deadline=None)
@given(policies, defaults, acts, used)
def test_the_index_decides_as_the_rules_one_by_one(
    written: list[dict[str, Any]], default: str, act: Act, used: Callable[[str], int]
) -> None:
    policy = made(written, default)
    first = policy.decide(act, used)
    assert first.effect == by_the_book(written, default, act, used)
    assert policy.decide(act, used) == first  # from memory


@settings(max_examples=100, deadline=None)
@given(policies, defaults, acts, used, st.randoms(use_true_random=False))
def test_the_order_of_rules_changes_no_effect(
    written: list[dict[str, Any]],
    default: str,
    act: Act,
    used: Callable[[str], int],
    order: random.Random,
) -> None:
    shuffled = written[:]
    order.shuffle(shuffled)
    effects = {made(rules, default).decide(act, used).effect for rules in (written, shuffled)}
    assert len(effects) == 1


@settings(max_examples=100, deadline=None)
@given(policies, rules(), defaults, acts, used)
def test_another_deny_never_lets_more_through(
    written: list[dict[str, Any]],
    more: dict[str, Any],
    default: str,
    act: Act,
    used: Callable[[str], int],
) -> None:
    names = next(more.pop(effect) for effect in ("deny", "ask", "allow") if effect in more)
    before = made(written, default).decide(act, used).effect
    after = made([*written, {"deny": names, **more}], default).decide(act, used).effect
    assert after in (before, "deny")


@settings(max_examples=100, deadline=None)
@given(policies, defaults, acts, used)
def test_what_cannot_be_allowed_never_is(
    written: list[dict[str, Any]], default: str, act: Act, used: Callable[[str], int]
) -> None:
    policy = made(written, default)
    if policy.cannot(act.scope, act.name):
        assert policy.decide(act, used).effect == "deny"


@settings(max_examples=100, deadline=None)
@given(policies, defaults, acts, used)
def test_a_denial_books_nothing(
    written: list[dict[str, Any]], default: str, act: Act, used: Callable[[str], int]
) -> None:
    ruling = made(written, default).decide(act, used, ("@suite",))
    if ruling.effect == "deny":
        assert (ruling.units, ruling.earns, ruling.max_tokens) == ({}, {}, None)
        assert ruling.code
        assert ruling.fix
    else:
        assert not ruling.code
        assert ruling.also[0] == "@suite"


# ---- paths

levels = st.sampled_from(["src", "tests", "a", "..", ".", "", "tests.", " src", "b.py", "%2e%2e"])
cases: list[Callable[[str], str]] = [
    str,
    str.upper,
    lambda path: path.replace("/", "\\"),
    lambda path: path.replace("t", "%74"),
    lambda path: path.replace("t", "ｔ"),
    lambda path: path.replace("/", "//"),
    lambda path: f"./{path}/.",
    lambda path: f"x/../{path}",
    lambda path: path.replace("e", "e\u200b"),
]
plain = st.lists(st.sampled_from(["tests", "src", "a", "b.py"]), min_size=1, max_size=4)


def answer(glob: str, path: str, *, permits: bool) -> bool | str:
    try:
        return path_condition("p", [glob], permits=permits)({"p": path}, "/srv/none", {})
    except Unread as unread:
        return unread.code


@settings(max_examples=200, deadline=None)
@given(plain, st.lists(st.sampled_from(cases), max_size=3), st.sampled_from(["", "file:"]))
def test_no_spelling_leads_past_a_deny(
    parts: list[str], spellings: list[Callable[[str], str]], url: str
) -> None:
    path = "/".join(["tests", *parts])
    for spelled in spellings:
        path = spelled(path)
    path = url + path
    assert answer("tests/**", path, permits=False) is not False
    assert answer("src/**", path, permits=True) is not True


@settings(max_examples=200, deadline=None)
@given(st.lists(levels, min_size=1, max_size=6).map("/".join))
def test_nothing_is_both_permitted_and_forbidden_by_one_glob_less(path: str) -> None:
    permitted = answer("src/**", path, permits=True)
    assert permitted is not True or answer("src/**", path, permits=False) is True


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_path_or_cannot_be_read(path: str) -> None:
    for permits in (True, False):
        assert answer("src/**", path, permits=permits) in (True, False, "argument_unreadable")
