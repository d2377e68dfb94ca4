"""The changes of metrics drawn side by side: places on one scale, in percent of its width.

Rules:
1. Zero is in the middle. Worse is left and better is right, whichever sign that has; of a metric of
   which neither is better, less is left and more is right.
2. The scale is in points of a share and in percent of the base of everything else. It holds what
   decides whole, and is no wider for the rest: what goes beyond it is cut off, and says so.
3. Drawing decides nothing. What has no interval is a bare point; what has no base has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from proofrig.comparisons.comparison import Effect, Terms
from proofrig.reports.comparison import TONES, change, difference, relative, span

LEAST_CHANGE = 0.05  # relative, of a metric for which the terms have none
_STEPS = (5, 10, 20, 40, 100)  # ends of a scale: each has a half and no odd digits


@dataclass(frozen=True, slots=True)
class Whisker:
    """An effect on the scale: estimate (None: it is beyond the scale) and interval, whether an end
    is cut off, and the shaded range of changes that do not count. `tone`: good, bad, unsure, plain
    or, of what has no interval, bare. `said`: all of it in words."""

    at: float | None
    low: float
    high: float
    cut_low: bool
    cut_high: bool
    shade: tuple[float, float]
    tone: str
    said: str


def most_of(effects: Iterable[Effect]) -> float:
    """The end of the scale: all that decides fits; where nothing does, all estimates."""
    every = [one for one in effects if one.change is not None]
    deciding = [one for one in every if one.blocks]
    sizes = [0.0]
    for one in deciding or every:
        ends = [one.change.estimate] if one.change else []
        ends += [one.change.low, one.change.high] if one.change and one.blocks else []
        moved = [relative(one, end) for end in ends if isfinite(end)]
        sizes += [abs(share) for share in moved if share is not None]
    return next((float(step) for step in _STEPS if step >= max(sizes)), float(_STEPS[-1]))


def ticks_of(most: float) -> list[tuple[float, str]]:
    """Where the scale is labelled, and with what size; the sign is said by worse and better."""
    half, whole = f"{most / 2:g}", f"{most:g}"
    return [(0.0, whole), (25.0, half), (50.0, "0"), (75.0, half), (100.0, whole)]


def whisker(effect: Effect, most: float, terms: Terms) -> Whisker | None:
    """The effect on a scale that ends at `most`; None for what cannot be drawn."""
    moved, given = difference(effect), effect.change
    if moved is None or relative(effect, 0.0) is None:
        return None
    ends = (moved, moved) if given is None else (given.low, given.high)
    low, high = sorted(_on(relative(effect, end) or 0.0, effect, most) for end in ends)
    at = _on(relative(effect, moved) or 0.0, effect, most)
    return Whisker(
        at=_within(at) if 0 <= at <= 100 else None,
        low=_within(low),
        high=_within(high),
        cut_low=low < 0,
        cut_high=high > 100,
        shade=_shade(effect, most, terms),
        tone=_tone(effect),
        said=change(effect) if given is None else f"{change(effect)}, interval {span(effect)}",
    )


def _tone(effect: Effect) -> str:
    if effect.change is None:
        return "bare"
    told = effect.blocks or (effect.better and effect.verdict != "no worse")
    return TONES[effect.verdict] if told else "plain"


def _on(moved: float, effect: Effect, most: float) -> float:
    """A change on the scale, before what is beyond it is cut off."""
    turned = -moved if effect.better == "lower" else moved
    return 50 + 50 * turned / most


def _within(place: float) -> float:
    return round(min(100.0, max(0.0, place)), 2)


def _shade(effect: Effect, most: float, terms: Terms) -> tuple[float, float]:
    """What does not count: harm that is still no worse, a gain that is too small."""
    share = effect.unit == "share"
    given = terms.least_of(effect.metric)
    own = given if given is not None else 0.0 if share else LEAST_CHANGE
    harm = (own or terms.margin) if share else own
    gain = (own or terms.min_effect) if share else own
    gain = gain if effect.better else max(harm, gain)
    return _within(50 - 50 * 100 * harm / most), _within(50 + 50 * 100 * gain / most)
