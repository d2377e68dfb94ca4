"""Cassettes: what was recorded comes back, however it is asked; edits and secrets are found."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cassette_tapes import call, carried, chat, drained, never, player, recorded, says, streamed
from proofrig.cassettes.asked import asked_of
from proofrig.cassettes.canonical import Canonicaliser, Settings
from proofrig.cassettes.cassette import Cassette, check, load
from proofrig.cassettes.manifest import EXCHANGES, FILE, SEALS
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.cassettes.redaction import Redactor
from proofrig.wire.answer import Cut, Made
from proofrig.wire.outbound import Outbound

some = settings(max_examples=40, deadline=None)
few = settings(max_examples=15, deadline=None)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
bodies = st.one_of(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.builds(
        lambda value, indent: [json.dumps(value, indent=indent).encode()],
        values,
        st.none() | st.sampled_from([1, 2, 4]),
    ),
    st.lists(st.builds(lambda text: f"data: {text}\n\n".encode(), st.text(max_size=9)), max_size=6),
)


def in_folder(work: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(work(Path(folder) / "cassette"))


@some
@given(bodies, st.sampled_from([None, "reset", "close"]), st.booleans())
def test_bytes_and_chunks_come_back_exactly(chunks: list[bytes], end: Any, whole: bool) -> None:
    async def work(folder: Path) -> None:
        answer: Made
        if whole:
            answer = Made(200, b"".join(chunks), {"content-type": "application/json"})
        else:
            answer = streamed(chunks, None if end is None else Cut(end))
        one = call(chat("hi"))
        cassette = await recorded(folder, [(one, answer)])
        got = await drained(await player(cassette).carry(one, never))
        if whole:
            assert got == ([b"".join(chunks)] if any(chunks) else [], "complete")
        else:
            assert got == (chunks, end or "complete")

    in_folder(work)


def conversation(agent: int, turns: int, alike: bool, salt: str) -> list[Outbound]:
    """An agent's requests; `salt` is in all of its ids."""
    said: list[Any] = [{"role": "system", "content": "s"}]
    said.append({"role": "user", "content": "task" if alike else f"task {agent}"})
    calls = []
    for turn in range(turns):
        calls.append(call(chat(*said), token=f"token-{salt}"))
        ids = [f"call_{salt}{agent:04}{turn:04}{place}" for place in "ab"]
        tools = [
            {
                "id": id,
                "type": "function",
                "function": {"name": "f", "arguments": f'{{"n":{agent}}}'},
            }
            for id in ids
        ]
        said.append({"role": "assistant", "content": None, "tool_calls": tools})
        results = [
            {"role": "tool", "tool_call_id": id, "content": f"{agent} {turn} {place}"}
            for place, id in enumerate(ids)
        ]
        said += results if salt == "11111111" else results[::-1]
    return calls


def dealt(agents: list[list[Outbound]], rng: random.Random) -> list[tuple[int, int, Outbound]]:
    """The requests of all agents, each agent's in their order, mixed."""
    at, order = [0] * len(agents), []
    while left := [n for n, calls in enumerate(agents) if at[n] < len(calls)]:
        chosen = rng.choice(left)
        order.append((chosen, at[chosen], agents[chosen][at[chosen]]))
        at[chosen] += 1
    return order


@few
@given(st.integers(2, 10), st.integers(1, 4), st.booleans(), st.booleans(), st.randoms())
def test_agents_in_any_order_of_arrival_all_hit(
    agents: int, turns: int, alike: bool, changed: bool, rng: random.Random
) -> None:
    def all_of(salt: str) -> list[list[Outbound]]:
        return [conversation(agent, turns, alike, salt) for agent in range(agents)]

    async def work(folder: Path) -> None:
        first, other = all_of("11111111"), all_of("22222222" if changed else "11111111")
        told = [(one, says([agent, turn])) for agent, turn, one in dealt(first, rng)]
        cassette = await recorded(folder, told)
        tape = player(cassette)
        for agent, turn, one in dealt(other, rng):
            chunks, _ = await drained(await tape.carry(one, never))
            got = msgspec.json.decode(b"".join(chunks))
            if turn or not alike:
                assert got == [agent, turn]
            else:
                assert got[1] == 0  # who begins alike is answered alike
        assert tape.left("case:1") == 0
        places = {(exchange.lineage, exchange.turn) for exchange in cassette.exchanges}
        assert len(places) == agents * turns
        assert len({lineage for lineage, _ in places}) == agents

    in_folder(work)


MADE = Canonicaliser(Settings(), Redactor(b"salt"))


def hash_of(body: Any) -> str:
    return MADE.form(asked_of(call(body), "llm")).hash


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    said: list[Any] = [{"role": "user", "content": draw(st.text(max_size=9))}]
    for turn in range(draw(st.integers(0, 3))):
        ids = [f"id-{turn}-{n}" for n in range(draw(st.integers(1, 3)))]
        tools = [
            {
                "id": id,
                "type": "function",
                "function": {
                    "name": draw(st.sampled_from("fgh")),
                    "arguments": json.dumps(draw(st.dictionaries(st.text(max_size=3), values))),
                },
            }
            for id in ids
        ]
        said.append({"role": "assistant", "tool_calls": tools})
        said += [
            {"role": "tool", "tool_call_id": id, "content": draw(st.text(max_size=9))} for id in ids
        ]
    return chat(*said, temperature=draw(st.sampled_from([0, 0.5, 1])), extra=draw(values))


def renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: renamed(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def shuffled(value: Any, rng: random.Random) -> Any:
    """Keys in another order, those of arguments as well."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        made = {key: shuffled(value[key], rng) for key in keys}
        if isinstance(made.get("arguments"), str):
            made["arguments"] = json.dumps(shuffled(json.loads(made["arguments"]), rng), indent=1)
        return made
    if isinstance(value, list):
        return [shuffled(part, rng) for part in value]
    return value


def results_shuffled(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The results of each turn in another order."""
    said: list[Any] = []
    run: list[Any] = []
    for message in [*body["messages"], None]:
        if message is not None and message["role"] == "tool":
            run.append(message)
            continue
        rng.shuffle(run)
        said += run
        run = []
        said += [] if message is None else [message]
    return body | {"messages": said}


@some
@given(requests(), st.randoms())
def test_ids_key_order_and_the_order_of_results_do_not_matter(
    body: dict[str, Any], rng: random.Random
) -> None:
    numbers = rng.sample(range(100), 9)
    names = {f"id-{turn}-{n}": f"x{numbers[3 * turn + n]}" for turn in range(3) for n in range(3)}
    other = results_shuffled(shuffled(renamed(body, names), rng), rng)
    assert hash_of(body) == hash_of(other)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all leaves."""
    if isinstance(value, dict) and value:
        return [found for key in value for found in places(value[key], (*path, key))]
    if isinstance(value, list) and value:
        return [found for at, part in enumerate(value) for found in places(part, (*path, at))]
    return [path]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    made = copy.deepcopy(value)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return made


@some
@given(requests(), st.data())
def test_any_other_content_is_another_request(body: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(
        st.sampled_from([p for p in places(body) if p[-1] not in ("id", "tool_call_id")])
    )
    assert hash_of(body) != hash_of(put(body, path, "something else"))


def recording() -> tuple[bytes, dict[str, bytes]]:
    """The files of one small cassette."""

    async def work(folder: Path) -> dict[str, bytes]:
        tools = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
        given_ = [
            (
                call(chat("hi", tools=[{"name": "f", "schema": {}}])),
                says({"a": [1, None], "b": {}}),
            ),
            (call(chat("two"), trial="case:2"), streamed([b'data: {"t":"x"}\n\n', b"data: y\n\n"])),
            (call(chat({"role": "assistant", "tool_calls": tools})), says(status=500)),
        ]
        await recorded(folder, given_)
        names = (FILE, EXCHANGES, SEALS)
        return {name: (folder / name).read_bytes() for name in names}

    files: dict[str, bytes] = in_folder(work)
    return files.pop(EXCHANGES), files


LINES, FILES = recording()


def named(path: tuple[Any, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]


@some
@given(st.data())
def test_a_hand_edit_of_any_leaf_is_named(data: st.DataObject) -> None:
    lines = [msgspec.json.decode(line) for line in LINES.splitlines()]
    number = data.draw(st.integers(0, len(lines) - 1))
    path = data.draw(st.sampled_from([p for p in places(lines[number]) if p != ("seal",)]))
    new = data.draw(values)
    edited = put(lines[number], path, new)
    assume(msgspec.json.encode(edited) != msgspec.json.encode(lines[number]))
    raw = LINES.splitlines()
    raw[number] = msgspec.json.encode(edited)
    with tempfile.TemporaryDirectory() as folder:
        for name, body in FILES.items():
            (Path(folder) / name).write_bytes(body)
        (Path(folder) / EXCHANGES).write_bytes(b"\n".join([*raw, b""]))
        problems = check(Path(folder))
    told = [problem.message for problem in problems if problem.line == number + 1]
    assert any(f": {named(path)}" in message for message in told)


SECRET = "sk-proj-abcdEFGH1234567890"


@some
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=30), st.text("ab ", max_size=9), st.booleans()
)
def test_a_secret_is_never_written_however_it_is_cut(
    sizes: list[int], before: str, as_events: bool
) -> None:
    text, parts, at = f"{before} {SECRET} and on", [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    parts = [part for part in [*parts, text[at:]] if part]

    def event(part: str) -> bytes:
        delta = {"choices": [{"index": 0, "delta": {"content": part}}]}
        return b"data: " + msgspec.json.encode(delta) + b"\n\n"

    async def work(folder: Path) -> tuple[Cassette, bytes]:
        chunks = [event(part) if as_events else part.encode() for part in parts]
        recorder = Recorder(folder, RecorderSettings())
        got, _ = await carried(recorder, call(chat("hi")), streamed(chunks))
        assert got == chunks  # the agent gets what came
        recorder.close()
        cassette = load(folder)
        return cassette, cassette.response(cassette.exchanges[0])

    cassette, body = in_folder(work)
    said = body.decode()
    if as_events:
        events = [line[6:] for line in said.split("\n") if line]
        told = [msgspec.json.decode(line)["choices"][0]["delta"]["content"] for line in events]
        said = "".join(told)
        assert len(told) == len(parts)
    head, _, tail = said.partition("[redacted:openai-key:")
    assert (head, tail[6:]) == (f"{before} ", "] and on")
    assert sum(size for _, size in cassette.exchanges[0].chunks) == len(body)
