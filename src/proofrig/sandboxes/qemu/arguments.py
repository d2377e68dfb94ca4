"""The command lines of QEMU: a machine that is booted, and a copy of it that is resumed.

Rules:
1. Both have the same devices in the same order, or the saved state would not fit.
2. QEMU opens no file by its name and listens nowhere: disks, memory, channels are descriptors that
   it was given, from FIRST on, in the order of `Files`.
3. No network card, no display, no keyboard, nothing that comes by default.
4. The guest's memory is a file of which a booted machine writes the contents, and a copy sees a
   private image (copy on write).
"""

from __future__ import annotations

from typing import Literal

import msgspec

FIRST = 10
PROGRAM = "qemu-system-x86_64"
MICROVM: Literal["microvm"] = "microvm"
Q35: Literal["q35"] = "q35"
LIMITED = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
KERNEL = (
    "console=ttyS0 panic=-1 reboot=t quiet loglevel=3 no_timer_check mitigations=off nokaslr "
    "pti=off init_on_alloc=0 audit=0 lsm= nowatchdog random.trust_cpu=on cryptomgr.notests "
    "page_alloc.shuffle=0 rcupdate.rcu_expedited=1 cgroup.memory=nokmem,nosocket"
)


class Machine(msgspec.Struct, frozen=True):
    """What a guest runs on. cpu: the model. tsc_khz: 0 where the kernel finds out for itself."""

    kind: Literal["microvm", "q35"]
    accelerator: Literal["kvm", "tcg"]
    memory_mb: int
    cpu: str
    tsc_khz: int


def machine(
    kind: Literal["microvm", "q35"],
    accelerator: Literal["kvm", "tcg"],
    memory_mb: int,
    tsc_khz: int,
) -> Machine:
    """The usual processor model of an accelerator. Under KVM the kernel has a clock of its own."""
    emulated = accelerator == "tcg"
    return Machine(
        kind=kind,
        accelerator=accelerator,
        memory_mb=memory_mb,
        cpu="max" if emulated else "host",
        tsc_khz=tsc_khz if emulated and kind == MICROVM else 0,
    )


class Files(msgspec.Struct, frozen=True):
    """Descriptors that QEMU is started with: monitor, channel and console are stream sockets, the
    rest files. scratch_read: the scratch disk once more, opened for reading, which QEMU does first.
    saved: the state of the devices, for a copy."""

    monitor: int
    channel: int
    console: int
    memory: int
    root: int
    scratch: int
    scratch_read: int
    payload: int
    saved: int = -1
    kernel: int = -1
    initrd: int = -1

    def fds(self) -> list[int]:
        """In the order in which they are given; those that are there."""
        return [fd for fd in msgspec.structs.astuple(self) if fd >= 0]


MONITOR, CHANNEL, CONSOLE, MEMORY, ROOT, SCRATCH, SCRATCH_READ, PAYLOAD = range(FIRST, FIRST + 8)
SAVED = PAYLOAD + 1  # of a copy
KERNEL_FILE, INITRD = PAYLOAD + 1, PAYLOAD + 2  # of a machine that boots


def boot(machine: Machine, interpreter: str) -> list[str]:
    """The command line of a machine that boots. `interpreter`: the image's Python."""
    line = f"{KERNEL} proofrig.python={interpreter}"
    if machine.tsc_khz:
        line += f" tsc=reliable tsc_early_khz={machine.tsc_khz}"
    kernel = ["-kernel", f"/proc/self/fd/{KERNEL_FILE}", "-initrd", f"/proc/self/fd/{INITRD}"]
    return [*_common(machine, share=True), *kernel, "-append", line]


def copy(machine: Machine) -> list[str]:
    """The command line of a copy: it waits for the saved state (`fd:SAVED`)."""
    return [*_common(machine, share=False), "-incoming", "defer"]


def _common(machine: Machine, *, share: bool) -> list[str]:
    micro = machine.kind == MICROVM
    bus = "device" if micro else "pci"
    options = "microvm,pit=on,pic=on,rtc=on" if micro else "q35,smbus=off,sata=off,usb=off"
    emulated = machine.accelerator == "tcg"
    memory = f"memory-backend-file,id=memory,size={machine.memory_mb}M"
    # fmt: off
    return [
        PROGRAM, "-M", f"{options},memory-backend=memory",
        "-accel", "tcg,tb-size=64" if emulated else "kvm", "-cpu", machine.cpu,
        "-m", f"{machine.memory_mb}M", "-smp", "1",
        "-object", f"{memory},mem-path=/proc/self/fd/{MEMORY},share={'on' if share else 'off'}",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-sandbox", LIMITED,
        "-chardev", f"socket,id=monitor,fd={MONITOR}", "-mon", "chardev=monitor,mode=control",
        "-chardev", f"socket,id=console,fd={CONSOLE}", "-serial", "chardev:console",
        *_disk("root", bus, ROOT), *_disk("scratch", bus, SCRATCH, SCRATCH_READ),
        *_disk("payload", bus, PAYLOAD),
        "-chardev", f"socket,id=channel,fd={CHANNEL}",
        "-device", f"virtio-serial-{bus},max_ports=2",
        "-device", "virtserialport,chardev=channel,name=proofrig,nr=1",
        "-object", "rng-random,id=random,filename=/dev/urandom",
        "-device", f"virtio-rng-{bus},rng=random",
    ]
    # fmt: on


def _disk(name: str, bus: str, *fds: int) -> list[str]:
    """A disk of one descriptor for reading, or of two: one for writing, too."""
    only = ",readonly=on" if len(fds) == 1 else ",cache=unsafe"
    given = [word for fd in fds for word in ("-add-fd", f"fd={fd},set={fds[0]}")]
    drive = f"if=none,id={name},file=/dev/fdset/{fds[0]},format=raw,file.locking=off{only}"
    return [*given, "-drive", drive, "-device", f"virtio-blk-{bus},drive={name},serial={name}"]
