"""Differences between independent runs: every value that both hold, with an interval from both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rote.page import numbers
from rote.page.document import Column, Table
from rote.page.numbers import Form
from rote.page.view import Measured, View
from rote.records import canonical_json
from rote.records.outcomes import Position

Key: TypeAlias = tuple[object, ...]

_MOST = 40
_PLACES = ("stack", "condition", "relation", "site", "source", "layer", "head", "neuron", "cls", "position")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`value` = later − first; the interval is None where `reason` says why."""

    value: float
    low: float | None
    high: float | None
    reason: str

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def difference(first: Measured | Position, later: Measured | Position, names: tuple[str, str]) -> Difference:
    """later − first. Half-widths of independent estimates add in quadrature, each side for itself:

    low = d − √((later − later_low)² + (first_high − first)²), high = d + √((later_high − later)² +
    (first − first_low)²). Runs on the same facts err together, so the interval is rather too wide than too narrow.
    """
    value = later.value - first.value
    lacking = [name for name, r in zip(names, (first, later), strict=True) if r.low is None or r.high is None]
    if lacking or first.low is None or first.high is None or later.low is None or later.high is None:
        return Difference(value=value, low=None, high=None, reason=f"no interval in {' and '.join(lacking)}")
    down = math.hypot(later.value - later.low, first.high - first.value)
    up = math.hypot(later.high - later.value, first.value - first.low)
    return Difference(value=value, low=value - down, high=value + up, reason="")


def shared_rows(views: Sequence[View]) -> dict[Key, tuple[Measured | None, ...]]:
    """Values of the first run that another run holds too, by what they are, in the first run's order.

    Rows that only a seed of theirs tells apart are left out: they have no counterpart.
    """
    found = [_by_key(view) for view in views]
    return {
        key: (row, *(other.get(key) for other in found[1:]))
        for key, row in found[0].items()
        if any(key in other for other in found[1:])
    }


def _by_key(view: View) -> dict[Key, Measured]:
    keys = [_key(row) for row in view.measured]
    counts = Counter(keys)
    return {key: row for key, row in zip(keys, view.measured, strict=True) if counts[key] == 1}


def _key(row: Measured) -> Key:
    places = tuple(getattr(row, name) for name in _PLACES)
    return (row.experiment, row.statistic, row.unit, *places, canonical_json(row.parameters))


def difference_table(names: Sequence[str], experiment: str, rows: Sequence[tuple[Measured | None, ...]]) -> Table:
    """One row per value: where it stands, its value in each run, the differences to the first run.

    Of a statistic with very many values (one for each head, say) those that differ most are shown.
    """
    shown, cut = _largest(names, rows)
    more = "".join(f"; {statistic}: the {_MOST} of {n:,} that differ most" for statistic, n in cut.items())
    return Table(
        caption=f"Values of {experiment}{more}",
        columns=(
            Column(title="statistic"),
            Column(title="where"),
            *(Column(title=name, numeric=True) for name in names),
            *(Column(title=f"{name} − {names[0]}", numeric=True) for name in names[1:]),
        ),
        rows=tuple(_cells(names, row) for row in shown),
    )


def _largest(
    names: Sequence[str], rows: Sequence[tuple[Measured | None, ...]]
) -> tuple[list[tuple[Measured | None, ...]], dict[str, int]]:
    by: dict[str, list[tuple[Measured | None, ...]]] = {}
    for row in rows:
        by.setdefault(_first(row).statistic, []).append(row)
    shown, cut = [], {}
    for statistic, these in by.items():
        if len(these) > _MOST:
            cut[statistic] = len(these)
            these = sorted(these, key=lambda r: -_size(names, r))[:_MOST]
        shown += these
    return shown, cut


def _first(row: tuple[Measured | None, ...]) -> Measured:
    first = row[0]
    assert first is not None  # shared_rows begins with the first run's value
    return first


def _size(names: Sequence[str], row: tuple[Measured | None, ...]) -> float:
    first = _first(row)
    found = [difference(first, r, (names[0], n)) for n, r in zip(names[1:], row[1:], strict=True) if r is not None]
    return max(abs(d.value) for d in found)


def _cells(names: Sequence[str], row: tuple[Measured | None, ...]) -> tuple[str, ...]:
    first = _first(row)
    return (
        first.statistic,
        place(first),
        *("–" if r is None else r.full for r in row),
        *(
            "–" if r is None else difference_text(first.form, difference(first, r, (names[0], name)))
            for name, r in zip(names[1:], row[1:], strict=True)
        ),
    )


def place(row: Measured) -> str:
    """Everything that tells a value from others of its statistic."""
    parts = [str(v) if k == "stack" else f"{k} {v}" for k in _PLACES if (v := getattr(row, k)) is not None]
    return ", ".join([*parts, *(f"{k} {v}" for k, v in row.parameters.items())])


def difference_text(form: Form, found: Difference) -> str:
    """ "+2.0 pp [−1.1, 5.1]"; a star where the interval leaves out 0; the reason where there is none."""
    number = numbers.number(form, found.value, found.low, found.high)
    if number.endswith(" %"):
        number = number.removesuffix(" %") + " pp"
    sign = "+" if found.value > 0 else ""
    between = numbers.interval(form, found.value, found.low, found.high)
    star = " *" if found.excludes_zero else ""
    return f"{sign}{number} {between}{star}".rstrip() if between else f"{sign}{number} ({found.reason})"
