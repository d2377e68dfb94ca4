"""What the runner and `host.py` say to each other, and how hosts are started.

Rules:
1. The host is a script of the standard library: the agent's interpreter and packages need not be
   proofrig's.
2. One line of JSON per message; the keys are listed in `host.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from proofrig.agents.agent import ANSWER_CAP, Attempt, Reply, ended_badly, tail, task_text
from proofrig.sandboxes.sandbox import Exit

HOST = Path(__file__).with_name("host.py")
START_TIMEOUT_S = 120.0  # importing a large framework on a busy machine
ABSENT = re.compile("ModuleNotFoundError|FileNotFoundError")
UNSEEN = (
    "If that is a file of the suite: a box sees the agent's modules, found by their import "
    "statements, and what `sandbox.files` names"
)


class Job(msgspec.Struct, omit_defaults=True):
    """One trial on its way to a host."""

    i: int
    task: str
    trial: str
    token: str
    seed: int
    workdir: str
    messages: list[dict[str, object]] | None = None
    env: dict[str, str] = {}
    tenant: str = ""
    gate: str = ""
    at: int = 0


class HostReply(msgspec.Struct):
    """One line from a host; see `host.py` for the keys."""

    i: int = -1
    a: str = ""
    t: bool = False
    e: str | None = None
    d: str = ""
    ready: bool = False
    p: bool = False
    s: int = 0
    fatal: str | None = None

    def reply(self) -> Reply:
        if self.e is not None:
            return Reply(ending="error", error=self.e, detail=self.d)
        return Reply(answer=self.a, truncated=self.t)


class HostSettings(msgspec.Struct, frozen=True):
    """How hosts of one agent are started."""

    interpreter: str
    target: str
    paths: list[str]
    env: dict[str, str]
    cwd: str

    def config(self, mode: str) -> bytes:
        """The host's first line."""
        message = {"mode": mode, "target": self.target, "paths": self.paths, "cap": ANSWER_CAP}
        return msgspec.json.encode(message) + b"\n"

    @property
    def argv(self) -> list[str]:
        return [self.interpreter, str(HOST)]


def job(attempt: Attempt, number: int, env: dict[str, str]) -> bytes:
    """The line that hands `attempt` to a host."""
    several = attempt.task if isinstance(attempt.task, list) else None
    return (
        msgspec.json.encode(
            Job(
                i=number,
                task=_sendable(task_text(attempt.task)),
                trial=attempt.trial,
                token=attempt.token,
                seed=attempt.seed,
                workdir=attempt.workdir,
                messages=several,
                env=env,
                tenant=attempt.tenant,
                gate=attempt.ticket.gate.path if attempt.ticket.gate else "",
                at=attempt.ticket.at_ns,
            )
        )
        + b"\n"
    )


def _sendable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def replies(received: bytes) -> list[HostReply]:
    """The whole lines of what a host said."""
    return [decode(line) for line in received.split(b"\n")[:-1]]


def unusable(target: str, said: HostReply | None, exit: Exit, *, boxed: bool = False) -> str:
    """Why a host did not get ready. `boxed`: it sees only what its box shows."""
    if said is not None and said.fatal is not None:
        return f"{said.fatal}\n{UNSEEN}" if boxed and ABSENT.search(said.fatal) else said.fatal
    bad = ended_badly(exit, START_TIMEOUT_S)
    why = bad.error if bad is not None else "the process ended"
    return f"importing the agent {target!r} did not come to an end: {why}\n{tail(exit)}".strip()


_DECODER = msgspec.json.Decoder(HostReply)


def decode(line: bytes) -> HostReply:
    """One line from a host; an empty reply for what an agent may have written to its pipe."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return HostReply()
