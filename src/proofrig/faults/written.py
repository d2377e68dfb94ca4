"""Faults as a suite writes them under `faults`: single ones, and packs by name.

Rules:
1. A pack stands for the faults in it; `on`, `when` and `times` beside it hold for all of them, and
   `probability` multiplies theirs. Those that `on` leaves no call to strike fall away.
2. Every fault has its number in the whole list: the suite's, then those of its cases in order, then
   the scenario's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from proofrig.faults import FAULTS, AnyFault, Fault
from proofrig.faults.fault import Count, Settings, Share, Target, When
from proofrig.faults.packs import PACKS, pack

PackName = Annotated[Literal[*PACKS], Field(description="One of the ready packs.")]  # type: ignore[valid-type]


class Pack(Settings):
    """A ready pack of faults."""

    kind: Literal["pack"] = "pack"
    pack: PackName
    on: Target = Field(default=Target(), description="Narrows what all of its faults strike.")
    when: When | None = Field(default=None, description="Instead of theirs.")
    times: Count | None = Field(default=None, description="Each at most so often in a trial.")
    probability: Share = Field(default=1.0, description="Multiplies theirs.")

    def faults(self) -> Iterator[Fault]:
        """The faults it stands for."""
        for written in pack(self.pack):
            fault = _one.validate_python(written)
            on = fault.on.model_dump(exclude_none=True, by_alias=True)
            on |= self.on.model_dump(exclude_none=True, by_alias=True)
            at = [one for one in fault.acts_at if one in (self.on.surfaces or fault.acts_at)]
            if not at:
                continue
            if fault.on.at is not None or self.on.at is not None:
                on["at"] = at
            update: dict[str, Any] = {
                "pack": self.pack,
                "probability": fault.probability * self.probability,
                "on": Target.model_validate(on),
            }
            if self.when is not None:
                update["when"] = self.when
            if self.times is not None:
                update["times"] = self.times
            fault = fault.model_copy(update=update)
            if fault.acts_at:
                yield fault

    @model_validator(mode="after")
    def _strikes(self) -> Self:
        if not any(self.faults()):
            raise ValueError(f"no fault of {self.pack} can strike what `on` names")
        return self


_one: TypeAdapter[Fault] = TypeAdapter(AnyFault)


def _named(value: Any) -> Any:
    """A pack's name is that pack; what names a pack is one."""
    if isinstance(value, str):
        return {"kind": "pack", "pack": value}
    if isinstance(value, dict) and "pack" in value and "kind" not in value:
        return {"kind": "pack"} | value
    return value


def _union() -> Any:
    union: Any = Pack
    for fault in FAULTS.values():
        union = union | fault
    return Annotated[union, Field(discriminator="kind")]


if TYPE_CHECKING:
    Written = Fault | Pack
else:
    Written = Annotated[
        _union(), BeforeValidator(_named, json_schema_input_type=PackName | _union())
    ]
Faults = Annotated[
    tuple[Written, ...],
    Field(description="What goes wrong: packs by name, and single faults."),
]


def unfolded(written: Iterable[Any], case: str = "") -> Iterator[Fault]:
    """Single faults, packs replaced by theirs; of a case, aimed at it."""
    for one in written:
        for fault in one.faults() if isinstance(one, Pack) else (one,):
            if case:
                on = fault.on.model_copy(update={"case": case})
                fault = fault.model_copy(update={"on": on})
            yield fault


def packs_of(names: Iterable[str]) -> tuple[Pack, ...]:
    """Packs by name. Raises ValueError for a name that is none."""
    return tuple(Pack.model_validate({"pack": name}) for name in names)
