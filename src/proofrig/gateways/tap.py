"""The tap: a program that stands between an agent and a stdio MCP server.

    python -I -S tap.py --rig 127.0.0.1:PORT --token T --server NAME
                        [--env NAME=VALUE]... [--cwd DIR] -- command args...

It starts the server and passes lines both ways as they are. Before a `tools/call` passes, and
before its result does, it asks the rig over one WebSocket that lives as long as the server.

Rules:
1. Standard library only, few modules, one thread: it starts with every server of every trial.
2. Lines keep their order, each way; one that the rig holds is overtaken.
3. A call that the rig cannot be asked about is answered with an error, never passed.
4. It ends as the server ends, with the same status, and ends the server when it is told to end.

The rig is asked `<number> <c|s>\\n<line>` (from the client, from the server) and answers
`<number> <pass|send|reply|drop|hold>\\n<line>`; after `hold` a second answer comes. Unasked, as
number 0, it has a line sent to the server, or cuts the connection: `0 <send|cut>\\n<line>`. See
`mcp_stdio`.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
from collections import deque

CHUNK = 1 << 16
STEP = 4096  # bytes that a blocking pipe takes at once when poll says it is ready
REFUSED = -32000
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Item:
    """A line on its way. `ready`: it may pass. `held`: it stands in no queue, others pass it."""

    __slots__ = ("data", "held", "ready")

    def __init__(self, data: bytes, ready: bool) -> None:
        self.data = data
        self.ready = ready
        self.held = False


class Lane:
    """One direction: from the descriptor `source` to `sink`, -1 when closed; at most `step` bytes
    are written at a time."""

    def __init__(self, source: int, sink: int, step: int) -> None:
        self.source = source
        self.sink = sink
        self.step = step
        self.partial: list[bytes] = []
        self.queue: deque[Item] = deque()
        self.out = bytearray()
        self.held = 0  # lines of the server that stand in no queue

    def read(self) -> list[bytes]:
        """The lines that have come, with their ends; closes `source` at its end."""
        try:
            data = os.read(self.source, CHUNK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return []
            data = b""
        if not data:
            os.close(self.source)
            self.source = -1
            last, self.partial = b"".join(self.partial), []
            return [last] if last else []
        self.partial.append(data)
        if b"\n" not in data:
            return []
        *lines, rest = b"".join(self.partial).split(b"\n")  # a return may stand inside a line
        self.partial = [rest] if rest else []
        return [line + b"\n" for line in lines]

    def move(self) -> None:
        """Let pass what is ready and at the front."""
        while self.queue and self.queue[0].ready:
            self.out += self.queue.popleft().data
        if self.sink < 0:
            self.out.clear()
        elif self.source < 0 and not (self.queue or self.out or self.held):
            self.close()

    def write(self) -> None:
        """Write what fits now."""
        try:
            del self.out[: os.write(self.sink, self.out[: self.step])]
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                self.close()
        self.move()

    def close(self) -> None:
        """Nobody reads any more, or there is nothing left to say."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1
        self.out.clear()


class Rig:
    """The WebSocket to the rig. `refusal` says why it cannot be asked, once it cannot."""

    def __init__(self, address: str, token: str, server: str) -> None:
        self.refusal = ""
        self.buffer = b""
        self.socket: socket.socket | None = None
        host, _, port = address.rpartition(":")
        try:
            self.socket = socket.create_connection((host, int(port)), 10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands(address, token, server)
            self.socket.settimeout(None)
        except (OSError, ValueError) as error:
            self.lost(f"the rig at {address} cannot be asked: {error}")

    def _shake_hands(self, address: str, token: str, server: str) -> None:
        assert self.socket is not None
        self.socket.sendall(
            f"GET /t/{token}/taps/{server} HTTP/1.1\r\nHost: {address}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGFwIGFza3MgdGhlIHJpZw==\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(CHUNK)
            if not data:
                raise OSError("it closed the connection")
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"101"]:
            raise OSError(self.buffer.decode("utf-8", "replace") or head.decode("latin-1"))

    def ask(self, number: int, way: str, line: bytes) -> None:
        """Ask about a line. Frames are masked with zeros: the mask hides nothing on a loopback."""
        data = b"%d %s\n" % (number, way.encode()) + line
        size = len(data)
        if size < 126:
            head = bytes((0x82, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x82, 0xFE)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x82, 0xFF)) + size.to_bytes(8, "big")
        assert self.socket is not None
        try:
            self.socket.sendall(head + b"\0\0\0\0" + data)
        except OSError as error:
            self.lost(f"the rig went away: {error}")

    def answers(self) -> list[bytes]:
        """The answers that have come."""
        assert self.socket is not None
        try:
            data = self.socket.recv(CHUNK)
        except OSError as error:
            self.lost(f"the rig went away: {error}")
            return []
        if not data:
            self.lost("the rig went away: it closed the connection")
        self.buffer += data
        found = []
        while (frame := self._frame()) is not None:
            code, payload = frame
            if code == 8:
                self.lost("the rig ended this server's trial")
            elif code == 2:
                found.append(payload)
        return found

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return None
        self.buffer = buffer[start + size :]
        return buffer[0] & 0x0F, buffer[start : start + size]

    def lost(self, why: str) -> None:
        """Ask no more."""
        self.refusal = self.refusal or why
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Tap:
    """Both lanes, and the questions between them."""

    def __init__(self, rig: Rig, to_server: Lane, to_client: Lane) -> None:
        self.rig = rig
        self.to_server = to_server
        self.to_client = to_client
        self.asked: dict[int, tuple[Item, Lane]] = {}
        self.number = 0
        self.expected: set[object] = set()  # ids whose answers the rig wants to see

    def run(self) -> None:
        """Until the server has ended and all it said has been passed on."""
        while self.to_client.sink >= 0:
            poll = select.poll()
            for lane in (self.to_server, self.to_client):
                if lane.source >= 0 and len(lane.out) < 1 << 22:
                    poll.register(lane.source, select.POLLIN)
                if lane.out and lane.sink >= 0:
                    poll.register(lane.sink, select.POLLOUT)
            if self.rig.socket is not None:
                poll.register(self.rig.socket, select.POLLIN)
            self._turn({descriptor for descriptor, _ in poll.poll()})

    def _turn(self, ready: set[int]) -> None:
        if self.rig.socket is not None and self.rig.socket.fileno() in ready:
            for answer in self.rig.answers():
                self._answered(answer)
        for lane in (self.to_server, self.to_client):
            if lane.source in ready:
                for line in lane.read():
                    self._came(lane, line)
        if self.rig.socket is None and self.asked:
            self._unanswered()
        for lane in (self.to_server, self.to_client):
            lane.move()
            if lane.out and (lane.sink in ready or lane is self.to_server):
                lane.write()

    def _came(self, lane: Lane, line: bytes) -> None:
        item = Item(line, True)
        lane.queue.append(item)
        client = lane is self.to_server
        if not (self._asks(line) if client else self.expected and self._answers(line)):
            return
        item.ready = False
        self.number += 1
        self.asked[self.number] = item, lane
        if self.rig.socket is not None:
            self.rig.ask(self.number, "c" if client else "s", line)

    def _asks(self, line: bytes) -> bool:
        """True when the rig decides on this line of the client."""
        if not line.strip():
            return False
        try:
            messages = json.loads(line)
        except (ValueError, RecursionError):
            return True
        wanted = False
        for message in messages if isinstance(messages, list) else [messages]:
            method = message.get("method") if isinstance(message, dict) else None
            if method in ("tools/call", "tools/list"):
                wanted = True
                self.expected.add(_key(message.get("id")))
            elif method == "notifications/cancelled":
                wanted = True
        return wanted

    def _answers(self, line: bytes) -> bool:
        """True when this line of the server answers what the rig waits for."""
        try:
            messages = json.loads(line)
        except (ValueError, RecursionError):
            return False
        found = {
            _key(message.get("id"))
            for message in (messages if isinstance(messages, list) else [messages])
            if isinstance(message, dict) and "method" not in message
        } & self.expected
        self.expected -= found
        return bool(found)

    def _answered(self, answer: bytes) -> None:
        head, _, body = answer.partition(b"\n")
        number, do = head.split(b" ")
        if number == b"0":
            self._unasked(do, body)
            return
        if do == b"hold":
            item, lane = self.asked[int(number)]
            lane.queue.remove(item)
            lane.held += lane is self.to_client
            item.held = True
            return
        item, lane = self.asked.pop(int(number))
        self._settle(item, lane, do, body)

    def _unasked(self, do: bytes, line: bytes) -> None:
        """What the rig does of its own accord."""
        if do == b"cut":
            self.to_client.close()
        else:
            self._asks(line)  # so that the rig sees the answer
            self.to_server.queue.append(Item(line + b"\n", True))

    def _settle(self, item: Item, lane: Lane, do: bytes, body: bytes) -> None:
        if do != b"pass":
            item.data = body + b"\n" if do == b"send" else b""
        if do == b"reply":
            back = self.to_client if lane is self.to_server else self.to_server
            back.queue.append(Item(body + b"\n", True))
        item.ready = True
        if item.held:
            lane.held -= lane is self.to_client
            lane.queue.append(item)

    def _unanswered(self) -> None:
        """The rig is gone: what the client asks is refused, what the server said passes."""
        asked, self.asked = self.asked, {}
        for item, lane in asked.values():
            if lane is self.to_client:
                self._settle(item, lane, b"pass", b"")
                continue
            try:
                messages = json.loads(item.data)
            except (ValueError, RecursionError):
                self._settle(item, lane, b"drop", b"")  # a server might read it as a call
                continue
            replies = [
                _refused(message, self.rig.refusal)
                for message in (messages if isinstance(messages, list) else [messages])
                if isinstance(message, dict) and message.get("method") == "tools/call"
            ]
            if not replies:
                self._settle(item, lane, b"pass", b"")
                continue
            body = json.dumps(replies if isinstance(messages, list) else replies[0])
            self._settle(item, lane, b"reply", body.encode())


def _key(identity: object) -> object:
    return identity if isinstance(identity, str | int | float) else json.dumps(identity)


def _refused(message: dict[str, object], why: str) -> dict[str, object]:
    text = f"proofrig: this call was not made, as {why}"
    error = {"code": REFUSED, "message": text}
    return {"jsonrpc": "2.0", "id": message.get("id"), "error": error}


def start(command: list[str], env: dict[str, str]) -> tuple[int, Lane, Lane]:
    """Start the server; its process id and both lanes. Exits when it cannot be started."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, to_read, 0),
        (os.POSIX_SPAWN_DUP2, from_write, 1),
    ]
    try:
        child = os.posix_spawnp(
            command[0], command, {**os.environ, **env}, file_actions=actions, setsigdef=SIGNALS
        )
    except OSError as error:
        sys.exit(f"proofrig: cannot start the MCP server {command[0]!r}: {error.strerror}")
    os.close(to_read)
    os.close(from_write)
    os.set_blocking(to_write, False)
    return child, Lane(0, to_write, CHUNK), Lane(from_read, 1, STEP)


def main(argv: list[str]) -> int:
    """Run a server behind the tap; its exit status, 128 + n when signal n ended it."""
    split = argv.index("--")
    options, command = argv[:split], argv[split + 1 :]
    said: dict[str, str] = {}
    env: dict[str, str] = {}
    for name, value in zip(options[::2], options[1::2], strict=True):
        if name == "--env":
            key, _, env[key] = value.partition("=")
        else:
            said[name] = value
    if said.get("--cwd"):
        os.chdir(said["--cwd"])
    child, to_server, to_client = start(command, env)
    for one in SIGNALS:
        signal.signal(one, lambda number, _: os.kill(child, number))
    rig = Rig(said["--rig"], said["--token"], said["--server"])
    Tap(rig, to_server, to_client).run()
    for descriptor in (to_server.sink, to_client.source):
        if descriptor >= 0:
            os.close(descriptor)
    _, status = os.waitpid(child, 0)
    rig.lost("the server ended")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
