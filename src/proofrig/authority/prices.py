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
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.errors import Denied, Problem, SuiteError
from proofrig.wire.turn import Usage

if TYPE_CHECKING:
    import yaml

# What vendors put before the request when it offers tools: hundreds of tokens, seen in no body.
TOOL_PREAMBLE = 1_000

_MILLION = 1_000_000
_RATES = ("input", "output", "cache_read", "cache_write")
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
    """Prices by model name: an exact name wins, then the first pattern that matches."""

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
    return parse_prices(_read_yaml(file.read_text("utf-8"), "prices.yaml"), file="prices.yaml")


def load_prices(path: Path | str) -> PriceTable:
    """The table in a YAML file of the form of the bundled `prices.yaml`. Raises SuiteError."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(
            [Problem(f"expected a price table in UTF-8, got: {error}", str(path))]
        ) from error
    return parse_prices(_read_yaml(text, str(path)), file=str(path))


def parse_prices(table: object, *, file: str = "") -> PriceTable:
    """The table in a mapping `{prices: {glob: {input, output, ...}}, fallback: {...}}`, rates in
    US dollars per million tokens. Raises SuiteError with every problem."""
    problems: list[Problem] = []
    if not isinstance(table, Mapping) or not isinstance(table.get("prices", {}), Mapping):
        raise SuiteError([Problem("expected a mapping with the key `prices`, got another", file)])
    for key in table.keys() - {"prices", "fallback"}:
        problems.append(Problem(f"expected the keys prices and fallback, got {key!r}", file))
    entries: dict[str, Any] = {str(k): v for k, v in table.get("prices", {}).items()}
    prices = [_price(pattern, entry, file, problems) for pattern, entry in entries.items()]
    fallback = None
    if "fallback" in table:
        fallback = _price("fallback", table["fallback"], file, problems)
    if problems:
        raise SuiteError(problems)
    return PriceTable([price for price in prices if price is not None], fallback)


def _price(pattern: str, entry: object, file: str, problems: list[Problem]) -> Price | None:
    wrong: list[str] = []
    if not isinstance(entry, Mapping):
        problems.append(Problem(f"{pattern}: expected a mapping of rates, got {entry!r}", file))
        return None
    for key in entry.keys() - {*_RATES, "source", "as_of"}:
        wrong.append(f"expected input, output, cache_read, cache_write, source or as_of; got {key}")
    for key in ("source", "as_of"):
        if not str(entry.get(key) or "").strip():
            wrong.append(f"expected `{key}`: where and when the price was read; got none")
    rates: dict[str, int] = {}
    for key in _RATES:
        value = entry.get(key, entry.get("input") if key.startswith("cache") else None)
        rate = _rate(value)
        if rate is None:
            wrong.append(f"expected `{key}` in US dollars per 1,000,000 tokens, got {value!r}")
        else:
            rates[key] = rate
    if wrong:
        problems += [Problem(f"{pattern}: {message}", file) for message in wrong]
        return None
    return Price(pattern, **rates, source=str(entry["source"]), as_of=str(entry["as_of"]))


def _rate(value: object) -> int | None:
    """Dollars per million tokens as micro-dollars per million tokens; None when it is no rate."""
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


def _read_yaml(text: str, file: str) -> Any:
    """Every scalar as its text, so that no rate passes through a float. Refuses double keys."""
    import yaml

    problems: list[Problem] = []

    def walk(node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key, value in node.value:
                if key.value in found:
                    mark = key.start_mark
                    message = f"expected each key once, got {key.value!r} again"
                    problems.append(Problem(message, file, mark.line + 1, mark.column + 1))
                found[str(key.value)] = walk(value)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [walk(item) for item in node.value]
        return node.value

    try:
        root = yaml.compose(text, Loader=yaml.CBaseLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark
        line, column = (at.line + 1, at.column + 1) if at else (0, 0)
        raise SuiteError([Problem(f"broken YAML: {error.problem}", file, line, column)]) from error
    except yaml.YAMLError as error:
        raise SuiteError([Problem(f"broken YAML: {error}", file)]) from error
    loaded = {} if root is None else walk(root)
    if problems:
        raise SuiteError(problems)
    return loaded
