"""A tape that records: every answer goes on to the agent as it comes, and is written down when it
has ended, however it did.

Rules:
1. Nothing is held back: a chunk is noted and passed on, and an exchange is written after its last
   chunk has gone.
2. What never came (no connection), what broke off and what its agent did not wait for are exchanges
   as well.
3. What is written has no secrets: see `redaction`.
4. A recording that can no longer be written disturbs no agent: `trouble` says why, and `close`
   raises it.
5. Of a body above `cap` bytes the beginning is kept; replayed, it breaks off there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proofrig.cassettes._taking import Begun, Taker, Taking, Tee
from proofrig.cassettes.asked import Channel, asked_of, channel_of
from proofrig.cassettes.canonical import Canonical, Canonicaliser, Settings
from proofrig.cassettes.exchange import Exchange
from proofrig.cassettes.lineage import Lineages, Place
from proofrig.cassettes.manifest import FILE, Manifest, Redaction, read
from proofrig.cassettes.redaction import Redactor
from proofrig.cassettes.writer import Writer
from proofrig.errors import InfraError
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Outbound

Send = Callable[[], Awaitable[Answer]]
CAP = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """What a recording is of.

    suite: its name and digest. canonical: what else does not matter in requests. secrets: values
    that must not be written, by the names of their environment variables. salt: of the recording
    that this one goes on from; fresh where it is empty. cap: bytes of a body. anew: see
    `Writer`. clock: nanoseconds.
    """

    suite: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    seed: int = 0
    canonical: Settings = field(default_factory=Settings)
    secrets: Mapping[str, str] = field(default_factory=dict)
    salt: bytes = b""
    cap: int = CAP
    anew: frozenset[str] = frozenset()
    clock: Callable[[], int] = time.monotonic_ns


class Recorder:
    """Records into a directory: a new one, or one whose recording was cut off. Raises UsageError
    when it holds a finished recording, and InfraError when it cannot be written."""

    def __init__(self, directory: Path, settings: RecorderSettings) -> None:
        self.settings = settings
        self.trouble = ""
        before = read(directory).redaction if (directory / FILE).exists() else None
        salt = bytes.fromhex(before.salt) if before else settings.salt or secrets.token_bytes(16)
        self.redactor = Redactor(salt, settings.secrets)
        self.redactor.counts.update(before.taken if before else {})
        self._canonicaliser = Canonicaliser(settings.canonical, self.redactor)
        manifest = Manifest(
            suite=dict(settings.suite),
            run=settings.run,
            seed=settings.seed,
            canonical=self._canonicaliser.described(),
            redaction=Redaction(salt=salt.hex()),
        )
        self._writer = Writer(directory, manifest, settings.anew)
        self._taker = Taker(self.redactor, settings.clock, settings.cap, self._take)
        self._trials: dict[str, _Trial] = {}
        self._open: dict[Taking, None] = {}

    async def carry(self, call: Outbound, send: Send) -> Answer:
        """What `send` gives, recorded as it is read. Raises what `send` raises."""
        channel = channel_of(call)
        if channel is None:
            return await send()
        taking = self._begin(call, channel)
        try:
            answer = await send()
        except BaseException as error:
            taking.broken(error)
            raise
        taking.head(answer)
        return Tee(answer, taking)

    def keeps(self, call: Outbound) -> bool:
        """Nothing: all goes out."""
        return False

    def copy(self, call: Outbound, channel: Channel, exchange: Exchange, body: bytes) -> None:
        """Take a replayed exchange over as it was, for the request that it now answers."""
        taking = self._begin(call, channel)
        taking.copied(exchange, body)

    def end(self, trial: str) -> None:
        """Forget what is kept for a trial."""
        self._trials.pop(trial, None)

    def close(self) -> None:
        """End what is still open, and seal the recording. Raises InfraError where `trouble` says
        why."""
        for taking in list(self._open):
            taking.ended("client_gone")
        self._writer.manifest.redaction.taken = dict(sorted(self.redactor.counts.items()))
        self._writer.close()
        if self.trouble:
            raise InfraError(self.trouble)

    def _begin(self, call: Outbound, channel: Channel) -> Taking:
        asked = asked_of(call, channel)
        form = self._canonicaliser.form(asked)
        trial = self._trials.setdefault(call.trial, _Trial())
        place, attempt = trial.place(form)
        begun = Begun(self._writer.number(), asked, form, place, attempt, trial.ended)
        taking = Taking(self._taker, call, begun)
        self._open[taking] = None
        return taking

    def _take(self, taking: Taking, exchange: Exchange, blobs: tuple[bytes | None, ...]) -> None:
        """Write an exchange that has ended."""
        del self._open[taking]
        if self.trouble:
            return
        try:
            self._writer.append(exchange, blobs)
        except InfraError as error:
            self.trouble = str(error)


class _Trial:
    """What is known of a trial that is recorded. failed: the places of requests whose last attempt
    failed, and the attempts so far, by canonical form."""

    def __init__(self) -> None:
        self.lineages = Lineages()
        self._failed: dict[str, tuple[Place, int]] = {}

    def place(self, form: Canonical) -> tuple[Place, int]:
        """Where a request stands, and which attempt it is."""
        place, attempts = self._failed.get(form.hash) or (None, 0)
        return place or self.lineages.place(form), attempts + 1

    def ended(self, begun: Begun, good: bool, answer: bytes) -> None:
        if good:
            self._failed.pop(begun.form.hash, None)
            self.lineages.replied(begun.place.lineage, answer)
        else:
            self._failed[begun.form.hash] = (begun.place, begun.attempt)
