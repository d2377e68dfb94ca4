"""Frames: whatever pieces the bytes come in, the same frames come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofrig.sandboxes.guest.frames import DATA, HEADER, MOST, Parser, frame

FRAMES = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 2**32 - 1), st.binary(max_size=50)), max_size=6
)


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_frames_survive_any_cutting(frames: list[tuple[int, int, bytes]], sizes: list[int]) -> None:
    data = b"".join(frame(*each) for each in frames)
    parser, found, turn = Parser(), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        found += parser.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert found == frames


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(ValueError, match="at most"):
        list(Parser().feed(HEADER.pack(DATA, 1, MOST + 1)))
