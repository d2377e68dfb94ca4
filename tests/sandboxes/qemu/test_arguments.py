"""Command lines of QEMU: what must hold of every one."""

from __future__ import annotations

import pytest

from proofrig.sandboxes.qemu import arguments
from proofrig.sandboxes.qemu.arguments import Files, boot, copy, machine

KINDS = [arguments.MICROVM, arguments.Q35]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_a_copy_has_the_devices_of_what_was_booted(kind: str, accelerator: str) -> None:
    made = machine(kind, accelerator, 256, 2_600_000)  # type: ignore[arg-type]

    def devices(argv: list[str]) -> list[str]:
        return [word for at, word in enumerate(argv) if argv[at - 1] in ("-device", "-M", "-cpu")]

    booted, resumed = boot(made, "/usr/bin/python3"), copy(made)
    assert devices(booted) == devices(resumed)
    assert "-sandbox" in resumed and "-nodefaults" in resumed
    assert not any(word in ("-nic", "-netdev", "-net") for word in booted + resumed)
    assert any("share=on" in word for word in booted)
    assert any("share=off" in word for word in resumed)


@pytest.mark.parametrize(
    ("kind", "accelerator", "told"),
    [("microvm", "tcg", True), ("q35", "tcg", False), ("microvm", "kvm", False)],
)
def test_only_an_emulated_microvm_is_told_its_clock(
    kind: str, accelerator: str, told: bool
) -> None:
    line = boot(machine(kind, accelerator, 256, 2_600_000), "/p")[-1]  # type: ignore[arg-type]
    assert ("tsc_early_khz=2600000" in line) == told
    assert "proofrig.python=/p" in line


def test_descriptors_come_in_the_order_of_their_places() -> None:
    names = ("monitor", "channel", "console", "memory", "root", "scratch", "scratch_read")
    fds = {name: number for number, name in enumerate((*names, "payload"))}
    assert Files(**fds, saved=8).fds()[arguments.SAVED - arguments.FIRST] == 8
    booted = Files(**fds, kernel=8, initrd=9).fds()
    assert booted[arguments.KERNEL_FILE - arguments.FIRST] == 8
    assert booted[arguments.INITRD - arguments.FIRST] == 9
    assert booted[arguments.PAYLOAD - arguments.FIRST] == fds["payload"]
