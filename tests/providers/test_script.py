"""Scripts as data: a conversation in, a turn out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.errors import SuiteError, UsageError
from proofrig.providers.prompt import Prompt, Reply
from proofrig.providers.script_file import parse_script
from proofrig.wire.turn import Message, Tool, ToolCall, ToolResult

DESK = """
captures:
  order: 'order #?([A-Z]?\\d+)'
rules:
  - when: {lacks: lookup_order, if: order}
    say: Let me look.
    call: {lookup_order: {order_id: "{{ order }}"}}
  - when: {after: lookup_order, if: "results.lookup_order.status == 'delivered' and
           results.lookup_order.cents <= 10000"}
    call: {refund: {order_id: "{{ order }}", cents: "{{ results.lookup_order.cents }}"}}
  - when: {after: refund}
    say: "Order {{ order }}: {{ '%.2f' | format(calls.refund.cents / 100) }} dollars are back."
  - when: {after: lookup_order}
    say: "Order {{ order }} is {{ results.lookup_order.status }}, so I cannot refund it."
  - say: Which order is it?
"""


async def play(
    script: str, user: str, results: dict[str, Any], *, seed: int = 1, tools: str = ""
) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Let the script talk until it calls no tool; the text and calls of each turn."""
    model = parse_script(script)
    messages = [Message("user", user)]
    offered = tuple(Tool(name) for name in tools.split())
    turns: list[tuple[str, list[tuple[str, Any]]]] = []
    while not turns or turns[-1][1]:
        prompt = Prompt(tuple(messages), offered, model="sim", seed=seed + len(turns))
        reply = await model.answer(prompt)
        turns.append((reply.text, [(call.name, call.parsed()) for call in reply.calls]))
        calls = tuple(
            ToolCall(f"c{len(messages)}.{place}", call.name, call.arguments)
            for place, call in enumerate(reply.calls)
        )
        messages.append(Message("assistant", reply.text, calls))
        for call in calls:
            content = msgspec.json.encode(results[call.name]).decode()
            messages.append(Message("tool", tool_results=(ToolResult(call.id, content),)))
    return turns


async def test_a_support_desk_looks_up_decides_refunds_and_answers() -> None:
    order = {"status": "delivered", "cents": 4200}
    assert await play(DESK, "Refund order #A17!", {"lookup_order": order, "refund": "ok"}) == [
        ("Let me look.", [("lookup_order", {"order_id": "A17"})]),
        ("", [("refund", {"order_id": "A17", "cents": 4200})]),
        ("Order A17: 42.00 dollars are back.", []),
    ]


async def test_other_data_leads_to_another_decision() -> None:
    order = {"status": "lost", "cents": 4200}
    assert (await play(DESK, "Refund order 5", {"lookup_order": order}))[1:] == [
        ("Order 5 is lost, so I cannot refund it.", [])
    ]
    dear = {"status": "delivered", "cents": 10001}
    assert (await play(DESK, "Refund order 5", {"lookup_order": dear}))[1][1] == []


async def test_what_is_not_in_the_conversation_holds_no_condition() -> None:
    assert await play(DESK, "Hello?", {}) == [("Which order is it?", [])]


async def test_tools_keep_the_names_the_agent_offers() -> None:
    order = {"status": "delivered", "cents": 1}
    results = {"mcp__desk__lookup_order": order, "mcp__desk__refund": "ok"}
    tools = "mcp__desk__lookup_order mcp__desk__refund"
    turns = await play(DESK, "Refund order 5", results, tools=tools)
    assert [name for _, calls in turns for name, _ in calls] == list(results)


async def answer(script: str, *messages: Message, **about: Any) -> Reply:
    return await parse_script(script).answer(Prompt(messages, **about))


@pytest.mark.parametrize(
    ("when", "applies"),
    [
        ("{user_contains: REFUND}", True),
        ("{user_contains: [exchange, refund]}", True),
        ("{user_contains: exchange}", False),
        ("{user_matches: 'r.f[a-z]+d'}", True),
        ("{user_matches: '^refund'}", False),
        ("{turn: 0}", True),
        ("{turn: 1}", False),
        ("{model: 'gpt-*'}", True),
        ("{model: 'claude-*'}", False),
        ("{offers: refund}", True),
        ("{offers: lookup}", False),
        ("{has: lookup}", False),
        ("{lacks: [lookup, refund]}", True),
        ("{after: lookup}", False),
        ("{if: turn == 0 and 'a_refund' in tools}", True),
        ("{if: user | length > 100}", False),
        ("{if: results.lookup.cents > 3}", False),
        ("{turn: 0, model: 'claude-*'}", False),
    ],
)
async def test_conditions(when: str, applies: bool) -> None:
    script = f"rules: [{{when: {when}, say: 'yes'}}, {{say: 'no'}}]"
    asked = Message("user", "Please refund me")
    reply = await answer(script, asked, tools=(Tool("a_refund"),), model="gpt-x")
    assert reply.text == ("yes" if applies else "no")


async def test_named_groups_fill_texts() -> None:
    script = """
    rules:
      - when: {user_matches: '(?P<a>\\d+) plus (?P<b>\\d+)'}
        call: [{add: {a: "{{ a | int }}", b: "{{ b }}", "on": yes}}, {add: {a: [1, "{{ a }}!"]}}]
    """
    reply = await answer(script, Message("user", "What is 2 plus 03?"))
    assert [call.parsed() for call in reply.calls] == [
        {"a": 2, "b": "03", "on": "yes"},
        {"a": [1, "2!"]},
    ]


async def test_chance_lets_later_rules_have_their_share() -> None:
    script = "rules: [{chance: 0.8, say: a}, {say: b}]"
    said = [(await answer(script, seed=seed)).text for seed in range(2000)]
    assert said.count("a") / 2000 == pytest.approx(0.8, abs=0.03)
    assert said == [(await answer(script, seed=seed)).text for seed in range(2000)]


async def test_mistakes_come_at_their_rates_and_by_seed() -> None:
    script = """
    rules:
      - call: {refund: {id: "A17", cents: 100}}
        mistakes:
          - {kind: wrong_argument, argument: id, rate: 0.2}
          - {kind: skip_call, rate: 0.1, say: "It is done."}
    """
    replies = [await answer(script, seed=seed) for seed in range(3000)]
    wrong = [r for r in replies if r.calls and r.calls[0].parsed()["id"] != "A17"]
    skipped = [r for r in replies if r == Reply("It is done.")]
    assert len(wrong) / 3000 == pytest.approx(0.2, abs=0.025)
    assert len(skipped) / 3000 == pytest.approx(0.1, abs=0.02)
    assert replies == [await answer(script, seed=seed) for seed in range(3000)]
    none = [await answer(script, seed=seed, mistakes=0.0) for seed in range(300)]
    assert len(set(none)) == 1
    twice = [await answer(script, seed=seed, mistakes=2.0) for seed in range(3000)]
    assert sum(r != none[0] for r in twice) / 3000 == pytest.approx(0.6, abs=0.03)


async def test_no_rule_that_applies_fails_the_call() -> None:
    with pytest.raises(UsageError, match=r"expected a rule .* got none at turn 0 .*'Hi'"):
        await answer("rules: [{when: {turn: 3}, say: x}]", Message("user", "Hi"))


async def test_a_text_that_needs_what_is_absent_fails_the_call() -> None:
    with pytest.raises(UsageError, match=r"rule 'pay'.*results\.lookup\.cents"):
        await answer('rules: [{name: pay, call: {p: {c: "{{ results.lookup.cents }}"}}}]')


async def test_refusals_and_early_ends() -> None:
    assert (await answer("rules: [{refuse: I will not.}]")).refusal == "I will not."
    assert (await answer("rules: [{say: Well, finish: length}]")).finish == "length"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("rules: []", "rules"),
        ("rules: [{when: {turn: 0}}]", "`say`, `call` or `refuse`"),
        ("rules: [{say: x, wehn: {turn: 0}}]", "unknown key `wehn`"),
        ("rules: [{say: x, when: {user_matches: '('}}]", "regular expression"),
        ("rules: [{say: '{{ ordre }}'}]", "got ordre"),
        ("rules: [{say: x, when: {if: 'turn ='}}]", "expected a text or expression"),
        ("rules: [{say: x, mistakes: [{kind: repeat_call, rate: 1}]}]", "expected `call`"),
        ("rules: [{say: x, mistakes: [{kind: wrong_text, rate: 0.1}]}]", "`say` with the mistake"),
        ("captures: {user: x}\nrules: [{say: x}]", "'user'"),
        (
            "rules: [{call: {f: {a: 1}}, mistakes: "
            "[{kind: missing_argument, argument: b, rate: 0.1}]}]",
            "got 'b'",
        ),
        (
            "rules: [{say: x, mistakes: [{kind: empty, rate: 0.6}, {kind: empty, rate: 0.6}]}]",
            "1.2",
        ),
    ],
)
def test_what_a_script_may_not_say(script: str, complaint: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse_script(script)
    assert complaint in str(caught.value)
