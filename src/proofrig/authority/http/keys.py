"""API keys of the authority's HTTP service, and what each may touch.

Rules:
1. The file maps a key to its tenant, or to `{tenant: acme, scopes: ["@writes"]}`; the tenant `"*"`
   administers: it sets budgets, stops scopes, approves, and touches every scope.
2. A key touches the scopes whose first level is its tenant, and the `@` scopes listed for it.
3. Reservation ids are told apart by tenant: inside, `acme` has `acme/<id>`. An administrator names
   them in full.
4. Keys are compared in constant time, and stand in no message and no log.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofrig.authority.budget import ancestors
from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.yaml12 import Document, parse

EVERYTHING = "*"
MIN_LENGTH = 16

_KEY = re.compile(rf"[!-~]{{{MIN_LENGTH},}}")
_TENANT = re.compile(r"(?!@)[^/\x00-\x20\x7f-\xa0]+")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. tenant: `*` is an administrator. scopes: the `@` scopes it may touch."""

    tenant: str = EVERYTHING
    scopes: frozenset[str] = frozenset()

    @property
    def administers(self) -> bool:
        return self.tenant == EVERYTHING

    def may_touch(self, scope: str) -> bool:
        if self.administers:
            return True
        if scope.startswith("@"):
            return not self.scopes.isdisjoint(ancestors(scope))
        return scope.partition("/")[0] == self.tenant

    def inside(self, id: str) -> str:
        """The ledger's id for what the caller calls `id`."""
        return id if self.administers else f"{self.tenant}/{id}"

    def outside(self, id: str) -> str:
        """What the caller calls the ledger's `id`."""
        return id if self.administers else id.removeprefix(f"{self.tenant}/")

    def owns(self, id: str) -> bool:
        """True when the ledger's `id` is one the caller may see."""
        return self.administers or id.startswith(f"{self.tenant}/")


class Keys:
    """API keys and whose they are."""

    def __init__(self, callers: dict[str, Caller]) -> None:
        self._known = [(_digest(key), caller) for key, caller in callers.items()]

    def __len__(self) -> int:
        return len(self._known)

    def caller(self, key: str) -> Caller | None:
        """Whose key it is; None when nobody's. Looks at every key, whichever fits."""
        digest, found = _digest(key), None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def load_keys(path: Path | str) -> Keys:
    """The keys in a YAML or JSON file. Raises SuiteError that names lines, never keys."""
    file = Path(path)
    try:
        document = parse(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(
            f"{file}: expected a readable file of API keys, got: {error.strerror}"
        ) from error
    except SuiteError as error:
        where = error.problems[0]
        said = "expected YAML or JSON that maps each key, once, to its tenant; it cannot be read"
        hint = "the line is not shown, as it may hold a key"
        raise SuiteError([Problem(said, str(file), where.line, where.column, hint)]) from None
    written = document.value
    if not isinstance(written, dict) or not written:
        said = "expected a mapping of keys to tenants, such as `<key>: acme`"
        raise SuiteError([Problem(said, str(file), *document.at(()))])
    callers: dict[str, Caller] = {}
    problems = []
    for key, value in written.items():
        said = _problem(key, value)
        if said:
            problems.append(_at(document, key, said))
        else:
            callers[key] = _caller(value)
    if problems:
        raise SuiteError(problems)
    return Keys(callers)


def _problem(key: str, value: Any) -> str:
    if not _KEY.fullmatch(key):
        return f"expected a key of {MIN_LENGTH} or more printable ASCII characters without spaces"
    if isinstance(value, dict):
        if unknown := set(value) - {"tenant", "scopes"}:
            return f"expected tenant and scopes, got {', '.join(sorted(unknown))}"
        scopes = value.get("scopes", [])
        if not isinstance(scopes, list) or not all(_is_own(scope) for scope in scopes):
            return 'scopes: expected a list of scopes that begin with @, such as ["@writes"]'
        value = value.get("tenant")
    if not isinstance(value, str) or (value != EVERYTHING and not _TENANT.fullmatch(value)):
        return 'expected a tenant, the first level of its scopes, or "*" for an administrator'
    return ""


def _is_own(scope: object) -> bool:
    return isinstance(scope, str) and scope.startswith("@") and not scope.endswith("/")


def _caller(value: Any) -> Caller:
    if isinstance(value, dict):
        return Caller(value["tenant"], frozenset(value.get("scopes", [])))
    return Caller(value)


def _at(document: Document, key: str, said: str) -> Problem:
    return Problem(said, document.file, *document.at((key,), key=True))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
