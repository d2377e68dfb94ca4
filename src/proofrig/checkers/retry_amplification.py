"""How many requests the service got for each one that agents wanted, and who multiplied them.

Rules:
1. Amplification is requests over logical requests, per service. It is a storm where it is above
   1 + `retry_budget` and the service refused (429, 503, 529): retries then feed what they wait
   for.
2. Fewer than `FLOOR` retries are no storm, however large their share: a budget needs a floor, or
   the first retry of a quiet service would break it.
3. Where nothing was refused, nothing is known of what retries would do.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proofrig.checkers._load_requests import NOTES, READS, REFUSALS, Logical, Request, Requests
from proofrig.checkers.checker import Checked, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

BUDGET = 0.2
FLOOR = 10  # retries
LAYERS = ("sdk", "gateway", "agent", "client")
TOOLS, MODELS = ("tool", "quota"), "llm"  # kinds of services


class _Service(msgspec.Struct):
    """What one service got."""

    kind: str
    wire: int = 0
    first: int = 0
    refused: int = 0
    limited: int = 0  # 429 alone
    by_layer: dict[str, int] = {}
    most: Logical | None = None

    @property
    def logical(self) -> int:
        return max(self.first, 1)

    @property
    def amplification(self) -> float:
        return self.wire / self.logical

    @property
    def retries(self) -> int:
        return self.wire - self.first

    def add(self, request: Request) -> None:
        self.wire += 1
        self.refused += request.refused
        self.limited += request.status == 429
        if not request.layer:
            self.first += 1
        else:
            self.by_layer[request.layer] = self.by_layer.get(request.layer, 0) + 1
        logical = request.logical
        if logical is not None and (self.most is None or logical.count > self.most.count):
            self.most = logical


class RetryAmplification:
    """Retries that multiply the load of a service that already refuses."""

    name: ClassVar[str] = "retry_amplification"
    reads: ClassVar[tuple[str, ...]] = READS
    notes: ClassVar[tuple[str, ...]] = NOTES
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._budget = float(setting.params.get("retry_budget", BUDGET))
        self._alone = setting.baseline
        self._requests = Requests()
        self._services: dict[str, _Service] = {}

    def action(self, action: Action) -> None:
        request = self._requests.read(action)
        if request is not None:
            self._service(request.service, request.kind).add(request)

    def note(self, entry: Entry) -> None:
        self._requests.note(entry)
        if entry.kind == "note" and entry.name == "retry":  # the gateway's own: more went upstream
            service = self._service("llm", "llm")
            service.wire += 1
            service.by_layer["gateway"] = service.by_layer.get("gateway", 0) + 1
            why = str(entry.attrs.get("why", ""))
            service.refused += any(str(status) in why for status in REFUSALS)
            service.limited += "429" in why

    def result(self) -> Checked:
        findings, few = Findings(), []
        for name, service in sorted(self._services.items()):
            if not service.refused or service.amplification <= 1 + self._budget:
                continue
            if service.retries < FLOOR:
                few.append(name)
                continue
            most = service.most
            findings.add("retry_storm", self._says(name, service), most.witness() if most else ())
        measures = self._measures()
        exposure = self._exposure()
        says = (
            f"{exposure['requests']:,} requests for {exposure['logical']:,} logical ones, "
            f"{exposure['rejects']:,} refused; at most {measures['retry_amplification']:.2f} each "
            f"at one service (a storm is above {1 + self._budget:g})"
        )
        checked = conclude(
            self.name, findings, exposure, wanted="rejects", says=says, measures=measures
        )
        if checked.verdict == "valid" and few:
            checked.verdict = "unknown"
            checked.says += f"; {', '.join(few)} is above it with fewer than {FLOOR} retries"
        elif checked.verdict == "unknown":
            checked.says = "nothing was refused, so what retries would do is not known"
        return checked

    def _service(self, name: str, kind: str) -> _Service:
        service = self._services.get(name)
        if service is None:
            service = self._services[name] = _Service(kind)
        return service

    def _says(self, name: str, service: _Service) -> str:
        layers = ", ".join(
            f"{layer} {_of_layer([service], layer):.2f}"
            for layer in LAYERS
            if layer in service.by_layer
        )
        alone = self._alone.measures.get(f"amplification:{name}") if self._alone else None
        before = "" if alone is None else f" (alone {alone:.2f})"
        guess = " (takes that name neither attempt nor tool call are taken for retries of the one"
        guess = f"{guess} refused before)" if service.kind == "quota" else ""
        return (
            f"{name} got {service.wire:,} requests for {service.logical:,} logical ones: "
            f"{service.amplification:.2f} each{before}, at most {1 + self._budget:g} expected "
            f"while it refuses ({service.refused:,} refused); by layer: {layers}; one was tried "
            f"{service.most.count if service.most else 1} times{guess}. Give retries a "
            "budget (10 to 20 % of the traffic), and let one layer alone retry"
        )

    def _counted(self) -> list[_Service]:
        """The services, without what a client's pool saw again where the other side saw it too."""
        there = [service for service in self._services.values() if service.kind != "pool"]
        return there or list(self._services.values())

    def _of(self, *kinds: str) -> list[_Service]:
        """The services of these kinds."""
        return [service for service in self._services.values() if service.kind in kinds]

    def _exposure(self) -> dict[str, int]:
        counted = self._counted()
        return {
            "requests": sum(service.wire for service in counted),
            "tool_requests": sum(service.wire for service in self._of(*TOOLS)),
            "model_requests": sum(service.wire for service in self._of(MODELS)),
            "logical": sum(service.first for service in counted),
            "retries": sum(service.retries for service in counted),
            "rejects": sum(service.refused for service in self._services.values()),
        }

    def _measures(self) -> dict[str, float]:
        every = list(self._services.values())
        measures = {
            "retry_amplification": _worst(every),
            "tool_429_rate": _rate(self._of(*TOOLS)),
            "llm_429_rate": _rate(self._of(MODELS)),
            "max_attempts": float(max((one.most.count for one in every if one.most), default=1)),
            "rejects": float(sum(one.refused for one in every)),
        }
        for layer in LAYERS:
            if any(layer in one.by_layer for one in every):
                measures[f"amplification_{layer}"] = _of_layer(every, layer)
        for name, service in sorted(self._services.items()):
            measures[f"amplification:{name}"] = service.amplification
        return measures


def _of_layer(services: list[_Service], layer: str) -> float:
    """Requests that left a layer over those that came into it. The layers lie on each other: agent
    or client, then SDK, then gateway; so their factors multiply to the whole."""
    out = sum(one.wire for one in services)
    for each in ("gateway", "sdk", "agent", "client"):
        into = out - sum(one.by_layer.get(each, 0) for one in services)
        if each == layer:
            return out / max(into, 1)
        out = into
    return 1.0


def _worst(services: list[_Service]) -> float:
    """Amplification where it is worst, among services that refused and saw enough retries; a mean
    over all would hide a storm at one behind the calm of the others. 1 of none."""
    refusing = [one for one in services if one.refused and one.retries >= FLOOR]
    return max((one.amplification for one in refusing or services), default=1.0)


def _rate(services: list[_Service]) -> float:
    wire = sum(service.wire for service in services)
    return sum(service.limited for service in services) / wire if wire else 0.0
