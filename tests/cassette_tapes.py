"""Recording and replaying without a rig: calls as values, answers as chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec

from proofrig.cassettes.cassette import Cassette, load
from proofrig.cassettes.player import Player, PlayerSettings
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.wire.answer import Answer, Cut, Made
from proofrig.wire.outbound import Outbound

TOKEN = "token-of-this-trial"
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}


def call(
    body: Any = b"", *, trial: str = "case:1", form: str = "chat_completions", **more: Any
) -> Outbound:
    """A call; by default to a model's chat API."""
    surface = more.pop("surface", "llm" if form not in ("tool", "mcp", "plain") else "tool")
    given = {
        "surface": surface,
        "form": form,
        "action": "a1",
        "name": f"llm.{form}" if surface == "llm" else f"{surface}.thing",
        "token": TOKEN,
        "trial": trial,
        "scope": f"acme/flow/agent/{trial}",
        "method": "POST",
        "path": "/chat/completions" if surface == "llm" else "",
        "body": body if isinstance(body, bytes) else msgspec.json.encode(body),
    }
    return Outbound(**(given | more))


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    """A chat request; a text is what the user says."""
    said = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    return {"model": "m", "messages": said, **fields}


def asks(id: str, name: str = "look", /, **arguments: Any) -> dict[str, Any]:
    """An assistant's message that calls one tool."""
    function = {"name": name, "arguments": msgspec.json.encode(arguments).decode()}
    tool_calls = [{"id": id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def result(id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def says(value: Any = None, status: int = 200, **headers: str) -> Made:
    """A JSON answer."""
    body = msgspec.json.encode({"id": "r1", "text": "hello"} if value is None else value)
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    return Made(status, body, JSON | told | {"content-length": str(len(body))})


def streamed(chunks: Iterable[bytes], end: Exception | None = None, **headers: str) -> Made:
    """A stream in these chunks; `end` is raised after the last."""

    async def each() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if end is not None:
            raise end

    return Made(200, each(), {**SSE, **headers})


async def drained(answer: Answer) -> tuple[list[bytes], str]:
    """The chunks of an answer, and how it ended; it is closed."""
    chunks, end = [], "complete"
    try:
        while chunk := await answer.readany():
            chunks.append(chunk)
    except Cut as cut:
        end = cut.how
    except Exception as error:
        end = str(error)
    answer.close()
    return chunks, end


async def recorded(
    directory: Path, exchanges: Iterable[tuple[Outbound, Answer | Exception]], **settings: Any
) -> Cassette:
    """A cassette of these exchanges, one after another."""
    recorder = Recorder(directory, RecorderSettings(**settings))
    for one, answer in exchanges:
        await carried(recorder, one, answer)
    recorder.close()
    return load(directory)


async def carried(tape: Any, one: Outbound, answer: Answer | Exception) -> tuple[list[bytes], str]:
    """What comes of a call through a tape, when `answer` comes from outside."""

    async def send() -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        came = await tape.carry(one, send)
    except Cut as cut:
        return [], cut.how
    except Exception as error:
        return [], str(error)
    return await drained(came)


async def never() -> Answer:
    raise AssertionError("a replayed call went out")


def player(cassette: Cassette, **settings: Any) -> Player:
    return Player(cassette, PlayerSettings(**settings))


async def played(tape: Player, one: Outbound) -> tuple[list[bytes], str]:
    """What a replayed call gets; nothing may leave."""
    try:
        answer = await tape.carry(one, never)
    except Cut as cut:
        return [], cut.how
    except AssertionError:
        raise
    except Exception as error:
        return [], str(error)
    return await drained(answer)
