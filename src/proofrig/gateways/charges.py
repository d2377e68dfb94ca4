"""What a call may cost, and what it did cost, as budget vectors.

Rules:
1. An estimate is never below what the call can come to. Input: the sound bound of the body, what
   was counted for a conversation it continues by id or else a model's whole context, and
   `media_tokens` for every image, file or sound it only refers to. Output: the request's limit,
   else the model's ceiling, times the answers asked for.
2. What broke off is charged as seen: the input as the provider counted it or else as bounded, the
   output as counted here, reasoning too, one token per three bytes, which is on the high side.
3. Time and bytes have no such bound: an estimate names the least of them, what they came to is
   booked at the end of every call, however it ended.
4. A usage that no ledger can hold, below zero or beyond its largest amount, counts as none said.
   A limit beyond that amount is held as that amount: no budget has more.
"""

from __future__ import annotations

import re

import msgspec

from proofrig.authority.budget import MAX_AMOUNT, one_call, opening
from proofrig.authority.prices import PriceTable, input_token_bound
from proofrig.authority.transition import Source
from proofrig.wire.turn import Request, Turn, Usage

_MOST = 1_000_000_000_000  # tokens of one call; their cost fits an amount at any price there is
_MEDIA = re.compile(
    rb'"type"\s*:\s*"(?:image_url|image|input_image|input_file|input_audio|file|document)"'
)


class _Many(msgspec.Struct, gc=False):
    n: int | None = None
    best_of: int | None = None


class _Thinking(msgspec.Struct, frozen=True, gc=False):
    budget_tokens: int = 0


class _Thinks(msgspec.Struct, gc=False):
    thinking: _Thinking = _Thinking()


_encode = msgspec.json.Encoder().encode
_THINKS = msgspec.json.Decoder(_Thinks)
_MANY = msgspec.json.Decoder(_Many)


class Bound(msgspec.Struct, frozen=True, gc=False):
    """Upper bounds of one call in tokens; `output` is over all answers that are asked for."""

    input: int
    output: int
    answers: int = 1


def bound_of(
    request: Request, body: bytes, *, before: int, ceiling: int, media_tokens: int
) -> Bound:
    """The bound of a request. before: tokens of the conversation it continues; ceiling: output
    tokens when it sets no limit."""
    carried = before
    if b'"image' in body or b'"input_' in body or b'"file"' in body or b'"document"' in body:
        carried += media_tokens * len(_MEDIA.findall(body))
    answers = answers_in(body) if request.api == "chat_completions" else 1
    limit = ceiling if request.max_tokens is None else max(0, request.max_tokens)
    tokens = input_token_bound(body, tools=bool(request.tools), carried=carried)
    return Bound(tokens, limit * answers, answers)


def answers_in(body: bytes) -> int:
    """How many answers a chat request asks for at once."""
    if b'"n"' not in body and b'"best_of"' not in body:
        return 1
    try:
        many = _MANY.decode(body)
    except msgspec.DecodeError:
        return 1  # the provider refuses what is not a number
    return max(1, many.n or 1, many.best_of or 1)


def thinking_of(body: bytes) -> int:
    """The tokens that a request sets aside for thinking (`thinking.budget_tokens`), which its limit
    has to lie above; 0 where it sets none aside."""
    if b'"budget_tokens"' not in body:
        return 0
    try:
        return _THINKS.decode(body).thinking.budget_tokens
    except msgspec.DecodeError:
        return 0  # the provider refuses what is not a number


def estimate(bound: Bound, model: str, prices: PriceTable | None, sent: int) -> dict[str, int]:
    """The budget vector to reserve for a request of `sent` bytes. Without a price table no money
    is booked. Raises PriceUnknown, which is a denial."""
    amounts = one_call("llm", opening(sent))
    amounts["tokens"] = min(bound.input + bound.output, MAX_AMOUNT)
    if prices is not None:
        cost = prices.estimate(model, bound.input, bound.output)
        amounts["usd_micro"] = min(cost, MAX_AMOUNT)
    return amounts


def actual(usage: Usage, model: str, prices: PriceTable | None) -> dict[str, int]:
    """What this usage comes to in tokens and money."""
    amounts = {"tokens": usage.input + usage.output}
    if prices is not None:
        amounts["usd_micro"] = prices.cost(model, usage)
    return amounts


def affordable(bound: Bound, held: dict[str, int], remaining: dict[str, int], rate: int) -> int:
    """The output tokens per answer for which a denied call would fit into what remains; below zero
    when not even its input does. rate: micro-dollars per million output tokens."""
    output = bound.output
    for unit, left in remaining.items():
        short = held.get(unit, 0) - left
        if short <= 0:
            continue
        if unit == "tokens":
            output = min(output, bound.output - short)
        elif unit == "usd_micro" and rate > 0:
            output = min(output, bound.output - -(-short * 1_000_000 // rate))
        else:
            return -1
    return output // bound.answers


def believed(turn: Turn) -> Turn:
    """The turn, without its usage when that is nonsense."""
    usage = turn.usage
    if usage is None or all(0 <= count <= _MOST for count in msgspec.structs.astuple(usage)):
        return turn
    return msgspec.structs.replace(turn, usage=None)


def at_most(turn: Turn, bound: Bound, reasoning: int) -> Usage:
    """Bounds, in input tokens, what going on from a turn adds whose usage nobody told: what bounded
    its input, and every byte it said. reasoning: as of `seen`."""
    return Usage(bound.input, reasoning + len(_encode(turn)))


def usage_of(status: int, turn: Turn, bound: Bound, reasoning: int) -> tuple[Source, Usage | None]:
    """The usage of an answer, and how it is known; None where it is not: then what was held is
    charged. reasoning: as of `seen`."""
    usage = turn.usage
    if status >= 300:
        return "measured", usage or Usage()
    if usage is not None and turn.complete:
        return "measured", usage
    if usage is None and turn.finish == "error" and not turn.text and not turn.tool_calls:
        return "estimated", None
    return "partial", seen(turn, bound, reasoning)


def seen(turn: Turn, bound: Bound, reasoning: int = 0) -> Usage:
    """The usage of a call that broke off, as far as it was seen. reasoning: bytes of reasoning
    that passed, which are in no turn."""
    text = reasoning + len(turn.text.encode()) + len(turn.refusal.encode())
    text += sum(len(call.arguments.encode()) + len(call.name) for call in turn.tool_calls)
    output = -(-text // 3)
    if turn.usage is None:
        return Usage(input=bound.input, output=output)
    return msgspec.structs.replace(turn.usage, output=max(turn.usage.output, output))
