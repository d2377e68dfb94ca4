"""Finds the members of a family: those that come with proofrig, and those that other packages add.

A package adds a member by an entry point in its own metadata:

    [project.entry-points."proofrig.verifiers"]
    my_check = "my_package.checks:MyCheck"

Rules:
1. Finding imports nothing of a member; `Member.load` does, once it is needed.
2. A name belongs to one member. A second claim is refused before anything is used, with a message
   that names both; nothing is overridden silently.
3. A member that cannot be loaded is a UsageError that names its package, not a bare traceback.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_args

from proofrig.errors import UsageError

T = TypeVar("T")

GROUP = "proofrig."  # followed by the family's name
OWN = "proofrig"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a family. `target` is `module:attribute`, `origin` its package."""

    family: str
    name: str
    target: str
    origin: str

    def load(self) -> Any:
        """The object itself. Raises UsageError when it cannot be imported."""
        module, _, attribute = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in filter(None, attribute.split(".")):
                found = getattr(found, part)
        except Exception as error:
            raise UsageError(
                f"expected {self}, could not load it: {type(error).__name__}: {error}. "
                "Repair or uninstall that package"
            ) from error
        return found

    def __str__(self) -> str:
        return f"{self.target} for {self.name!r} in {GROUP}{self.family} (from {self.origin})"


def find(family: str, own: Mapping[str, str]) -> dict[str, Member]:
    """The members of `family` by name: `own` (name -> target) first, then entry points sorted by
    package. Raises UsageError listing every name that is claimed twice."""
    members = {name: Member(family, name, target, OWN) for name, target in own.items()}
    clashes: list[str] = []
    points = entry_points(group=f"{GROUP}{family}")
    for point in sorted(points, key=lambda point: (_origin(point), point.name)):
        member = Member(family, point.name, point.value, _origin(point))
        known = members.setdefault(member.name, member)
        if known is not member:
            clashes.append(f"{member.name!r} is claimed twice: by {known} and by {member}")
    if clashes:
        raise UsageError("\n".join([*clashes, "Uninstall one of the two, or rename its entry"]))
    return members


def classes(family: str, own: Mapping[str, str], base: type[T], key: str) -> dict[str, type[T]]:
    """The members of `family` as classes, by name: pydantic models below `base`, each with its name
    as the literal under `key`. Raises UsageError, see `find`, and for a member that is no such
    class."""
    return {name: _class(member, base, key) for name, member in find(family, own).items()}


def _class(member: Member, base: type[T], key: str) -> type[T]:
    found = member.load()
    if not (isinstance(found, type) and issubclass(found, base)):
        wanted = f"{GROUP}{member.family}.{base.__name__}"
        raise UsageError(f"expected a subclass of {wanted}, got {member}")
    given = found.model_fields[key].annotation  # type: ignore[attr-defined]
    if get_args(given) != (member.name,):
        raise UsageError(f"expected `{key}: Literal[{member.name!r}]`, got {given} in {member}")
    return found


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
