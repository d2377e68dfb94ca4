"""The contract of an agent adapter: a task in, a reply out.

Rules:
1. The agent is the user's system under test and runs unchanged; adapters only start it, hand it
   the task and its environment, and collect the answer.
2. `run` never raises for what the agent did: crash, hang, flood and nonsense are replies.
   It raises `InfraError` or `UsageError` for what stopped the agent from being run at all.
3. When `run` returns, nothing the trial started is alive (isolated mode), and its output is capped.
"""

from __future__ import annotations

import json
import signal
from typing import Any, Literal, Protocol

import msgspec

from proofrig.agents.gate import Ticket
from proofrig.sandboxes.sandbox import Box, Exit

Ending = Literal["ok", "error", "timeout", "killed"]


class Attempt(msgspec.Struct, frozen=True):
    """One trial as the agent sees it.

    task: the text to do, or a list of messages `{"role", "content"}`. env: every variable of the
    trial's environment (base URLs, keys, proxy, opt-outs). workdir: the trial's world, its current
    directory. headers: what to send with HTTP requests to an HTTP agent (traceparent, baggage).
    tenant: whose request it is. root: the URL of the rig's gateways that carries the trial's token;
    "" without a rig.
    box: where its processes run; None: the adapter starts a box of its own.
    ticket: when to start; adapters park the agent as near to its first line as they can.
    """

    trial: str
    task: str | list[dict[str, Any]]
    token: str
    env: dict[str, str]
    workdir: str
    timeout_s: float
    tenant: str = ""
    seed: int = 0
    headers: dict[str, str] = {}
    root: str = ""
    ticket: Ticket = msgspec.field(default_factory=Ticket)
    box: Box | None = None
    reference: Any = None  # the case's `reference.Reference`; only the reference agent reads it


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the agent ended. `answer` is text; a non-text answer is its JSON.

    ending: ok, error (raised, exited non-zero, HTTP status >= 400), timeout, or killed (a signal
    that proofrig did not send). error: one line for people. detail: the tail of standard error or
    the traceback. truncated: the answer was cut at the cap.
    """

    answer: str = ""
    ending: Ending = "ok"
    error: str = ""
    detail: str = ""
    exit_code: int | None = None
    truncated: bool = False
    usage: dict[str, int] = {}  # max_rss_bytes, cpu_ms, strays: where the adapter can tell


class Agent(Protocol):
    """An adapter, made once per run and used for all its trials at once."""

    async def start(self) -> None:
        """Get ready (start shared hosts). Raises UsageError when the agent cannot be found."""

    async def run(self, attempt: Attempt) -> Reply:
        """Do one trial."""

    async def close(self) -> None:
        """End everything that `start` or `run` left alive."""


ANSWER_CAP = 1_000_000  # characters of an answer that are kept


def task_text(task: str | list[dict[str, Any]]) -> str:
    """The task as one text: of several messages, a transcript with the role before each."""
    if isinstance(task, str):
        return task
    texts = [
        content if isinstance(content := message.get("content", ""), str) else json.dumps(content)
        for message in task
    ]
    if len(texts) == 1:
        return texts[0]
    roles = [str(message.get("role", "user")) for message in task]
    return "\n\n".join(f"{role}: {text}" for role, text in zip(roles, texts, strict=True))


def task_messages(task: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The task as messages: a text is one message of the user."""
    return [{"role": "user", "content": task}] if isinstance(task, str) else task


def decoded(data: bytes) -> tuple[str, str]:
    """Text of an agent's output, and a remark when it was not UTF-8."""
    text = data.decode("utf-8", "replace")
    if "\ufffd" not in text or text.encode() == data:
        return text, ""
    return text, f"invalid UTF-8, {text.count(chr(0xFFFD))} places replaced by U+FFFD"


def ended_badly(exit: Exit, timeout_s: float) -> Reply | None:
    """The reply for a process that did not end by itself with exit code 0; None when it did."""
    if exit.timed_out:
        ending: Ending = "timeout"
        error = f"timed out after {timeout_s:g} s; the agent and what it had started were killed"
    elif exit.signal is not None:
        ending = "killed"
        error = f"killed by {signal.Signals(exit.signal).name}"
    elif exit.code:
        ending = "error"
        error = f"exit code {exit.code}"
    else:
        return None
    return Reply(
        ending=ending,
        error=error,
        detail=tail(exit),
        exit_code=exit.code,
        usage=used(exit),
    )


def tail(exit: Exit) -> str:
    """The end of what was written to standard error (8,000 characters at most)."""
    return exit.stderr[-8000:].decode("utf-8", "replace")


def used(exit: Exit) -> dict[str, int]:
    """`Reply.usage` of a process: its largest member's peak memory, CPU of all, hunted strays."""
    return {
        "max_rss_bytes": exit.max_rss_bytes,
        "cpu_ms": exit.cpu_ms,
        "strays": exit.strays,
    }
