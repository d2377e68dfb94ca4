"""What a suite says under `faults`: packs by name, and single faults.

Rules:
1. A pack stands for the faults in it; `on`, `when` and `times` beside it hold for all of them, and
   `probability` multiplies theirs.
2. A case's faults strike its own trials only. They come after the suite's.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter

from proofrig.faults import AnyFault, Fault
from proofrig.faults.packs import PACKS, pack

_NARROWS = ("on", "when", "times", "probability")


def _unfolded(value: Any) -> Any:
    """Packs as the faults in them; what is no list is left for pydantic to refuse."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    return [fault for one in value for fault in _one(one)]


def _one(written: Any) -> Iterable[Any]:
    if isinstance(written, str):
        written = {"pack": written}
    if not isinstance(written, dict) or "pack" not in written or "kind" in written:
        return [written]
    name = written["pack"]
    if name not in PACKS:
        close = get_close_matches(str(name), PACKS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(PACKS)}"
        raise ValueError(f"there is no pack {name!r}; {hint}")
    if strange := [key for key in written if key != "pack" and key not in _NARROWS]:
        known = ", ".join(_NARROWS)
        raise ValueError(f"beside a pack there can be {known}; got {strange[0]!r}")
    return [_narrowed(fault, written) for fault in pack(name)]


def _narrowed(fault: dict[str, Any], by: dict[str, Any]) -> dict[str, Any]:
    made = dict(fault) | {"pack": by["pack"]}
    for key in ("when", "times"):
        if key in by:
            made[key] = by[key]
    if isinstance(by.get("on"), dict):
        made["on"] = {**made.get("on", {}), **by["on"]}
    share = by.get("probability")
    if isinstance(share, int | float) and not isinstance(share, bool):
        made["probability"] = made.get("probability", 1.0) * share
    return made


Faults = Annotated[
    tuple[AnyFault, ...],
    BeforeValidator(_unfolded),
    Field(description="What goes wrong: packs by name, and single faults."),
]
_faults: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(Faults)


def faults_of(names: Iterable[str]) -> tuple[Fault, ...]:
    """The faults of packs. Raises ValidationError for a name that is none."""
    return _faults.validate_python(list(names))


def of_case(fault: Fault, case: str) -> Fault:
    """A fault that a case declares."""
    return fault.model_copy(update={"on": fault.on.model_copy(update={"case": case})})
