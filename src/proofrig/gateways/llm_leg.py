"""The leg of a call to a model: what the provider said, told apart from what its agent got.

    agent ── faults ── [the provider is heard here] ── tape ── provider

Rules:
1. The provider is heard where faults stand in the way of a call, and only there. What was not
   heard to its end is not known: how much of it had come by then is chance.
2. What it said is charged, and tells whose failure a failure is; what the agent got is its turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec

from proofrig.gateways.decoding import reader_of
from proofrig.gateways.gateway import Context
from proofrig.gateways.leg import Leg, Send
from proofrig.wire.answer import Answer, length_of, rechunked, streams
from proofrig.wire.codec import Codec, StreamDecoder, WireError
from proofrig.wire.outbound import Outbound
from proofrig.wire.turn import Turn


class LlmLeg(Leg):
    """The leg of one call. status: of the provider's answer, 0 until there is one. decoder: of what
    the provider streams."""

    __slots__ = ("_body", "_codec", "_plain", "_whole", "decoder", "status")

    def __init__(self, context: Context, call: Outbound, codec: Codec) -> None:
        super().__init__(context, call)
        self.status = 0
        self._whole = False
        self.decoder: StreamDecoder | None = None
        self._codec = codec
        self._plain: Callable[[bytes], bytes] = bytes
        self._body = b""

    async def outside(self, send: Send) -> Answer:
        self.status, self.decoder, self._body, self._whole = 0, None, b"", False
        answer = await super().outside(send)
        if not self.hits:
            return answer
        self.status = answer.status
        self.decoder = self._codec.stream_decoder() if streams(answer) else None
        self._plain = reader_of(answer.headers.get("content-encoding", "")) or bytes
        return rechunked(answer, partial(self._hearing, length_of(answer)))

    async def _hearing(self, left: int, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            left -= len(chunk)
            self._whole = left == 0  # before the agent can know it
            if self.decoder is None:
                self._body += self._plain(chunk)
            else:
                self.decoder.feed(self._plain(chunk))
            yield chunk
        self._whole = True

    @property
    def said(self) -> Turn | None:
        """The provider's turn; None where no fault took effect, or it was not heard to its end."""
        if not self._whole or not self.struck:
            return None
        if self.decoder is not None:
            return self.decoder.turn()
        return turn_of(self._codec, self.status, self._body)


def turn_of(codec: Codec, status: int, body: bytes) -> Turn:
    """The turn in a whole body; of an error or of nonsense, a turn that says so."""
    try:
        turn = codec.decode_response(body)
    except WireError as error:
        text = body[:500].decode("utf-8", "replace") if status >= 300 else str(error)
        return Turn(codec.api, finish="error", complete=status >= 300, error=text)
    if status >= 300 and not turn.error:
        text = body[:500].decode("utf-8", "replace")
        return msgspec.structs.replace(turn, finish="error", error=text)
    return turn
