"""Switches observation on inside an agent's interpreter.

Loaded by `host.py` before the agent is imported: standard library only, Python 3.9+.

Rules:
1. `import proofrig.observers` works in any agent: from proofrig where that is installed, else from
   the files beside this one. An agent with its wrappers in runs wherever it ran.
2. Clients are patched when the agent imports them: httpx, httpx2 and aiohttp tell of their pools
   where there is a history to tell it to; redis-py names the trial of each command to the rig's
   own Redis ports (PROOFRIG_REDIS_<NAME>_URL), and to no other server.
3. What is not imported costs nothing.
"""

from __future__ import annotations

import os
import sys
import threading

TYPE_CHECKING = False  # importing typing costs every isolated trial 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = "proofrig"
OBSERVERS = PACKAGE + ".observers"


def _pools(home: str) -> Callable[[Any], None]:
    def patch(module: Any) -> None:
        from importlib import import_module

        import_module(f"{OBSERVERS}.{home}").patch(module)

    return patch


def _redis(module: Any) -> None:
    from importlib import import_module

    import_module(f"{OBSERVERS}.redis_client").patch(module)


def patches() -> dict[str, Callable[[Any], None]]:
    """Module -> what is done to it once it has run."""
    found: dict[str, Callable[[Any], None]] = {}
    if os.environ.get("PROOFRIG_HISTORY"):
        found["httpx"] = found["httpx2"] = _pools("httpx_transport")
        found["aiohttp"] = _pools("aiohttp_trace")
    if any(name.startswith("PROOFRIG_REDIS_") for name in os.environ):
        found["redis.connection"] = found["redis.asyncio.connection"] = _redis
    return found


class _Patching:
    """Lets the other finders find a client library, and patches it once it has run."""

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self.patches = patches
        self.asking = threading.local()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in self.patches or getattr(self.asking, "now", False):
            return None
        self.asking.now = True  # another finder may ask all finders, as this one does
        try:
            for finder in sys.meta_path:
                find = getattr(finder, "find_spec", None)
                spec = find(fullname, path, target) if find and finder is not self else None
                if spec is not None:
                    if spec.loader is not None:
                        self._patch_after(spec.loader, self.patches[fullname])
                    return spec
        finally:
            self.asking.now = False
        return None

    @staticmethod
    def _patch_after(loader: Any, patch: Callable[[Any], None]) -> None:
        inner = loader.exec_module

        def exec_module(module: Any) -> None:
            inner(module)
            _safely(patch, module)

        loader.exec_module = exec_module


class _Serving:
    """Finds `proofrig.observers` where no other finder does: the last one asked."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in (PACKAGE, OBSERVERS):
            return None
        from importlib.machinery import ModuleSpec
        from importlib.util import spec_from_file_location

        if fullname == PACKAGE:
            spec = ModuleSpec(PACKAGE, None, is_package=True)
            spec.submodule_search_locations = []
            return spec
        folder = os.path.join(HERE, "observers")
        return spec_from_file_location(
            OBSERVERS, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )


def _safely(patch: Callable[[Any], None], module: Any) -> None:
    """A client that has changed its inside is not observed, and works."""
    try:
        patch(module)
    except Exception as error:
        sys.stderr.write(
            f"proofrig: {module.__name__} is not observed: this version of it has no "
            f"{error} where it was expected\n"
        )


def install() -> None:
    """Serve the observers, and patch what is imported now or later. Once per process, after
    `identity.install()`."""
    sys.meta_path.append(_Serving())
    found = patches()
    if not found:
        return
    for name, patch in found.items():
        if name in sys.modules:
            _safely(patch, sys.modules[name])
    sys.meta_path.insert(0, _Patching(found))


def close() -> None:
    """Settle what observers still hold open. Before the process ends."""
    recorder = sys.modules.get(OBSERVERS + ".recorder")
    if recorder is not None:
        recorder.RECORDER.close()
