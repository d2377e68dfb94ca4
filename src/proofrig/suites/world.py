"""The world a trial starts in: files and SQLite databases, fresh for each trial.

Rules:
1. Nothing is made for a case without a world, or with one of nothing but tool state.
2. What a world is made of is worked out once and remembered (SQL is run once); each trial then
   only writes files. Worlds that say the same share that work.
3. Links are never followed, neither when a folder is copied nor when a world is listed.
4. SQL that fails is a problem of the suite, with the file and line of the statement; a disk that
   fails is `SandboxError`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NoReturn

import msgspec

from proofrig.errors import Problem, SandboxError, SuiteError
from proofrig.suites.case import Case, World
from proofrig.suites.digest import digest_of, file_digest

MAX_FILES = 100_000  # entries of a world that are listed
MAX_HASHED = 256 << 20  # a larger file is listed by its size
KEPT_BYTES = 128 << 20  # what remembered worlds may hold together


class WorldStart(msgspec.Struct, frozen=True):
    """A world as a trial finds it. `path` is its folder, None for a case without one; `before`
    maps relative paths to sha256 hex; `initial_sql` maps databases to the SQL that made them."""

    path: Path | None = None
    before: dict[str, str] = {}
    initial_sql: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True):
    """What lies in a folder: relative path -> sha256 hex, or `link:<target>`, `size:<bytes>` for a
    file over MAX_HASHED, `special` for what is no file, `unreadable`. `complete` is False when
    there was more than MAX_FILES."""

    files: dict[str, str]
    complete: bool = True


class _Template(msgspec.Struct, frozen=True):
    written: dict[str, bytes]  # path in the world -> content
    copied: dict[str, str]  # path in the world -> file of the suite
    before: dict[str, str]
    initial_sql: dict[str, str]


def build_world(case: Case, suite_dir: Path, target_dir: Path) -> WorldStart:
    """Make the world of `case` in `target_dir`, which is created. Blocking; safe in threads.

    Raises SuiteError for SQL that fails or files that are gone, SandboxError when the disk fails.
    """
    if case.world is None or not case.world.has_folder:
        return WorldStart()
    template = _template(case.id, case.world, suite_dir)
    try:
        for folder in {os.path.dirname(path) for path in template.before} | {""}:
            os.makedirs(target_dir / folder, exist_ok=True)
        for path, source in template.copied.items():
            shutil.copyfile(source, target_dir / path, follow_symlinks=False)
            shutil.copymode(source, target_dir / path, follow_symlinks=False)
        for path, content in template.written.items():
            with open(target_dir / path, "wb") as stream:
                stream.write(content)
    except OSError as error:
        raise SandboxError(
            f"the world of case {case.id} cannot be written to {target_dir}: {error}"
        ) from error
    return WorldStart(target_dir, template.before, template.initial_sql)


def manifest(directory: Path) -> Manifest:
    """What lies in `directory` now, which may hold anything an agent left."""
    files: dict[str, str] = {}
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(directory / folder), key=lambda entry: entry.name)
        except OSError:
            files[folder or "."] = "unreadable"
            continue
        for entry in entries:
            path = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{path}/")
                continue
            if len(files) >= MAX_FILES:
                return Manifest(files, complete=False)
            files[path] = _described(entry.path)
    return Manifest(files)


def _described(path: str) -> str:
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            return f"link:{os.readlink(path)}"
        if not stat.S_ISREG(found.st_mode):
            return "special"
        if found.st_size > MAX_HASHED:
            return f"size:{found.st_size}"
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"


class _Remembered:
    """The templates used last, up to KEPT_BYTES."""

    def __init__(self) -> None:
        self._templates: OrderedDict[str, _Template] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> _Template | None:
        with self._lock:
            if key in self._templates:
                self._templates.move_to_end(key)
            return self._templates.get(key)

    def put(self, key: str, template: _Template) -> None:
        with self._lock:
            if key in self._templates:  # another thread was faster
                return
            self._templates[key] = template
            self._held += _size(template)
            while self._held > KEPT_BYTES and len(self._templates) > 1:
                self._held -= _size(self._templates.popitem(last=False)[1])


_remembered = _Remembered()


def _size(template: _Template) -> int:
    return sum(map(len, template.written.values()))


def _template(case_id: str, world: World, suite_dir: Path) -> _Template:
    folders = (world.files_from,) if world.files_from else ()
    key = digest_of(
        [str(suite_dir), world.model_dump(mode="json", exclude={"state"})], suite_dir, folders
    )
    found = _remembered.get(key)
    if found is None:
        found = _worked_out(case_id, world, suite_dir)
        _remembered.put(key, found)
    return found


def _worked_out(case_id: str, world: World, suite_dir: Path) -> _Template:
    written = {path: text.encode() for path, text in world.files.items()}
    initial = {path: _sql(parts, suite_dir) for path, parts in world.databases.items()}
    for path, parts in initial.items():
        written[path] = _database(case_id, path, parts)
    copied = _sources(case_id, world, suite_dir)
    before = {path: file_digest(Path(source)) for path, source in copied.items()}
    before |= {path: hashlib.sha256(content).hexdigest() for path, content in written.items()}
    copied = {path: source for path, source in copied.items() if path not in written}
    texts = {path: "\n".join(text for _, text in parts) for path, parts in initial.items()}
    return _Template(written, copied, before, texts)


def _sources(case_id: str, world: World, suite_dir: Path) -> dict[str, str]:
    if world.files_from is None:
        return {}
    root = suite_dir / world.files_from
    if not root.is_dir():
        _refuse(f"case {case_id}: world.files_from: there is no folder {world.files_from}")
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(root):
        folders.sort()
        for name in names:
            source = os.path.join(parent, name)
            if stat.S_ISREG(os.lstat(source).st_mode):
                found[os.path.relpath(source, root)] = source
    return found


def is_sql_file(part: str) -> bool:
    """True when a part of a database's SQL is the name of a file."""
    return part.endswith(".sql") and not any(character in part for character in "\n; ")


def _sql(parts: tuple[str, ...], suite_dir: Path) -> list[tuple[str, str]]:
    """(file or "", text) of each part."""
    found = []
    for part in parts:
        if not is_sql_file(part):
            found.append(("", part))
            continue
        try:
            found.append((str(suite_dir / part), (suite_dir / part).read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            _refuse(f"expected SQL in UTF-8, got: {error}", str(suite_dir / part))
    return found


def _database(case_id: str, path: str, parts: list[tuple[str, str]]) -> bytes:
    """The bytes of the SQLite file that the SQL makes."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for file, text in parts:
            line = 1
            for statement in _statements(text):
                try:
                    connection.execute(statement)
                except (sqlite3.Error, sqlite3.Warning) as error:
                    blank = len(statement) - len(statement.lstrip())
                    at = line + statement[:blank].count("\n")
                    said = f"case {case_id}: database {path}: {error}: {_short(statement)}"
                    _refuse(said, file, at if file else 0)
                line += statement.count("\n")
        if connection.in_transaction:
            connection.execute("COMMIT")
        return bytes(connection.serialize())
    finally:
        connection.close()


def _statements(text: str) -> list[str]:
    """SQL text cut after each complete statement (triggers and quoted semicolons stay whole)."""
    found, start, end = [], 0, text.find(";")
    while end >= 0:
        if sqlite3.complete_statement(text[start : end + 1]):
            found.append(text[start : end + 1])
            start = end + 1
        end = text.find(";", end + 1)
    return [*found, text[start:]] if text[start:].strip() else found


def _short(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= 80 else line[:79] + "…"


def _refuse(message: str, file: str = "", line: int = 0) -> NoReturn:
    raise SuiteError([Problem(message, file, line)])
