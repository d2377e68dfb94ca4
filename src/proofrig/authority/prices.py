"""What tokens cost: a table with provenance, in integer micro-dollars.

Rules:
1. A price is never guessed and never zero by accident: a model without one costs the configured
   fallback or is denied (PriceUnknown).
2. One dollar per million tokens is one micro-dollar per token. Rates are kept as micro-dollars per
   million tokens, exact integers, and a sum is rounded up once, at its end.
3. An estimate is never below the cost of any usage within its bounds: every input token counts at
   the dearest rate an input token can have.
4. Without the vendor's tokenizer the only sound count of input tokens is bytes: a token stands for
   at least one byte. Four times too high for English prose is the price of never being too low
   (a third of the bytes is too low for digits, code and rare scripts); what was held too much comes
   back at commit.
5. Every price says where it was read, and when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from fnmatch import translate
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from proofrig.errors import Denied, Problem, SuiteError
from proofrig.problems import Origin
from proofrig.wire.turn import Usage
from proofrig.yaml12 import Document, parse

# What vendors put before the request when it offers tools: hundreds of tokens, seen in no body.
TOOL_PREAMBLE = 1_000

_MILLION = 1_000_000
_RATES = ("input", "output", "cache_read", "cache_write")
_READ = ("source", "as_of")
_REMEMBERED = 1_000  # model names come from agents: remember only so many


class PriceUnknown(Denied):
    """No price for a model and no fallback configured; nothing was consumed."""

    def __init__(self, model: str) -> None:
        super().__init__(
            "price_unknown",
            fix=f"no price for model {model!r}: add it to the price table with its source, or "
            "configure a fallback price",
        )


class Price(msgspec.Struct, frozen=True):
    """Rates in micro-dollars per million tokens, and where they come from.

    pattern: the glob that brought it; `fallback` for the fallback.
    """

    pattern: str
    input: int
    output: int
    cache_read: int
    cache_write: int
    source: str
    as_of: str

    @property
    def told(self) -> str:
        """Where the rates come from, in a line."""
        return f"{self.pattern}: {self.source}, {self.as_of}"

    @property
    def dearest_input(self) -> int:
        """The highest rate an input token can have."""
        return max(self.input, self.cache_read, self.cache_write)


def input_token_bound(body: bytes, *, tools: bool = False, carried: int = 0) -> int:
    """An upper bound of the input tokens of a request with this body.

    The bytes of the whole body: its field names and quotes pay for the vendor's message framing.
    tools: the request offers tools. carried: tokens of what the body only refers to: an earlier
    conversation continued by id, files and pictures by URL; the body cannot tell them.
    """
    return len(body) + (TOOL_PREAMBLE if tools else 0) + carried


class PriceTable:
    """Prices by model name: an exact name wins, then the first pattern that matches.

    prices: as they were given, in order. fallback: the price of every other model, if any.
    """

    def __init__(self, prices: Sequence[Price], fallback: Price | None = None) -> None:
        self.prices = tuple(prices)
        self.fallback = fallback
        self._exact = {price.pattern: price for price in reversed(prices)}
        self._globs = [(re.compile(translate(price.pattern)), price) for price in prices]
        self._found: dict[str, Price] = {}

    def price(self, model: str) -> Price:
        """The price of `model`. Raises PriceUnknown."""
        found = self._found.get(model)
        if found is None:
            found = self._find(model)
            if len(self._found) < _REMEMBERED:
                self._found[model] = found
        return found

    def estimate(self, model: str, input_tokens: int, max_tokens: int) -> int:
        """The most a call can cost, in micro-dollars: at most `input_tokens` in and `max_tokens`
        out, each at the dearest rate that can apply. Raises PriceUnknown."""
        price = self.price(model)
        return _round_up(input_tokens * price.dearest_input + max_tokens * price.output)

    def cost(self, model: str, usage: Usage) -> int:
        """What a call cost, in micro-dollars, rounded up. Raises PriceUnknown."""
        price = self.price(model)
        fresh = max(0, usage.input - usage.cache_read - usage.cache_write)
        return _round_up(
            fresh * price.input
            + usage.cache_read * price.cache_read
            + usage.cache_write * price.cache_write
            + usage.output * price.output
        )

    def over(self, below: PriceTable) -> PriceTable:
        """This table first, then `below`; the first fallback there is."""
        return PriceTable((*self.prices, *below.prices), self.fallback or below.fallback)

    def _find(self, model: str) -> Price:
        if model in self._exact:
            return self._exact[model]
        for pattern, price in self._globs:
            if pattern.match(model):
                return price
        if self.fallback is None:
            raise PriceUnknown(model)
        return self.fallback


def default_prices() -> PriceTable:
    """The bundled table: the simulated models only."""
    file = resources.files("proofrig.authority") / "prices.yaml"
    return _table(parse(file.read_bytes(), "prices.yaml"))


def load_prices(path: Path | str) -> PriceTable:
    """The table in a YAML file of the form of the bundled `prices.yaml`. Raises SuiteError."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        message = f"expected a price table, got: {error.strerror}"
        raise SuiteError([Problem(message, str(path))]) from error
    return _table(parse(text, str(path)))


def parse_prices(table: Mapping[str, Any]) -> PriceTable:
    """The table in a mapping `{prices: {glob: {input, output, ...}}, fallback: {...}}`, rates in
    US dollars per million tokens. Raises SuiteError with every problem."""
    return _table(Document("", table, line=0))


def _table(document: Document) -> PriceTable:
    origin, table = Origin(document), document.value
    entries = table.get("prices", {}) if isinstance(table, Mapping) else None
    if not isinstance(entries, Mapping):
        message = "expected a mapping `prices` of model names to their rates, got another"
        raise SuiteError([origin.problem(message, ("prices",))])
    problems = [
        origin.problem(f"expected the keys prices and fallback, got {key!r}", (key,), key=True)
        for key in table
        if key not in ("prices", "fallback")
    ]
    prices = [
        _price(entry, Origin(document, ("prices", pattern), pattern), problems)
        for pattern, entry in entries.items()
    ]
    fallback = None
    if "fallback" in table:
        fallback = _price(table["fallback"], Origin(document, ("fallback",), "fallback"), problems)
    if problems:
        raise SuiteError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return PriceTable([price for price in prices if price is not None], fallback)


def _price(entry: object, origin: Origin, problems: list[Problem]) -> Price | None:
    """The price at `origin`, whose label is its pattern; what is wrong goes to `problems`."""
    if not isinstance(entry, Mapping):
        problems.append(origin.problem(f"expected a mapping of rates, got {entry!r}"))
        return None
    wrong = []
    for key in entry:
        if key not in (*_RATES, *_READ):
            message = f"expected one of {', '.join((*_RATES, *_READ))}; got {key!r}"
            wrong.append(origin.problem(message, (key,), key=True))
    for key in _READ:
        if not str(entry.get(key) or "").strip():
            message = f"expected `{key}`: where and when the price was read; got none"
            wrong.append(origin.problem(message, (key,)))
    rates: dict[str, int] = {}
    for key in _RATES:
        value = entry.get(key, entry.get("input") if key.startswith("cache") else None)
        rate = _rate(value)
        if rate is not None:
            rates[key] = rate
        elif key in entry or not key.startswith("cache"):
            message = f"expected `{key}` in US dollars per 1,000,000 tokens, got {value!r}"
            wrong.append(origin.problem(message, (key,)))
    problems += wrong
    if wrong:
        return None
    return Price(origin.label, **rates, source=str(entry["source"]), as_of=str(entry["as_of"]))


def _rate(value: object) -> int | None:
    """Dollars per million tokens as micro-dollars per million tokens; None when it is no rate. A
    float stands for the decimal that was written: its shortest one, exact to 15 digits."""
    if isinstance(value, bool):
        return None
    try:
        dollars = Decimal(str(value))
    except InvalidOperation:
        return None
    if not dollars.is_finite() or dollars < 0:
        return None
    return int((dollars * _MILLION).to_integral_value(ROUND_CEILING))


def _round_up(picodollars: int) -> int:
    return -(-picodollars // _MILLION)
