"""What to do about a ruling, in words, for who wrote no `fix`. The rule's name stands beside it."""

from __future__ import annotations

from proofrig.authority.arguments import Unread
from proofrig.authority.conditions import said_of
from proofrig.authority.rules import RuleSettings


def fix_of(rule: RuleSettings) -> str:
    """The rule's own fix, or a sentence that says what the rule wants."""
    if rule.fix:
        return rule.fix
    context = _context(rule)
    about = [said_of(name, wanted.operators()) for name, wanted in (rule.when or {}).items()]
    about += [f"{name} in {', '.join(globs)}" for name, globs in (rule.paths or {}).items()]
    if rule.cel is not None:
        about.append(f"`{rule.cel}`")
    names = ", ".join(rule.names)
    if rule.ask:
        what = f" with {' and '.join(about)}" if about else ""
        return f"{names}{what}{context} needs an approval"
    if len(about) == 1 and rule.cel is None:
        name, _, rest = about[0].partition(" ")
        said = f"{name} must not be {rest}" if rest[:2] != "in" else f"{name} must not lie {rest}"
        return f"{said}{context}"
    if about:
        return f"{names} must not have {' and '.join(about)}{context}"
    return f"{names} is not allowed{context}"


def fix_of_unread(rule: str, unread: Unread) -> str:
    return f"{unread.says}; pass every argument that a rule reads, in the type it reads"


def fix_of_default(name: str, default: str) -> str:
    if default == "strict":
        return (
            f"no rule allows {name}, and it may have side effects: use another tool; the policy's "
            "owner can add a rule that allows it, or declare its risk"
        )
    return (
        f"no rule allows {name}: use another tool; the policy's owner can add a rule that allows it"
    )


def _context(rule: RuleSettings) -> str:
    parts = [f" below tier {rule.below}"] if rule.below else []
    if rule.step:
        parts.append(f" in step {' or '.join(rule.step)}")
    if rule.tainted is False:
        parts.append(" in a run that is not tainted")
    elif rule.tainted is True:
        parts.append(" in a tainted run")
    elif rule.tainted is not None:
        parts.append(f" in a run tainted by {rule.tainted}")
    return "".join(parts)
