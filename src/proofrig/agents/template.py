"""Placeholders in what a user writes: `{task}`, `{workdir}`, ... inside any string.

Rules:
1. Only known names are placeholders; other braces stay as they are.
2. One pass: what a value holds is never expanded again.
3. A string that is nothing but one placeholder becomes the value itself, of whatever type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """`template` (text, or JSON of any depth) with its placeholders replaced from `values`."""
    if isinstance(template, str):
        names = "|".join(map(re.escape, values))
        whole = re.fullmatch(rf"\{{({names})\}}", template)
        if whole:
            return values[whole[1]]
        return re.sub(rf"\{{({names})\}}", lambda match: _text(values[match[1]]), template)
    if isinstance(template, list):
        return [fill(part, values) for part in template]
    if isinstance(template, dict):
        return {fill(key, values): fill(value, values) for key, value in template.items()}
    return template


def fill_text(template: str, values: Mapping[str, Any]) -> str:
    """As `fill`, always text."""
    return _text(fill(template, values))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
