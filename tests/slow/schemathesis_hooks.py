"""For Schemathesis: no 1.0 where the authority's service wants an integer."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """False for a body in which a number that is no integer stands outside of `arguments`."""
    return not _has_float(body)


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_float(part) for name, part in value.items() if name != "arguments")
    if isinstance(value, list):
        return any(map(_has_float, value))
    return isinstance(value, float)
