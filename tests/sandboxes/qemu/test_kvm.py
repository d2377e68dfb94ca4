"""What is remembered of KVM."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.sandboxes.qemu import kvm


@pytest.mark.parametrize("why", ["", "the guest stood still"])
def test_what_was_found_out_holds_until_the_next_boot(tmp_path: Path, why: str) -> None:
    assert kvm.remembered(tmp_path) is None
    (tmp_path / "kvm-another-boot.json").write_text('{"refused": "long ago"}')
    kvm.remember(tmp_path, why)
    assert kvm.remembered(tmp_path) == why
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_note_is_none(tmp_path: Path, text: str) -> None:
    kvm.remember(tmp_path, "x")
    next(tmp_path.iterdir()).write_text(text)
    assert kvm.remembered(tmp_path) is None
