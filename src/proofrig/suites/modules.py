"""Whether the modules that a suite names can be found, without running any of the user's code.

Rules:
1. Only files are looked for: importing a package runs it, so each part of a dotted name is followed
   by hand.
2. What cannot be known (another interpreter's packages, a PYTHONPATH of the agent's own) is no
   problem here; the run says it when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from proofrig.agents.python import PythonAgentSettings
from proofrig.errors import Problem
from proofrig.gateways.tool_settings import PythonToolSettings
from proofrig.problems import Origin, shown_path
from proofrig.suites.suite import Suite, near


def check_modules(suite: Suite, origin: Origin, directory: Path) -> Iterator[Problem]:
    """Problems of the modules that the agent and the tools are in."""
    agent = suite.agent
    if isinstance(agent, PythonAgentSettings) and not (
        agent.interpreter or "PYTHONPATH" in agent.env
    ):
        folders = [directory, *(directory / path for path in agent.path)]
        if said := missing(agent.target, folders):
            yield origin.problem(f"agent.target: {said[0]}", ("agent", "target"), hint=said[1])
    for place, tool in enumerate(suite.tools):
        if isinstance(tool, PythonToolSettings) and (said := missing(tool.target, [directory])):
            at = ("tools", place, "target")
            yield origin.problem(f"tools[{place}].target: {said[0]}", at, hint=said[1])


def missing(target: str, folders: Sequence[Path]) -> tuple[str, str] | None:
    """What is said of a `module:attribute` whose module is neither in `folders` nor installed, and
    what was probably meant; None when it is there."""
    name = target.partition(":")[0]
    head, *rest = name.split(".")
    spec = _top(head, [str(folder) for folder in folders])
    if spec is not None and _follow(spec, rest):
        return None
    shown = " or ".join(shown_path(folder) or "." for folder in folders)
    there = {module for folder in folders for module in _modules(folder)}
    return f"there is no module {name!r} in {shown}, and none is installed", near(name, there)


def _top(head: str, folders: list[str]) -> ModuleSpec | None:
    """Where a name without dots is found; a top-level search runs nothing."""
    try:
        return PathFinder.find_spec(head, folders) or find_spec(head)
    except ValueError:  # a module that says nothing of its origin, such as __main__
        return None


def _follow(spec: ModuleSpec | None, rest: Sequence[str]) -> bool:
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return False
        spec = PathFinder.find_spec(f"{spec.name}.{part}", list(spec.submodule_search_locations))
    return spec is not None


def _modules(folder: Path) -> Iterator[str]:
    """The modules that lie in a folder, and those of its packages."""
    for path in sorted(folder.glob("*.py")):
        yield path.stem
    for path in sorted(folder.glob("*/__init__.py")):
        yield path.parent.name
        yield from (
            f"{path.parent.name}.{one.stem}" for one in sorted(path.parent.glob("[!_]*.py"))
        )
