"""One tenant fills caches and memories with what is its own; the others ask for it in a thousand
other words, and get none of it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.errors import UsageError
from proofrig.scenarios.mutations import CONTROLS, OPERATORS, campaign
from proofrig.scenarios.scenario import (
    Casting,
    Count,
    Facts,
    FactsOfCase,
    Phase,
    Scenario,
    Start,
    draw,
)


class TenantProbe(Scenario):
    """`fill`: every case once, by the owner. `probe`: `probes` mutated phrasings of what the owner
    asked, and `controls` questions that have nothing to do with it, by the other tenants, `agents`
    at a time."""

    name: ClassVar[str] = "tenant_probe"
    needs: ClassVar[tuple[str, ...]] = ("tenant_bleed",)

    agents: Count = 16
    owner: str = Field(default="", description="The tenant with the secrets; default: the first.")
    probes: Count = Field(default=200, description="Mutated questions.")
    controls: int = Field(default=30, ge=0, description="Unrelated questions.")
    operators: tuple[str, ...] = Field(
        default=(), description=f"Of {', '.join(OPERATORS)}; none: all."
    )

    def phases(self, facts: Facts) -> list[Phase]:
        owner = self.owner or next(iter(facts.tenants))
        others = {name: weight for name, weight in facts.tenants.items() if name != owner}
        self._check(owner, others, facts)
        cases = self.chosen(facts)
        filling = Casting(self.name, facts)
        fill = tuple(filling.start(case, owner, part="fill") for case in cases)
        probing = Casting(self.name, Facts(facts.cases, others, facts.seed))
        probing.go_on(filling)
        probes = [*self._probes(probing, cases, facts), *self._controls(probing, cases)]
        probes.sort(key=lambda start: draw(facts.seed, "order", start.trial))
        return [
            Phase(name="fill", starts=fill, workers=self.agents),
            Phase(name="probe", starts=tuple(probes), workers=self.agents),
        ]

    def _probes(self, casting: Casting, cases: list[FactsOfCase], facts: Facts) -> list[Start]:
        texts = [case.prompt for case in cases]
        return [
            casting.start(
                cases[probe.of],
                role="helper",
                part="probe",
                task=probe.text,
                imitates=cases[probe.of].id,
                operator=probe.operator,
            )
            for probe in campaign(texts, self.probes, facts.seed, self.operators or None)
        ]

    def _controls(self, casting: Casting, cases: list[FactsOfCase]) -> list[Start]:
        return [
            casting.start(
                cases[place % len(cases)],
                role="helper",
                part="control",
                task=CONTROLS[place % len(CONTROLS)],
                operator="control",
            )
            for place in range(self.controls)
        ]

    def _check(self, owner: str, others: dict[str, int], facts: Facts) -> None:
        if owner not in facts.tenants:
            known = ", ".join(facts.tenants)
            raise UsageError(
                f"scenario tenant_probe: expected one of the tenants {known} as owner, "
                f"got {owner!r}; correct `scenarios.tenant_probe.owner`"
            )
        if not others:
            raise UsageError(
                f"scenario tenant_probe: expected two or more tenants, got only {owner}; list them "
                "under `tenants`, or run with `--tenants 2`"
            )
        for operator in self.operators:
            if operator not in OPERATORS:
                raise UsageError(
                    f"scenario tenant_probe: expected operators of {', '.join(OPERATORS)}, "
                    f"got {operator!r}"
                )
