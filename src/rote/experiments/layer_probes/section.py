"""How the class becomes readable over the window: probes, readout loss, single layers."""

from __future__ import annotations

from rote.page.document import Axis, Block, Figure, Part, Series, Table, XYChart
from rote.page.shapes import (
    COLORS,
    STACKS,
    VALUE,
    layer_axis,
    layer_place,
    layer_table,
    layered,
    per_relation,
    percent_axis,
    series,
    table,
)
from rote.page.view import Measured, View

EXPERIMENT = "layer_probes"
BEFORE = ("resid_pre", "resid_mid")  # the stream that the first layer reads, in parallel and sequential blocks
_CURVES = (
    ("probe_accuracy", "probe", "accuracy"),
    ("probe_balanced_accuracy", "probe, classes weighing the same", "balanced accuracy"),
    ("readout_loss_nats", "readout", "loss (nats)"),
    ("layer_alone", "one layer's MLP kept", "accuracy"),
)


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _place(row: Measured) -> int:
    """A residual stream before a layer is the one after the layer before it."""
    layer = layer_place(row)
    return layer - 1 if row.site in BEFORE else layer


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    charts = tuple(
        chart
        for statistic, title, axis in _CURVES
        if (chart := _chart(view, relation, statistic, title, axis)) is not None
    )
    found: list[Block] = []
    if charts:
        found.append(
            Figure(
                caption="Over the layers of the window: a probe for the class, the same with classes "
                "weighing the same, "
                "the stack's own readout, and what a single layer's MLP gives. Bands are 95 % intervals.",
                alt="Curves over the layers for the whole model and the effective model.",
                charts=charts,
            )
        )
    rise = view.rows(EXPERIMENT, "early_rise", relation=relation)
    if rise:
        found.append(
            table(
                "Share of the rise in the first half of the window",
                rise,
                ("", lambda r: STACKS.get(r.stack or "", r.stack or ""), False),
                *VALUE,
            )
        )
    found.extend(t for statistic, title, _ in _CURVES if (t := _table(view, relation, statistic, title)) is not None)
    return tuple(found)


def _lines(view: View, relation: str | None, statistic: str) -> list[tuple[str, tuple[Measured, ...]]]:
    return [
        (stack, rows) for stack in STACKS if (rows := view.rows(EXPERIMENT, statistic, relation=relation, stack=stack))
    ]


def _label(row: Measured) -> str:
    return f"before layer {row.layer}" if row.site in BEFORE else f"after layer {row.layer}"


def _chart(view: View, relation: str | None, statistic: str, title: str, axis: str) -> XYChart | None:
    lines: tuple[Series, ...] = tuple(
        series(
            layered(rows),
            name=STACKS[stack],
            x=_place,
            label=_label,
            color=COLORS[stack],
            style="dot" if stack == "model" else "solid",
            band=True,
        )
        for stack, rows in _lines(view, relation, statistic)
        if layered(rows)
    )
    if not lines:
        return None
    rows = layered(view.rows(EXPERIMENT, statistic, relation=relation))
    before = next((_place(r) for r in rows if r.site in BEFORE), None)
    y = Axis(title=axis) if statistic == "readout_loss_nats" else percent_axis(axis)
    return XYChart(title=title, x=layer_axis({_place(r) for r in rows}, input_at=before), y=y, series=lines)


def _table_label(row: Measured) -> str:
    if row.layer is None:
        return "the least of them" if row.condition == "least" else "all together"
    return f"before {row.layer}" if row.site in BEFORE else str(row.layer)


def _table(view: View, relation: str | None, statistic: str, title: str) -> Table | None:
    lines = _lines(view, relation, statistic)
    if not lines:
        return None
    words = {"readout_loss_nats": "Loss of the readout", "layer_alone": "Accuracy with one layer's MLP kept"}
    return layer_table(
        words.get(statistic, f"Accuracy of the {title}") + " by layer",
        [(STACKS[stack], rows) for stack, rows in lines],
        label=_table_label,
        place=_place,
    )
