"""What is kept of a program's output; programs themselves are tested in `test_vm.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofrig.sandboxes.qemu.program import Kept


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(0, 40), st.booleans())
def test_the_first_or_the_last_bytes_are_kept(pieces: list[bytes], cap: int, tail: bool) -> None:
    kept = Kept(cap, tail=tail)
    for piece in pieces:
        kept.take(piece)
    whole = b"".join(pieces)
    assert kept.bytes() == (whole[max(0, len(whole) - cap) :] if tail else whole[:cap])
    assert kept.total == len(whole)


@pytest.mark.parametrize("tail", [False, True])
def test_a_flood_fills_no_memory(tail: bool) -> None:
    kept = Kept(1000, tail=tail)
    for _ in range(1000):
        kept.take(bytes(10_000))
    assert len(kept.data) <= 12_000 and kept.total == 10_000_000
