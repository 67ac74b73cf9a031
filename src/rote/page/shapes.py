"""What the sections share: rows into series, tables, layer axes and hover texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rote.page.document import Axis, Block, Column, LineStyle, Part, Series, Table
from rote.page.view import Measured, View, layer_name

Cell = tuple[str, Callable[[Measured], str], bool]

VALUE: tuple[Cell, ...] = (
    ("value", lambda r: r.number, True),
    ("95 % interval", lambda r: r.interval, True),
    ("n", lambda r: r.count, True),
)

STACKS = {"model": "whole model", "effective": "effective model"}
COLORS = {"model": 4, "effective": 0}

ABLATION_WORDS = {
    "mean": "mean ablation",
    "resample": "resample ablation",
    "additive": "additive ablation",
    "zero": "zero ablation",
}


def percent_axis(title: str) -> Axis:
    return Axis(title=title, low=-0.02, high=1.04, percent=True)


def layer_axis(layers: Iterable[int], *, input_at: int | None = -1, title: str = "layer") -> Axis:
    """Ticks at whole layers, at most about twelve; `input_at` is shown as "input"."""
    found = sorted(set(layers))
    if not found:
        return Axis(title=title)
    step = -(-len(found) // 12)
    ticks = tuple(
        (float(layer), "input" if layer == input_at else layer_name(layer))
        for layer in found
        if (layer - max(found[0], 0)) % step == 0 or layer == input_at
    )
    return Axis(title=title, ticks=ticks, low=found[0] - 0.4, high=found[-1] + 0.4)


def series(
    rows: Iterable[Measured],
    *,
    name: str,
    x: Callable[[Measured], float] = lambda r: float(r.layer if r.layer is not None else 0),
    label: Callable[[Measured], str] = lambda r: f"layer {layer_name(r.layer if r.layer is not None else 0)}",
    color: int = 0,
    style: LineStyle = "solid",
    joined: bool = True,
    band: bool = False,
) -> Series:
    """Rows as points in order of x; hover shows the series, the place and the value with interval and n."""
    ordered = sorted(rows, key=x)
    return Series(
        name=name,
        x=tuple(x(r) for r in ordered),
        y=tuple(r.value for r in ordered),
        low=tuple(r.low for r in ordered),
        high=tuple(r.high for r in ordered),
        hover=tuple(tuple(part for part in (name, label(r), r.full) if part) for r in ordered),
        color=color,
        style=style,
        joined=joined,
        band=band,
    )


def table(caption: str, rows: Sequence[Measured], *cells: Cell) -> Table:
    return Table(
        caption=caption,
        columns=tuple(Column(title=title, numeric=numeric) for title, _, numeric in cells),
        rows=tuple(tuple(cell(row) for _, cell, _ in cells) for row in rows),
    )


def first_order_table(rows: Sequence[Measured], *cells: Cell) -> tuple[Table, ...]:
    """First-order effects against exact ones; nothing where there are none."""
    words = {"random": "at random", "top": "largest effects"}
    every = (
        *cells,
        ("chosen", lambda r: words.get(r.condition or "", ""), False),
        ("correlation", lambda r: f"{r.value:.3f}", True),
        ("how many", lambda r: r.count, True),
    )
    return (table("Gradient × change against exact effects", rows, *every),) if rows else ()


def shared_n(rows: Iterable[Measured]) -> tuple[str, Callable[[Measured | None], str]]:
    """What to add to a caption where all rows share one n, and how to write a cell then and otherwise."""
    counts = {row.n for row in rows}
    count = next(iter(counts)) if len(counts) == 1 else None

    def cell(row: Measured | None) -> str:
        if row is None:
            return "–"
        return row.full if count is None else f"{row.number} {row.interval}".strip()

    return ("" if count is None else f" (n = {count:,})"), cell


def layer_label(row: Measured) -> str:
    return "all together" if row.layer is None else layer_name(row.layer)


def layer_place(row: Measured) -> int:
    """Layers in order, what speaks of all of them last."""
    return row.layer if row.layer is not None else 1_000_000


def layered(rows: Iterable[Measured]) -> tuple[Measured, ...]:
    """The rows of single layers: what can be drawn over a layer axis."""
    return tuple(r for r in rows if r.layer is not None)


def layer_table(
    caption: str,
    lines: Sequence[tuple[str, Sequence[Measured]]],
    *,
    label: Callable[[Measured], str] = layer_label,
    place: Callable[[Measured], int] = layer_place,
) -> Table:
    """One row per layer in order of `place`, one column per line, each cell with its interval."""
    every = sorted((r for _, rows in lines for r in rows), key=place)
    labels = tuple(dict.fromkeys(label(r) for r in every))
    found = [{label(r): r for r in rows} for _, rows in lines]
    more, cell = shared_n(every)
    return Table(
        caption=caption + more,
        columns=(Column(title="layer"), *(Column(title=name, numeric=True) for name, _ in lines)),
        rows=tuple((name, *(cell(by.get(name)) for by in found)) for name in labels),
    )


def per_relation(
    view: View, experiment: str, draw: Callable[[View, str | None], tuple[Block, ...]]
) -> tuple[Block | Part, ...]:
    """The blocks of the one relation, or a titled part for each where there are several."""
    relations = view.relations(experiment)
    if len(relations) == 1:
        return draw(view, relations[0])
    parts = ((relation, draw(view, relation)) for relation in relations)
    return tuple(
        Part(title=f"Relation: {relation}" if relation is not None else "All relations together", blocks=blocks)
        for relation, blocks in parts
        if blocks
    )


def largest(rows: Iterable[Measured], count: int) -> tuple[Measured, ...]:
    """By size of the effect, whatever its sign."""
    return tuple(sorted(rows, key=lambda r: -abs(r.value))[:count])


def shown_of(shown: int, total: int, what: str) -> str:
    return f"the {shown} largest of {total:,} {what}" if shown < total else f"all {total} {what}"
