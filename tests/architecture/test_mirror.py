"""Every source file has its test file, and every test file its source."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC, TESTS = ROOT / "src" / "proofrig", ROOT / "tests"
APART = {"architecture", "properties", "end_to_end", "data", "specimens", "ci", "security"}

# Shown by the tests of what they serve, named here.
COVERED = {
    "rig/process": "end_to_end/test_run",
    "rig/shared": "end_to_end/test_scenarios",
    "services/redis": "end_to_end/test_redis_suite",
    "rig/protocol": "end_to_end/test_run",
    "rig/link": "end_to_end/test_run",
    "trials/stage": "end_to_end/test_run",
    "trials/boxing": "end_to_end/test_isolation",
    "trials/reusing": "end_to_end/test_isolation",
    "trials/rigging": "end_to_end/test_run",
    "sandboxes/guest/agent": "sandboxes/test_vm",
    "sandboxes/guest/places": "sandboxes/test_vm",
    "sandboxes/qemu/box": "sandboxes/test_vm",
    "sandboxes/qemu/machine": "sandboxes/test_vm",
    "trials/trial": "end_to_end/test_run",
    "evaluation": "end_to_end/test_run",
    "conclusion": "end_to_end/test_run",
    "cli/compare": "end_to_end/test_comparisons",
    "cli/gate": "end_to_end/test_comparisons",
    "rescore": "end_to_end/test_run",
    "store/tables": "store/test_store",
    "gateways/tap_command": "gateways/test_mcp_stdio",
    "agents/shared_host": "agents/test_shared",
    **{
        f"cli/{verb}": "end_to_end/test_cli"
        for verb in (
            *("conclusion", "doctor", "init", "list", "report", "rescore", "resume", "run"),
            *("show", "validate", "options"),
        )
    },
    "cli/demo": "end_to_end/test_demo",
    "demo/show": "end_to_end/test_demo",
    **{
        f"demo/suites/{part}": "end_to_end/test_demo"
        for part in ("agent", "models", "refiner", "tools")
    },
    "history/format": "history/test_history",
    "history/archive": "history/test_history",
    "history/action": "history/test_history",
}


def has_code(path: Path) -> bool:
    """Something to test: a function whose body is more than words. A contract has none."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            words = [n for n in node.body if isinstance(n, ast.Expr)]
            if any(not isinstance(n.value, ast.Constant) for n in words):
                return True
            if len(words) < len(node.body):
                return True
    return False


def test_every_source_file_has_its_test() -> None:
    missing = []
    for path in sorted(SRC.rglob("*.py")):
        relative = path.relative_to(SRC)
        name = str(relative.with_suffix(""))
        if relative.name.startswith("_") or not has_code(path):
            continue  # a shared part, named with an underscore, is shown by those that share it
        mirrored = TESTS / relative.parent / f"test_{relative.stem}.py"
        covered = COVERED.get(name)
        if not mirrored.exists() and not (covered and (TESTS / f"{covered}.py").exists()):
            missing.append(name)
    assert missing == []


def test_every_test_file_has_its_source() -> None:
    stray = []
    for path in sorted(TESTS.rglob("test_*.py")):
        relative = path.relative_to(TESTS)
        if relative.parts[0] in APART:
            continue
        stem = relative.stem.removeprefix("test_")
        folder = SRC / relative.parent
        names = (
            folder / f"{stem}.py",
            folder.parent / stem / "__init__.py",
            folder / stem / "__init__.py",
            folder / f"__{stem}__.py",
        )
        if not any(name.exists() for name in names):
            stray.append(str(relative))
    assert stray == []
