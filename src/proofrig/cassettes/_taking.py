"""One exchange as it is recorded: noted while it passes, without secrets once it has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proofrig.cassettes.asked import Asked
from proofrig.cassettes.canonical import Canonical
from proofrig.cassettes.exchange import End, Exchange, Failure, written
from proofrig.cassettes.lineage import Place
from proofrig.cassettes.redaction import Redactor, applied, resized
from proofrig.cassettes.streams import told_in_pieces
from proofrig.wire.answer import Answer, Cut, streams
from proofrig.wire.outbound import Outbound

_COPIED = ("status", "reason", "headers", "length", "chunks", "end", "failure", "ttfb_us")


@dataclass(frozen=True, slots=True)
class Begun:
    """An exchange whose request is here. ended: told whether it went well, and the answer."""

    n: int
    asked: Asked
    form: Canonical
    place: Place
    attempt: int
    ended: Callable[[Begun, bool, bytes], None]


@dataclass(frozen=True, slots=True)
class Taker:
    """What exchanges are taken with. clock: nanoseconds; cap: bytes of a body; take: gets each
    exchange that has ended, with the bodies that need files of their own."""

    redactor: Redactor
    clock: Callable[[], int]
    cap: int
    take: Callable[[Taking, Exchange, tuple[bytes | None, ...]], None]


class Taking:
    """An exchange that is being recorded."""

    def __init__(self, taker: Taker, call: Outbound, begun: Begun) -> None:
        self._taker = taker
        self._call = call
        self._begun = begun
        self._last_ns = taker.clock()
        self._room = taker.cap
        self._answer: Answer | None = None
        self._ttfb_us = 0
        self._parts: list[bytes] = []
        self._waits: list[int] = []
        self._done = False

    def head(self, answer: Answer) -> None:
        self._answer = answer
        self._ttfb_us = self._lap()

    def chunk(self, data: bytes) -> None:
        if self._room > 0:
            self._parts.append(data[: self._room])
            self._waits.append(self._lap())
        self._room -= len(data)

    def broken(self, error: BaseException) -> None:
        """What `send` or reading raised."""
        if self._answer is None:
            self._ttfb_us = self._lap()
        if isinstance(error, Cut):
            self.ended(error.how)
        elif isinstance(error, Exception):
            status = getattr(error, "status", 0)
            definite = bool(getattr(error, "definite", False))
            message = str(error) or type(error).__name__
            self.ended("error", Failure(message, status, definite))
        else:
            self.ended("client_gone")  # the call was given up

    def ended(self, end: End, failure: Failure | None = None) -> None:
        """Write the exchange, once."""
        if self._done:
            return
        self._done = True
        if self._room < 0:
            end = "error"
            failure = Failure(f"only {self._taker.cap} bytes of this body were kept")
        answer = self._answer
        headers, body, chunks = self._cleaned()
        response_as, response, blob = written(body)
        length = -1 if answer is None else _length(answer)
        if length == sum(map(len, self._parts)):
            length = len(body)  # redacted, it has another
        if failure is not None:
            text = self._taker.redactor.body(failure.message.encode("utf-8", "replace"))
            failure = Failure(text.decode("utf-8", "replace"), failure.status, failure.definite)
        status = 0 if answer is None else answer.status
        self._write(
            blob,
            status=status,
            reason=(answer and answer.reason) or "",
            headers=headers,
            length=length,
            response_as=response_as,
            response=response,
            chunks=chunks,
            end=end,
            failure=failure,
            ttfb_us=self._ttfb_us,
        )
        self._begun.ended(self._begun, end == "complete" and status < 400, body)

    def copied(self, exchange: Exchange, body: bytes) -> None:
        """The answer is one that was recorded before."""
        self._done = True
        response_as, response, blob = written(body)
        self._write(
            blob,
            response_as=response_as,
            response=response,
            **{name: getattr(exchange, name) for name in _COPIED},
        )
        good = exchange.end == "complete" and exchange.status < 400
        self._begun.ended(self._begun, good, body)

    def _write(self, blob: bytes | None, **answer: object) -> None:
        asked, redactor, begun = self._begun.asked, self._taker.redactor, self._begun
        request = redactor.body(asked.body, self._call.token)
        request_as, told, request_blob = written(request, exact=False)
        fields = {
            "n": begun.n,
            "trial": self._call.trial,
            "lineage": begun.place.lineage,
            "turn": begun.place.turn,
            "attempt": begun.attempt,
            "raw": asked.raw(),
            "req_hash": begun.form.hash,
            "request_as": request_as,
            "request": told,
            "path": redactor.path(asked.path),
        }
        same = ("channel", "form", "name", "child", "tool", "server", "method", "host")
        fields |= {name: getattr(asked, name) for name in same}
        exchange = Exchange(**(fields | answer))  # type: ignore[arg-type]
        self._taker.take(self, exchange, (request_blob, blob))

    def _cleaned(self) -> tuple[dict[str, str], bytes, list[tuple[int, int]]]:
        """Headers, body and chunks without secrets."""
        if self._answer is None:
            return {}, b"", []
        redactor, token = self._taker.redactor, self._call.token
        headers = redactor.headers(self._answer.headers, token)
        body, sizes = b"".join(self._parts), [len(part) for part in self._parts]
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity" and body:
            plain = redactor.unpacked(body, encoding, token)
            if plain is not None:
                del headers["content-encoding"]
                body, sizes = plain, [0] * (len(sizes) - 1) + [len(plain)]
        if streams(self._answer):  # first: half a key in one event looks like a whole one
            told = told_in_pieces(redactor, body, token)
            body, sizes = applied(body, told), resized(sizes, told)
        edits = redactor.counted(redactor.edits(body, token))
        body, sizes = applied(body, edits), resized(sizes, edits)
        chunks, waited = list[tuple[int, int]](), 0
        for wait, size in zip(self._waits, sizes, strict=True):
            waited += wait
            if size:
                chunks.append((waited, size))
                waited = 0
        return headers, body, chunks

    def _lap(self) -> int:
        """Microseconds since the last lap."""
        now = self._taker.clock()
        passed, self._last_ns = (now - self._last_ns) // 1000, now
        return max(passed, 0)


class Tee:
    """An answer that is recorded as it is read."""

    __slots__ = ("_inner", "_taking", "headers", "length", "reason", "status")

    def __init__(self, inner: Answer, taking: Taking) -> None:
        self._inner = inner
        self._taking = taking
        self.status = inner.status
        self.reason = inner.reason
        self.headers = inner.headers
        self.length = _length(inner)

    async def readany(self) -> bytes:
        try:
            data = await self._inner.readany()
        except BaseException as error:
            self._taking.broken(error)
            raise
        if data:
            self._taking.chunk(data)
        else:
            self._taking.ended("complete")
        return data

    def close(self) -> None:
        self._taking.ended("client_gone")
        self._inner.close()


def _length(answer: Answer) -> int:
    """What an answer's head says of its body's length; -1 when it does not say."""
    said = answer.headers.get("content-length", "")
    length = int(said) if said.isdigit() else getattr(answer, "length", -1)
    return length if isinstance(length, int) else -1
