"""What faults aim at is in the suite."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from proofrig.errors import Problem
from proofrig.gateways.tool_settings import PYTHON_SERVER, McpServerSettings
from proofrig.problems import Origin
from proofrig.scenarios import NAMES
from proofrig.suites.case import Case
from proofrig.suites.suite import Suite, near


def check_faults(
    suite: Suite, origin: Origin, cases: Sequence[tuple[Case, Origin]]
) -> Iterator[Problem]:
    """Problems of the faults of a suite and of its cases. A glob that means nothing can never
    strike, and is most often a slip."""
    known = _known(suite)
    for place, written in enumerate(suite.faults):
        yield from _aimed(written, known, origin, ("faults", place), f"faults[{place}]")
    for case, own in cases:
        for place, written in enumerate(case.faults):
            said = f"faults[{place}]"
            yield from _aimed(written, known, own, ("faults", place), said)
            if written.on.case is not None:
                yield own.problem(
                    f"{said}.on.case: a case's faults strike its own trials",
                    ("faults", place, "on", "case"),
                    hint="leave the key out, or move the fault to the suite's `faults`",
                )


def _known(suite: Suite) -> dict[str, Collection[str]]:
    """What each part of a target can name; a part is missing where that is not known."""
    known: dict[str, Collection[str]] = {
        "tenant": list(suite.tenants),
        "case": [case.id for case in suite.cases],
        "service": [service.name for service in suite.services],
        "scenario": NAMES,
        "server": [
            PYTHON_SERVER,
            *(t.name for t in suite.tools if isinstance(t, McpServerSettings)),
        ],
    }
    tools = [_name_of(tool) for tool in suite.tools]
    if all(tools):
        known["tool"] = tools
    return known


def _name_of(tool: Any) -> str:
    """A tool's name as it is served; "" where only a module or a server that runs knows it."""
    named = getattr(tool, "name", None)
    if isinstance(tool, McpServerSettings) or named:
        return "" if isinstance(tool, McpServerSettings) else str(named)
    return str(getattr(tool, "target", "")).partition(":")[2]


def _aimed(
    written: Any,
    known: dict[str, Collection[str]],
    origin: Origin,
    at: tuple[str | int, ...],
    said: str,
) -> Iterator[Problem]:
    for part, names in known.items():
        wanted = getattr(written.on, part)
        for one in (wanted,) if isinstance(wanted, str) else wanted or ():
            if not any(fnmatchcase(name, one) for name in names):
                yield origin.problem(
                    f"{said}.on.{part}: nothing of the suite is meant by {one!r}",
                    (*at, "on", part),
                    hint=near(one, names),
                )
    service = getattr(written, "service", "")  # of a fault that is about one
    if service and service not in known["service"]:
        yield origin.problem(
            f"{said}.service: the suite has no service {service!r}",
            (*at, "service"),
            hint=near(service, known["service"]),
        )
