"""The real SDKs, fed from bytes: a transport answers every request with the body it was given, and
keeps the bodies that were sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import anthropic
import httpx2
import openai
import pytest

Sdk = TypeVar("Sdk")


def _http(body: bytes | Iterable[bytes], status: int, sent: list[bytes]) -> httpx2.Client:
    whole = body if isinstance(body, bytes) else b"".join(body)
    kind = "application/json" if whole.startswith(b"{") else "text/event-stream"

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(status, headers={"content-type": kind}, content=whole)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


@pytest.fixture
def sent() -> list[bytes]:
    """The bodies of the requests that the SDKs have sent."""
    return []


@pytest.fixture
def openai_given(sent: list[bytes]) -> Iterator[Callable[..., openai.OpenAI]]:
    """An OpenAI client to which every answer is these bytes (whole, or in pieces)."""
    clients: list[openai.OpenAI] = []

    def given(body: bytes | Iterable[bytes], status: int = 200) -> openai.OpenAI:
        http = _http(body, status, sent)
        client = openai.OpenAI(api_key="k", max_retries=0, http_client=http)
        clients.append(client)
        return client

    yield given
    for client in clients:
        client.close()


@pytest.fixture
def anthropic_given(sent: list[bytes]) -> Iterator[Callable[..., anthropic.Anthropic]]:
    """An Anthropic client to which every answer is these bytes (whole, or in pieces)."""
    clients: list[anthropic.Anthropic] = []

    def given(body: bytes | Iterable[bytes], status: int = 200) -> anthropic.Anthropic:
        http = _http(body, status, sent)
        client = anthropic.Anthropic(api_key="k", max_retries=0, http_client=http)
        clients.append(client)
        return client

    yield given
    for client in clients:
        client.close()
