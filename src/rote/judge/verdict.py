"""The verdict rule: one model among controls with and without a property."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rote.records.outcomes import Position


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict, the share t of the way from without to with (None where it is undefined), and the sentence."""

    verdict: str
    t: float | None
    reason: str


def decide(model: Position, with_: Sequence[Position], without: Sequence[Position], *, reach: float = 0.0) -> Ruling:
    """The verdict on one cell, from intervals alone.

    `reach` (0 to below ½): a model that is not made like a control need not stand exactly where one does, for instance
    where a control's value is exactly 0. So the controls reach this share of the smallest gap between a with-interval
    and a without-interval beyond their own ends; they stay disjoint. Calibration tunes it per cell.

    Decisive only if every interval of `with_` is disjoint from every one of `without`. Then, by what the model's
    interval meets: some with and no without: `consistent`; some without and no with: `inconsistent`; both: `in
    between`; none: `unlike all controls` where it lies outside the hull of all intervals of both sides, else `in
    between` (in a gap of the hull). Where the two sides lie apart as wholes, a model between two controls of one
    side counts as meeting that side, though it meets none of them singly. The hull, since a model in the gap between
    the sides is outside each interval, yet its place between them is what `in between` means. t = (model − nearest
    without) / (nearest with − nearest without), nearest by the mean to the model's value; None where not decisive or
    where the two means are equal.

    Raises ValueError where a side is empty: a cell without references is for the caller to explain.
    """
    if not with_ or not without:
        raise ValueError("a verdict needs a control on either side: expected at least one with and one without")
    shown = Numbers.of([model, *with_, *without])
    blurred_with = [a for a in with_ if any(a.meets(b) for b in without)]
    blurred_without = [b for b in without if any(b.meets(a) for a in with_)]
    if blurred_with:
        return Ruling(
            verdict="not decisive",
            t=None,
            reason=f"the test cannot tell its own controls apart: {shown.all(blurred_with)} with the property meet "
            f"{shown.all(blurred_without)} without it; effective: {shown.bare(model)}",
        )
    beyond = reach * min(a.distance(b) for a in with_ for b in without)
    met_with, met_without = _met(model, with_, beyond), _met(model, without, beyond)
    if not met_with and not met_without and not hull(with_).meets(hull(without)):
        met_with, met_without = _among(model, with_, beyond), _among(model, without, beyond)
    verdict, reason = _place(model, with_, without, met_with, met_without, shown, beyond)
    return Ruling(verdict=verdict, t=_share(model, with_, without), reason=reason)


def _place(
    model: Position,
    with_: Sequence[Position],
    without: Sequence[Position],
    met_with: Sequence[Position],
    met_without: Sequence[Position],
    shown: Numbers,
    beyond: float,
) -> tuple[str, str]:
    value, within = shown.bare(model), f" (within its reach of {shown.number(beyond)})" if beyond else ""
    if met_with and met_without:
        return "in between", f"{value} meets {shown.all(met_with)} and also {shown.all(met_without)}"
    if met_with:
        return "consistent", f"{value} meets {shown.all(met_with)}{within} and none of {shown.all(without)}"
    if met_without:
        return "inconsistent", f"{value} meets {shown.all(met_without)}{within} and none of {shown.all(with_)}"
    ends = [c.ends for c in (*with_, *without)]
    low, high = min(e[0] for e in ends) - beyond, max(e[1] for e in ends) + beyond
    if model.ends[1] < low or model.ends[0] > high:
        side = "below" if model.ends[1] < low else "above"
        everyone = shown.all([*with_, *without])
        return "unlike all controls", f"{value} lies {side} all controls: {everyone}"
    return "in between", f"{value} lies between {shown.all(with_)} and {shown.all(without)} and meets none"


def hull(positions: Sequence[Position]) -> Position:
    """From the lowest end to the highest of some intervals; ValueError for none."""
    low, high = min(p.ends[0] for p in positions), max(p.ends[1] for p in positions)
    return Position(name="hull", value=(low + high) / 2, low=low, high=high)


def _met(model: Position, controls: Sequence[Position], beyond: float) -> list[Position]:
    return [c for c in controls if model.meets(c.widened(beyond))]


def _among(model: Position, controls: Sequence[Position], beyond: float) -> list[Position]:
    """All controls of a side, for a model that stands between them."""
    return list(controls) if model.meets(hull(controls).widened(beyond)) else []


def nearest(model: Position, controls: Iterable[Position]) -> Position:
    """The control whose mean is nearest to the model's value; of equally near ones the first. ValueError for none."""
    return min(controls, key=lambda control: abs(control.value - model.value))


def _share(model: Position, with_: Sequence[Position], without: Sequence[Position]) -> float | None:
    start, end = nearest(model, without), nearest(model, with_)
    span = end.value - start.value
    return (model.value - start.value) / span if span else None


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of one sentence, in as many digits as tell its positions apart."""

    decimals: int

    @classmethod
    def of(cls, positions: Sequence[Position]) -> Numbers:
        ends = [end for position in positions for end in position.ends]
        width = max(ends) - min(ends)
        return cls(decimals=min(max(2 - math.ceil(math.log10(width)), 2), 6) if width > 0 else 2)

    def bare(self, position: Position) -> str:
        """The value with its interval: 0.44 [0.38, 0.51]."""
        value = self.number(position.value)
        if position.low is None or position.high is None:
            return value
        return f"{value} [{self.number(position.low)}, {self.number(position.high)}]"

    def __call__(self, position: Position) -> str:
        return f"{position.name} {self.bare(position)}"

    def all(self, positions: Sequence[Position]) -> str:
        return ", ".join(map(self, positions))

    def number(self, value: float) -> str:
        """One number with the typographic minus."""
        text = f"{value:.{self.decimals}f}"
        # "-0.00" would claim a sign that the digits do not show
        return text.replace("-", "−" if any(digit in "123456789" for digit in text) else "")
