"""Trials of struck actions from a few words, for the tests of expectations.

trial = StruckTrial()
trial.tool("refund", {"order": 7}, "timeout", fault="reset", undelivered=True)
hits = Hits.of(trial.evidence("I could not refund it."), ())
"""

from __future__ import annotations

import json
from typing import Any

from builders import entry, kept
from proofrig.history.action import Action
from proofrig.verifiers.expectations.struck import Hits
from proofrig.verifiers.verifier import Evidence

SECOND = 1_000_000_000


class StruckTrial:
    """Actions one after another; each takes a second. fault: a kind, or `title:kind`."""

    def __init__(self) -> None:
        self.now = 0
        self.actions: list[Action] = []
        self.payloads: dict[str, bytes] = {}

    def act(
        self, name: str, reserve: dict[str, Any], commit: dict[str, Any] | None, fault: str = ""
    ) -> str:
        """An action; `commit` None: it never ended. Its id."""
        id = f"a{len(self.actions)}"
        title, _, kind = fault.rpartition(":")
        begun = entry("reserve", name, t=self.now, id=id, decision="allow", **reserve)
        faults = ()
        if fault:
            faults = (entry("fault", kind, t=self.now, id=id, fault=title or kind, number=0),)
        self.now += SECOND
        done = {"outcome": "ok"} | (commit or {})
        end = None if commit is None else entry("commit", name, t=self.now, id=id, **done)
        trial = (begun.trial, begun.tenant, begun.scope)
        self.actions.append(Action(id, name, *trial, begun, None, end, faults))
        return id

    def tool(
        self, name: str, arguments: Any, result: str = "", *, fault: str = "", **commit: Any
    ) -> str:
        digest = kept(self.payloads, json.dumps(arguments).encode())
        told = {"result": kept(self.payloads, json.dumps(result).encode())} | commit
        return self.act(f"tool.{name}", {"arguments": digest}, told, fault)

    def llm(self, text: str = "", *, fault: str = "", reserve: Any = (), **commit: Any) -> str:
        turn = json.dumps({"api": "messages", "text": text}).encode()
        told = {"status": 200, "response": kept(self.payloads, turn)} | commit
        asked = {"request": f"r{len(self.actions)}"} | dict(reserve)
        return self.act("llm.messages", asked, told, fault)

    def evidence(self, answer: str = "") -> Evidence:
        return Evidence(answer, actions=tuple(self.actions), payload=self.payloads.get)

    def hits(self, answer: str = "", *meant: str) -> Hits:
        return Hits.of(self.evidence(answer), meant)
