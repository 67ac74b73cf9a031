"""What the distilled circuit recalls, beside the model and beside guesses."""

from __future__ import annotations

from rote.page.document import Axis, BarChart, Block, Figure, Part, Series
from rote.page.shapes import VALUE, per_relation, table
from rote.page.view import Measured, View

EXPERIMENT = "effective_model"
_STATISTICS = {
    "effective_accuracy": "accuracy",
    "effective_balanced_accuracy": "balanced accuracy",
    "effective_agreement": "agreement with the model",
    "effective_loss_nats": "loss",
}
_CONDITIONS = {
    "report": "entities of the report half",
    "selection": "entities of the selection half",
    "shared": "entities that share a token",
    "shuffled": "permuted MLP weights",
}


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, *_STATISTICS, relation=relation)
    if not rows:
        return ()
    bars = tuple((words, row, color) for words, row, color in _bars(view, relation) if row is not None)
    chart = BarChart(
        title="",
        categories=tuple(words for words, _, _ in bars),
        value=Axis(title="accuracy among the classes", low=0, high=1.04, percent=True),
        series=_colored(bars),
        stacked=True,
    )
    figure = Figure(
        caption="Accuracy of the effective model beside the whole model and beside guesses that need no look-up.",
        alt="; ".join(f"{words} {row.number}" for words, row, _ in bars) + ".",
        charts=(chart,),
    )
    cells = (
        ("", lambda r: _STATISTICS[r.statistic], False),
        ("on", lambda r: _CONDITIONS.get(r.condition or "", r.condition or ""), False),
    )
    return (figure, table("The effective model", rows, *cells, *VALUE))


def _bars(view: View, relation: str | None) -> tuple[tuple[str, Measured | None, int], ...]:
    def known(statistic: str) -> Measured | None:
        for where in ({"relation": relation}, {"relation": None}):
            for condition in ("two_token", "all"):
                found = view.one("known_facts", statistic, cls=None, condition=condition, **where)
                if found:
                    return found
        return None

    def effective(condition: str) -> Measured | None:
        return view.one(EXPERIMENT, "effective_accuracy", relation=relation, condition=condition)

    return (
        ("whole model", known("accuracy_cls"), 4),
        ("effective model", effective("report"), 0),
        ("… selection half", effective("selection"), 0),
        ("… shared tokens", effective("shared"), 0),
        ("… permuted weights", effective("shuffled"), 1),
        ("linear on tokens", view.one("lookup_window", "additive_accuracy_held_out", relation=relation), 1),
        ("commonest class", known("baseline_majority"), 1),
        ("last token", known("baseline_last"), 1),
    )


def _colored(bars: tuple[tuple[str, Measured, int], ...]) -> tuple[Series, ...]:
    """One stack of bars per colour, with gaps where another colour stands."""
    names = {4: "whole model", 0: "effective model", 1: "controls and guesses"}
    return tuple(
        Series(
            name=name,
            y=tuple(row.value if own == color else None for _, row, own in bars),
            low=tuple(row.low if own == color else None for _, row, own in bars),
            high=tuple(row.high if own == color else None for _, row, own in bars),
            hover=tuple((words, row.full) for words, row, _ in bars),
            color=color,
            joined=False,
        )
        for color, name in names.items()
        if any(own == color for _, _, own in bars)
    )
