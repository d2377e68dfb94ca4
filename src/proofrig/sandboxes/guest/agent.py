"""The agent: process 1 of the guest. Does what the runner asks over the port `proofrig`.

    seed {time, entropy}          the clock set, the kernel's random numbers renewed
    begin {limits, ports, ...}    the trial's files, limits, and its way to the rig's ports
    exec {argv, env, cwd, ...}    a program, its pipes as streams; its end is told: {exit, ...}
    rehearse {}                   what `begin` will do, done and undone
    kill {program} / end {}       end one program, or all
    usage {} / put / get          counters; one file in, one out
    changes {}                    the layers that were written to, as a tar on a stream

Rules:
1. It is booted once, warm, and then copied with the whole machine: nothing that a trial may see is
   made before `seed`.
2. Whatever a program leaves behind when its first process ends is killed.
3. What is watched from time to time (memory, processor time, disk) is only watched while a program
   runs: a copy that waits costs nothing.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import gc
import json
import os
import signal
import socket
import stat
import struct
import sys
import time

from proofrig.sandboxes import netns_helper
from proofrig.sandboxes.guest import evidence, groups, programs
from proofrig.sandboxes.guest.frames import (
    ANSWER,
    GUEST,
    NUMBER,
    OPEN,
    PIPES,
    REPLY,
    STDERR,
    STDIN,
    STDOUT,
    TELL,
)
from proofrig.sandboxes.guest.places import OWN, UPPER, Places
from proofrig.sandboxes.guest.streams import IN, Channel, Loop, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207
TICK_S = 0.25
CONNECTIONS = 200  # at a time; the rest waits in the backlog
PLACES, PORTION = 256, 128  # destinations told apart, packets read at a time


class Program:
    """A program that was started: its first process, its group, the streams that are open."""

    def __init__(self, key: int, group: str) -> None:
        self.key = key
        self.group = group
        self.pid = 0
        self.status: int | None = None
        self.streams: list[Stream] = []
        self.open = 0  # streams that it writes to
        self.strays = 0
        self.used: dict[str, int] = {}  # with the children that it waited for


class Agent:
    def __init__(self) -> None:
        self.loop = Loop()
        self.channel = Channel(self.loop, os.open(port("proofrig"), os.O_RDWR), self.heard)
        self.trial = groups.Trial()
        self.places = Places()
        self.programs: dict[int, Program] = {}  # by key
        self.connections = 0
        self.opened = 0
        self.listeners: dict[int, int] = {}  # descriptor: port
        self.files = 0
        self.cpu_us: int | None = None
        self.broke: set[str] = set()
        self.refused: dict[tuple[int, bytes, bytes], list[Any]] = {}
        self.watch = netns_helper.watch().detach()
        self.loop.watch(self.watch, IN, self.seen)
        wake, wake_write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.wake = wake
        self.loop.watch(wake, IN, self.reap)

    def serve(self) -> None:
        self.channel.say(TELL, 0, {"ready": True, "python": sys.version.split()[0]})
        while True:
            self.loop.turn(TICK_S if self.programs else -1)
            if self.programs:
                self.tick()

    def heard(self, number: int, payload: bytes) -> None:
        message = json.loads(payload)
        try:
            answer = getattr(self, "do_" + message["do"])(number, message) or {}
        except OSError as error:
            answer = {"errno": error.errno, "error": str(error)}
        self.channel.say(ANSWER, number, answer)

    def do_seed(self, number: int, message: dict[str, Any]) -> None:
        time.clock_settime_ns(time.CLOCK_REALTIME, message["time"])
        entropy = bytes.fromhex(message["entropy"])
        fd = os.open("/dev/urandom", os.O_WRONLY)
        fcntl.ioctl(fd, RNDADDENTROPY, struct.pack("ii", len(entropy) * 8, len(entropy)) + entropy)
        fcntl.ioctl(fd, RNDRESEEDCRNG)
        os.close(fd)

    def do_rehearse(self, number: int, message: dict[str, Any]) -> None:
        """Do once what a trial's files take, so that QEMU has translated it."""
        self.places.rehearse()

    def do_begin(self, number: int, message: dict[str, Any]) -> None:
        self.do_seed(number, message)
        limits = message["limits"]
        self.trial.limit(limits)
        self.files = limits.get("open_files") or 0
        cpu = limits.get("cpu_ms")
        self.cpu_us = None if cpu is None else cpu * 1000
        self.places.set_up(message["shown"], limits.get("disk_bytes"))
        for each in message["ports"]:
            listener = netns_helper.listen(each)
            listener.setblocking(False)
            self.listeners[listener.fileno()] = each
            fd = listener.detach()
            self.loop.watch(fd, IN, lambda _, fd=fd: self.accept(fd))  # type: ignore[misc]

    def accept(self, fd: int) -> None:
        listener = socket.socket(fileno=fd)
        try:
            made, _ = listener.accept()
        except OSError:
            return
        finally:
            listener.detach()
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened += 1
        self.connections += 1
        number = GUEST + self.opened
        self.channel.send(OPEN, number, NUMBER.pack(self.listeners[fd]))
        made_fd = made.detach()
        Stream(self.channel, number, made_fd, made_fd, self.closed)
        if self.connections == CONNECTIONS:
            self.listen(0)

    def closed(self) -> None:
        self.connections -= 1
        if self.connections == CONNECTIONS - 1:
            self.listen(IN)

    def listen(self, mask: int) -> None:
        for fd in self.listeners:
            self.loop.watch(fd, mask, self.loop.calls[fd])

    def do_exec(self, number: int, message: dict[str, Any]) -> dict[str, Any]:
        """Start a program; its streams are `number` and on. Never returns in a fork of rule 2 of
        `programs`."""
        fork = message["fork"] = programs.forkable(message["argv"], message["env"])
        message["files"] = self.files
        group = groups.REHEARSAL if message.get("rehearsal") else self.trial.take()
        program = Program(number, group)
        pipes = [os.pipe() for _ in range(PIPES if message["reply"] else REPLY)]
        if message["reply"]:
            message["env"][message["reply"]] = str(programs.REPLY)
        theirs = [pipe[0 if each == STDIN else 1] for each, pipe in enumerate(pipes)]
        ours = [pipe[1 if each == STDIN else 0] for each, pipe in enumerate(pipes)]
        try:
            program.pid = programs.start(message, theirs, group, self.loop.close)
        except OSError:  # and no `finally`: a fork passes here as `Script`
            for fd in (*ours, *theirs):
                os.close(fd)
            self.trial.give_back(program.group)
            raise
        for fd in theirs:
            os.close(fd)
        self.programs[number] = program
        program.open = len(pipes) - 1

        def done() -> None:
            program.open -= 1
            self.finish(program)

        program.streams = [Stream(self.channel, number + STDIN, -1, ours[0], lambda: None)]
        for each in (STDOUT, STDERR, REPLY)[: len(pipes) - 1]:
            program.streams.append(Stream(self.channel, number + each, ours[each], -1, done))
        return {"pid": program.pid, "start": "fork" if fork else "exec"}

    def do_kill(self, number: int, message: dict[str, Any]) -> None:
        program = self.programs.get(message["program"])
        if program is not None:
            self.trial.kill(program.group)

    def do_signal(self, number: int, message: dict[str, Any]) -> dict[str, Any]:
        """A signal to every process of all programs."""
        pids = [pid for each in self.programs.values() for pid in self.trial.pids(each.group)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, message["signal"])
        return {"processes": len(pids)}

    def do_end(self, number: int, message: dict[str, Any]) -> dict[str, Any]:
        """End all programs; what was used. Their ends are told as ever."""
        for fd in self.listeners:
            self.loop.forget(fd)
            os.close(fd)
        self.listeners = {}
        usage = self.do_usage(number, message)
        usage["killed"] = sum(len(self.trial.pids(each.group)) for each in self.programs.values())
        self.trial.kill(groups.TRIAL)
        return usage

    def do_usage(self, number: int, message: dict[str, Any]) -> dict[str, Any]:
        usage = self.trial.usage()
        usage.update(self.places.usage())
        while self.look():
            pass
        tried = [(sample.hex(), times) for sample, times in self.refused.values()]
        return {"usage": usage, "tried": tried, "broke": sorted(self.broke)}

    def do_put(self, number: int, message: dict[str, Any]) -> None:
        """A piece of a file, from `at` on."""
        path, at = message["path"], message["at"]
        if at == 0:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (0 if at else os.O_TRUNC)
        fd = os.open(path, flags, message["mode"])
        try:
            os.fchmod(fd, message["mode"])
            os.fchown(fd, programs.USER, programs.USER)
            data = base64.b64decode(message["data"])
            while data:
                done = os.pwrite(fd, data, at)
                data, at = data[done:], at + done
        finally:
            os.close(fd)

    def do_get(self, number: int, message: dict[str, Any]) -> dict[str, Any]:
        """A piece of a regular file, from `at` on."""
        fd = os.open(message["path"], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "no regular file", message["path"])
            data = os.pread(fd, message["most"], message["at"])
        finally:
            os.close(fd)
        return {"data": base64.b64encode(data).decode()}

    def do_changes(self, number: int, message: dict[str, Any]) -> None:
        """The tar comes on the stream `number`, made by a process of its own."""
        ours, theirs = os.pipe()
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            status = 1
            with contextlib.suppress(OSError):
                self.places.leave()
                evidence.pack(theirs, UPPER, message["most"])
                status = 0
            os._exit(status)
        os.close(theirs)
        Stream(self.channel, number, ours, -1, lambda: None)

    def reap(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 4096)
        by_pid = {each.pid: each for each in self.programs.values() if each.status is None}
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            program = by_pid.get(pid)
            if program is not None:
                program.status = os.waitstatus_to_exitcode(status)
                cpu_s = used.ru_utime + used.ru_stime
                program.used = {"memory": used.ru_maxrss * 1024, "cpu_ms": round(cpu_s * 1000)}
                left = self.trial.pids(program.group)
                program.strays = len(left)
                if left:
                    self.trial.kill(program.group)
        for program in list(self.programs.values()):
            self.finish(program)

    def finish(self, program: Program) -> None:
        """Tell the end of a program once all of it has ended and all it wrote is on its way."""
        if program.status is None or program.open or self.programs.get(program.key) is not program:
            return
        if self.trial.pids(program.group):
            return
        self.trial.give_back(program.group)
        del self.programs[program.key]
        for stream in program.streams:
            if stream.sink >= 0:
                stream.abort()
        ended = {"exit": program.key, "status": program.status, "strays": program.strays}
        ended["oom_kills"] = groups.fields(groups.TRIAL + "/memory.events").get("oom_kill", 0)
        ended.update(program.used)
        self.channel.say(TELL, 0, ended)

    def tick(self) -> None:
        """Look at what has no counter or no limit of its own."""
        now = time.monotonic()
        if now - self.looked < TICK_S:
            return
        self.looked = now
        self.trial.sample()
        self.places.sample()
        if self.cpu_us is not None and self.trial.cpu_us() > self.cpu_us and not self.broke:
            self.broke.add("cpu")
            self.trial.kill(groups.TRIAL)
            self.channel.say(TELL, 0, {"broke": "cpu"})
        for program in list(self.programs.values()):
            self.finish(program)

    looked = 0.0

    def seen(self, _: int) -> None:
        self.look()

    def look(self) -> bool:
        """First packets to other places: one of each kind is kept. False when none is left."""
        for _ in range(PORTION):
            try:
                packet = os.read(self.watch, netns_helper.SEEN_BYTES)
            except OSError:
                return False
            if packet[0] >> 4 == 4:
                start = 4 * (packet[0] & 15)
                what = (packet[9], packet[16:20], packet[start + 2 : start + 4])
            else:
                what = (packet[6], packet[24:40], packet[42:44])
            if what not in self.refused and len(self.refused) >= PLACES:
                what = (packet[9 if packet[0] >> 4 == 4 else 6], b"", b"")
            self.refused.setdefault(what, [packet if what[1] else b"", 0])[1] += 1
        return True


def port(name: str) -> str:
    """The device of the virtio serial port of that name."""
    for each in os.listdir("/sys/class/virtio-ports"):
        with open(f"/sys/class/virtio-ports/{each}/name") as file:
            if file.read().strip() == name:
                return "/dev/" + each
    raise OSError(errno.ENODEV, f"no virtio serial port {name!r}")


def warm(names: list[str]) -> None:
    """Import what trials will import."""
    for name in names:
        try:
            __import__(name)
        except BaseException as error:
            print(f"proofrig: {name} is not warm: {error!r}", file=sys.stderr)


def main() -> programs.Script:
    netns_helper.make_all_local(socket.AF_INET)
    with contextlib.suppress(OSError):
        netns_helper.make_all_local(socket.AF_INET6)
    with open(OWN + "/warm") as file:
        warm(file.read().split())
    agent = Agent()
    gc.collect()
    gc.freeze()  # forks then share more memory
    try:
        agent.serve()
    except programs.Script as script:
        return script
    raise AssertionError("the agent serves for ever")
