"""Which heads and MLPs write the answer: every node as a cell, the largest in a table."""

from __future__ import annotations

from rote.page.document import Axis, Block, Figure, Heatmap, Part
from rote.page.shapes import VALUE, largest, per_relation, shown_of, table
from rote.page.view import Measured, View

EXPERIMENT = "direct_effects"
_SHOWN = 12


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, "direct_effect", relation=relation)
    report = tuple(r for r in rows if r.condition == "report") or rows
    if not report:
        return ()
    ranks = {(r.layer, r.head): r for r in view.rows(EXPERIMENT, "top_head", relation=relation)}
    chosen = {(r.layer, r.head): r for r in rows if r.condition == "selection"}
    top = largest(report, _SHOWN)

    def rank(row: Measured) -> str:
        found = ranks.get((row.layer, row.head))
        return found.number if found else "–"

    def selection(row: Measured) -> str:
        found = chosen.get((row.layer, row.head))
        return found.number if found else "–"

    caption = f"Direct effect in logits on the report half: {shown_of(len(top), len(report), 'nodes')}"
    cells = (
        ("node", lambda r: r.name, False),
        ("rank as chosen", rank, True),
        ("selection half", selection, True),
    )
    return (_heatmap(report), table(caption, top, *cells, *VALUE))


def _heatmap(rows: tuple[Measured, ...]) -> Figure:
    n_heads = 1 + max((r.head for r in rows if r.head is not None), default=-1)
    layers = sorted({r.layer for r in rows if r.layer is not None})
    found = {(r.layer, r.head): r for r in rows}
    heads: tuple[int | None, ...] = (*range(n_heads), None)
    grid = [[found.get((layer, head)) for head in heads] for layer in layers]
    chart = Heatmap(
        title="",
        x=Axis(title="head (last column: the layer's MLP)"),
        y=Axis(title="layer"),
        columns=tuple("MLP" if head is None else str(head) for head in heads),
        rows=tuple(str(layer) for layer in layers),
        values=tuple(tuple(None if r is None else r.value for r in line) for line in grid),
        hover=tuple(tuple(() if r is None else (r.name, r.full) for r in line) for line in grid),
        unit="logit",
    )
    first = largest(rows, 1)[0]
    return Figure(
        caption="Direct effect of every head and MLP on the logit difference, at the prompt's end.",
        alt=f"Heat map of layers by heads; the largest effect is {first.name} with {first.number} logits.",
        charts=(chart,),
    )
