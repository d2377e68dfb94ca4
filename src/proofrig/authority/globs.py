"""Globs on names, and the folding under which names that look alike are alike.

Rules:
1. `*` stands for any text, `?` for one character, everything else for itself. Brackets, braces and
   backslashes are refused: whoever writes `*.{js,ts}` means alternatives and would get none.
2. What forbids is read broadly and what permits narrowly: a broad matcher also takes names that
   differ in case, Unicode form or invisible characters; a narrow one takes the name as written.
3. Matching takes time in proportion to the name for every star, whoever chose the name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

_REFUSED = re.compile(r"[\[\]{}\\]")
_INVISIBLE = "Cf"  # zero width, direction marks: they print as nothing


def glob_problem(glob: str) -> str:
    """What is wrong with a glob; "" when nothing is."""
    if not glob:
        return "expected a glob, got an empty text"
    if found := _REFUSED.search(glob):
        return (
            f"expected a glob of *, ? and plain text, got {found[0]!r} in {glob!r}; "
            "write one glob per alternative"
        )
    if glob != glob.strip() or "\0" in glob:
        return f"expected a glob without spaces around it and without NUL, got {glob!r}"
    return ""


def folded(text: str) -> str:
    """`text` without what can differ between two spellings of one name."""
    if text.isascii():
        return text.lower()
    visible = "".join(c for c in text if unicodedata.category(c) != _INVISIBLE)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())


def segment_regex(glob: str, any_character: str = ".") -> str:
    """The regex of a glob without `**`. Each part between two stars takes its first place and
    keeps it, which is right for globs and never tries twice."""
    first, *rest = ("".join(_literal(c, any_character) for c in part) for part in glob.split("*"))
    if not rest:
        return first
    *middle, last = rest
    held = "".join(f"(?>{any_character}*?{part})" for part in middle if part)
    return f"{first}{held}{any_character}*{last}"


def matcher(globs: Iterable[str], *, broad: bool = False) -> Callable[[str], bool]:
    """Whether a name matches one of `globs`; broad: see rule 2."""
    wanted = list(globs)
    exact = re.compile("|".join(map(segment_regex, wanted)), re.DOTALL).fullmatch
    if not broad:
        return lambda name: exact(name) is not None
    alike = re.compile("|".join(segment_regex(folded(glob)) for glob in wanted), re.DOTALL)
    return lambda name: exact(name) is not None or alike.fullmatch(folded(name)) is not None


def specificity(glob: str) -> tuple[int, int]:
    """How much of a name a glob pins down: orders globs that match the same name."""
    return ("*" not in glob and "?" not in glob, len(glob.replace("*", "")))


def _literal(character: str, any_character: str) -> str:
    return any_character if character == "?" else re.escape(character)
