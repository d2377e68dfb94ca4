"""The contract of a wire codec: bytes to values and back, no I/O.

One member per API: `chat_completions`, `responses`, `messages`. Each is a module-level instance
named `CODEC`; `codec_for_path` and `CODECS` in `wire/__init__.py` find them.

Rules:
1. Decoding never raises on unknown fields, types of content or events: they are passed over.
   It raises `WireError` when the bytes are not JSON or lack what the API demands.
2. `amend_request` changes only the named fields; every other value keeps its bytes and its place.
   With nothing to change the body is given back as it came; amended again it stays as it is.
   Raises `WireError` on no JSON object.
3. A stream decoder accepts any chunking of the same bytes and yields the same `Turn`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from proofrig.errors import ProofrigError
from proofrig.wire.turn import Api, Request, Turn, Usage


class WireError(ProofrigError):
    """The bytes are not what the API's wire format says they must be."""


class StreamDecoder(Protocol):
    """Reads an SSE body as it passes. Hold one per response."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; never raises."""

    def turn(self) -> Turn:
        """The turn as far as it was seen. `complete` tells whether the terminal event came."""

    @property
    def output_seen(self) -> bool:
        """True once a first piece of output (text, reasoning, refusal or tool call) was seen."""

    @property
    def reasoning_bytes(self) -> int:
        """Bytes of the reasoning seen; it is output that no turn holds."""

    @property
    def ended(self) -> bool:
        """True once the API's terminal event was seen: nothing of use follows."""


class UsageStripper(Protocol):
    """Takes out the usage chunk that the agent did not ask for; whole events in, events out."""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to pass on now. Holds back at most one unfinished event."""

    def flush(self) -> bytes:
        """What is still held back when the body ended."""


class Codec(Protocol):
    """One model API. Instances hold no state."""

    api: Api
    paths: tuple[str, ...]  # URL endings this API is served at, e.g. "/chat/completions"

    def decode_request(self, body: bytes) -> Request: ...

    def encode_request(self, request: Request) -> bytes: ...

    def decode_response(self, body: bytes) -> Turn: ...

    def encode_response(self, turn: Turn) -> bytes: ...

    def stream_decoder(self) -> StreamDecoder: ...

    def encode_stream(self, turn: Turn, *, usage: bool = True) -> Iterator[tuple[bytes, int]]:
        """The turn as SSE events, each with the output tokens it carries (0 for framing), so that
        a simulated provider can pace them. `usage` is False where the agent did not ask for it."""

    def encode_error(self, status: int, kind: str, message: str) -> bytes:
        """An error body as this API writes it."""

    def amend_request(
        self,
        body: bytes,
        *,
        max_tokens: int | None = None,
        ask_usage: bool = False,
        without_tools: Collection[str] = (),
        note: str = "",
    ) -> bytes:
        """The same request with `max_tokens` set and, for chat streams, usage asked for.

        `without_tools`: names of tools to take out, with what the request says about choosing
        them; built-in tools that have no name go by their type. A choice that forces one is left
        to the model; an allowed list loses it, and one left empty becomes the choice of none.
        `note`: a text from the rig for the model to read, put at the end of what it is told.
        """

    def usage_stripper(self) -> UsageStripper | None:
        """Hides the usage chunk from an agent that did not ask for it; None where there is none."""

    def usage_of(self, body: bytes) -> Usage | None:
        """Only the usage of a whole response; the cheap path of the gateway."""
