"""The contract of a verifier: the world a trial left behind -> a verdict.

A verifier is what a user writes under `verify:` in a case (a pydantic model, unknown keys refused)
and the function that judges it, in one class, one member per file.

Rules:
1. It runs after the agent ended, outside its reach; it never talks to the agent.
2. It judges `Evidence` and nothing else, so a stored trial can be judged again.
3. Passing and failing are certain. What could not be measured is `passed=None`, never a fail.
4. Equivalent correct forms pass. The message says what was expected and what came.
5. A verifier that raises gives `passed=None` with the error (`judge` below), and the trial's class
   becomes "harness".
6. Whatever the agent left (broken UTF-8, links out of the world, huge files) may fail a verdict,
   and never breaks one: every text of a verdict can be encoded and is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict

from proofrig.history.action import Action
from proofrig.sandboxes.sandbox import Changes
from proofrig.wire.trajectory import Trajectory

CUT = 200  # characters of `expected` and of `got`
WIDE = 600  # characters of a reason


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]  # a Python regular expression


def no_payload(digest: str) -> bytes | None:
    """What stands for the payloads where none were kept."""
    return None


class Evidence(msgspec.Struct, frozen=True):
    """Everything a verifier may look at.

    answer: the agent's final answer. world: the trial's world directory as the agent left it, or
    None when the case has no world. before: relative path -> sha256 hex of each file the world
    began with. suite_dir: where the suite's own files (expected states, checks) live.
    level: how the trial was kept apart; what runs its files must be kept apart as well.
    state: what the suite's Python tools left in `ToolContext.state`, None when the case gave no
    state or what was left is not JSON. context: what else is known; `initial_sql` maps a database's
    path in the world to the SQL text it was built from, `no_state` says why `state` is None.
    payload: the bytes behind a digest that an action's attributes name
    (arguments, results), or None when they were not kept. changes: which paths the trial changed
    in its box, None when it had none.
    """

    answer: str = ""
    task: str = ""
    world: Path | None = None
    before: dict[str, str] = {}
    suite_dir: Path = Path(".")
    trajectory: Trajectory = Trajectory()
    actions: tuple[Action, ...] = ()
    state: dict[str, Any] | None = None
    level: str = "process"
    context: dict[str, Any] = {}
    payload: Callable[[str], bytes | None] = no_payload
    changes: Changes | None = None


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a verifier says. `score` is in [0, 1]; `passed` is None when not measured."""

    verifier: str
    passed: bool | None
    score: float = 0.0
    message: str = ""
    expected: str = ""
    got: str = ""


class Verifier(BaseModel):
    """Base of all members. A member narrows `type` to its name, adds its settings and `verify`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str

    def verify(self, evidence: Evidence) -> Verdict:
        """Judge the evidence."""
        raise TypeError(f"{type(self).__name__} has no verify()")

    def needs(self) -> frozenset[str]:
        """Which costly parts of the evidence it may read: "world", "trajectory", "actions",
        "state". The trajectory and the state are there only where a verifier asks for them.
        "code": it is the suite's own code, which may block and reads whatever the case has."""
        return frozenset()

    def verdict(
        self, passed: bool | None, *, expected: str, got: str, why: str = "", score: float = -1.0
    ) -> Verdict:
        """A verdict that says what was expected and what came. `score` is 1 or 0 unless given."""
        expected, got = cut(expected), cut(got)
        message = f"expected {expected}; got {got}" + (f" ({cut(why, WIDE)})" if why else "")
        return Verdict(
            verifier=self.type,
            passed=passed,
            score=score if score >= 0 else float(passed is True),
            message=message,
            expected=expected,
            got=got,
        )


def cut(text: str, limit: int = CUT) -> str:
    """`text` as it can be shown and stored: at most `limit` characters, no lone surrogates."""
    text = text.encode("utf-8", "replace").decode() if not text.isascii() else text
    if len(text) <= limit:
        return text
    return f"{text[: limit - 40]}... ({len(text):,} characters)"


def judge(verifier: Verifier, evidence: Evidence) -> Verdict:
    """Run a verifier so that its own failure is a verdict: not measured, with the reason."""
    try:
        return verifier.verify(evidence)
    except Exception as error:
        reason = cut(f"{type(error).__name__}: {error}", WIDE)
        return Verdict(
            verifier=verifier.type,
            passed=None,
            message=f"not measured, the verifier itself failed: {reason}",
        )
