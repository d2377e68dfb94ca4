"""CPU time of a replayed call: finding the recorded answer, and giving it chunk by chunk.

Records trials of a chat of 20 turns with tools (the last request has about 40 kB), each with texts
of its own, then replays them: `same` asks the very bytes; `changed` asks with other ids, other
times, another order of keys and of results, so that every request is found by its canonical form
and the forms of the recorded requests are made as well. JSON and streams of 40 events. Beside
them what decoding the same request bodies with `json` and with msgspec takes, what recording
takes, and what loading a cassette takes. Milliseconds of CPU per call: the mean of all calls of a
trial, the best of the rounds.

    python benchmarks/bench_replay.py [--trials 20] [--rounds 3] [--check]

`--check` exits 1 when a replayed call takes more than 1 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from proofrig.cassettes.cassette import load
from proofrig.cassettes.player import Player, PlayerSettings
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.wire.answer import Answer, Made, read
from proofrig.wire.outbound import Outbound

TURNS, EVENTS, GOAL_MS = 20, 40, 1.0
WORDS = "the order was placed on the counter and nobody knew whose it had been before it came "


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    worst = 0.0
    for form in ("json", "sse"):
        with tempfile.TemporaryDirectory() as folder:
            worst = max(worst, measure(form, Path(folder), given.trials, given.rounds))
    if given.check and worst > GOAL_MS:
        sys.exit(f"a replayed call takes {worst:.2f} ms of CPU, above {GOAL_MS} ms")


def measure(form: str, folder: Path, trials: int, rounds: int) -> float:
    stream = form == "sse"
    same = [call for n in range(trials) for call in conversation(n, stream, changed=False)]
    changed = [call for n in range(trials) for call in conversation(n, stream, changed=True)]
    recorder = Recorder(folder / "cassette", RecorderSettings())
    took = spent(lambda: asyncio.run(record(recorder, same, stream)))
    began = time.process_time()
    cassette = load(folder / "cassette")
    loading = time.process_time() - began
    size = sum(path.stat().st_size for path in (folder / "cassette").glob("*.jsonl")) / 1e6
    count = len(same)
    print(f"{form}: {count} calls, last request {len(same[TURNS - 1].body) / 1000:.0f} kB")
    print(f"  recording        {took / count * 1e3:6.3f} ms per call")
    print(f"  loading          {loading / count * 1e3:6.3f} ms per exchange ({size:.0f} MB)")
    worst = 0.0
    for name, calls in (("same", same), ("changed", changed)):
        cost = min(
            spent(
                lambda calls=calls: asyncio.run(replay(Player(cassette, PlayerSettings()), calls))
            )
            for _ in range(rounds)
        )
        worst = max(worst, cost / count * 1e3)
        print(f"  replay, {name:8} {cost / count * 1e3:6.3f} ms per call")
    for name, decode in (("json", json.loads), ("msgspec", msgspec.json.decode)):
        cost = min(spent(lambda d=decode: [d(call.body) for call in same]) for _ in range(rounds))
        print(f"  {name}'s decoding {'':{7 - len(name)}}{cost / count * 1e3:6.3f} ms per request")
    return worst


async def record(recorder: Recorder, calls: list[Outbound], stream: bool) -> None:
    send = sender(stream)
    for number, call in enumerate(calls):
        answer = await recorder.carry(call, lambda number=number: send(number))
        await read(answer)
        answer.close()
    recorder.close()


async def replay(player: Player, calls: list[Outbound]) -> None:
    async def never() -> Answer:
        raise AssertionError("a replayed call went out")

    for call in calls:
        answer = await player.carry(call, never)
        if answer.status != 200:
            raise AssertionError((await read(answer)).decode())
        await read(answer)
        answer.close()


def sender(stream: bool) -> Callable[[int], Awaitable[Answer]]:
    async def send(number: int) -> Answer:
        if not stream:
            body = {"id": f"chatcmpl-{number:016x}", "choices": [{"message": WORDS * 5}]}
            return Made(200, msgspec.json.encode(body), {"content-type": "application/json"})

        async def events() -> Any:
            for at in range(EVENTS):
                delta = {"choices": [{"index": 0, "delta": {"content": WORDS[at : at + 8]}}]}
                yield b"data: " + msgspec.json.encode(delta) + b"\n\n"

        return Made(200, events(), {"content-type": "text/event-stream"})

    return send


def conversation(trial: int, stream: bool, *, changed: bool) -> list[Outbound]:
    """The requests of one trial. changed: in all that does not matter."""
    when = "2026-11-22T08:15:30Z" if changed else "2026-11-21T09:00:00Z"
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": f"You help. It is {when}. " + WORDS * 10},
        {"role": "user", "content": f"Task {trial}: " + WORDS * 3},
    ]
    calls = []
    for turn in range(TURNS):
        fields = {"model": "m", "messages": messages, "tools": TOOLS, "stream": stream}
        if changed:
            fields = dict(reversed(fields.items()))
        calls.append(
            Outbound(
                surface="llm",
                form="chat_completions",
                action="a",
                name="llm.chat_completions",
                token="token-of-a-trial",
                trial=f"case:{trial}",
                scope=f"acme/flow/agent/run{trial}",
                method="POST",
                path="/chat/completions",
                body=msgspec.json.encode(fields),
            )
        )
        ids = [f"call_{'9' if changed else '1'}{trial:04}{turn:04}{place:04}" for place in (0, 1)]
        asked = [
            {
                "id": id,
                "type": "function",
                "function": {
                    "name": "look_up",
                    "arguments": json.dumps({"turn": turn, "place": place, "of": WORDS[:40]}),
                },
            }
            for place, id in enumerate(ids)
        ]
        results = [
            {"role": "tool", "tool_call_id": id, "content": f"{trial} {turn} {place} " + WORDS * 6}
            for place, id in enumerate(ids)
        ]
        messages = [
            *messages,
            {"role": "assistant", "content": WORDS, "tool_calls": asked},
            *(reversed(results) if changed else results),
        ]
    return calls


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}" if number else "look_up",
            "description": WORDS,
            "parameters": {
                "type": "object",
                "properties": {
                    name: {"type": "string", "description": WORDS} for name in ("of", "by", "to")
                },
            },
        },
    }
    for number in range(8)
]


def spent(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    main()
