"""What the study published for its own model and facts, beside what was measured here."""

from __future__ import annotations

from rote.catalog import ExperimentCard, PublishedValue
from rote.page import numbers
from rote.page.document import Column, Table
from rote.page.numbers import Form
from rote.page.view import STUDIED, STUDYS_RELATION, Measured, View

_NONE = "not measured"


def published_table(view: View, card: ExperimentCard) -> Table:
    """A line per published value: its words, value and place in the study, and the measured row it speaks of."""
    return Table(
        caption="Published for Pythia-2.8B, beside what was measured here",
        columns=(
            Column(title="published"),
            Column(title="statistic"),
            Column(title="value", numeric=True),
            Column(title="measured here", numeric=True),
            Column(title="source"),
        ),
        rows=tuple(
            (p.text, p.statistic, _published(card, p), _beside(view, card, p), str(p.source)) for p in card.published
        ),
    )


def _published(card: ExperimentCard, published: PublishedValue) -> str:
    statistic = card.statistic(published.statistic)
    form = Form(unit=statistic.unit, shown=statistic.shown)
    if published.value is not None:
        return numbers.number(form, published.value)
    if published.low is not None and published.high is not None:
        low, high = (numbers.number(form, v) for v in (published.low, published.high))
        return f"{low} to {high}"
    return "in words"


def _beside(view: View, card: ExperimentCard, published: PublishedValue) -> str:
    """The measured rows that the published value speaks of, for the model and for the effective model."""
    if published.value is None and published.low is None:
        return "see above"
    rows = _rows(view, card, published)
    found = {stack: _shown(these, published) for stack in STUDIED if (these := _of(rows, stack))}
    if len(found) < 2:
        return next(iter(found.values()), _NONE)
    return "; ".join(f"{stack}: {text}" for stack, text in found.items())


def _rows(view: View, card: ExperimentCard, published: PublishedValue) -> tuple[Measured, ...]:
    where = {
        key: value
        for key, value in (
            ("condition", published.condition),
            ("site", published.site),
            ("source", published.source_node),
            ("layer", published.layer),
            ("head", published.head),
        )
        if value is not None
    }
    return tuple(
        r
        for r in view.rows(card.name, published.statistic, relation=(STUDYS_RELATION, None), **where)
        if r.cls is None
        and all(r.parameters.get(name) == wanted for name, wanted in published.parameters.items())
        and r.parameters.get("readout", "heads") == "heads"
        and r.parameters.get("ablation", "mean") == "mean"
    )


def _of(rows: tuple[Measured, ...], stack: str) -> tuple[Measured, ...]:
    return tuple(r for r in rows if r.stack == stack)


def _shown(rows: tuple[Measured, ...], published: PublishedValue) -> str:
    """One row as it is; of several layers the range, or the largest where the study says "up to"."""
    if len(rows) == 1 or published.layer is not None:
        return rows[0].full
    ordered = sorted(rows, key=lambda r: r.value)
    if published.low is not None:
        return f"{ordered[0].number} to {ordered[-1].number}"
    return f"up to {ordered[-1].full}" if "up to" in published.text else rows[0].full
