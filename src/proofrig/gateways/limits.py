"""The limits of a trial that only gateways can hold: its tools, its retries, its context.

Rules:
1. What breaks one is denied before the authority is asked, with the code `limit_tools`,
   `limit_retries` or `limit_context`: nothing is held, and nothing is sent.
2. A retry is an attempt at a request that failed before, see `retries`, of a model or a tool. Those
   that are let in count, whoever makes them: one budget for the whole trial.
3. Input tokens are counted as the provider counted those of the trial's latest answer, by the byte;
   before there is one, as a token for every three bytes. A conversation that is continued by id
   counts as it was counted; of one that is not held here nothing is known, and nothing counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.authority.decision import Decision
from proofrig.authority.globs import matcher
from proofrig.gateways.retries import Attempt

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding

PER_BYTE = 1 / 3  # tokens, where nobody has counted yet; on the high side


class CallLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What gateways hold every trial to; None: no limit. allowed_tools: lists of globs on names of
    tools; a tool must fit one of each list. retries: of models and tools together. context_tokens:
    input tokens of one model call. egress_bytes: sent through the egress gateway."""

    allowed_tools: tuple[tuple[str, ...], ...] = ()
    retries: int | None = None
    context_tokens: int | None = None
    egress_bytes: int | None = None


class _Used(msgspec.Struct):
    """Of one trial. per_byte: input tokens of its latest answer, for each byte of the request."""

    retries: int = 0
    per_byte: float = PER_BYTE


class Limiter:
    """Holds the trials of a rig to their limits; traffic of no trial has none. What denies is asked
    with the id and the binding of the action that it is about; None: it lets it pass."""

    def __init__(self, limits: CallLimits) -> None:
        self.limits = limits
        self._allowing = [matcher(globs) for globs in limits.allowed_tools]
        self._used: dict[str, _Used] = {}

    def allows(self, tool: str) -> bool:
        """Whether a tool of this name may be called."""
        return all(matches(tool) for matches in self._allowing)

    def tool(self, id: str, binding: Binding, name: str) -> Decision | None:
        """What denies a call of this tool."""
        if self.allows(name):
            return None
        lists = " and ".join(", ".join(globs) or "none" for globs in self.limits.allowed_tools)
        fix = f"the trial may call no tool {name!r}; the tools it may call: {lists}"
        return _denial("limit_tools", id, binding, fix)

    def retry(self, id: str, binding: Binding, attempt: Attempt) -> Decision | None:
        """What denies an attempt, where it is not the first."""
        most = self.limits.retries
        if most is None or attempt.number <= 1 or not binding.token:
            return None
        if self._of(binding).retries < most:
            return None
        fix = (
            f"the trial's {most} retries are used up, and this request failed before; go on "
            "without it, or ask for something else"
        )
        return _denial("limit_retries", id, binding, fix)

    def context(self, id: str, binding: Binding, known: int, rest: int) -> Decision | None:
        """What denies a model call. known: tokens of the conversation that it continues by id;
        rest: bytes of all else."""
        most = self.limits.context_tokens
        if most is None or not binding.token:
            return None
        tokens = known + math.ceil(rest * self._of(binding).per_byte)
        if tokens <= most:
            return None
        fix = (
            f"its input is about {tokens:,} tokens, and a model call of the trial may have {most:,}"
            "; send less: drop or summarise earlier messages, or shorten tool results"
        )
        return _denial("limit_context", id, binding, fix)

    def marked(self, binding: Binding, attempt: Attempt) -> dict[str, Any]:
        """What the reserve of an attempt says: as which retry of its trial it was asked for."""
        return {"retry": self._of(binding).retries + 1} if attempt.number > 1 else {}

    def retried(self, binding: Binding, attempt: Attempt) -> None:
        """An attempt was let in."""
        if attempt.number > 1:
            self._of(binding).retries += 1

    def counted(self, binding: Binding, tokens: int, rest: int) -> None:
        """A provider counted so many input tokens for so many bytes; see `context`."""
        if self.limits.context_tokens is not None and tokens > 0 and rest > 0:
            self._of(binding).per_byte = tokens / rest

    def end(self, token: str) -> None:
        """Forget a trial."""
        self._used.pop(token, None)

    def _of(self, binding: Binding) -> _Used:
        used = self._used.get(binding.token)
        if used is None:
            used = self._used[binding.token] = _Used()
        return used


def _denial(code: str, id: str, binding: Binding, fix: str) -> Decision:
    return Decision("deny", id, code, scope=binding.scope, fix=fix)
