"""What the runner and the rig say to each other: JSON lines over the rig's stdin and stdout.

Rules:
1. The first line to the rig is its `Plan`; its first line back is `Ready` or `Failed`.
2. `Begin` is answered by `Begun` before the trial's agent starts: no request can outrun it.
3. `End` is answered by `Ended` when the trial's open calls are settled and every entry of the
   trial, its tools' state included, is with the operating system: after it the trial may be
   judged.
4. Processes are the runner's, in boxes that the rig cannot look into: a fault that stops or kills
   them asks with `Strike`, which `Struck` answers.
5. When its stdin closes, the rig settles, flushes and ends. So it never outlives the runner.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from proofrig.anomalies.settings import Settings as WatchSettings
from proofrig.authority.prices import Price
from proofrig.gateways.admission import Approval
from proofrig.gateways.gateway import Binding
from proofrig.gateways.limits import CallLimits
from proofrig.providers.provider import Endpoint
from proofrig.providers.recorded import Mode
from proofrig.wire.turn import Api


class Taping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands between the gateways and the world. record: the folder to record into, "" for
    none. replay: the cassette to replay, "" for none; `mode`, `pace`, `tools`, `ignore`, `scrub`
    say how. suite: what the recording is of. secrets: name -> value that must not be written. anew:
    trials that were recorded in part by an earlier process, and are run anew.
    """

    record: str = ""
    replay: str = ""
    mode: Mode = "strict"
    pace: float = 0.0
    tools: Literal["remote", "all", "none"] = "remote"
    ignore: tuple[str, ...] = ()
    scrub: dict[str, str] = {}
    suite: dict[str, str] = {}
    secrets: dict[str, str] = {}
    anew: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a rig needs to know before the first trial.

    run_dir: where the history goes. origin_ns: `time.monotonic_ns` at the
    run's beginning. endpoints: where each model API is served. tools: tool settings as they came
    from the suite. prices: the price table. policy: rules and limits as written, None where
    there are none. shadow: decisions are noted and not obeyed. approvals: how simulated people
    answer what asks. limits: what gateways hold every trial to. watch: thresholds of the watch over
    every run, None: none. unattributed: what happens to traffic of no trial. port: where to listen;
    0 takes a free one. services: settings of the shared services, their seeds filled. faults: as
    written in the suite, packs unfolded. egress: settings of the egress gateway, None: none.
    taping: what is recorded or replayed, None: nothing. lab: a scenario runs, so that arrivals and
    the loop's lag are written down.
    """

    run_dir: str
    origin_ns: int
    suite_dir: str
    endpoints: dict[Api, Endpoint]
    tools: list[dict[str, Any]] = []
    prices: list[Price] = []
    fallback_price: Price | None = None
    policy: dict[str, Any] | None = None
    shadow: bool = False
    approvals: list[Approval] = []
    limits: CallLimits = CallLimits()
    watch: WatchSettings | None = None
    unattributed: Literal["refuse", "pass"] = "refuse"
    services: list[dict[str, Any]] = []
    faults: list[dict[str, Any]] = []
    egress: dict[str, Any] | None = None
    taping: Taping | None = None
    seed: int = 0
    lab: bool = False
    host: str = "127.0.0.1"
    port: int = 0


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """A trial is about to start; the binding brings the state that its tools start with."""

    binding: Binding


class End(msgspec.Struct, frozen=True, tag="end"):
    """A trial's agent has ended."""

    token: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The rig listens at `port`; its history segment is `segment`. `proxies`: the port of each
    proxy by the name of its service. `egress`: the port of the egress gateway, 0 when there is
    none; `bundle`: the file of certificates that agents need for it, "" when they need none."""

    port: int
    segment: str
    proxies: dict[str, int] = {}
    egress: int = 0
    bundle: str = ""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """Requests of the trial with this token are known from now on."""

    token: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """All of the trial's entries are flushed. `open`: calls that had to be given up as unknown."""

    token: str
    open: int = 0


class Strike(msgspec.Struct, frozen=True, tag="strike"):
    """The rig asks for a signal to the processes of a trial, which are the runner's."""

    token: str
    signal: int
    number: int


class Struck(msgspec.Struct, frozen=True, tag="struck"):
    """So many processes got it."""

    number: int
    processes: int


Kind = Literal["usage", "infra", "harness"]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The rig cannot go on; `kind` says whose fault that is."""

    message: str
    kind: Kind = "harness"


encoder = msgspec.json.Encoder()
plan_decoder = msgspec.json.Decoder(Plan)
order_decoder = msgspec.json.Decoder(Begin | End | Struck)
answer_decoder = msgspec.json.Decoder(Ready | Begun | Ended | Strike | Failed)


def line(message: msgspec.Struct) -> bytes:
    """A message as one line."""
    return encoder.encode(message) + b"\n"
