"""Small constructors that tests share: histories, calls and evidence from a few words.

entry("commit", "tool.refund", id="a1", outcome="ok")      one line of a history
action("tool.refund", arguments={"order": 7})              its entries, paired
call("refund", order=7)                                    a tool call of a trajectory
evidence("done", call("refund", order=7), world=tmp_path)  what a verifier judges
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from proofrig.history.action import Action, Entry, Kind
from proofrig.history.payloads import digest_of
from proofrig.verifiers.verifier import Evidence
from proofrig.wire.trajectory import Call, Trajectory

TRIAL = "case:0"
SCOPE = "acme/flow/agent/run"


def entry(kind: Kind, name: str, *, t: int = 0, seq: int = 0, id: str = "", **attrs: Any) -> Entry:
    """One entry of trial `case:0` of tenant `acme`; further words become attributes."""
    return Entry(
        seq=seq,
        t=t,
        kind=kind,
        name=name,
        trial=TRIAL,
        tenant="acme",
        scope=SCOPE,
        id=id,
        attrs=attrs,
    )


def action(
    name: str, *, id: str = "a1", outcome: str | None = "ok", denied: bool = False, **attrs: Any
) -> Action:
    """An action from reserve to commit; further words are attributes of its reservation.
    `outcome=None`: never ended. `denied`: refused at its reservation."""
    decision = "deny" if denied else "allow"
    reserve = entry("reserve", name, t=0, seq=0, id=id, decision=decision, **attrs)
    going = not denied
    return Action(
        id=id,
        name=name,
        trial=TRIAL,
        tenant="acme",
        scope=SCOPE,
        reserve=reserve,
        start=entry("start", name, t=1, seq=1, id=id) if going else None,
        end=(
            entry("commit", name, t=2, seq=2, id=id, outcome=outcome) if going and outcome else None
        ),
    )


def call(
    name: str, /, *, error: bool | None = None, raw: str | None = None, **arguments: Any
) -> Call:
    """A tool call with its arguments as words, or `raw` text for those that are not JSON."""
    text = json.dumps(arguments) if raw is None else raw
    return Call(name=name, arguments=text, result="", is_error=error, state="answered", turn=0)


def evidence(answer: str = "", *calls: Call, **fields: Any) -> Evidence:
    """Evidence with an answer and tool calls; further words are fields of `Evidence`."""
    return Evidence(answer=answer, trajectory=Trajectory(calls=calls), **fields)


def kept(payloads: dict[str, bytes], data: bytes) -> str:
    """Keep bytes as the journal would; returns the digest that an action's attributes name."""
    digest = digest_of(data)
    payloads[digest] = data
    return digest


def world(root: Path, files: dict[str, str | bytes]) -> dict[str, str]:
    """Write files below `root`; returns their digests as `Evidence.before` has them."""
    before = {}
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        before[path] = hashlib.sha256(data).hexdigest()
    return before
