"""`python`: a function of the suite judges the evidence.

Rules:
1. `target` is `module:attribute`; the module lives in the suite's folder. The function is called
   with the evidence, and with `args` as keyword arguments.
2. It returns a bool, a score in [0, 1] (passed from `threshold` on), or a `Verdict`. Anything else,
   None included, is a mistake of the check: not measured.
3. Two suites may each have a `checks.py` that imports its own `helpers.py`: a suite's modules are
   seen only while one of them is imported, and leave `sys.modules` afterwards. So a check imports
   its neighbours at the top of its file, not inside a function.
"""

from __future__ import annotations

import importlib
import inspect
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import Field

from proofrig.errors import UsageError
from proofrig.verifiers._values import show
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier

_importing = threading.RLock()
_suites: dict[Path, dict[str, ModuleType]] = {}  # suite folder -> its modules, once imported


class PythonCheck(Verifier):
    """The function `target` accepts the evidence."""

    type: Literal["python"] = "python"
    target: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
    args: dict[str, Any] = Field(default_factory=dict)
    threshold: float = Field(default=1.0, gt=0, le=1)

    def needs(self) -> frozenset[str]:
        return frozenset({"code", "world", "trajectory", "actions", "state"})

    def verify(self, evidence: Evidence) -> Verdict:
        try:
            result = _function(self.target, evidence.suite_dir)(evidence, **self.args)
        except SystemExit as end:
            raise UsageError(f"{self.target} ended the program ({end.code})") from None
        if isinstance(result, Verdict):
            return result
        if isinstance(result, bool):
            return self.verdict(result, expected=f"{self.target} to accept", got=show(result))
        if isinstance(result, int | float) and math.isfinite(result) and 0 <= result <= 1:
            return self.verdict(
                result >= self.threshold,
                expected=f"{self.target} to score at least {self.threshold}",
                got=str(result),
                score=float(result),
            )
        raise UsageError(
            f"expected {self.target} to return a bool, a score in [0, 1] or a Verdict, "
            f"got {result!r:.100}"
        )


def _function(target: str, suite_dir: Path) -> Callable[..., Any]:
    name, _, attribute = target.partition(":")
    found: Any = _module(name, suite_dir.resolve())
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"expected {attribute} in {name}.py of {suite_dir}, found none")
        found = getattr(found, part)
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise UsageError(f"expected {target} to be a plain function, not {found!r:.100}")
    function: Callable[..., Any] = found
    return function


def _module(name: str, suite: Path) -> ModuleType:
    parts = name.split(".")
    places = (suite.joinpath(*parts).with_suffix(".py"), suite.joinpath(*parts, "__init__.py"))
    if not any(place.is_file() for place in places):
        raise UsageError(f"expected the module {name} in the suite, found no {places[0]}")
    with _importing:
        modules = _suites.setdefault(suite, {})
        if name not in modules:
            with _only(suite, modules):
                importlib.import_module(name)
        return modules[name]


@contextmanager
def _only(suite: Path, modules: dict[str, ModuleType]) -> Iterator[None]:
    """Make the suite's modules importable, then take them back into `modules`. What they hide of
    other modules with the same names is put back."""
    own = {path.stem for path in suite.glob("*.py")}
    own |= {path.parent.name for path in suite.glob("*/*.py")}
    hidden = {name: sys.modules.pop(name) for name in _named(own)}
    sys.modules.update(modules)
    sys.path.insert(0, str(suite))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(suite))
        modules.update({name: sys.modules.pop(name) for name in _named(own)})
        sys.modules.update(hidden)


def _named(roots: set[str]) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in roots]
