"""The family: which codec serves which path."""

from __future__ import annotations

import pytest

from proofrig.wire import CODECS, codec_for_path


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", "chat_completions"),
        ("/t/secret/v1/chat/completions?x=1", "chat_completions"),
        ("/chat/completions/", "chat_completions"),
        ("/v1/responses", "responses"),
        ("/v1/messages?beta=true", "messages"),
        ("/v1/messages/count_tokens", None),
        ("/v1/responses/input_tokens", None),
        ("/v1/threads/t/messages", None),
        ("/v1/models", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_codec_is_found_by_the_ending_of_the_path(path: str, api: str | None) -> None:
    found = codec_for_path(path)
    assert (found.api if found else None) == api


def test_every_codec_stands_under_its_own_api() -> None:
    assert {api: codec.api for api, codec in CODECS.items()} == {api: api for api in CODECS}
