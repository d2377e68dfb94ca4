"""One tenant's load that eats what another is entitled to.

Rules:
1. Goodput is the share of a tenant's logical requests that were admitted in the end, per service.
2. Its share of a service is by weight. What a tenant was entitled to is summed up over the seconds:
   in each no more than it asked for, and no more than its share of what the service gave out, or of
   what it can give out at once; over all no more than its share of everything. So neither a tenant
   that bursts nor one that hammers can claim what nobody could have had.
3. A tenant is exhausted when it stayed within its entitlement and its goodput still is less than
   half of what it is alone, while another got more than its share.
4. Without a baseline only a service whose topology is declared tells, by those shares alone: less
   than half of what was within its entitlement was admitted.
5. The verdict rests on counts and on seconds, not on latencies.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proofrig.checkers._load_figures import SECOND, jain, thinned
from proofrig.checkers._load_requests import NOTES, READS, Request, Requests
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, began, conclude
from proofrig.history.action import Action, Entry

HALF = 0.5
WITHIN = 0.9  # of what it asked for was covered by its share
ABOVE = 1.1  # times its share
LOST = 3  # requests; one or two that were refused are chance
SHOWN = 5


class _Side(msgspec.Struct):
    """What one tenant had of one service. By second: requests that arrived, were admitted."""

    offered: int = 0
    admitted: int = 0
    refused: int = 0
    arrived: dict[int, int] = {}
    let_in: dict[int, int] = {}
    examples: list[Evidence] = []

    @property
    def goodput(self) -> float:
        return min(1.0, self.admitted / self.offered) if self.offered else 1.0

    def add(self, request: Request, action: Action) -> None:
        self.offered += not request.layer
        second = began(action) // SECOND
        self.arrived[second] = self.arrived.get(second, 0) + 1
        if request.admitted:
            self.admitted += 1
            self.let_in[second] = self.let_in.get(second, 0) + 1
        self.refused += request.refused
        if len(self.examples) < SHOWN and (request.refused or request.admitted):
            self.examples.append(_example(action, request))


class _Service(msgspec.Struct):
    """One service and what each tenant had of it. `capacity`: what it can give out at once."""

    declared: bool
    capacity: int = 0
    sides: dict[str, _Side] = {}
    refusals: dict[str, list[Evidence]] = {}

    def add(self, request: Request, action: Action) -> None:
        side = self.sides.get(action.tenant)
        if side is None:
            side = self.sides[action.tenant] = _Side()
        side.add(request, action)
        if request.refused:
            shown = self.refusals.setdefault(action.tenant, [])
            if len(shown) < SHOWN:
                shown.append(_example(action, request))


class TenantExhaustion:
    """A tenant within its share that is refused because another takes more than its own."""

    name: ClassVar[str] = "tenant_exhaustion"
    reads: ClassVar[tuple[str, ...]] = READS
    notes: ClassVar[tuple[str, ...]] = (*NOTES, "trial.begin")
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._requests = Requests()
        self._services: dict[str, _Service] = {}
        self._begun: dict[str, int] = {}
        self._passed: dict[str, int] = {}

    def action(self, action: Action) -> None:
        request = self._requests.read(action)
        if request is None or not action.tenant:
            return
        service = self._services.get(request.service)
        if service is None:
            declared = action.attr("service", request.service) in self._setting.topology
            service = self._services[request.service] = _Service(declared)
        capacity = action.end.attrs.get("capacity", 0) if action.end is not None else 0
        service.capacity = max(service.capacity, int(capacity))
        service.add(request, action)

    def note(self, entry: Entry) -> None:
        self._requests.note(entry)
        if entry.kind != "trial":
            return
        if entry.name == "begin":
            self._begun[entry.tenant] = self._begun.get(entry.tenant, 0) + 1
        elif entry.attrs.get("passed"):
            self._passed[entry.tenant] = self._passed.get(entry.tenant, 0) + 1

    def result(self) -> Checked:
        findings, doubts, crowded = Findings(), [], ""
        for name, service in sorted(self._services.items()):
            if not service.refusals or len(service.sides) < 2:
                continue
            crowded = crowded or self._crowded(name, service)
            for tenant in sorted(service.refusals):
                doubt = self._judge(name, service, tenant, findings)
                if doubt:
                    doubts.append(doubt)
        exposure, measures = self._exposure(), self._measures()
        says = (
            f"{crowded}Jain index {measures['fairness_jain']:.2f}; the worst tenant's goodput is "
            f"{measures['tenant_goodput_ratio']:.0%} of the best's"
        )
        checked = conclude(
            self.name,
            findings,
            exposure,
            wanted="refusals",
            says=says,
            measures=measures,
            series=self._series(),
        )
        if checked.verdict != "valid":
            return checked
        if exposure["tenants"] < 2:
            checked.verdict, checked.says = "unknown", "one tenant alone has nobody to exhaust it"
        elif self._setting.baseline is None:
            why = "; ".join(doubts) or "the shares within the run prove nothing"
            checked.verdict = "unknown"
            checked.says = f"no sequential scenario to compare with, and {why}; {says}"
        return checked

    def _judge(self, name: str, service: _Service, tenant: str, findings: Findings) -> str:
        """Add the finding that `tenant` was exhausted, by rule 3 or 4; or say what is missing."""
        side = service.sides[tenant]
        entitled = self._entitled(service, tenant)
        greedy = self._greedy(service, tenant)
        lost = side.offered - side.admitted
        if not greedy or lost < LOST or entitled < WITHIN * side.offered:
            return ""
        alone = self._alone(name, tenant)
        limit = HALF if alone is None else HALF * alone
        if side.goodput >= limit and not self._failed_too(tenant, side, alone):
            return ""
        if alone is None and not service.declared:
            return f"{name} is not in the topology, so that {tenant} has no declared share of it"
        rule = (
            f"alone {alone:.0%}"
            if alone is not None
            else "by its share of the declared service; there is no sequential scenario"
        )
        other = service.sides[greedy]
        total = sum(one.admitted for one in service.sides.values())
        says = (
            f"{name}: {tenant} asked for {side.offered:,}, within its share of "
            f"{self._share(service, tenant):.0%}, and got {side.admitted:,} ({side.goodput:.0%}; "
            f"{rule}), while {greedy} got {other.admitted / total:.0%} of all with a share of "
            f"{self._share(service, greedy):.0%}. Limit each tenant, or queue fairly by weight"
        )
        taken = [one for one in other.examples if one.says == "admitted"] or other.examples
        findings.add("tenant_exhaustion", says, [*service.refusals[tenant], *taken[:SHOWN]])
        return ""

    def _failed_too(self, tenant: str, side: _Side, alone: float | None) -> bool:
        """Requests were lost, and less than half of the trials ended well that do alone."""
        if alone is None or self._setting.baseline is None or side.goodput >= WITHIN * alone:
            return False
        before = self._setting.baseline.measures.get(f"completed:{tenant}")
        return before is not None and self._completed(tenant) < HALF * before

    def _share(self, service: _Service, tenant: str) -> float:
        weights = self._setting.tenants
        everyone = set(service.sides) | set(weights)
        return weights.get(tenant, 1) / sum(weights.get(one, 1) for one in everyone)

    def _entitled(self, service: _Service, tenant: str) -> float:
        """Requests of the tenant that its share covers: rule 2."""
        share = self._share(service, tenant)
        given: dict[int, int] = {}
        for side in service.sides.values():
            for second, count in side.let_in.items():
                given[second] = given.get(second, 0) + count
        at_once = max(service.capacity, max(given.values(), default=0))
        arrived = service.sides[tenant].arrived
        by_second = sum(
            min(count, share * max(given.get(second, 0), at_once))
            for second, count in arrived.items()
        )
        return min(by_second, share * sum(given.values()))

    def _greedy(self, service: _Service, tenant: str) -> str:
        """The other tenant that got most above its share; "" when none did."""
        total = sum(side.admitted for side in service.sides.values())
        over = {
            one: side.admitted / (total * self._share(service, one))
            for one, side in service.sides.items()
            if one != tenant and side.admitted
        }
        most = max(over, key=lambda one: (over[one], one), default="")
        return most if most and over[most] > ABOVE else ""

    def _alone(self, name: str, tenant: str) -> float | None:
        """Goodput in the sequential scenario: the tenant's, else everyone's."""
        if self._setting.baseline is None:
            return None
        measures = self._setting.baseline.measures
        return measures.get(f"goodput:{name}:{tenant}", measures.get(f"goodput:{name}"))

    def _crowded(self, name: str, service: _Service) -> str:
        """What each tenant could expect of a service that was asked for more than it gave."""
        total = sum(side.admitted for side in service.sides.values())
        offered = sum(side.offered for side in service.sides.values())
        if offered <= total:
            return ""
        shares = ", ".join(
            f"{one} {total * self._share(service, one):.0f}" for one in sorted(service.sides)
        )
        return f"{name} was asked for {offered:,} and gave {total:,} (fair by weight: {shares}); "

    def _completed(self, tenant: str) -> float:
        return self._passed.get(tenant, 0) / max(self._begun.get(tenant, 0), 1)

    def _total(self, tenant: str) -> _Side:
        """A tenant's requests at the services that refused anybody; what is never refused would
        only make all tenants look alike. At all of them where none did."""
        total = _Side()
        every = list(self._services.values())
        for service in [one for one in every if one.refusals] or every:
            if (side := service.sides.get(tenant)) is not None:
                total.offered += side.offered
                total.admitted += side.admitted
                total.refused += side.refused
        return total

    def _tenants(self) -> list[str]:
        return sorted({one for service in self._services.values() for one in service.sides})

    def _exposure(self) -> dict[str, int]:
        totals = [self._total(tenant) for tenant in self._tenants()]
        return {
            "refusals": sum(total.refused for total in totals),
            "tenants": len(totals),
            "requests": sum(total.offered for total in totals),
        }

    def _measures(self) -> dict[str, float]:
        totals = {tenant: self._total(tenant) for tenant in self._tenants()}
        weights = self._setting.tenants
        good = [total.goodput for total in totals.values()]
        best = max(good, default=0.0)
        measures: dict[str, float] = {
            "fairness_jain": jain([t.admitted / weights.get(n, 1) for n, t in totals.items()]),
            "tenant_goodput_ratio": min(good) / best if best else 1.0,
        }
        for tenant, total in totals.items():
            measures |= {
                f"offered:{tenant}": float(total.offered),
                f"admitted:{tenant}": float(total.admitted),
                f"refused:{tenant}": float(total.refused),
                f"goodput:{tenant}": total.goodput,
                f"completed:{tenant}": self._completed(tenant),
            }
        for name, service in sorted(self._services.items()):
            offered = sum(side.offered for side in service.sides.values())
            admitted = sum(side.admitted for side in service.sides.values())
            measures[f"goodput:{name}"] = min(1.0, admitted / offered) if offered else 1.0
            for tenant, side in sorted(service.sides.items()):
                measures[f"goodput:{name}:{tenant}"] = side.goodput
        return measures

    def _series(self) -> dict[str, list[float]]:
        """Requests that arrived and were admitted, by time, for each tenant at each service that
        refused."""
        series: dict[str, list[float]] = {}
        for name, service in sorted(self._services.items()):
            if not service.refusals:
                continue
            seconds = [second for side in service.sides.values() for second in side.arrived]
            for tenant, side in sorted(service.sides.items()):
                for what, counts in (("arrived", side.arrived), ("admitted", side.let_in)):
                    drawn = thinned(counts, min(seconds), max(seconds))
                    series[f"{what}:{name}:{tenant}"] = drawn
        return series


def _example(action: Action, request: Request) -> Evidence:
    says = "admitted" if request.admitted else f"refused: {request.status}"
    return Evidence(began(action), action.name, says, action.id, action.trial, action.tenant)
