"""What agents share and contend for: memory, locks, caches, queues, quotas.

Names are loaded on first use, so that an agent may import `proofrig.services.client` in an
interpreter that has nothing but the standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proofrig.services.members import AnyServiceSettings, make_service
    from proofrig.services.service import Caller, Done, Misasked, Service, ServiceSettings

_MEMBERS = ("AnyServiceSettings", "make_service")
_CONTRACT = ("Caller", "Done", "Misasked", "Service", "ServiceSettings")

__all__ = [
    "AnyServiceSettings",
    "Caller",
    "Done",
    "Misasked",
    "Service",
    "ServiceSettings",
    "make_service",
]


def __getattr__(name: str) -> Any:
    if name in _MEMBERS:
        return getattr(importlib.import_module("proofrig.services.members"), name)
    if name in _CONTRACT:
        return getattr(importlib.import_module("proofrig.services.service"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
