"""What the egress gateway adds to a request, beside a direct connection in the same rounds.

    python benchmarks/bench_egress.py [--rounds 5] [--requests 300] [--check]

A TLS origin that answers at once and the gateway each run in a process of their own, the gateway on
core 0 with its history on disk, the origin and the client (httpx) on core 1. It asks one request
after another: `kept` on one connection, `fresh` on a new one each (CONNECT, TLS, request). Printed
are the median milliseconds per request of the best round, the ratio to the direct connection of the
same round (median of the rounds), and CPU milliseconds of the gateway per request.

`--check` exits 1 when the gateway misses its goals: on kept connections twice the direct time in a
tunnel and eight times intercepted, on fresh ones three times in both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop

TOKEN = "bench-token-0123456789"
MODES = ("direct", "tunnel", "intercepted")
GOALS = {
    ("kept", "tunnel"): 2.0,
    ("kept", "intercepted"): 8.0,
    ("fresh", "tunnel"): 3.0,
    ("fresh", "intercepted"): 3.0,
}
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n"
    + (b'{"ok":true,"n":1}'[:16])
)
WARMING = 20  # requests before those that count


class Origin(asyncio.Protocol):
    """Answers each request at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self.transport.write(ANSWER)


async def origin(port: int, folder: Path) -> None:
    """The host, with a certificate of an authority of its own."""
    from proofrig.gateways.egress.certificates import Certificates

    made = Certificates()
    (folder / "origin.pem").write_bytes(made.pem)
    loop = asyncio.get_running_loop()
    context = made.context_for("localhost")
    server = await loop.create_server(Origin, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


async def gateway(port: int, folder: Path, *, reads: bool) -> None:
    """The egress gateway as a rig builds it, with both journals on disk."""
    from proofrig.authority.authority import recover
    from proofrig.gateways.asked import AskedCalls
    from proofrig.gateways.egress.gateway import EgressGateway
    from proofrig.gateways.egress.settings import EgressSettings
    from proofrig.gateways.gateway import Binding, Bindings, Context, RunClock
    from proofrig.gateways.upstream import open_client
    from proofrig.history.journal import Journal

    run_dir = folder / ("reads" if reads else "tunnels")
    run_dir.mkdir()
    clock = RunClock(time.monotonic_ns())
    context = Context(
        journal=Journal(run_dir, "rig", clock),
        authority=recover(run_dir / "ledger.sqlite", time.time_ns, None),
        bindings=Bindings(),
        asked=AskedCalls(),
        client=open_client(),
        clock=clock,
    )
    context.bindings.add(Binding(TOKEN, "case:1", "acme", "acme/flow/agent/r1"))
    made = EgressGateway(
        context,
        EgressSettings(intercept=("localhost",) if reads else ()),
        run_dir=run_dir,
        rig_port=1,
        tls=ssl.create_default_context(cafile=str(folder / "origin.pem")),
        environ={},
    )
    await made.start(port=port)
    while True:
        await asyncio.sleep(0.05)
        context.journal.flush()


def timed(how: str, host: int, proxy: int, trust: ssl.SSLContext, count: int) -> float:
    """Median milliseconds of a request, as an SDK's client makes it."""
    given = {"proxy": f"http://{TOKEN}:x@127.0.0.1:{proxy}"} if proxy else {}
    url, took = f"https://localhost:{host}/v1/thing", []

    def opened() -> httpx.Client:
        return httpx.Client(verify=trust, trust_env=False, **given)

    kept = opened() if how == "kept" else None
    for number in range(count + WARMING):
        client = kept or opened()
        began = time.perf_counter()
        answer = client.get(url)
        if number >= WARMING:
            took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise SystemExit(f"expected 200, got {answer.status_code}: {answer.text}")
        if kept is None:
            client.close()
    if kept is not None:
        kept.close()
    return statistics.median(took)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def child(core: int, role: str, port: int, folder: Path) -> subprocess.Popen[bytes]:
    words = ["--core", str(core), "--role", role, str(port), str(folder)]
    process = subprocess.Popen([sys.executable, __file__, *words])
    wait_for(port)
    return process


def bench(rounds: int, requests: int) -> bool:
    """Print the table; True when every goal is met."""
    fine, ports = True, {name: free_port() for name in ("origin", *MODES[1:])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = {"origin": child(1, "origin", ports["origin"], folder)}
        try:
            for mode in MODES[1:]:
                processes[mode] = child(0, mode, ports[mode], folder)
            trusts = {
                "direct": folder / "origin.pem",
                "tunnel": folder / "origin.pem",
                "intercepted": folder / "reads" / "ca-bundle.pem",
            }
            made = {mode: ssl.create_default_context(cafile=str(f)) for mode, f in trusts.items()}
            for how, count in (("kept", requests), ("fresh", max(20, requests // 4))):
                took: dict[str, list[float]] = {mode: [] for mode in MODES}
                spent = dict.fromkeys(MODES, 0.0)
                for _ in range(rounds):
                    for mode in MODES:
                        times = psutil.Process(processes.get(mode, processes["origin"]).pid)
                        before = sum(times.cpu_times()[:2])
                        proxy = ports.get(mode, 0)
                        took[mode].append(timed(how, ports["origin"], proxy, made[mode], count))
                        spent[mode] += sum(times.cpu_times()[:2]) - before
                for mode in MODES:
                    pairs = zip(took[mode], took["direct"], strict=True)
                    ratio = statistics.median(one / direct for one, direct in pairs)
                    cpu = spent[mode] / rounds / (count + WARMING) * 1000
                    goal = GOALS.get((how, mode))
                    missed = goal is not None and ratio > goal
                    fine = fine and not missed
                    print(
                        f"{how:6} {mode:12} {min(took[mode]):7.3f} ms {ratio:6.2f} x"
                        + (f" {cpu:7.3f} CPU ms of the gateway" if mode != "direct" else "")
                        + ("  MISSED" if missed else "")
                    )
        finally:
            for process in processes.values():
                process.kill()
                process.wait()
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--core", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[given.core % len(cores)]})
    if given.role:
        role, port, folder = given.role
        if role == "origin":
            uvloop.run(origin(int(port), Path(folder)))
        else:
            uvloop.run(gateway(int(port), Path(folder), reads=role == "intercepted"))
        return 0
    fine = bench(given.rounds, given.requests)
    return 1 if given.check and not fine else 0


if __name__ == "__main__":
    sys.exit(main())
