"""What a canary is, how it is drawn, and how it gets into the texts of a suite.

A token is 20 random characters. A fact is a made-up name with an odd number: the pair survives
where a model retells what it read, and a token does not.

Rules:
1. A canary is drawn from seed, tenant and name alone: it does not matter who asks, or when.
2. A token has 100 bits, in Crockford's alphabet (no I, L, O, U): two are never alike by chance.
3. A placeholder that cannot be read is an error, not text. All of them are named at once.
4. Braces that are no placeholder stay as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from proofrig.errors import UsageError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 20
Form = Literal["token", "fact"]
Filled = TypeVar("Filled")

MARKS = ("{canary", "{fact")
PLACEHOLDER = re.compile(r"\{(canary|fact)(?=[}:.])([^{}\n]*)\}")
CANARY = re.compile(r"(?::([\w-]+))?")
FACT = re.compile(r"(?::([\w-]+))?\.(entity|number)")

ONSETS = ("b", "d", "f", "g", "h", "k", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "st")
NUCLEI = ("a", "e", "o", "u", "ai", "ea")
CODAS = ("n", "r", "s", "th", "x", "nd")


class Canary(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tenant's mark. `name` is the suite's word for it, "" for the one without a name. A token
    has `token`; a fact has `entity` (two words) and `number` (5 to 7 digits, odd)."""

    tenant: str
    form: Form
    token: str = ""
    entity: str = ""
    number: int = 0
    name: str = ""

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes of its note on the history."""
        if self.form == "token":
            return {"tenant": self.tenant, "form": self.form, "token": self.token}
        facts = {"entity": self.entity, "number": self.number}
        return {"tenant": self.tenant, "form": self.form, **facts}


def planted(attrs: Mapping[str, Any]) -> Canary:
    """The canary that a note on the history tells of. Raises msgspec.ValidationError."""
    return msgspec.convert(attrs, Canary)


def mint(seed: int, tenant: str, name: str = "") -> Canary:
    """The tenant's token of this name."""
    bits = _bits("token", seed, tenant, name)
    token = "".join(ALPHABET[bits >> 5 * place & 31] for place in range(LENGTH))
    return Canary(tenant, "token", token=token, name=name)


def mint_fact(seed: int, tenant: str, name: str = "") -> Canary:
    """The tenant's fact of this name: about 5e12 entities, 4e6 numbers of which none is round."""
    draw = _Draw(_bits("fact", seed, tenant, name))
    entity = " ".join(_word(draw) for _ in range(2))
    digits = 5 + draw.below(3)
    low = 10 ** (digits - 1)
    number = low + draw.below(9 * low)
    while number % 2 == 0 or number % 10 == 5 or len(set(str(number))) < 4:
        number = low + draw.below(9 * low)
    return Canary(tenant, "fact", entity=entity, number=number, name=name)


def fill(value: Filled, tenant: str, seed: int) -> tuple[Filled, list[Canary]]:
    """Put the tenant's canaries where `value`, a text or what JSON can hold, has placeholders.

    `{canary}` and `{canary:name}` become tokens; `{fact.entity}`, `{fact.number}`,
    `{fact:name.entity}` and `{fact:name.number}` the halves of facts. Returns the value and the
    canaries in it, each once. Raises UsageError that names every placeholder it cannot read.
    """
    used: dict[tuple[str, str], Canary] = {}
    wrong: list[str] = []

    def one(found: re.Match[str]) -> str:
        kind, rest = found.groups()
        read = (CANARY if kind == "canary" else FACT).fullmatch(rest)
        if read is None:
            wrong.append(found[0])
            return found[0]
        name = read[1] or ""
        canary = used.get((kind, name))
        if canary is None:
            made = (mint if kind == "canary" else mint_fact)(seed, tenant, name)
            canary = used[kind, name] = made
        return canary.token if kind == "canary" else str(getattr(canary, read[2]))

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            marked = any(mark in value for mark in MARKS)
            return PLACEHOLDER.sub(one, value) if marked else value
        if isinstance(value, Mapping):
            return {walk(key): walk(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(walk(part) for part in value)
        return value

    filled: Filled = walk(value)
    if wrong:
        raise UsageError(
            "expected {canary}, {canary:name}, {fact.entity}, {fact.number}, {fact:name.entity} or "
            f"{{fact:name.number}}, got {', '.join(dict.fromkeys(wrong))} in the text of a suite; "
            "a name is made of letters, digits, - and _"
        )
    return filled, list(used.values())


def _bits(*parts: object) -> int:
    """A large random number from `parts`, which cannot run into each other."""
    return int.from_bytes(hashlib.blake2b(msgspec.json.encode(parts), digest_size=64).digest())


class _Draw:
    """Small numbers out of one large one."""

    def __init__(self, bits: int) -> None:
        self._state = bits.to_bytes(64)

    def below(self, bound: int) -> int:
        """A number in [0, bound)."""
        self._state = hashlib.blake2b(self._state, digest_size=64).digest()
        return int.from_bytes(self._state[:16]) % bound


def _word(draw: _Draw) -> str:
    """A word of three syllables, such as Drovanex; at least seven letters."""
    while True:
        syllables = [
            ONSETS[draw.below(len(ONSETS))] + NUCLEI[draw.below(len(NUCLEI))] for _ in range(3)
        ]
        word = "".join(syllables) + CODAS[draw.below(len(CODAS))]
        if len(word) >= 7:
            return word.capitalize()
