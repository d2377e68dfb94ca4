"""Every error proofrig raises on purpose.

    ProofrigError
    ├── UsageError            what the user wrote or asked for is wrong          exit 2
    │   └── SuiteError        all problems of one suite, with file, line, column
    ├── HarnessError          proofrig itself is at fault                        exit 3
    ├── InfraError            something around the agent failed, not the agent
    │   ├── ProviderError     a model provider or tool server cannot be reached
    │   ├── SandboxError      a sandbox cannot be started or was lost
    │   └── JournalError      a journal cannot be written or read
    ├── Denied                the authority said no; nothing was consumed
    └── LedgerError           a call that the transition table does not allow
        └── IdempotencyError  the same key came with another payload

Rules:
1. A message says what was expected, what came, where, and what to do.
2. `definite` is True when the action certainly did not happen; False when nobody can know.
3. All problems of one input are gathered before raising (`SuiteError.problems`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ProofrigError(Exception):
    """Root of the tree. `definite`: the action this error ended certainly did not happen."""

    definite: bool = True

    def __init__(self, message: str, *, definite: bool | None = None) -> None:
        super().__init__(message)
        if definite is not None:
            self.definite = definite


class UsageError(ProofrigError):
    """What the user wrote or asked for cannot be used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where it is, what was expected, what to do."""

    message: str
    file: str = ""
    line: int = 0  # 1-based; 0 when unknown
    column: int = 0  # 1-based; 0 when unknown
    hint: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n    {self.hint}" if self.hint else text


class SuiteError(UsageError):
    """Every problem found in one suite."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class HarnessError(ProofrigError):
    """proofrig itself is at fault; please report it."""


class InfraError(ProofrigError):
    """Something around the agent failed. The trial leaves the denominator."""

    definite = False


class ProviderError(InfraError):
    """A model provider or a tool server cannot be reached or answers nonsense."""


class SandboxError(InfraError):
    """A sandbox cannot be started, or was lost."""


class JournalError(InfraError):
    """A journal, of the history or of the ledger, cannot be written or read. What was written
    before is safe; nothing may start on its word."""


class Denied(ProofrigError):
    """The authority said no. `code`, `rule`, `scope`, `remaining` and `fix` reach the agent;
    `retry_ns`: in how long it would fit, 0 when that is not known."""

    def __init__(
        self,
        code: str,
        *,
        scope: str = "",
        remaining: dict[str, int] | None = None,
        fix: str = "",
        rule: str = "",
        retry_ns: int = 0,
    ) -> None:
        self.code = code
        self.rule = rule
        self.retry_ns = retry_ns
        self.scope = scope
        self.remaining = dict(remaining or {})
        self.fix = fix
        where = f" at {scope}" if scope else ""
        by = f" by rule {rule}" if rule else ""
        super().__init__(f"denied: {code}{by}{where}" + (f" ({fix})" if fix else ""))


class LedgerError(ProofrigError):
    """A transition the ledger's table does not allow; nothing moved."""


class IdempotencyError(LedgerError):
    """The same idempotency key came with another payload; nothing moved."""
