"""The window of MLPs: the two curves that bound it, and what happens without its MLPs."""

from __future__ import annotations

from rote.page.document import Block, Figure, Guide, LineStyle, Paragraph, Part, XYChart
from rote.page.shapes import ABLATION_WORDS, VALUE, layer_axis, layer_table, per_relation, percent_axis, series, table
from rote.page.view import Measured, View

EXPERIMENT = "lookup_window"
_STYLES: tuple[tuple[str, LineStyle], ...] = (("mean", "solid"), ("resample", "dot"))
_SCALARS = {
    "lookup_start": "first MLP layer of the window",
    "lookup_stop": "last MLP layer of the window",
    "window_mlps_ablated_accuracy": "accuracy with the window's MLPs ablated",
    "additive_accuracy_held_out": "linear model on the two tokens, held out",
}


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    start = view.one(EXPERIMENT, "lookup_start", relation=relation)
    stop = view.one(EXPERIMENT, "lookup_stop", relation=relation)
    window = (int(start.value), int(stop.value)) if start and stop else None
    found: list[Block] = [Paragraph(text=_finding(view, window), role="finding")]
    charts = [c for c in (_bounds(view, relation, window), _single(view, relation, window)) if c is not None]
    if charts:
        found.append(
            Figure(
                caption="Left: the readout's accuracy when all attention at the last name token is ablated "
                "from a layer "
                "on (where it is kept, the name has been put together), and the readout after each layer on "
                "the name "
                "alone. Right: accuracy with one MLP ablated there. Shaded: the window."
                if len(charts) == 2
                else "Accuracy over the layers at the last name token; shaded: the window.",
                alt="Curves over the layers with the look-up window shaded.",
                charts=tuple(charts),
            )
        )
    scalars = view.rows(EXPERIMENT, *_SCALARS, relation=relation)
    if scalars:
        cells = (
            ("", lambda r: _SCALARS[r.statistic], False),
            ("ablation", lambda r: ABLATION_WORDS.get(r.condition or "", r.condition or ""), False),
        )
        found.append(table("The window and the evidence for it", scalars, *cells, *VALUE))
    lines = _kept(view, relation) + [
        (f"one MLP, {ABLATION_WORDS.get(c or '', c or '')}", rows) for c, rows in _single_lines(view, relation)
    ]
    if lines:
        found.append(layer_table("Accuracy by layer at the last name token", lines))
    return tuple(found)


def _finding(view: View, window: tuple[int, int] | None) -> str:
    if window:
        return f"MLPs {window[0]} to {window[1]} look the fact up."
    return "No MLP window. " + " ".join(
        dict.fromkeys(view.reasons(EXPERIMENT, "lookup_start") + view.reasons(EXPERIMENT, "lookup_stop"))
    )


def _kept(view: View, relation: str | None) -> list[tuple[str, tuple[Measured, ...]]]:
    rows = view.rows(EXPERIMENT, "attention_kept_accuracy", relation=relation)
    return [
        (f"attention ablated from here on ({condition})", these)
        for condition, _ in _STYLES
        if (these := tuple(r for r in rows if r.condition == condition))
    ]


def _bounds(view: View, relation: str | None, window: tuple[int, int] | None) -> XYChart | None:
    lines = [
        series(rows, name=name, color=0, style=style)
        for (name, rows), (_, style) in zip(_kept(view, relation), _STYLES, strict=False)
    ]
    both = view.rows("readout", "readout_accuracy", condition="both", relation=relation)
    both = tuple(r for r in both if r.parameters.get("readout", "heads") == "heads")
    for ablation, style in _STYLES:
        these = tuple(r for r in both if r.parameters.get("ablation", "mean") == ablation)
        if these:
            lines.append(series(these, name=f"readout after the layer ({ablation})", color=1, style=style))
    if not lines:
        return None
    axis = layer_axis({int(x) for line in lines for x in line.x})
    return XYChart(
        title="what bounds the window",
        x=axis,
        y=percent_axis("readout accuracy"),
        series=tuple(lines),
        shaded=_shaded(window),
    )


def _single_lines(view: View, relation: str | None) -> list[tuple[str | None, tuple[Measured, ...]]]:
    rows = view.rows(EXPERIMENT, "mlp_ablated_accuracy", relation=relation)
    return [(c, tuple(r for r in rows if r.condition == c)) for c in dict.fromkeys(r.condition for r in rows)]


def _single(view: View, relation: str | None, window: tuple[int, int] | None) -> XYChart | None:
    lines = tuple(
        series(rows, name=ABLATION_WORDS.get(c or "", c or ""), color=2, style="solid" if index == 0 else "dot")
        for index, (c, rows) in enumerate(_single_lines(view, relation))
    )
    if not lines:
        return None
    additive = view.one(EXPERIMENT, "additive_accuracy_held_out", relation=relation)
    guides = (Guide(value=additive.value, label="linear model on the tokens"),) if additive else ()
    return XYChart(
        title="one MLP ablated",
        x=layer_axis({int(x) for line in lines for x in line.x}, title="MLP"),
        y=percent_axis("accuracy among the classes"),
        series=lines,
        guides=guides,
        shaded=_shaded(window),
    )


def _shaded(window: tuple[int, int] | None) -> tuple[float, float, str] | None:
    return (window[0] - 0.4, window[1] + 0.4, "window") if window else None
