"""The values of one verdict: the model's, its references', and every other control's for the same row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from rote.catalog import PREDICTIONS, Select
from rote.page import numbers
from rote.report.lineup.words import control_title
from rote.records.outcomes import ControlValue, Outcome
from rote.page.view import Measured, View

# what a row that decides leaves empty
_NULL = ("source", "head", "neuron", "cls", "position", "parameters")

Role = Literal["model", "with", "without", "other", "trained"]


@dataclass(frozen=True, kw_only=True)
class Stood:
    """Where one stack stands: its value for the row that the verdict is about."""

    stack: str
    role: Role
    value: float
    low: float | None
    high: float | None
    members: int | None
    matched: bool
    full: str
    number: str


def line_up(view: View, outcome: Outcome) -> tuple[Stood, ...]:
    """The model first, then references, then the other controls with a value; the model may be missing."""
    unit = _unit(view, outcome)
    unmatched = unmatched_controls(view, outcome.relation)
    found = []
    if outcome.value is not None:
        whole = ControlValue(control="effective", value=outcome.value, low=outcome.low, high=outcome.high, members=None)
        found.append(_stood(outcome, whole, "model", unit, matched=True))
    named: set[str] = set()
    references: tuple[tuple[Role, tuple[ControlValue, ...]], ...] = (
        ("with", outcome.with_controls),
        ("without", outcome.without_controls),
    )
    for side, controls in references:
        named |= {c.control for c in controls}
        found += [
            _stood(outcome, c, side, unit, matched=c.control not in unmatched) for c in controls if c.value is not None
        ]
    for control in view.controls:
        row = row_of(view, outcome, control) if control not in named else None
        if row is not None:
            value = ControlValue(control=control, value=row.value, low=row.low, high=row.high, members=row.n)
            role: Role = "trained" if control == "trained" else "other"
            found.append(_stood(outcome, value, role, unit, matched=control not in unmatched))
    return tuple(found)


def row_of(view: View, outcome: Outcome, stack: str) -> Measured | None:
    """A stack's row for the verdict's statistic, at the site and layer that the prediction names."""
    rows = _candidates(view, outcome, stack)
    select = _select(outcome)
    if select is None:  # a hypothesis that the catalog does not know: the place of the values that were judged
        place = _place(view, outcome)
        return next((r for r in rows if (r.site, r.layer) == place), None)
    layer = _layer(view, outcome, select)
    if select.layer != "all" and layer is None:
        return None
    return next((r for r in rows if (r.site, r.layer) == (select.site, layer)), None)


def unmatched_controls(view: View, relation: str | None) -> frozenset[str]:
    """Controls that could not be matched to the model: drawn, never a reference."""
    table = controls_table(view, relation)
    if table is None:
        return frozenset()
    return frozenset(str(c) for c in table.loc[~table["matched"].astype(bool), "control"])


def controls_table(view: View, relation: str | None) -> pd.DataFrame | None:
    """How each control was matched, for one relation."""
    table = view.table("lineup", "controls")
    if table is None or table.empty:
        return None
    return table if relation is None else table[table["relation"].isna() | (table["relation"] == relation)]


def _stood(outcome: Outcome, c: ControlValue, role: Role, unit: str | None, *, matched: bool) -> Stood:
    assert c.value is not None
    number = numbers.number(outcome.statistic, unit, c.value, c.low, c.high)
    between = numbers.interval(outcome.statistic, unit, c.value, c.low, c.high)
    members = "" if c.members is None else f", {c.members} member" + ("" if c.members == 1 else "s")
    return Stood(
        stack=c.control,
        role=role,
        value=c.value,
        low=c.low,
        high=c.high,
        members=c.members,
        matched=matched,
        number=number,
        full=f"{number} {between}".strip() + members + ("" if matched else ", unmatched"),
    )


def _candidates(view: View, outcome: Outcome, stack: str) -> tuple[Measured, ...]:
    rows = view.rows(
        outcome.experiment,
        outcome.statistic,
        condition=outcome.condition,
        relation=(outcome.relation, None),
        stack=stack,
        **{key: {} if key == "parameters" else None for key in _NULL},
    )
    return tuple(sorted(rows, key=lambda r: r.relation is None))


def _select(outcome: Outcome) -> Select | None:
    """The row that the catalog's prediction names."""
    for p in PREDICTIONS:
        if (p.hypothesis, p.experiment, p.statistic) == (outcome.hypothesis, outcome.experiment, outcome.statistic):
            return p.select
    return None


def _layer(view: View, outcome: Outcome, select: Select) -> int | None:
    """The first or last layer for which any stack has a value, or a reason for having none; None: all layers."""
    if select.layer == "all":
        return None
    layers: list[int] = []
    for frame in (view.summary, view.absent):
        mine = frame[(frame["experiment"] == outcome.experiment) & (frame["statistic"] == outcome.statistic)]
        for key, wanted in (
            ("condition", select.condition),
            ("site", select.site),
            ("relation", outcome.relation),
            *((key, None) for key in _NULL),
        ):
            mine = mine[mine[key].isna() if wanted is None else mine[key] == wanted]
        layers += [int(layer) for layer in mine["layer"].dropna()]
    return min(layers, default=None) if select.layer == "first" else max(layers, default=None)


def _place(view: View, outcome: Outcome) -> tuple[str | None, int | None] | None:
    """(site, layer) of the row that was judged: where the rows are several, the one with the verdict's value."""
    known = [("effective", outcome.value, outcome.low)]
    known += [(c.control, c.value, c.low) for c in (*outcome.with_controls, *outcome.without_controls)]
    for stack, value, low in known:
        if value is None:
            continue
        rows = _candidates(view, outcome, stack)
        exact = [r for r in rows if r.value == value and r.low == low]
        if exact or len(rows) == 1:
            return (exact or list(rows))[0].site, (exact or list(rows))[0].layer
    return None


def _unit(view: View, outcome: Outcome) -> str | None:
    for stack in ("effective", *view.controls):
        for row in _candidates(view, outcome, stack):
            return row.unit
    return None


def title_of(stood: Stood) -> str:
    return "the model" if stood.role == "model" else control_title(stood.stack)
