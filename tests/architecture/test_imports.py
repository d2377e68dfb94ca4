"""Imports only go down the floors; there are no circles; the two wings never meet."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from proofrig.checkers import MODULES
from proofrig.faults import MODULES as FAULTS

SRC = Path(__file__).parents[2] / "src" / "proofrig"

# From the ground up; docs/architecture.md draws the same floors.
FLOORS = [
    {"errors", "stats"},
    {
        *("history", "wire", "sandboxes", "plugins", "yaml12", "problems", "places", "thresholds"),
        *("canaries", "observers", "anomalies", "branches", "figures"),
    },
    {
        *("authority", "faults", "providers", "services", "agents", "verifiers", "checkers"),
        *("rulings", "cassettes", "resources", "images"),
    },
    {"gateways", "scenarios", "results"},
    {"suites", "rig", "comparisons", "store"},
    {"trials"},
    {"adaptive", "baselining"},
    {"gating"},
    {"conclusion"},
    {"watching"},
    {"evaluation", "reports"},
    {"rescore", "demo"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

LIVE = {
    *("wire", "sandboxes", "authority", "faults", "providers", "services", "agents", "verifiers"),
    *("gateways", "scenarios", "suites", "rig", "trials", "cassettes", "images"),
}
JUDGING = {
    "checkers",
    "stats",
    "rulings",
    "resources",
    "results",
    "comparisons",
    "store",
    "reports",
}
FAMILIES = {
    *("faults", "providers", "sandboxes", "agents", "verifiers", "scenarios", "checkers"),
    *("services", "observers"),
}

# A third-party package may be imported only where it is needed.
ONLY_IN = {
    "aiohttp": {"gateways", "providers", "agents", "rig", "observers", "authority"},
    "mcp": {"gateways", "agents"},
    "sqlalchemy": {"store"},
    "click": {"cli"},
    "rich": {"cli", "reports", "demo"},
    "jinja2": {"reports", "providers"},
    "yaml": {"yaml12"},
    "jsonschema": {"verifiers", "gateways"},
    "zstandard": {"history"},
    "ahocorasick": {"canaries"},
    "cryptography": {"gateways"},
    "numpy": {"stats"},
    "scipy": {"stats"},
}


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def place(path: Path) -> str:
    """The folder or file right below the package: a noun of the layout."""
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> list[tuple[str, bool, bool]]:
    """Imported names of a file: (dotted name, at import time, for types only)."""
    found: list[tuple[str, bool, bool]] = []

    def visit(node: ast.AST, at_import: bool, types_only: bool) -> None:
        for child in ast.iter_child_nodes(node):
            lazy = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            typing = types_only or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            if isinstance(child, ast.Import):
                found.extend((alias.name, at_import, types_only) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and child.level == 0:
                for alias in child.names:
                    found.append((f"{child.module}.{alias.name}", at_import, types_only))
            visit(child, at_import and not lazy, typing)

    visit(ast.parse(path.read_text()), True, False)
    return found


def internal(path: Path) -> set[str]:
    """The places of the package that a file imports, in any way."""
    names = {name for name, _, _ in imports(path) if name.startswith("proofrig.")}
    return {name.split(".")[1] for name in names if name.split(".")[1] in FLOOR}


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_only_go_down(path: Path) -> None:
    own = place(path)
    if own == "__init__":
        return
    assert own in FLOOR, f"{own} has no floor: give it one here and in docs/architecture.md"
    upward = {name for name in internal(path) if name != own and FLOOR[name] >= FLOOR[own]}
    assert not upward, f"{dotted(path)} imports {upward}, which are not below it"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_the_live_wing_and_the_judging_wing_never_meet(path: Path) -> None:
    own = place(path)
    other = JUDGING if own in LIVE else LIVE if own in JUDGING else set()
    assert not internal(path) & other


def test_history_imports_only_errors() -> None:
    for path in (SRC / "history").glob("*.py"):
        assert internal(path) <= {"history", "errors"}, path.name


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_members_of_a_family_do_not_import_each_other(family: str) -> None:
    folder = SRC / family
    if not folder.is_dir():
        return
    members = {path.stem for path in folder.glob("*.py")} & MEMBERS[family]
    for member in members:
        for name, _, _ in imports(folder / f"{member}.py"):
            if name.startswith(f"proofrig.{family}."):
                assert name.split(".")[2] not in members - {member}, f"{member} imports {name}"


# The members of each family: what a user can choose. Their helpers are not members.
MEMBERS = {
    "agents": {"python", "command", "http", "probe", "null", "reference"},
    "providers": {"simulated", "upstream", "recorded"},
    "sandboxes": {"process", "namespace", "container", "gvisor", "vm"},
    "verifiers": {
        *("exact", "contains", "regex", "numeric", "json_schema", "json_subset", "file_state"),
        *("command", "sql_state", "trajectory", "claim", "protected_paths", "python"),
    },
    "faults": set(FAULTS),
    "services": {"kv", "lock", "semantic_cache", "queue", "quota"},
    "observers": {"kv", "cache", "lock", "files", "httpx_transport", "aiohttp_trace", "results"},
    "scenarios": {
        *("sequential", "burst", "ramp", "drain", "interleaved", "tenant_probe", "long_stream"),
        *("crash_mid_write", "out_of_order", "used_environment"),
    },
    "checkers": set(MODULES),
}


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_third_party_packages_stay_where_they_are_needed(path: Path) -> None:
    for name, _, types_only in imports(path):
        package = name.split(".")[0]
        if package in ONLY_IN and not types_only:
            assert place(path) in ONLY_IN[package], f"{dotted(path)} imports {package}"


def test_there_is_no_circle() -> None:
    known = {dotted(path): path for path in modules()}

    def targets(path: Path) -> set[str]:
        found = set()
        for name, at_import, types_only in imports(path):
            if not at_import or types_only:
                continue
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != dotted(path):
                found.add(target)
        return found

    graph = {name: targets(path) for name, path in known.items()}
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                walk(target, [*trail, name])
            done.add(name)

    for name in graph:
        walk(name, [])


def test_a_run_starts_without_what_few_runs_need() -> None:
    """Each costs a tenth of a second and more of every start."""
    needless = ["numpy", "scipy", "sklearn", "aiohttp.web"]
    code = f"import sys; sys.modules.update(dict.fromkeys({needless})); import proofrig.evaluation"
    subprocess.run([sys.executable, "-c", code], check=True)
