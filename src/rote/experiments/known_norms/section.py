"""Norms of MLP outputs on known against unknown names, raw and adjusted for the tokens."""

from __future__ import annotations

from rote.page.document import Axis, Block, Figure, Guide, LineStyle, Part, XYChart
from rote.page.shapes import COLORS, STACKS, layer_axis, layer_table, per_relation, series
from rote.page.view import Measured, View

EXPERIMENT = "known_norms"
_CONDITIONS: tuple[tuple[str, LineStyle], ...] = (("raw", "dot"), ("adjusted", "solid"))
_METRICS = (
    ("norm_d", "effect size", "d (standard deviations)", 0.0, "no difference"),
    ("norm_auc", "known told from unknown", "AUC", 0.5, "no difference"),
)


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _lines(view: View, relation: str | None, statistic: str) -> list[tuple[str, str, LineStyle, tuple[Measured, ...]]]:
    return [
        (f"{STACKS[stack]}, {condition}", stack, style, rows)
        for stack in STACKS
        for condition, style in _CONDITIONS
        if (rows := view.rows(EXPERIMENT, statistic, relation=relation, stack=stack, condition=condition))
    ]


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    charts, tables = [], []
    for statistic, title, axis, null, label in _METRICS:
        lines = _lines(view, relation, statistic)
        if not lines:
            continue
        drawn = tuple(
            series(rows, name=name, label=lambda r: f"MLP {r.layer}", color=COLORS[stack], style=style)
            for name, stack, style, rows in lines
        )
        layers = {int(x) for line in drawn for x in line.x}
        charts.append(
            XYChart(
                title=title,
                x=layer_axis(layers, title="MLP"),
                y=Axis(title=axis),
                series=drawn,
                guides=(Guide(value=null, label=label),),
            )
        )
        tables.append(
            layer_table(
                f"{title.capitalize()} by MLP, known against unknown names",
                [(name, rows) for name, _, _, rows in lines],
            )
        )
    if not charts:
        return ()
    figure = Figure(
        caption="Norms of MLP outputs, known names against unknown combinations of the same tokens. "
        "Adjusted: after "
        "removing what each token contributes on its own.",
        alt="Effect size and AUC per MLP, raw and adjusted.",
        charts=tuple(charts),
    )
    return (figure, *tables)
