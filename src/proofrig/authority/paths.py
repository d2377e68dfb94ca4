"""Paths among arguments: what they may mean, where that lies, and whether globs take it in.

Rules:
1. A written path is read in every way a tool may read it: as it stands, with backslashes as
   slashes, percent-decoded, as a file: URL, with look-alikes of `/` and `.`, and without the dots
   and spaces some systems drop. Each reading has a lexical place (`.` and `..` folded) and a real
   one (links followed as the system follows them, for files that are not there yet too).
2. Forbidding globs match when any place of any reading matches, whatever its case and Unicode form.
   Permitting globs match when every place of every reading matches exactly.
3. A path that cannot be resolved is no path: not text, empty, NUL, too long, a leading `~`, another
   machine's or drive's, links in circles, folders that may not be looked into, links below /proc
   (they lead where their reader is), a relative one that leaves a root nobody knows.
4. A relative glob starts at the root of the action; an absolute one at `/`. A forbidding glob that
   begins with `**/` also takes in what lies outside the root.
5. `*` and `?` stay inside a level, `**` stands for any number of levels and for none: `dir/**` is
   also `dir` itself.
6. Without a root no link is followed for a relative path: its files may be on another machine.
7. Hard links, mounts and what changes between the decision and the act cannot be seen in a path;
   against those an agent needs a sandbox. Wildcards and variables are not expanded: a tool that
   gives its paths to a shell needs rules on its commands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from posixpath import normpath
from typing import Any, NamedTuple

from proofrig.authority.arguments import Unread, shown, values_at
from proofrig.authority.globs import folded, glob_problem, segment_regex
from proofrig.authority.links import is_real, real_path
from proofrig.authority.readings import is_plain, readings

MAX_PATH = 4_096
MAX_PATHS = 50_000  # characters of all paths in one argument: each of their levels is looked up

_INCOMPARABLE = (
    "expected a relative path where the rule has relative globs and an absolute one where it has "
    "absolute ones, since the action has no root to place it"
)

# What has been read of one action already: argument -> places of all its paths. They are looked up
# once per decision, so that all rules judge the same files.
Memo = dict[str, "tuple[Place, ...]"]
PathCondition = Callable[[Any, str, Memo], bool]


class Place(NamedTuple):
    """Where a path lies. inside: from the root, "" for the root itself, None when it lies outside;
    alike: the same for who is blind to case; absolute: from `/`, without its slash, None when no
    root is known."""

    inside: str | None
    alike: str | None
    absolute: str | None


def path_condition(name: str, globs: Sequence[str], *, permits: bool) -> PathCondition:
    """Whether the argument `name`, a path or a list of paths, matches one of `globs`. The globs are
    valid, see `path_glob_problem`. The condition raises Unread."""
    matches = _permitting(globs) if permits else _forbidding(globs)
    combined = all if permits else any
    relative = any(not glob.startswith("/") for glob in globs)
    absolute = any(glob.startswith("/") for glob in globs)

    def holds(arguments: Any, root: str, memo: Memo) -> bool:
        places = memo.get(name)
        try:
            if places is None:
                places = memo[name] = _places_at(arguments, name, root)
            if not root:
                for place in places:
                    if (relative and place[0] is None) or (absolute and place[2] is None):
                        raise Unread(_INCOMPARABLE)
        except Unread as unread:
            raise unread.at(name) from None
        if len(places) == 1:
            return matches(places[0])
        return combined(map(matches, places))

    return holds


def path_glob_problem(glob: str) -> str:
    """What is wrong with a path glob; "" when nothing is."""
    if said := glob_problem(glob):
        return said
    levels = glob.removeprefix("/").split("/")
    if glob != "/" and glob.endswith("/"):
        return f"expected a glob without a slash at its end, got {glob!r}; write {glob}** for all"
    if any(level in ("", ".", "..") for level in levels) and glob != "/":
        return f"expected a glob without empty levels, `.` and `..`, got {glob!r}"
    if levels[0].startswith("~"):
        return f"expected a glob from the root or from /, got {glob!r}; write the folder out"
    if any("**" in level and level != "**" for level in levels):
        return f"expected `**` as a level of its own, got {glob!r}"
    return ""


# ---- globs


def path_regex(glob: str) -> str:
    """The regex of a path glob, for paths without slashes at their ends."""
    groups: list[list[str]] = [[]]
    for level in glob.split("/"):
        if level == "**":
            groups.append([])
        else:
            groups[-1].append("[^/]+" if level == "*" else segment_regex(level, "[^/]"))
    first, *rest = ["/".join(group) for group in groups]
    if not rest:
        return first
    *middle, last = rest
    # Like the stars of a level: each group between two `**` takes its first place and keeps it.
    held = "".join(f"(?>(?:[^/]+/)*?{group}/)" for group in middle if group)
    if last:
        return (f"{first}/" if first else "") + held + f"(?:[^/]+/)*{last}"
    if held:  # the slash that ends the last group may be missing: `**/dir/**` is also `dir`
        return (f"{first}/" if first else "") + held.removesuffix("/)") + "(?:/|\\Z))" + ".*"
    return f"{first}(?:/.*)?" if first else ".*"


def _compiled(globs: Sequence[str]) -> Callable[[str], object] | None:
    return re.compile("|".join(map(path_regex, globs)), re.DOTALL).fullmatch if globs else None


def _permitting(globs: Sequence[str]) -> Callable[[Place], bool]:
    inside = _compiled([glob for glob in globs if not glob.startswith("/")])
    absolute = _compiled([glob[1:] for glob in globs if glob.startswith("/")])

    def matches(place: Place) -> bool:
        path = place[0]
        if inside is not None and path is not None and inside(path) is not None:
            return True
        path = place[2]
        return absolute is not None and path is not None and absolute(path) is not None

    return matches


def _forbidding(globs: Sequence[str]) -> Callable[[Place], bool]:
    alike = [_folded_path(glob) for glob in globs]
    inside = _compiled([glob for glob in alike if not glob.startswith("/")])
    anywhere = [glob for glob in alike if glob == "**" or glob.startswith("**/")]
    absolute = _compiled([*anywhere, *(glob[1:] for glob in alike if glob.startswith("/"))])

    def matches(place: Place) -> bool:
        path = place[1]
        if inside is not None and path is not None and inside(_folded_path(path)) is not None:
            return True
        path = place[2]
        if absolute is None or path is None:
            return False
        return absolute(_folded_path(path)) is not None

    return matches


def _folded_path(path: str) -> str:
    """A path without what case-blind and forgiving file systems take for the same."""
    if is_plain(path):
        return path.lower()
    levels = [folded(level) for level in path.split("/")]
    return "/".join(level.split("::$")[0].strip().rstrip(" .") or level for level in levels)


# ---- places


def _places_at(arguments: Any, name: str, root: str) -> tuple[Place, ...]:
    value = arguments.get(name) if type(arguments) is dict else None
    if type(value) is str and "." not in name:
        return places_of(value, root)
    values = values_at(arguments, name)
    if sum(len(value) for value in values if isinstance(value, str)) > MAX_PATHS:
        raise Unread(f"expected paths of at most {MAX_PATHS:,} characters in all, got more")
    found = [places_of(value, root) for value in values]
    return tuple(dict.fromkeys(place for places in found for place in places))


def places_of(path: Any, root: str) -> tuple[Place, ...]:
    """Everywhere that a written path may lie. Raises Unread."""
    if type(path) is str and len(path) <= MAX_PATH and is_plain(path) and path[0] != "/":
        # The common case in short: nothing to fold, and no link on the way.
        if not root:
            return (Place(path, path, None),)
        if root == _real_root(root) and is_real(whole := f"{root}/{path}"):
            return (Place(path, path, whole[1:]),)
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        raise Unread(f"expected a path, got {shown(path)}")
    if not path.strip() or len(path) > MAX_PATH:
        raise Unread(f"expected a path of 1 to {MAX_PATH:,} characters, got {len(path):,}")
    found: dict[Place, None] = {}
    for reading in readings(path):
        found[_lexical(reading, root)] = None
        if root or reading.startswith("/"):
            found[_real(reading, root)] = None
    return tuple(found)


def _lexical(path: str, root: str) -> Place:
    flat = path if is_plain(path) else normpath(path)
    if root:
        return _place(flat if flat.startswith("/") else normpath(f"{root}/{flat}"), root)
    if flat.startswith("/"):
        return Place(None, None, flat.lstrip("/"))
    if flat == ".." or flat.startswith("../"):
        raise Unread(f"expected a path that stays below its root, got {shown(path)}")
    flat = "" if flat == "." else flat
    return Place(flat, flat, None)


def _real(path: str, root: str) -> Place:
    found = real_path(path, start="" if path.startswith("/") else _real_root(root))
    return _place(found, root) if root else Place(None, None, found.lstrip("/"))


def _place(path: str, root: str) -> Place:
    """The place of a folded absolute path."""
    absolute = path.lstrip("/")
    alike = None
    for base in (_real_root(root).strip("/"), normpath(root).strip("/")):
        inside = _below(base, absolute)
        if inside is not None:
            return Place(inside, inside, absolute)
        if alike is None and _below(folded(base), folded(absolute)) is not None:
            alike = _below(folded(base), folded(absolute))
    return Place(None, alike, absolute)


def _below(base: str, path: str) -> str | None:
    if not base or path == base:
        return path[len(base) :]
    return path[len(base) + 1 :] if path.startswith(f"{base}/") else None


@lru_cache(maxsize=256)
def _real_root(root: str) -> str:
    """The root itself is the host's, not the agent's: it is resolved once."""
    return os.path.realpath(root)
