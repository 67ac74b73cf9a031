"""A strip of the line-up as coordinates: per cent across, so that it fits any width, pixels down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rote.page.document import Mark, Strip, StripRow

# labels are placed for the narrowest strip; wider ones have more room between them
_NARROW = 330
_CHAR = 6.3
_GAP = 2.6
_TOP = 22
_LANE = {"with": 19, "without": 19, "other": 15, "trained": 15}
_LANES = (("with",), ("without",), ("other", "trained"))
_BELOW = 20


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A mark with its interval and name; `beyond` says that the value lies outside the scale."""

    mark: Mark
    x: float
    y: float
    start: float
    stop: float
    label_x: float
    anchor: Literal["start", "end"]
    beyond: Literal["", "low", "high"]


@dataclass(frozen=True, kw_only=True)
class PlacedStrip:
    height: float
    axis_y: float
    model: Placed | None
    marks: tuple[Placed, ...]


def place_strip(row: StripRow, strip: Strip) -> PlacedStrip:
    """The model across all lanes; below it lanes for controls with, without, and the others."""
    model = next((m for m in strip.marks if m.role == "model"), None)
    y = float(_TOP)
    placed: list[Placed] = []
    for roles in _LANES:
        lanes: list[list[tuple[float, float]]] = []
        marks = sorted((m for m in strip.marks if m.role in roles), key=lambda m: m.value)
        step = _LANE[roles[0]]
        for mark in marks:
            at, span = _across(row, mark)
            free = (i for i, taken in enumerate(lanes) if all(span[1] < a or span[0] > b for a, b in taken))
            lane = next(free, len(lanes))
            if lane == len(lanes):
                lanes.append([])
            lanes[lane].append(span)
            placed.append(_placed(row, mark, at, y + step * (lane + 0.5)))
        y += step * len(lanes) + (4 if lanes else 0)
    whole = _placed(row, model, _across(row, model)[0], _TOP / 2) if model else None
    return PlacedStrip(height=y + _BELOW, axis_y=y + 2, model=whole, marks=tuple(placed))


@dataclass(frozen=True, kw_only=True)
class _Place:
    x: float
    start: float
    stop: float
    label_x: float
    anchor: Literal["start", "end"]


def _across(row: StripRow, mark: Mark) -> tuple[_Place, tuple[float, float]]:
    """Where a mark, its interval and its name stand, and the stretch that they need."""
    x = _percent(row, mark.value)
    start = x if mark.low is None else _percent(row, mark.low)
    stop = x if mark.high is None else _percent(row, mark.high)
    width = 100 * _CHAR * len(mark.name) / _NARROW
    left, right = min(start, x - _GAP), max(stop, x + _GAP)
    if right + width <= 101:
        place = _Place(x=x, start=start, stop=stop, label_x=right + 0.8, anchor="start")
        return place, (left - 1, right + width + 2)
    if left - width >= -1:
        place = _Place(x=x, start=start, stop=stop, label_x=left - 0.8, anchor="end")
        return place, (left - width - 2, right + 1)
    # no room outside the interval: over its line, with a halo, on the side with more of it
    if x < 50:
        place = _Place(x=x, start=start, stop=stop, label_x=x + _GAP, anchor="start")
        return place, (left - 1, max(right, x + _GAP + width) + 1)
    place = _Place(x=x, start=start, stop=stop, label_x=x - _GAP, anchor="end")
    return place, (min(left, x - _GAP - width) - 1, right + 1)


def _placed(row: StripRow, mark: Mark, at: _Place, y: float) -> Placed:
    return Placed(
        mark=mark,
        x=at.x,
        y=y,
        start=at.start,
        stop=at.stop,
        label_x=at.label_x,
        anchor=at.anchor,
        beyond="low" if mark.value < row.low else "high" if mark.value > row.high else "",
    )


def _percent(row: StripRow, value: float) -> float:
    return round(100 * min(max((value - row.low) / (row.high - row.low), 0), 1), 2)
