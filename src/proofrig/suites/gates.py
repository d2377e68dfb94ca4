"""Gates and baselines as people write them in a suite; what a gate's text may say is in
`proofrig.thresholds`, which figures there are in `proofrig.figures`.

Rules:
1. A gate is a text, or a mapping that says more: `check` with that text, or `regression` with a
   metric.
2. What cannot be judged is refused when the suite is read: a figure nobody measures, a unit that
   is none of its own, a total that depends on how many trials ran against a baseline.
3. Neither counts in the suite's digest: they ask, and change nothing for the agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from proofrig.errors import UsageError
from proofrig.figures import (
    COMPARED,
    FIGURES,
    OWN,
    RUN,
    Figure,
    called,
    find,
    quantiles_of,
)
from proofrig.scenarios import NAMES as SCENARIOS
from proofrig.suites.case import Settings
from proofrig.thresholds import UNITS, Threshold, amount, figure_of, named, parse

_KINDS = {
    "share": "a share: write 5 %, or 0.05",
    "ns": "a time: write 250ms, 30s, 5min",
    "USD": "US dollars: write $0.50, or 0.5",
    "bytes": "a size: write 64 kB, 512 MB",
}


_SIGNED = ("used_difference_low", "used_difference_high")
_MEANT = {"pass@": "pass_at_", "pass^": "pass_hat_"}  # as papers and reports have it


def _share(value: object) -> object:
    """`5 %` or 0.05, as a share."""
    given = value
    if isinstance(value, str):
        number, unit = amount(value)
        if unit not in ("", "%"):
            raise ValueError(f"expected a share, as 5 % or 0.05, got {given!r}")
        value = number
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value <= 1:
        raise ValueError(f"expected a share from 0 to 1, as 5 % or 0.05, got {given!r}")
    return value


def _seconds(value: object) -> object:
    """`30s`, `5min` or a number of seconds, in seconds."""
    if not isinstance(value, str):
        return value
    number, unit = amount(value)
    if UNITS[unit][0] not in ("ns", ""):
        raise ValueError(f"expected a time, as 30s, 5min or a number of seconds, got {value!r}")
    return number / 1e9 if unit else number


Share = Annotated[
    float, Field(strict=True), BeforeValidator(_share, json_schema_input_type=float | str)
]
Duration = Annotated[
    float,
    Field(strict=True, ge=0, le=86_400),
    BeforeValidator(_seconds, json_schema_input_type=float | str),
]


def _readable(text: str) -> str:
    """A gate whose text can be read, and judged."""
    if said := problem_of(parse(text)):
        raise ValueError(said)
    return text


def _comparable(metric: str) -> str:
    """A metric that a comparison has a verdict on."""
    name, quantile = figure_of(metric)
    asked = named(name, quantile)
    if asked in COMPARED:
        return asked
    if said := _unknown(name, quantile):
        raise ValueError(said)
    of_trial = name.removesuffix("_per_trial")
    if of_trial in COMPARED:
        raise ValueError(f"a comparison is by the trial: write `{of_trial}`")
    raise ValueError(
        f"a comparison has no verdict on {asked}, but on {', '.join(COMPARED)}; write what it may "
        f"come to, as `check: {asked} <= 1.1 * baseline`"
    )


def _scenario(name: str) -> str:
    if name and name not in SCENARIOS:
        there = _near(name, SCENARIOS) or f" There are: {', '.join(SCENARIOS)}."
        raise ValueError(f"there is no scenario {name!r}.{there}")
    return name


class GateSettings(Settings):
    """One gate of a run."""

    check: Annotated[str, AfterValidator(_readable)] | None = Field(
        default=None, description="What must hold: accuracy >= 90 %."
    )
    regression: Annotated[str, AfterValidator(_comparable)] | None = Field(
        default=None, description="The metric that must not be worse than the baseline's."
    )
    scenario: Annotated[str, AfterValidator(_scenario)] = Field(
        default="",
        description="Where it must hold; default: in the whole run, or in the worst of the "
        "scenarios that measure it.",
    )
    sure: bool = Field(
        default=False, strict=True, description="The 95 % interval must clear the bound."
    )
    abort_on_fail: bool = Field(
        default=False, strict=True, description="End the run when it has failed for good."
    )
    after: Duration = Field(
        default=0.0, description="The time a run has before it may be ended: 30s, or seconds."
    )
    margin: Share | None = Field(
        default=None,
        description="Of accuracy: a drop that is still no worse; default: the baseline's.",
    )
    min_effect: Share | None = Field(
        default=None,
        description="The least change that counts: of accuracy and rates in points, else relative.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.check is None) == (self.regression is None):
            got = "neither" if self.check is None else "both"
            raise ValueError(f"expected either `check` or `regression`, got {got}")
        belongs = ("margin", "min_effect") if self.check else ("scenario", "sure", "abort_on_fail")
        for key in belongs:
            if getattr(self, key) != type(self).model_fields[key].default:
                whose = "`regression`" if self.check else "`check`"
                raise ValueError(f"`{key}` belongs to {whose}")
        if self.margin is not None and self.regression != "accuracy":
            raise ValueError("`margin` is that of accuracy; of other metrics write `min_effect`")
        if self.after and not self.abort_on_fail:
            raise ValueError("`after` belongs to `abort_on_fail: true`")
        if self.check and (said := "; ".join(_unfit(self, parse(self.check)))):
            raise ValueError(said)
        return self

    def threshold(self) -> Threshold | None:
        """What `check` says; None of a regression gate."""
        return None if self.check is None else parse(self.check)

    def rule(self) -> str:
        """The gate in one line, as a person would write it."""
        said = self.check or f"no regression of {self.regression}"
        where = f" in {self.scenario}" if self.scenario else ""
        return f"{said.strip()}{where}{' (sure)' if self.sure else ''}"


def _written(value: Any) -> Any:
    if isinstance(value, str):
        return {"check": value}
    if not isinstance(value, dict | GateSettings):
        raise ValueError(
            "expected a gate, as `accuracy >= 90 %`, or a mapping with `check` or `regression`, "
            f"got {value!r}"
        )
    return value


AnyGate = Annotated[
    GateSettings, BeforeValidator(_written, json_schema_input_type=str | GateSettings)
]


class BaselineSettings(Settings):
    """What runs are held against, and on which terms."""

    branch: str = Field(
        default="main", min_length=1, description="The branch whose runs are the baseline."
    )
    autosave: bool = Field(
        default=True, strict=True, description="Keep runs of that branch as its baseline."
    )
    pool: int = Field(
        default=20,
        ge=1,
        le=10_000,
        strict=True,
        description="Measured trials of a case above which no older run is added.",
    )
    margin: Share = Field(default=0.05, description="A drop of the pass rate that is no worse.")
    min_effect: Share = Field(
        default=0.01, description="The least drop of the pass rate that counts as one."
    )
    alpha: Annotated[Share, Field(gt=0, le=0.5)] = Field(
        default=0.05, description="False alarms of a whole comparison, at most."
    )
    infra_ceiling: Share = Field(
        default=0.02, description="Trials lost for reasons around the agent, at most."
    )
    cases: Literal["fixed", "sampled"] = Field(
        default="fixed",
        description="fixed: this very suite is judged; sampled: what new cases would show.",
    )


def gate_of(text: str) -> GateSettings:
    """The gate that somebody asks for on the command line. Raises UsageError."""
    try:
        return GateSettings(check=text)
    except ValidationError as error:
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UsageError(f"gate {text!r}: {said}") from None


def problem_of(threshold: Threshold) -> str:
    """Why a gate that can be read cannot be judged; "" where it can."""
    name, quantile = threshold.figure, threshold.quantile
    if said := _unknown(name, quantile):
        return said
    figure, unit = find(name), threshold.unit
    if figure is None:  # a measure of the user's own, compared as it is
        return "" if unit in ("", "%") else f"{name} is compared as it is: write a plain number"
    if said := _wrong_unit(figure, threshold):
        return said
    if threshold.needs_baseline and figure.total:
        each = f"{figure.name}_per_trial"
        instead = f"; take {each}" if each in FIGURES else ""
        return f"{figure.name} depends on how many trials ran: no baseline tells{instead}"
    return ""


def _unknown(name: str, quantile: float | None) -> str:
    """Why a name means no figure; "" where it does."""
    measure = name.removeprefix(OWN)
    if told := called(measure):
        meant = named(told.name, told.quantile)
        if name != measure or (named(name, quantile) != meant and find(name) is None):
            return f"the measure `{measure}` is asked for as `{meant}`"
    if name != measure:
        if quantile is not None or not measure:
            return f"expected {OWN}<name>, as the checker calls it, got `{named(name, quantile)}`"
        return ""
    figure = find(name)
    if figure is None:
        head, colon, _ = name.partition(":")
        if head in FIGURES and colon:
            return f"`{head}` has no parts" if not FIGURES[head].parts else _of_which(FIGURES[head])
        meant = name.replace(name[:5], _MEANT.get(name[:5], ""), 1)
        if name[:5] in _MEANT and find(meant):
            return f"there is no figure `{name}`. Did you mean `{meant}`?"
        own = f"A measure of a checker of your own is written {OWN}<name>."
        return f"there is no figure `{name}`.{_near(name, FIGURES)} {own}"
    if figure.only and ":" not in name:
        return _of_which(figure)
    return _wrong_quantile(figure, name, quantile)


def _of_which(figure: Figure) -> str:
    return f"say of which: `{figure.name}:<{figure.parts}>`"


def _wrong_quantile(figure: Figure, name: str, quantile: float | None) -> str:
    quantiles = quantiles_of(figure, name)
    kept = [named(name, q / 100) for q in quantiles]
    if quantile is None:
        return f"`{name}` is a spread: write {' or '.join(kept)}" if kept else ""
    if not kept:
        return f"`{name}` is one number and has no quantiles: write `{name}` alone"
    known = any(abs(quantile - q / 100) < 1e-9 for q in quantiles)
    return "" if known else f"expected {' or '.join(kept)}, got {named(name, quantile)}"


def _wrong_unit(figure: Figure, threshold: Threshold) -> str:
    """Why the bound is of another kind than the figure, or beyond it; "" where it is not."""
    unit, value = threshold.unit, threshold.offset
    kind = UNITS[unit][0]
    own = figure.unit if figure.unit in _KINDS else ""
    if kind and kind != own:
        is_ = _KINDS.get(own, "a plain number")
        of = "; for a part of the baseline write 1.1 * baseline" if threshold.needs_baseline else ""
        return f"{figure.name} is {is_}, and has no unit {unit}{of}"
    if own in ("ns", "bytes") and not kind and value:
        return f"{figure.name} is {_KINDS[own]}; {value:g} of what?"
    if own == "share" and abs(value) > 1:
        meant = f"; did you mean {abs(value):g} %?" if not kind and abs(value) <= 100 else ""
        return f"{figure.name} is a share and never above 100 %{meant}"
    if value < 0 and not threshold.needs_baseline and figure.name not in _SIGNED:
        return f"{figure.name} is never below 0"
    return ""


def _unfit(gate: GateSettings, threshold: Threshold) -> Iterator[str]:
    """What the other keys of a gate ask of its figure, and it cannot do."""
    figure = find(threshold.figure)
    if gate.scenario and figure is not None and figure.source == RUN:
        yield f"{figure.name} is known of the whole run alone: leave out `scenario`"
    if gate.sure and not (figure and figure.interval):
        yield f"`sure` needs an interval, and that of {threshold.asks} is not known"
    elif gate.sure and threshold.op == "==":
        yield "no sample is sure to be exactly a number: with `sure` write <= or >="


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 3)
    return f" Did you mean {' or '.join(f'`{one}`' for one in close)}?" if close else ""
