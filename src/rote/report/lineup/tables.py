"""The exact numbers under the line-up: how each hypothesis stands, every verdict, every control's value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from rote.page import numbers
from rote.page.document import Column, Table
from rote.page.numbers import PERCENT, PLAIN
from rote.page.view import View
from rote.records.outcomes import NOT_APPLICABLE, NOT_DECISIVE, Outcome, judged
from rote.report.lineup.values import Stood, controls_table, line_up, title_of
from rote.report.lineup.words import control_title, hypothesis_title, test_detail, test_title, verdict_words

_OPEN = ("in between", "unlike all controls")


def standing_table(outcomes: Iterable[Outcome]) -> Table:
    """One row per hypothesis: its standing, and its verdicts counted."""
    counted = ("consistent", "inconsistent", *_OPEN, NOT_DECISIVE, NOT_APPLICABLE)
    return Table(
        caption="How each hypothesis stands",
        columns=(
            Column(title="hypothesis"),
            Column(title="standing"),
            *(Column(title=verdict_words(v), numeric=True) for v in counted),
        ),
        rows=tuple(
            (hypothesis_title(j.hypothesis), j.standing, *(str(j.count(v)) for v in counted)) for j in judged(outcomes)
        ),
    )


def verdict_table(view: View, outcomes: Iterable[Outcome]) -> Table:
    """One row per verdict with the values that it rests on and its reason."""

    def these(stood: tuple[Stood, ...], role: str) -> str:
        return (
            "; ".join((f"{title_of(s)} " if role != "model" else "") + s.full for s in stood if s.role == role) or "–"
        )

    rows = []
    for o in outcomes:
        stood = line_up(view, o)
        t = "–" if o.t is None else numbers.number(PLAIN, o.t)
        values = (these(stood, role) for role in ("model", "with", "without"))
        rows.append((hypothesis_title(o.hypothesis), test_title(o), verdict_words(o.verdict), t, *values, o.reason))
    titles = ("hypothesis", "test", "verdict", "t", "model", "controls with", "controls without", "reason")
    return Table(
        caption="Every verdict with its values. t = 0: at the nearest control without the property, 1: with it",
        columns=tuple(Column(title=title, numeric=title in ("t", "model")) for title in titles),
        rows=tuple(rows),
    )


def controls_values_table(view: View, outcomes: Iterable[Outcome]) -> Table:
    """A row per stack, a column per test: the model and every control, reference or not."""
    tests = {o.test: o for o in outcomes}
    stood = {test: {s.stack: s for s in line_up(view, o)} for test, o in tests.items()}
    stacks = ("effective", *view.controls)
    return Table(
        caption="Every control's value in every test, with the interval for one more member",
        columns=(
            Column(title="stack"),
            *(Column(title=f"{test_title(o)}: {test_detail(o)}", numeric=True) for o in tests.values()),
        ),
        rows=tuple(
            (
                "the model" if stack == "effective" else control_title(stack),
                *(by[stack].full if stack in by else "–" for by in stood.values()),
            )
            for stack in stacks
        ),
    )


def matching_table(view: View, relation: str | None) -> Table | None:
    """How well each control is matched to the model; None where the run does not say."""
    frame = controls_table(view, relation)
    if frame is None:
        return None
    titles = ("control", "members", "matched", "accuracy", "accuracy aimed at", "output RMS / model's", "remark")
    return Table(
        caption="The controls, and how they are matched to the model",
        columns=tuple(Column(title=title, numeric=0 < i < 6 and i != 2) for i, title in enumerate(titles)),
        rows=tuple(_matching(row) for row in frame.to_dict("records")),
    )


def _matching(row: Mapping[Any, Any]) -> tuple[str, ...]:
    exempt = bool(row.get("exempt"))
    matched = "exempt" if exempt else "yes" if bool(row["matched"]) else "unmatched"
    members = f"{int(row['n_matched'])} of {int(row['n_members'])}"

    def share(name: str) -> str:
        return "–" if pd.isna(row.get(name)) else numbers.number(PERCENT, float(row[name]))

    ratio = "–" if pd.isna(row.get("rms_ratio")) else numbers.number(PLAIN, float(row["rms_ratio"]))
    reason = row.get("reason")
    return (
        control_title(str(row["control"])),
        members,
        matched,
        share("accuracy"),
        share("target_accuracy"),
        ratio,
        "" if reason is None or pd.isna(reason) else str(reason),
    )
