"""The values of one verdict: the model's, its references', and every other control's for the same row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from rote.catalog import PREDICTIONS, Prediction, Select
from rote.page import numbers
from rote.page.numbers import Form
from rote.page.view import View
from rote.records.outcomes import Outcome, Position
from rote.records.picking import Cell
from rote.report.lineup.words import control_title

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
    form = view.form(outcome.experiment, outcome.statistic)
    unmatched = unmatched_controls(view, outcome.relation)
    found = []
    if outcome.value is not None:
        whole = Position(name="effective", value=outcome.value, low=outcome.value_low, high=outcome.value_high)
        found.append(_stood(whole, "model", form, matched=True))
    named: set[str] = set()
    references: tuple[tuple[Role, tuple[Position, ...]], ...] = (
        ("with", outcome.with_controls),
        ("without", outcome.without_controls),
    )
    for side, controls in references:
        named |= {c.name for c in controls}
        found += [_stood(c, side, form, matched=c.name not in unmatched) for c in controls]
    cell = _cell(view, outcome)
    for control in view.controls:
        row = cell.position(control) if control not in named else None
        if row is not None:
            role: Role = "trained" if control == "trained" else "other"
            found.append(_stood(row, role, form, matched=control not in unmatched))
    return tuple(found)


def row_of(view: View, outcome: Outcome, stack: str) -> Position | None:
    """Where a stack stands on what a verdict is about: the row that the judge picked, or would pick, for it."""
    return _cell(view, outcome).position(stack)


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


def _stood(c: Position, role: Role, form: Form, *, matched: bool) -> Stood:
    number = numbers.number(form, c.value, c.low, c.high)
    between = numbers.interval(form, c.value, c.low, c.high)
    members = "" if c.members is None else f", {c.members} member" + ("" if c.members == 1 else "s")
    return Stood(
        stack=c.name,
        role=role,
        value=c.value,
        low=c.low,
        high=c.high,
        members=c.members,
        matched=matched,
        number=number,
        full=f"{number} {between}".strip() + members + ("" if matched else ", unmatched"),
    )


def _cell(view: View, outcome: Outcome) -> Cell:
    """The rows of every stack for a verdict; of a hypothesis that the catalog lacks, at the place that was judged."""
    for p in PREDICTIONS:
        if (p.hypothesis, p.experiment, p.statistic, p.select.condition) == outcome.key[:4]:
            return Cell(p, outcome.relation, view.summary, view.absent)
    site, layer = _place(view, outcome)
    unknown = Prediction(
        hypothesis=outcome.hypothesis,
        experiment=outcome.experiment,
        statistic=outcome.statistic,
        select=Select(condition=outcome.condition, site=site),
        with_controls=(),
        without_controls=(),
        why="",
    )
    return Cell(unknown, outcome.relation, view.summary, view.absent, layer=layer)


def _place(view: View, outcome: Outcome) -> tuple[str | None, int | None]:
    """(site, layer) of the row that was judged: where the rows are several, the one with the verdict's value."""
    known = [("effective", outcome.value), *((c.name, c.value) for c in outcome.with_controls)]
    known += [(c.name, c.value) for c in outcome.without_controls]
    where = {"condition": outcome.condition, "relation": (outcome.relation, None)}
    for stack, value in known:
        rows = view.rows(outcome.experiment, outcome.statistic, stack=stack, **where)
        if exact := [r for r in rows if r.value == value]:
            return exact[0].site, exact[0].layer
        if len(rows) == 1:
            return rows[0].site, rows[0].layer
    return None, None


def title_of(stood: Stood) -> str:
    return "the model" if stood.role == "model" else control_title(stood.stack)
