"""The agent of four of the demo's suites: asks the model, makes the calls of a turn all at once.

It knows nothing of proofrig but where its SDK would look: a base URL, a key, and where its tools
are. Standard library only.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

MODEL = "sim-large"
MOST_TURNS = 20


def work(task: str) -> str:
    """Work on a task until the model says that it is done."""
    tools = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["schema"]}}
        for tool in request(os.environ["PROOFRIG_TOOLS_URL"])["tools"]
    ]
    messages: list[dict[str, Any]] = [{"role": "user", "content": task}]
    with ThreadPoolExecutor(8) as hands:
        for _ in range(MOST_TURNS):
            body = {"model": MODEL, "messages": messages, "tools": tools, "max_tokens": 800}
            reply = request(f"{os.environ['OPENAI_BASE_URL']}/chat/completions", body)
            message = reply["choices"][0]["message"]
            messages.append(message)
            calls = message.get("tool_calls") or []
            if not calls:
                return message["content"] or ""
            for call, result in zip(calls, hands.map(carry_out, calls), strict=True):
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return "I did not get it done."


def carry_out(call: dict[str, Any]) -> str:
    """What a call came to, for the model to read; a refusal with its reason."""
    url = f"{os.environ['PROOFRIG_TOOLS_URL']}/{call['function']['name']}"
    try:
        arguments = json.loads(call["function"]["arguments"])
        return json.dumps(request(url, arguments, call["id"])["result"])
    except urllib.error.HTTPError as error:
        return str(json.load(error)["error"]["message"])


def request(url: str, body: dict[str, Any] | None = None, call_id: str = "") -> dict[str, Any]:
    """An answer as JSON. Raises HTTPError."""
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        "x-tool-call-id": call_id,
    }
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(asked, timeout=60) as reply:
        return dict(json.load(reply))
