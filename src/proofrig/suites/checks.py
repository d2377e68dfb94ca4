"""What must hold between the parts of a suite, and between a suite and its files.

Rules:
1. Every case verifies something, and something that is there; ids are unique; tenants and
   servers that cases name are declared.
2. Every file that a suite names is there, inside the suite's folder, and can be read.
3. Everything is looked at; each problem stands where the user can mend it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from proofrig.authority.globs import matcher
from proofrig.authority.rules import check_policy
from proofrig.canaries.canary import fill
from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.problems import Origin, shown_path
from proofrig.problems import Path as At
from proofrig.providers.recorded import RecordedSettings
from proofrig.providers.simulated import SimulatedSettings
from proofrig.services.service import EVERYONE
from proofrig.suites.case import Case
from proofrig.suites.constraints import read_constraints
from proofrig.suites.lanes import unmet
from proofrig.suites.suite import Suite, near
from proofrig.suites.world import is_sql_file

# Fields of verifiers that name a file of the suite.
_FILE_FIELDS = ("equals_file", "after", "equals", "schema_")
# What a verifier reads of the world -> how a case comes to have it.
_HINTS = {
    "world": "add `world:` to the case; `world: {}` is an empty folder, `state` alone makes none",
    "state": "add `state:` to the case's `world`; `state: {}` is an empty one",
}

Known = Sequence[tuple[Case, Origin]]


def check_suite(suite: Suite, origin: Origin, directory: Path) -> Iterator[Problem]:
    """Problems of everything but the cases."""
    model = suite.model
    if isinstance(model, SimulatedSettings) and model.script is not None:
        yield from _file(model.script, directory, origin, ("model", "script"), _read_script)
    if isinstance(model, RecordedSettings):
        yield from _recording(model, origin, directory)
    if isinstance(suite.prices, str):
        yield from _file(suite.prices, directory, origin, ("prices",), _read_prices)
    if isinstance(suite.constraints, str):
        yield from _file(suite.constraints, directory, origin, ("constraints",), read_constraints)
    yield from _policy(suite, origin, directory)
    yield from _approvals(suite, origin)
    names: dict[str, int] = {}
    for place, tool in enumerate(suite.tools):
        name = getattr(tool, "name", None)
        if name is not None and names.setdefault(name, place) != place:
            yield origin.problem(
                f"tools[{place}]: the name {name!r} is taken by tools[{names[name]}]",
                ("tools", place, "name"),
                hint="give each tool and server a name of its own",
            )
    yield from _services(suite, origin)
    for place, service in enumerate(suite.services):
        seed = service.model_dump(mode="json").get("seed")
        yield from _placeholders(seed, f"services[{place}]", origin, ("services", place, "seed"))


def _recording(model: RecordedSettings, origin: Origin, directory: Path) -> Iterator[Problem]:
    """Of a suite whose model is a recording: it is there, and nothing is to go out."""
    if not model.at(directory).is_dir():
        yield origin.problem(
            f"model: expected the folder of a recording, found no {model.cassette!r}",
            ("model", "cassette"),
            hint="`proofrig record` makes one, in the folder `cassette` of its run",
        )
    if model.mode != "strict":
        written = model.mode.replace("_", "-")
        yield origin.problem(
            f"model: expected mode strict, got {model.mode}: calls would go out, and this suite "
            "names no model that answers them",
            ("model", "mode"),
            hint=f"name that model here, and run with `--replay {model.cassette} --mode {written}`",
        )


def _services(suite: Suite, origin: Origin) -> Iterator[Problem]:
    """Names of services are their own, and tools name services that are there."""
    first: dict[str, int] = {}
    for place, service in enumerate(suite.services):
        taken = first.setdefault(service.name, place)
        if taken != place or service.name in suite.topology:
            by = f"services[{taken}]" if taken != place else f"topology.{service.name}"
            yield origin.problem(
                f"services[{place}]: the name {service.name!r} is taken by {by}",
                ("services", place, "name"),
                hint="give each thing that agents share a name of its own",
            )
        for tenant in getattr(service, "seed", {}):
            if tenant != EVERYONE and tenant not in suite.tenants:
                yield origin.problem(
                    f"services[{place}].seed: the tenant {tenant!r} is not declared",
                    ("services", place, "seed", tenant),
                    hint=near(tenant, [*suite.tenants, EVERYONE]),
                )
    for place, tool in enumerate(suite.tools):
        wanted = getattr(tool, "service", None)
        if wanted is not None and wanted not in first:
            yield origin.problem(
                f"tools[{place}]: there is no service {wanted!r}",
                ("tools", place, "service"),
                hint=near(wanted, first),
            )


def check_lanes(suite: Suite, origin: Origin) -> Iterator[Problem]:
    """What lanes name in vain; `suite` has all its cases."""
    for name, lane in suite.lanes.items():
        for key, said in unmet(lane, suite):
            yield origin.problem(f"lanes.{name}: {said}", ("lanes", name, key))


def check_scenarios(suite: Suite, origin: Origin) -> Iterator[Problem]:
    """What scenarios name is in the suite, whose cases are listed."""
    facts = suite.facts()
    known = [case.id for case in facts.cases]
    known += [f"tag:{tag}" for tag in sorted({tag for case in facts.cases for tag in case.tags})]
    for name in suite.scenarios.declared():
        scenario = suite.scenarios.of(name)
        for key, wanted in scenario.unmet(facts):
            yield origin.problem(
                f"scenarios.{name}.{key}: no case is meant by {wanted!r}",
                ("scenarios", name, key),
                hint=near(wanted, known),
            )
        owner = getattr(scenario, "owner", "")
        if owner and owner not in suite.tenants:
            yield origin.problem(
                f"scenarios.{name}.owner: the tenant {owner!r} is not declared",
                ("scenarios", name, "owner"),
                hint=near(owner, suite.tenants),
            )


def check_cases(
    cases: Known,
    directory: Path,
    *,
    tenants: Sequence[str] | None = None,
    servers: Sequence[str] | None = None,
    verified: bool = False,
) -> Iterator[Problem]:
    """Problems of the cases. `tenants`, `servers`: the names declared, None when that is not
    known. `verified`: verifiers may come from defaults that are not known."""
    first: dict[str, Origin] = {}
    there = _Files(directory)
    for case, origin in cases:
        earlier = first.setdefault(case.id, origin)
        if earlier is not origin:
            line, _ = earlier.document.at((*earlier.path, "id"))
            where = f"{earlier.document.file}:{line}" if line else "an earlier case"
            yield origin.problem(
                f"the id {case.id!r} is taken by {where}", ("id",), hint="give each case its own id"
            )
        if not case.verify and not verified:
            yield origin.problem(
                "the case verifies nothing, so every agent would pass it",
                hint="add `verify:` to the case, or to `defaults`",
            )
        if case.tenant is not None and tenants is not None and case.tenant not in tenants:
            said = f"the tenant {case.tenant!r} is not declared"
            yield origin.problem(said, ("tenant",), hint=near(case.tenant, tenants))
        yield from _placeholders(case.model_dump(mode="json", by_alias=True), "", origin, ())
        yield from _world(case, origin, there)
        yield from _reference(case, origin, servers)
        for place, verifier in enumerate(case.verify):
            yield from _named_files(verifier, origin, ("verify", place), there)


def _placeholders(value: Any, what: str, origin: Origin, at: At) -> Iterator[Problem]:
    """Canaries that a text asks for can be read."""
    try:
        fill(value, "", 0)
    except UsageError as error:
        yield origin.problem(f"{what}: {error}" if what else str(error), at)


def _reference(case: Case, origin: Origin, servers: Sequence[str] | None) -> Iterator[Problem]:
    for place, call in enumerate(case.reference.calls if case.reference else ()):
        if call.server is not None and servers is not None and call.server not in servers:
            yield origin.problem(
                f"reference.calls[{place}]: there is no MCP server {call.server!r} under tools",
                ("reference", "calls", place, "server"),
                hint=near(call.server, servers),
            )


def _world(case: Case, origin: Origin, there: _Files) -> Iterator[Problem]:
    given = _given(case)
    for place, verifier in enumerate(case.verify):
        needs = verifier.needs()
        if "code" in needs:
            continue  # it may read the answer alone
        for part in sorted((needs & _HINTS.keys()) - given):
            what = "a folder of the world" if "state" in given else f"the {part}"
            yield origin.problem(
                f"verify[{place}] reads {what}, and the case has none",
                ("verify", place),
                hint=_HINTS[part],
            )
    if case.world is None:
        return
    if case.world.files_from is not None:
        said = there.folder(case.world.files_from)
        if said:
            yield origin.problem(said, ("world", "files_from"))
    for name, parts in case.world.databases.items():
        for place, part in enumerate(parts):
            if is_sql_file(part) and (said := there.file(part)):
                yield origin.problem(said, ("world", "databases", name, place))


def _given(case: Case) -> set[str]:
    """What the case has of that which verifiers read: a world's folder, its tools' state."""
    if case.world is None:
        return set()
    given = {"world"} if case.world.has_folder else set()
    return given if case.world.state is None else given | {"state"}


def _named_files(value: Any, origin: Origin, path: At, there: _Files) -> Iterator[Problem]:
    """Problems of the suite files that a verifier names, at any depth."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            part = getattr(value, name)
            at = (*path, field.alias or name)
            if isinstance(part, str):
                wanted = name == "equals_file" or (name == "schema_")
                wanted = wanted or (name in _FILE_FIELDS and is_sql_file(part))
                if wanted and part and (said := there.file(part)):
                    yield origin.problem(said, at)
            elif not isinstance(part, str | int | float | bool | None):
                yield from _named_files(part, origin, at, there)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(part, BaseModel):
                yield from _named_files(part, origin, (*path, key), there)
    elif isinstance(value, tuple | list):
        for place, part in enumerate(value):
            if isinstance(part, BaseModel):
                yield from _named_files(part, origin, (*path, place), there)


class _Files:
    """Whether the suite's files are there; each name is looked at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._real = os.path.realpath(directory)
        self._said: dict[str, str] = {}

    def file(self, name: str) -> str:
        """What is wrong with a file name, or ""."""
        if name not in self._said:
            self._said[name] = self._look(name, "file", os.path.isfile)
        return self._said[name]

    def folder(self, name: str) -> str:
        """What is wrong with a folder's name, or with links in it, or ""."""
        key = f"{name}/"
        if key not in self._said:
            self._said[key] = self._look(name, "folder", os.path.isdir) or self._links(name)
        return self._said[key]

    def _look(self, name: str, what: str, test: Callable[[str], bool]) -> str:
        path = os.path.realpath(os.path.join(self._directory, name))
        if not path.startswith(self._real + os.sep):
            return f"expected a {what} inside the suite's folder, got {name!r}"
        if not test(path):
            return f"there is no {what} {name!r} in {self._directory}"
        return ""

    def _links(self, name: str) -> str:
        for parent, folders, files in os.walk(os.path.join(self._directory, name)):
            for entry in sorted((*folders, *files)):
                path = os.path.join(parent, entry)
                if os.path.islink(path):
                    shown = os.path.relpath(path, self._directory)
                    return f"links are not copied into a world, got {shown!r}; put the file there"
        return ""


def _file(
    name: str, directory: Path, origin: Origin, at: At, read: Callable[[Path], Any]
) -> Iterator[Problem]:
    """Problems of a file that the suite names, or of what it holds."""
    if said := _Files(directory).file(name):
        yield origin.problem(f"{'.'.join(map(str, at))}: {said}", at)
        return
    try:
        read(Path(shown_path(directory / name)))
    except SuiteError as error:
        yield from error.problems
    except UsageError as error:
        yield origin.problem(str(error), at)


def _read_script(path: Path) -> None:
    from proofrig.providers.script_file import load_script  # its template engine is heavy

    load_script(path)


def _policy(suite: Suite, origin: Origin, directory: Path) -> Iterator[Problem]:
    if isinstance(suite.policy, str):
        yield from _file(suite.policy, directory, origin, ("policy",), _read_policy)
    elif suite.policy is not None:
        yield from check_policy(
            suite.policy, Origin(origin.document, (*origin.path, "policy"), "policy")
        )


def _approvals(suite: Suite, origin: Origin) -> Iterator[Problem]:
    """Answers to rules that no policy has: what asks would wait for nobody."""
    try:
        policy = suite.whole_policy()
    except SuiteError:
        return  # told where the policy is read
    asking = [rule.name for rule in policy.rules if rule.ask] if policy else []
    for place, one in enumerate(suite.authority.approvals):
        if one.rule != "*" and not any(map(matcher([one.rule]), asking)):
            said = (
                f"authority.approvals[{place}]: expected a glob on rules that ask, got {one.rule!r}"
            )
            at = ("authority", "approvals", place, "rule")
            yield origin.problem(said, at, hint=near(one.rule, asking))


def _read_policy(path: Path) -> None:
    from proofrig.authority.policy import load_policy

    load_policy(path)


def _read_prices(path: Path) -> None:
    from proofrig.authority.prices import load_prices

    load_prices(path)
