"""A case: one thing asked of the agent, the world it starts in, and how the outcome is judged.

Rules:
1. A case asks by `task` (text) or by `messages` (a conversation so far), never by both.
2. Its id is unique in the suite and survives reordering: results are compared by id.
3. Paths of a world stay inside it; paths to the suite's own files are relative to the suite.
4. A case is a value: what it holds is fixed, and its digest covers every file it names. Where it
   was written is no part of it: two cases that say the same are equal, wherever they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from proofrig.agents.reference import Reference
from proofrig.faults.written import Faults
from proofrig.suites.digest import digest_of
from proofrig.verifiers import AnyVerifier
from proofrig.verifiers.expectations import Expect

Count = Annotated[int, Field(strict=True, ge=1)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86_400)]
AgentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")]
Tag = Annotated[str, Field(pattern=r"^[^\s,]+$")]
CaseId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
]


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise ValueError(f"expected a relative path that stays inside, got {path!r}")
    return str(parts)


def _several(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected SQL, one text or a list of them, got {value!r}")
    return value


def _json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        same = msgspec.json.decode(msgspec.json.encode(value)) == value
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"expected values that are JSON, got {error}") from None
    if not same:  # NaN, dates, tuples: they would come back as something else
        raise ValueError(
            "expected nothing but JSON: text, finite numbers, true, false, null, lists, and "
            "mappings whose keys are text"
        )
    return value


InsidePath = Annotated[str, AfterValidator(_inside)]
SqlParts = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(_several, json_schema_input_type=str | list[str]),
]


class Settings(BaseModel):
    """Base of what a suite is written in: unknown keys are refused, values are fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(Settings):
    """One message of the conversation that a case continues."""

    role: Literal["system", "user", "assistant"]
    content: str


class World(Settings):
    """The files, databases and tool state that a trial starts with, fresh for each trial."""

    files_from: InsidePath | None = Field(
        default=None,
        description="A folder of the suite; its content is copied into the world first.",
    )
    files: dict[InsidePath, str] = Field(
        default={}, description="Path in the world -> text of the file."
    )
    databases: dict[InsidePath, SqlParts] = Field(
        default={},
        description="Path of a SQLite database in the world -> SQL that fills it: one text or a "
        "list; a text that ends in .sql names a file of the suite.",
    )
    state: Annotated[dict[str, Any], AfterValidator(_json)] | None = Field(
        default=None,
        description="What the suite's Python tools keep for the trial, as `ToolContext.state`.",
    )

    @property
    def has_folder(self) -> bool:
        """False for a world of nothing but `state`."""
        return self.state is None or bool(self.files_from or self.files or self.databases)

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if both := sorted(self.files.keys() & self.databases.keys()):
            raise ValueError(f"{both[0]!r} is under files and under databases; keep one")
        paths = {*self.files, *self.databases}
        for path in sorted(paths):
            if within := [str(p) for p in PurePosixPath(path).parents if str(p) in paths]:
                raise ValueError(f"{within[0]!r} is a file and cannot hold {path!r}")
        return self


@dataclass(frozen=True, slots=True)
class _Written:
    """Where a case was written. Any two are equal, so that cases compare by what they say."""

    file: Path | None = field(default=None, compare=False)
    line: int = field(default=0, compare=False)


class Case(Settings):
    """One thing asked of the agent."""

    id: CaseId = Field(description="Unique in the suite: letters, digits and . _ - /")
    task: str | None = Field(
        default=None, min_length=1, description="What the agent is asked to do."
    )
    messages: tuple[Message, ...] | None = Field(
        default=None, min_length=1, description="A conversation to continue, instead of a task."
    )
    difficulty: str = Field(default="", description="The stratum this case is reported in.")
    acts_as: AgentName = Field(
        default="",
        description="The agent's name in the authority's scopes, which rules and tiers go by; "
        "default: subject.",
    )
    tags: tuple[Tag, ...] = Field(default=(), description="Labels to select and to report by.")
    world: World | None = Field(
        default=None, description="What the trial starts with; {}: an empty folder."
    )
    verify: tuple[AnyVerifier, ...] = Field(
        default=(), description="How the outcome is judged; all must pass."
    )
    reference: Reference | None = Field(
        default=None, description="A solution that is known to be right."
    )
    null_passes: bool = Field(
        default=False, strict=True, description="True where an agent that does nothing is right."
    )
    tenant: str | None = Field(default=None, description="Always run for this tenant.")
    timeout_s: Seconds | None = Field(
        default=None, description="Seconds, instead of limits.timeout_s."
    )
    faults: Faults = ()
    expect: Expect | None = Field(
        default=None, description="What the agent is expected to do when faults strike."
    )

    _dir: Path = PrivateAttr(default_factory=Path)
    _written: _Written = PrivateAttr(default=_Written())

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if (self.task is None) == (self.messages is None):
            got = "neither" if self.task is None else "both"
            raise ValueError(f"expected either `task` or `messages`, got {got}")
        return self

    def prompt(self) -> str:
        """What is asked, as text: the task, or what the user said last."""
        if self.messages is None:
            return self.task or ""
        said = [message.content for message in self.messages if message.role == "user"]
        return said[-1] if said else self.messages[-1].content

    def messages_or_task(self) -> str | list[dict[str, Any]]:
        """What the agent is handed: the task, or the messages as `{"role", "content"}`."""
        if self.messages is None:
            return self.task or ""
        return [message.model_dump() for message in self.messages]

    @property
    def dir(self) -> Path:
        """The folder that the case's file names are relative to."""
        return self._dir

    def at(self, directory: Path) -> Self:
        """The same case with its file names relative to `directory`."""
        moved = self.model_copy()
        moved._dir = directory
        return moved

    @property
    def written_at(self) -> tuple[Path, int] | None:
        """The file and the line, from 1, that the case begins on; None for one built in Python."""
        return (self._written.file, self._written.line) if self._written.file else None

    def written(self, file: Path, line: int) -> Self:
        """The same case, found on this line of this file."""
        found = self.model_copy()
        found._written = _Written(file.absolute(), line)
        return found

    def digest(self) -> str:
        """sha256 hex of the case and of every file it names; independent of where it lies."""
        folders = (self.world.files_from,) if self.world and self.world.files_from else ()
        return digest_of(self.model_dump(mode="json", by_alias=True), self._dir, folders)
