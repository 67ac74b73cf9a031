"""Correlations between the facts of one entity, over the neurons whose ablation changes them."""

from __future__ import annotations

from rote.page.document import Axis, Block, Column, Figure, Heatmap, Part, Table
from rote.page.shapes import STACKS, VALUE, Cell, first_order_table, per_relation, table
from rote.page.view import Measured, View

EXPERIMENT = "shared_neurons"
_KINDS = {"unlinked": "not linked", "linked": "linked"}
_MANY = 8  # relations up to which the matrix prints its values
_ROWS = 30


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    found: list[Block] = []
    charts = tuple(chart for stack in STACKS if (chart := _matrix(view, relation, stack)) is not None)
    if charts:
        found.append(
            Figure(
                caption="Correlation, over all neurons of the window, of what ablating a neuron does to two facts of "
                "one entity (mean ablation, mean over entities). Pairs with a star are linked: one relation "
                "determines the other.",
                alt="Matrix of relation by relation, one for each stack.",
                charts=charts,
            )
        )
        found.append(_pairs(view, relation))
    rows = _studied(view, relation, "mean_abs_correlation")
    if rows:
        cells = (
            ("stack", lambda r: STACKS[r.stack or ""], False),
            ("pairs of relations", lambda r: _KINDS[_kind(r)], False),
            ("ablation", lambda r: "resample" if _resampled(r) else "mean", False),
        )
        found.append(table("Size of the correlation, whatever its sign", rows, *cells, *VALUE))
    stack: Cell = ("stack", lambda r: STACKS[r.stack or ""], False)
    found.extend(first_order_table(_studied(view, relation, "first_order_correlation"), stack))
    return tuple(found)


def _studied(view: View, relation: str | None, statistic: str) -> tuple[Measured, ...]:
    """The rows of the model and its effective model; those of controls belong to the line-up."""
    return view.rows(EXPERIMENT, statistic, relation=relation, stack=tuple(STACKS))


def _kind(row: Measured) -> str:
    return (row.condition or "").removesuffix("_resample")


def _resampled(row: Measured) -> bool:
    return (row.condition or "").endswith("_resample")


def _matrix(view: View, relation: str | None, stack: str) -> Heatmap | None:
    rows = view.rows(EXPERIMENT, "fact_correlation", relation=relation, stack=stack, condition=tuple(_KINDS))
    by_pair = {frozenset(map(str, r.parameters.get("relations", ()))): r for r in rows}
    names = sorted({name for pair in by_pair for name in pair})
    if not names:
        return None
    grid = [[by_pair.get(frozenset((a, b))) if a != b else None for b in names] for a in names]
    printed = tuple(
        tuple("" if r is None else r.number + ("*" if r.condition == "linked" else "") for r in line) for line in grid
    )
    return Heatmap(
        title=STACKS[stack],
        x=Axis(title=""),
        y=Axis(title=""),
        columns=tuple(names),
        rows=tuple(names),
        values=tuple(tuple(None if r is None else r.value for r in line) for line in grid),
        hover=tuple(tuple(() if r is None else (_pair(r), r.full) for r in line) for line in grid),
        unit="correlation",
        limit=1.0,
        printed=printed if len(names) <= _MANY else (),
    )


def _pairs(view: View, relation: str | None) -> Table:
    """The matrices in numbers, the strongest pairs first."""
    rows = tuple(r for r in _studied(view, relation, "fact_correlation") if r.condition in _KINDS)
    stacks = [stack for stack in STACKS if any(r.stack == stack for r in rows)]
    ordered = sorted(rows, key=lambda r: -abs(r.value))
    names = list(dict.fromkeys(_pair(r) for r in ordered))
    cells = {(_pair(r), r.stack): f"{r.number} {r.interval}".strip() for r in rows}
    more = f": the {_ROWS} strongest of {len(names)}" if len(names) > _ROWS else ""
    return Table(
        caption=f"Correlation for each pair of relations, mean ablation{more}",
        columns=(Column(title="relations"), *(Column(title=STACKS[s], numeric=True) for s in stacks)),
        rows=tuple((name, *(cells.get((name, s), "–") for s in stacks)) for name in names[:_ROWS]),
    )


def _pair(row: Measured) -> str:
    linked = ", linked" if row.condition == "linked" else ""
    return " and ".join(map(str, row.parameters["relations"])) + linked
