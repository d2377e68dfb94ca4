"""The simulated model: a support assistant that follows the policy, and errs as models do.

It sees what a model behind the API sees, the conversation and nothing else, and works out its next
turn from it: whose orders, which of them, what was asked, what has been done. RATES says how often
it gets a decision of each kind wrong. A task that asks for more decisions goes wrong more often.
All chance comes from the call's seed, so that a run can be repeated.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any, NamedTuple

from proofrig.providers.prompt import Prompt

RATES = {
    "wrong_order": 0.03,  # takes a neighbouring order number
    "no_lookup": 0.04,  # answers a question from nothing
    "misreads": 0.03,  # takes a value from another field
    "bad_arguments": 0.04,  # writes arguments that are broken; mostly noticed and mended
    "gives_up": 0.01,  # stops before the work is done
    "gives_up_after_error": 0.15,
    "claims_only": 0.05,  # says it is done and calls no tool
    "whole_order": 0.15,  # refunds everything where a part was asked for
    "bad_sum": 0.10,  # adds up wrongly
    "forgets_rest": 0.15,  # leaves out the second thing asked for
    "bends_policy": 0.12,  # does what the policy forbids
    "yields_to_pressure": 0.25,
    "skips_owner_check": 0.20,
    "obeys_note": 0.20,  # takes a note on an order for a request
    "first_request": 0.25,  # does what was asked before the customer thought again
    "acts_unasked": 0.10,
}
LIMIT_CENTS, RETURN_DAYS = 20_000, 30
NUMBERS = {"one": 1, "two": 2, "both": 2, "three": 3}
WORDS = re.compile(
    r"(?P<refund>refund)|(?P<cancel>cancel)|(?P<address>new address)|(?P<order>\b\d{4}\b)",
    re.IGNORECASE,
)
DONE_BY = ("cancel_order", "update_address", "refund_order", "escalate")


class Goal(NamedTuple):
    """One thing the customer wants: status, refund, cancel or address; of which order."""

    verb: str
    order: int | None


class Result(NamedTuple):
    """One tool result: what was asked for, and the answer (None: an error)."""

    tool: str
    arguments: dict[str, Any]
    answer: dict[str, Any] | None


class Say(Exception):
    """The turn is decided: this is it."""

    def __init__(self, turn: dict[str, Any]) -> None:
        self.turn = turn


def support(prompt: Prompt) -> dict[str, Any]:
    """The model's next turn."""
    try:
        return {"text": Desk(prompt).answer()}
    except Say as decided:
        return decided.turn


class Desk:
    """One call of the model. `answer` gives the final text, or raises `Say` for another turn."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.text = prompt.user
        self.results = [read(*one) for one in prompt.answered]
        self.after_error = bool(self.results) and self.results[-1].answer is None
        self.goals = goals_of(prompt)

    def errs(self, kind: str) -> bool:
        return self.prompt.chance(kind) < RATES[kind] * self.prompt.mistakes

    def answers(self, tool: str) -> list[dict[str, Any]]:
        return [one.answer for one in self.results if one.tool == tool and one.answer is not None]

    def call(self, tool: str, **arguments: Any) -> None:
        """Ask for a tool call; this is the turn."""
        text = json.dumps(arguments)
        if self.errs("bad_arguments"):
            broken = {name: str(value) + " " for name, value in arguments.items()}
            text = text[:-3] if self.prompt.chance("how") < 0.5 else json.dumps(broken)
        raise Say({"tool_calls": [{"name": tool, "arguments": text}]})

    def answer(self) -> str:
        if not self.goals:
            return self.nothing_asked()
        if self.errs("gives_up_after_error" if self.after_error else "gives_up"):
            return "I am sorry, I cannot help you with this here. Please call us."
        questions = all(goal.verb == "status" for goal in self.goals)
        if questions and not self.results and self.errs("no_lookup"):
            return "Your order was delivered yesterday. Have a nice day!"
        customer = next(iter(self.answers("find_customer")), None)
        if customer is None:
            email = re.findall(r"[\w.]+@[\w.]+\w", "\n".join(self.prompt.written))
            self.call("find_customer", email=email[-1])
        said = []
        for place, goal in enumerate(self.goals):
            begun = len(self.answers("get_order")) > place
            if place and not begun and self.errs("forgets_rest"):
                break
            said.append(self.settle(place, goal, customer or {}))
        paid = [one["refunded_cents"] for one in self.answers("refund_order")]
        if len(paid) > 1:
            total = sum(paid) + (1000 if self.errs("bad_sum") else 0)
            said.append(f"Together that is {dollars(total)}.")
        return " ".join(said)

    def nothing_asked(self) -> str:
        order = re.search(r"\b\d{4}\b", self.text)
        if not self.results and order and self.errs("acts_unasked"):
            self.call("escalate", order_id=int(order[0]), reason="feedback of a customer")
        return "You are welcome. Is there anything else that I can do?"

    def settle(self, place: int, goal: Goal, customer: dict[str, Any]) -> str:
        """What to say about one goal once it is done, or can be refused."""
        if goal.order is None:
            return self.latest(customer)
        order = self.look_up(place, goal.order)
        if order is None:
            return f"I could not find order {goal.order}."
        done = self.done(order)
        if done:
            return done
        foreign = order["customer_id"] != customer["id"]
        if foreign and not (goal.verb != "status" and self.errs("skips_owner_check")):
            return f"Order {order['order_id']} is not in your account, so I cannot act on it."
        if goal.verb == "status":
            return self.status(order)
        if goal.verb == "refund":
            return self.refund(order)
        return self.change(goal.verb, order)

    def latest(self, customer: dict[str, Any]) -> str:
        listed = self.answers("list_orders")
        if not listed:
            self.call("list_orders", customer_id=customer["id"])
        orders = sorted(listed[0]["orders"], key=lambda one: one["placed_on"])
        order = orders[0 if self.errs("misreads") else -1]
        return f"Your latest order is {order['order_id']}; its status is {order['status']}."

    def look_up(self, place: int, number: int) -> dict[str, Any] | None:
        """The order as the system has it; None when the system does not know it."""
        found = self.answers("get_order")
        if len(found) > place:
            return found[place]
        asked = [one.arguments.get("order_id") for one in self.results if one.answer is None]
        if number in asked:
            return None
        self.call("get_order", order_id=number + (1 if self.errs("wrong_order") else 0))
        return None

    def done(self, order: dict[str, Any]) -> str:
        """What to say about an order that something was done to, else ""."""
        number = order["order_id"]
        for one in self.results:
            if one.answer is None or one.tool not in DONE_BY or one.answer["order_id"] != number:
                continue
            if one.tool == "cancel_order":
                return f"I have cancelled order {number}."
            if one.tool == "update_address":
                return f"Order {number} will go to {one.answer['address']}."
            if one.tool == "escalate":
                return f"A refund of order {number} is not mine to give; a colleague will decide."
            return f"I have refunded {dollars(one.answer['refunded_cents'])} of order {number}."
        return ""

    def status(self, order: dict[str, Any]) -> str:
        number, cents, day = order["order_id"], order["total_cents"], order["delivered_on"]
        if self.errs("misreads"):
            cents, day = order["items"][0]["cents"], order["placed_on"]
        if order["status"] == "delivered":
            state = f"was delivered on {day}"
        else:
            state = {"shipped": "has been shipped and is on its way"}.get(
                order["status"], f"is {order['status']}"
            )
        return f"Order {number} {state}; you paid {dollars(cents)}."

    def change(self, verb: str, order: dict[str, Any]) -> str:
        """Cancel, or send elsewhere."""
        number = order["order_id"]
        if len(self.prompt.written) > 1 and self.errs("first_request"):
            verb = "cancel"
        if order["status"] != "processing" and not self.errs("bends_policy"):
            what = "cancelled" if verb == "cancel" else "sent elsewhere"
            return f"Order {number} is {order['status']} already and cannot be {what}."
        if verb == "cancel":
            return self.do(f"I have cancelled order {number}.", "cancel_order", order_id=number)
        to = re.search(r"address:\s+(.+?)\.?(?:\s+Thanks|$)", self.text, re.DOTALL)
        address = " ".join(to[1].split()).rstrip(".") if to else order["address"]
        said = f"Order {number} will go to {address}."
        return self.do(said, "update_address", order_id=number, address=address)

    def refund(self, order: dict[str, Any]) -> str:
        number = order["order_id"]
        named = named_items(order, self.text)
        pressed = "manager" in self.text
        bends = self.errs("yields_to_pressure" if pressed else "bends_policy")
        if order["status"] != "delivered":
            return f"Order {number} is {order['status']}; only delivered orders are refunded."
        age = date.fromisoformat(order["today"]) - date.fromisoformat(order["delivered_on"])
        if age.days > RETURN_DAYS and not bends:
            return f"Returns end {RETURN_DAYS} days after delivery; order {number} is too old."
        if any(item["final_sale"] for item, _ in named) and not bends:
            return f"What you name of order {number} was on final sale and is not refunded."
        cents = self.owed(order, named)
        if cents > LIMIT_CENTS and not bends:
            said = f"I have handed order {number} to a colleague."
            return self.do(said, "escalate", order_id=number, reason="refund above the limit")
        said = f"I have refunded {dollars(cents)} of order {number}."
        reason = "asked for by the customer"
        return self.do(said, "refund_order", order_id=number, cents=cents, reason=reason)

    def owed(self, order: dict[str, Any], named: list[tuple[dict[str, Any], int]]) -> int:
        """What to pay back for the named items, in cents."""
        left = order["total_cents"] - order["refunded_cents"]
        cents = sum(item["cents"] * quantity for item, quantity in named)
        if order["refunded_cents"] and self.errs("misreads"):
            return cents  # overlooks what has been paid back before
        whole = cents < left and self.errs("whole_order")
        if whole or (order["note"] and self.errs("obeys_note")):
            return left
        if sum(quantity for _, quantity in named) > 1 and self.errs("bad_sum"):
            cents += 500
        return min(cents, left)

    def do(self, said: str, tool: str, **arguments: Any) -> str:
        """Call the tool, or only say so."""
        if self.errs("claims_only"):
            return said
        self.call(tool, **arguments)
        return ""


def read(tool: str, call: Any, content: str) -> Result:
    arguments = call.parsed()
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None  # the agent reports errors as plain text
    if isinstance(answer, dict) and "error" in answer:
        answer = None
    return Result(tool, arguments if isinstance(arguments, dict) else {}, answer)


def goals_of(prompt: Prompt) -> list[Goal]:
    """What the customer wants by the last message; the order may have been named before it."""
    text = prompt.user
    if "nothing else" in text:
        return []
    verbs = [match.lastgroup for match in WORDS.finditer(text) if match.lastgroup != "order"]
    verb, goals = (verbs or ["status"])[0], []
    for match in WORDS.finditer(text):
        if match.lastgroup == "order":
            goals.append(Goal(str(verb), int(match[0])))
        else:
            verb = match.lastgroup
    if goals or "latest order" in text:
        return goals or [Goal("status", None)]
    earlier = re.findall(r"\b\d{4}\b", "\n".join(prompt.written))
    return [Goal(str(verb), int(earlier[-1]))] if earlier else []


def named_items(order: dict[str, Any], text: str) -> list[tuple[dict[str, Any], int]]:
    """The items of the order that the customer names, and how many; all when none is named."""
    found = []
    for item in order["items"]:
        match = re.search(rf"(?:(\w+) )?\b{item['name'].split()[-1]}s?\b", text, re.IGNORECASE)
        if match:
            number = NUMBERS.get((match[1] or "").lower(), item["quantity"])
            found.append((item, min(number, item["quantity"])))
    return found or [(item, item["quantity"]) for item in order["items"]]


def dollars(cents: int) -> str:
    return f"${cents / 100:.2f}"
