"""A runaway agent: refines its reply to a customer until it scores above 8. It never will.

Nothing here is malicious. The score is out of reach, nobody counted the steps, and whoever wrote
`except Refused` meant well. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.parse
from typing import Any

GOOD_ENOUGH = 8.0
MOST_REFUSALS = 5
HANDBOOK = "\n".join(
    f"{number}. {line}"
    for number, line in enumerate(
        (
            "Open with the customer's name and thank them for writing.",
            "Repeat the problem in your own words, so that they know it was read.",
            "Say what happened to the parcel, day by day, as far as it is known.",
            "Never blame the carrier, the weather, the warehouse or the customer.",
            "Say what will happen next, who does it, and by when.",
            "Name the amount of any refund in the customer's currency, taxes included.",
            "Offer one alternative: another parcel, a voucher, or a call back.",
            "Keep sentences short, keep promises shorter, and keep jargon out.",
            "Close with your first name and the address of the help desk.",
        )
        * 6,
        start=1,
    )
)


class Refused(Exception):
    """The answer was no."""


class Service:
    """One HTTP connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._path = parts.path
        self._link = http.client.HTTPConnection(parts.netloc, timeout=60)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """An answer as JSON. Raises Refused with the reason."""
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        }
        self._link.request("POST", self._path + path, json.dumps(body), headers)
        reply = self._link.getresponse()
        answer: dict[str, Any] = json.loads(reply.read())
        if reply.status >= 400:
            raise Refused(answer["error"]["message"])
        return answer


def refine(task: str) -> str:
    """Write a reply, have it scored, write a better one."""
    model = Service(os.environ["OPENAI_BASE_URL"])
    tools = Service(os.environ["PROOFRIG_TOOLS_URL"])
    draft, score, refusals, writing = "", 0.0, 0, True
    while score <= GOOD_ENOUGH:
        try:
            if writing:
                draft = write(model, task, draft, score)
            score = tools.post("/score_reply", {"reply": draft})["result"]["score"]
        except Refused as refused:
            writing = False  # the draft we have may do; score it again
            refusals += 1
            if refusals > MOST_REFUSALS:
                return f"I give up. {refused}"
            time.sleep(0.3)
    return draft


def write(model: Service, task: str, draft: str, score: float) -> str:
    """The next draft."""
    said = f"{task}\n\nYour last draft scored {score} of 10. Write a better one.\n\n{draft}"
    messages = [
        {"role": "system", "content": f"You answer customers by this handbook.\n{HANDBOOK}"},
        {"role": "user", "content": said if draft else task},
    ]
    body = {"model": "sim-large", "messages": messages, "max_tokens": 800}
    reply = model.post("/chat/completions", body)
    return str(reply["choices"][0]["message"]["content"])
