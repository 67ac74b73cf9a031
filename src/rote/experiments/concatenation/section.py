"""How the tokens of a name come together: heads, layers, and how additive the result is."""

from __future__ import annotations

from rote.page.document import Axis, BarChart, Block, Figure, Part, Series, XYChart
from rote.page.shapes import (
    ABLATION_WORDS,
    VALUE,
    first_order_table,
    largest,
    layer_axis,
    layer_table,
    per_relation,
    percent_axis,
    series,
    shown_of,
    table,
)
from rote.page.view import Measured, View

EXPERIMENT = "concatenation"
_BARS = 16
_SCALARS = {
    "concatenation_r2": "plain sum of a part per token (R²)",
    "patterns_frozen_accuracy": "accuracy with frozen patterns",
    "self_attention_forbidden_accuracy": "accuracy without self-attention in the second layer",
    "closed_form_difference": "difference from the closed form",
}


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    heads = view.rows(EXPERIMENT, "total_effect", relation=relation)
    layers = view.rows(EXPERIMENT, "attention_ablated_accuracy", relation=relation)
    charts = [chart for chart in (_bars(heads), _curves(layers)) if chart is not None]
    found: list[Block] = []
    if charts:
        found.append(
            Figure(
                caption="Left: total effect of each head at the last name token. Right: accuracy when all "
                "attention "
                "of one layer is ablated there; the layers that concatenate stand out."
                if len(charts) == 2
                else "Heads and layers at the last name token.",
                alt="Ranked bars of heads, and accuracy per ablated layer.",
                charts=tuple(charts),
            )
        )
    scalars = view.rows(EXPERIMENT, *_SCALARS, relation=relation)
    if scalars:
        cells = (
            ("", lambda r: _SCALARS[r.statistic], False),
            ("layer", lambda r: "" if r.layer is None else str(r.layer), True),
            ("condition", lambda r: ABLATION_WORDS.get(r.condition or "", r.condition or ""), False),
        )
        found.append(table("Is the input of the look-up a sum over tokens?", scalars, *cells, *VALUE))
    if layers:
        found.append(
            layer_table("Accuracy with one layer's attention ablated at the last name token", _by_ablation(layers))
        )
    if heads:
        top = largest(heads, _BARS)
        caption = f"Total effect in logits: {shown_of(len(top), len(heads), 'heads')}"
        found.append(table(caption, top, ("head", lambda r: r.name, False), *VALUE))
        found.extend(first_order_table(view.rows(EXPERIMENT, "first_order_correlation", relation=relation)))
    return tuple(found)


def _by_ablation(rows: tuple[Measured, ...]) -> list[tuple[str, tuple[Measured, ...]]]:
    conditions = dict.fromkeys(r.condition for r in rows)
    return [
        (ABLATION_WORDS.get(c or "", c or "accuracy"), tuple(r for r in rows if r.condition == c)) for c in conditions
    ]


def _bars(rows: tuple[Measured, ...]) -> BarChart | None:
    if not rows:
        return None
    top = largest(rows, _BARS)
    bars = Series(
        name="total effect",
        y=tuple(r.value for r in top),
        low=tuple(r.low for r in top),
        high=tuple(r.high for r in top),
        hover=tuple((r.name, r.full) for r in top),
    )
    return BarChart(
        title="heads at the last name token",
        categories=tuple(r.name for r in top),
        value=Axis(title="total effect (logit)"),
        series=(bars,),
    )


def _curves(rows: tuple[Measured, ...]) -> XYChart | None:
    if not rows:
        return None
    lines = tuple(
        series(these, name=name, color=index, style="dot" if index else "solid")
        for index, (name, these) in enumerate(_by_ablation(rows))
    )
    axis = layer_axis({r.layer for r in rows if r.layer is not None}, title="layer whose attention is ablated")
    return XYChart(title="attention ablated, layer by layer", x=axis, y=percent_axis("accuracy"), series=lines)
