"""Credentials that run out while the agent works, and can be renewed.

Rules:
1. A key lives for `calls` calls, or `after_s` seconds: the first from the beginning of its trial,
   each later one from its first use. Then, and once it was renewed, each call with it gets a 401.
2. A call without a key carries the trial's own token. One that gets a 401 is not carried out.
3. Every call that fits uses its key, also those that cannot be struck.
4. `POST $PROOFRIG_REFRESH_URL` gives a fresh key (see `gateways/auth.py`), which lives as long.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from proofrig.faults._forms_errors import error_answer
from proofrig.faults.fault import Count, Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface

CHALLENGE = 'Bearer error="invalid_token", error_description="The access token expired"'


class TokenExpiry(Fault):
    """Answers 401 in the vendor's form to a key that has expired, until the agent renews it."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "401 once the key has expired, until the agent renews it"
    watches: ClassVar[bool] = True

    kind: Literal["token_expiry"] = "token_expiry"
    calls: Count | None = Field(default=None, description="Calls that a key is good for.")
    after_s: Seconds | None = Field(default=None, description="Seconds that a key is good for.")

    @model_validator(mode="after")
    def _runs_out(self) -> Self:
        if self.calls is None and self.after_s is None:
            raise ValueError(
                "expected `calls` or `after_s`, after which a key has expired; got none"
            )
        return self

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        key = hit.call.key or hit.call.token
        why = "renewed" if hit.around.expired(hit.call.token, key) else self._use(hit, key)
        if not why or hit.idle:
            hit.spare()
            return await onward()
        hit.struck(status=401, why=why)
        return error_answer(hit.call, 401, {"www-authenticate": CHALLENGE})

    def _use(self, hit: Hit, key: str) -> str:
        """Why a key has expired; empty when it may be used, which is counted."""
        lives: dict[str, Any] = hit.memory
        began_ns = hit.clock() if lives else hit.call.began_ns
        life = lives.setdefault(key, {"began_ns": began_ns, "used": 0})
        if self.after_s is not None and hit.clock() - life["began_ns"] >= self.after_s * 1e9:
            return "time"
        if self.calls is not None and life["used"] >= self.calls:
            return "calls"
        life["used"] += 1
        return ""
