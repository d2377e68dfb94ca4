"""Observers: users' own shared things, and clients' pools, seen from inside the agent.

Standard library only; names are loaded on first use. In an agent's interpreter without proofrig
the host serves this package from its own files.

    from proofrig.observers import observed_kv
    memory = observed_kv({}, "memory")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proofrig.observers.aiohttp_trace import recording_trace_config
    from proofrig.observers.cache import observed_cache
    from proofrig.observers.httpx_transport import RecordingTransport
    from proofrig.observers.kv import observed_kv
    from proofrig.observers.lock import observed_lock
    from proofrig.observers.results import accepted, superseded

_HOME_OF = {
    "RecordingTransport": "httpx_transport",
    "accepted": "results",
    "observed_cache": "cache",
    "observed_kv": "kv",
    "observed_lock": "lock",
    "recording_trace_config": "aiohttp_trace",
    "superseded": "results",
}

__all__ = [
    "RecordingTransport",
    "accepted",
    "observed_cache",
    "observed_kv",
    "observed_lock",
    "recording_trace_config",
    "superseded",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'proofrig.observers' has no attribute {name!r}")
    return getattr(import_module(f"proofrig.observers.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
