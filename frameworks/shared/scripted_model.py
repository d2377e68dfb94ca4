"""The simulated model behind every framework: each scenario's turns, from what was said since the
user last spoke. The user's first word names the scenario.

Rules:
1. Values are drawn from the call's seed; what a later turn needs it takes from earlier results.
2. Some turns say something beside their calls, as real models do.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from proofrig.providers.prompt import Prompt, turns_in

NOTES = ("plain", 'with "quotes", \\ and\na second line', "日本語 – ünï 🚀", "", "</tool> {}")
Turn = dict[str, Any] | str


def answer(prompt: Prompt) -> Turn:
    """The model's turn."""
    places = [n for n, m in enumerate(prompt.messages) if m.role in ("user", "tool") and m.text]
    since = prompt.messages[places[-1] + 1 :] if places else prompt.messages
    results = [result.content for message in since for result in message.tool_results]
    scenario = prompt.user.partition(":")[0]
    script = SCENARIOS.get(scenario)
    if script is None:
        return {"refusal": f"no scenario is named {scenario!r}"}
    turn = turns_in(since)
    calls = script(turn, results, Random(prompt.seed), prompt)
    if not calls:
        return f"done: {scenario}, {len(results)} results, the last is “{(results or [''])[-1]}”"
    return {"text": "Let me see – one moment." if turn % 2 == 0 else "", "tool_calls": calls}


def _call(prompt: Prompt, tool: str, **arguments: Any) -> dict[str, Any]:
    return {"name": prompt.tool_name(tool), "arguments": arguments}


def _lookup(prompt: Prompt, order_id: str) -> dict[str, Any]:
    return _call(prompt, "lookup_order", order_id=order_id)


def _quote(prompt: Prompt, rng: Random) -> dict[str, Any]:
    items = [f"item {rng.randrange(10**6)}" for _ in range(rng.randint(1, 3))]
    return _call(
        prompt,
        "quote",
        items=items,
        weights=[round(rng.uniform(0.1, 9), 3) for _ in items],
        express=rng.random() < 0.5,
        note=rng.choice(NOTES),
    )


def _single(turn: int, results: list[str], rng: Random, prompt: Prompt) -> list[dict[str, Any]]:
    return [_lookup(prompt, f"ORD-{rng.randrange(10**4)}")] if turn == 0 else []


def _no_arguments(
    turn: int, results: list[str], rng: Random, prompt: Prompt
) -> list[dict[str, Any]]:
    return [_call(prompt, "list_orders")] if turn == 0 else []


def _parallel(turn: int, results: list[str], rng: Random, prompt: Prompt) -> list[dict[str, Any]]:
    if turn:
        return []
    slow, quick = f"ORD-{rng.randrange(1000)}0", f"ORD-{rng.randrange(1000)}1"
    return [_lookup(prompt, slow), _quote(prompt, rng), _lookup(prompt, quick)]


def _error(turn: int, results: list[str], rng: Random, prompt: Prompt) -> list[dict[str, Any]]:
    orders = (f"order {rng.randrange(100)}", f"ORD-{rng.randrange(100)}")
    return [_lookup(prompt, orders[turn])] if turn < 2 else []


def _mixed(turn: int, results: list[str], rng: Random, prompt: Prompt) -> list[dict[str, Any]]:
    """One of two calls fails, and is made right."""
    number = rng.randrange(100)
    if turn == 0:
        return [_lookup(prompt, f"ORD-{number}0"), _lookup(prompt, f"{number}1")]
    return [_lookup(prompt, f"ORD-{number}1")] if turn == 1 else []


def _chain(turn: int, results: list[str], rng: Random, prompt: Prompt) -> list[dict[str, Any]]:
    """Each turn needs the result of the turn before."""
    if turn == 0:
        return [_call(prompt, "list_orders")]
    if turn == 1:
        return [_lookup(prompt, re.findall(r"ORD-\d+", results[-1])[-1])]
    return [_quote(prompt, rng)] if turn == 2 else []


def _last(turn: int, results: list[str], rng: Random, prompt: Prompt) -> list[dict[str, Any]]:
    """The answer is what the last tool gives back."""
    return [_lookup(prompt, "ORD-7")] if turn == 0 else [_quote(prompt, rng)]


SCENARIOS = {
    "single": _single,
    "no_arguments": _no_arguments,
    "parallel": _parallel,
    "error": _error,
    "mixed": _mixed,
    "chain": _chain,
    "last": _last,
}
