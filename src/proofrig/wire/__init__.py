"""Model APIs as bytes and values, without I/O."""

from __future__ import annotations

from proofrig.wire import chat_completions, messages, responses
from proofrig.wire.codec import Codec
from proofrig.wire.turn import Api

CODECS: dict[Api, Codec] = {
    "chat_completions": chat_completions.CODEC,
    "responses": responses.CODEC,
    "messages": messages.CODEC,
}


def codec_for_path(path: str) -> Codec | None:
    """The codec of the API served at this URL path, whatever stands before its ending."""
    ending = path.partition("?")[0].rstrip("/")
    for codec in CODECS.values():
        if ending.endswith(codec.paths):
            return codec
    return None
