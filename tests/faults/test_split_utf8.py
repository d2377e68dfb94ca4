"""Characters that come in two chunks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import APIS, events_of, fault_rig, says, through, whole
from proofrig.faults.split_utf8 import SplitUtf8
from proofrig.wire.answer import Made

E_ACUTE, SNOWMAN, ROCKET = "é".encode(), "☃".encode(), "🚀".encode()


@pytest.mark.parametrize(
    ("answer", "chunks"),
    [
        (whole(b"a" + E_ACUTE + b"b"), [b"a\xc3", b"\xa9b"]),
        (whole(SNOWMAN + ROCKET), [b"\xe2", b"\x98\x83\xf0", b"\x9f\x9a\x80"]),
        (events_of(b"data: x\n\n", b"data: " + E_ACUTE + b"\n\n"), None),
        (events_of(b"data: \xc3", b"\xa9\n\n"), []),  # it came split
        (whole(b"abc"), []),
        (whole(rb"\u00e9"), []),
        (whole(E_ACUTE, "image/png"), []),
        (Made(200, E_ACUTE, {"content-type": "text/plain", "content-encoding": "br"}), []),
    ],
)
async def test_chunks_are_cut_inside_characters(answer: Made, chunks: list[bytes] | None) -> None:
    said = answer.length
    seen = await through([SplitUtf8()], answer)
    if chunks is None:
        chunks = [b"data: x\n\n", b"data: \xc3", b"\xa9\n\n"]
    assert (bool(seen.facts), seen.said) == (bool(chunks), said)
    if chunks:
        assert seen.chunks == chunks


async def test_only_so_many() -> None:
    seen = await through([SplitUtf8(splits=2, ms=5)], whole(E_ACUTE * 5))
    assert seen.chunks == [b"\xc3", b"\xa9\xc3", b"\xa9" + E_ACUTE * 3]
    assert seen.slept == [0.005, 0.005]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_reader_that_is_right_sees_the_same(tmp_path: Path, api: str, stream: bool) -> None:
    async with fault_rig(tmp_path, [SplitUtf8()], handler=says("café ☃")) as rig:
        got = await rig.ask(api, stream=stream)
        (end,) = rig.ends()
    assert got.turn(api).text == "café ☃"
    assert (end.attrs["outcome"], end.attrs["struck"]) == ("ok", ["split_utf8"])


async def test_it_is_split_where_the_gateway_takes_the_usage_out(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [SplitUtf8()], handler=says("café"), waits=True) as rig:
        got = await rig.ask(stream=True, stream_options=None)
    assert [piece for piece in got.pieces if piece.endswith(b"caf\xc3")]
    assert b'"choices":[]' not in got.body and got.turn("chat_completions").text == "café"
