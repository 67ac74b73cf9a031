"""From which layer on the readout gives the answer, under each condition."""

from __future__ import annotations

from rote.page.document import Block, Figure, LineStyle, Part, Table, XYChart
from rote.page.shapes import VALUE, layer_axis, layer_table, per_relation, percent_axis, series, table
from rote.page.view import Measured, View

EXPERIMENT = "readout"
CONDITIONS = {
    "full": "full prompt",
    "name_only": "name only",
    "late_attention_ablated": "late attention ablated",
    "both": "both",
    "both_first_mlps_ablated": "both, and the MLPs before the window",
}
_COLORS = dict(zip(CONDITIONS, (4, 2, 1, 0, 3), strict=True))
_READOUTS = (("heads", "readout through the extracting heads"), ("logistic", "logistic regression"))
_SUBSPACES = {"readout_subspace": "the readout's subspace", "random_subspace": "a random subspace (control)"}


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, "readout_accuracy", relation=relation)
    found: list[Block] = []
    charts, tables = [], []
    for readout, words in _READOUTS:
        these = tuple(r for r in rows if r.parameters.get("readout", "heads") == readout)
        if these:
            charts.append(_chart(these, words))
            tables.append(_table(these, words))
    if charts:
        figure = Figure(
            caption="Accuracy of the readout after each layer at the last name token; dotted: resample ablation.",
            alt="Lines rising over the layers, one per condition.",
            charts=tuple(charts),
        )
        found.extend((figure, *tables))
    flips = view.rows(EXPERIMENT, "subspace_flip", relation=relation)
    if flips:
        cells = ("swapped", lambda r: _SUBSPACES.get(r.condition or "", r.condition or ""), False)
        found.append(
            table(
                "Answers that become another entity's when part of the residual is swapped",
                flips,
                cells,
                *VALUE,
            )
        )
    others = view.rows(EXPERIMENT, "n_readout_heads", "temperature", relation=relation)
    if others:
        words_of = {"n_readout_heads": "heads in the readout", "temperature": "temperature"}
        found.append(
            table("Chosen on the selection half", others, ("", lambda r: words_of[r.statistic], False), *VALUE)
        )
    return tuple(found)


def _lines(rows: tuple[Measured, ...]) -> list[tuple[str, str, tuple[Measured, ...]]]:
    """(condition, ablation, rows), in the order of the conditions."""
    found = []
    for condition in CONDITIONS:
        for ablation in ("", "mean", "resample"):
            these = tuple(
                r for r in rows if r.condition == condition and str(r.parameters.get("ablation") or "") == ablation
            )
            if these:
                found.append((condition, ablation, these))
    return found


def _name(condition: str, ablation: str) -> str:
    return CONDITIONS[condition] + (f" ({ablation})" if ablation else "")


def _chart(rows: tuple[Measured, ...], words: str) -> XYChart:
    lines = []
    for condition, ablation, these in _lines(rows):
        style: LineStyle = "dot" if ablation == "resample" else "solid"
        lines.append(
            series(
                these,
                name=_name(condition, ablation),
                color=_COLORS[condition],
                style=style,
                band=style == "solid",
            )
        )
    layers = {r.layer for r in rows if r.layer is not None}
    return XYChart(title=words, x=layer_axis(layers), y=percent_axis("readout accuracy"), series=tuple(lines))


def _table(rows: tuple[Measured, ...], words: str) -> Table:
    return layer_table(
        f"Accuracy after each layer, {words}",
        [(_name(condition, ablation), these) for condition, ablation, these in _lines(rows)],
    )
