"""Scenarios: one file each, a launch pattern x faults x tenants x a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proofrig.errors import UsageError
from proofrig.scenarios.burst import Burst
from proofrig.scenarios.crash_mid_write import CrashMidWrite
from proofrig.scenarios.drain import Drain
from proofrig.scenarios.interleaved import Interleaved
from proofrig.scenarios.long_stream import LongStream
from proofrig.scenarios.out_of_order import OutOfOrder
from proofrig.scenarios.ramp import Ramp
from proofrig.scenarios.scenario import Scenario, Settings
from proofrig.scenarios.sequential import Sequential
from proofrig.scenarios.tenant_probe import TenantProbe
from proofrig.scenarios.used_environment import UsedEnvironment

ALL = "all"


class Scenarios(Settings):
    """Parameters of scenarios, as a suite writes them; a scenario it does not name has defaults."""

    sequential: Sequential | None = None
    burst: Burst | None = None
    ramp: Ramp | None = None
    drain: Drain | None = None
    interleaved: Interleaved | None = None
    tenant_probe: TenantProbe | None = None
    long_stream: LongStream | None = None
    crash_mid_write: CrashMidWrite | None = None
    out_of_order: OutOfOrder | None = None
    used_environment: UsedEnvironment | None = None

    def declared(self) -> list[str]:
        """The names that the suite gives parameters for."""
        return [name for name in NAMES if getattr(self, name) is not None]

    def of(self, name: str) -> Scenario:
        """The scenario of this name, with the suite's parameters or the defaults."""
        given: Scenario | None = getattr(self, name)
        return given if given is not None else _DEFAULTS[name]


_DEFAULTS: dict[str, Scenario] = {
    kind.name: kind()
    for kind in (
        *(Sequential, Burst, Ramp, Drain, Interleaved, TenantProbe),
        *(LongStream, CrashMidWrite, OutOfOrder, UsedEnvironment),
    )
}
NAMES = tuple(_DEFAULTS)


def chosen_scenarios(
    settings: Scenarios, names: Iterable[str], *, agents: int | None = None, alone: bool = True
) -> list[Scenario]:
    """The scenarios to run, in the order of `NAMES`; `all` means those the suite declares.

    agents: instead of each one's own. alone: run the sequential one too, their baseline. Raises
    UsageError for a name that is none.
    """
    wanted = set(_wanted(settings, names))
    if wanted and alone:
        wanted.add(Sequential.name)
    found = [settings.of(name) for name in NAMES if name in wanted]
    if agents is None:
        return found
    return [one if isinstance(one, Sequential) else one.with_agents(agents) for one in found]


def _wanted(settings: Scenarios, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name == ALL:
            declared = settings.declared()
            if not declared:
                raise UsageError(
                    "expected the suite to declare scenarios, it has none; write for example "
                    f"`scenarios: {{burst: {{}}}}`, or name some of {', '.join(NAMES)}"
                )
            yield from declared
        elif name in NAMES:
            yield name
        else:
            from difflib import get_close_matches

            close = get_close_matches(name, NAMES, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(NAMES)}"
            raise UsageError(f"there is no scenario {name!r}; {hint}")
