"""A suite's Python modules, loaded apart from everything else in the process.

Rules:
1. The modules of a folder live under a private package name, so two suites may both have a
   `tools.py`, and a suite's `json.py` shadows nothing of ours.
2. Inside them `import helpers` finds the sibling `helpers.py` first, whenever it runs, as it would
   if the folder led `sys.path`.
3. Nothing is written into the folder.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "_proofrig_suite_"


def load_module(folder: Path, name: str) -> ModuleType:
    """The module `name` (dotted) of `folder`, else the installed one. Raises what the import
    raises."""
    package = _package(folder)
    if _is_sibling(package, name):
        return importlib.import_module(f"{package}.{name}")
    return importlib.import_module(name)


def _package(folder: Path) -> str:
    folder = folder.resolve()
    name = PREFIX + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        if not any(isinstance(finder, _SuiteFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _SuiteFinder())
    return name


def _is_sibling(package: str, name: str) -> bool:
    head = name.partition(".")[0]
    spec = PathFinder.find_spec(head, sys.modules[package].__path__)
    if spec is None:
        return False
    if spec.origin is not None:
        return True
    # A folder without __init__.py yields to any installed module, as it does in Python.
    return head not in sys.modules and PathFinder.find_spec(head) is None


class _SuiteFinder:
    """Finds modules below a private package, and loads them with an import of their own."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(PREFIX):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _SuiteLoader(spec.loader.name, spec.loader.path)
        return spec


class _SuiteLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        module.__dict__["__builtins__"] = _builtins_for(package)
        super().exec_module(module)

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Compiled files would be written into the suite's folder."""


def _builtins_for(package: str) -> dict[str, Any]:
    def import_sibling_first(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and _is_sibling(package, name):
            found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist, 0)
            if fromlist:
                return found
            head: ModuleType = sys.modules[f"{package}.{name.partition('.')[0]}"]
            return head
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    return {**vars(builtins), "__import__": import_sibling_first}
