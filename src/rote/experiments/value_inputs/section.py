"""What feeds the top heads: earlier nodes ranked by their effect through each head's value path."""

from __future__ import annotations

from rote.page.document import Axis, BarChart, Block, Figure, Part, Series
from rote.page.shapes import VALUE, first_order_table, largest, per_relation, shown_of, table
from rote.page.view import Measured, View, source_name

EXPERIMENT = "value_inputs"
_BARS = 10
_ROWS = 15


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, "value_effect", relation=relation)
    if not rows:
        return ()
    heads = tuple(dict.fromkeys((r.layer, r.head) for r in rows))
    charts = tuple(_chart(tuple(r for r in rows if (r.layer, r.head) == head)) for head in heads)
    top = largest(rows, _ROWS)
    figure = Figure(
        caption=f"For each top head, the {_BARS} earlier nodes that matter most through its value path.",
        alt=f"Ranked bars; the largest is {_node(top[0])} into {top[0].name} with {top[0].number} logits.",
        charts=charts,
    )
    cells = (("node", _node, False), ("into head", lambda r: r.name, False))
    shown = table(f"Effect in logits: {shown_of(len(top), len(rows), 'paths')}", top, *cells, *VALUE)
    agreement = view.rows(EXPERIMENT, "first_order_correlation", relation=relation)
    return (figure, shown, *first_order_table(agreement, ("into head", lambda r: r.name, False)))


def _node(row: Measured) -> str:
    return "embedding" if row.source == "embed" else source_name(row.source)


def _chart(rows: tuple[Measured, ...]) -> BarChart:
    top = largest(rows, _BARS)
    return BarChart(
        title=f"into {rows[0].name}",
        categories=tuple(_node(r) for r in top),
        value=Axis(title="effect (logit)"),
        series=(
            Series(
                name="effect",
                y=tuple(r.value for r in top),
                low=tuple(r.low for r in top),
                high=tuple(r.high for r in top),
                hover=tuple((f"{_node(r)} into {r.name}", r.full) for r in top),
            ),
        ),
    )
