"""Early MLPs hidden from the top heads' keys or values: accuracy under each."""

from __future__ import annotations

from collections.abc import Callable

from rote.page.document import Axis, Block, Column, Figure, Guide, LineStyle, Part, Table, XYChart
from rote.page.shapes import layer_axis, per_relation, percent_axis, series, shared_n
from rote.page.view import Measured, View, source_name

EXPERIMENT = "key_or_value"
_LINES: tuple[tuple[str, str, int, LineStyle], ...] = (
    ("key:mean", "key, mean ablation", 0, "solid"),
    ("key:resample", "key, resample ablation", 0, "dot"),
    ("value:mean", "value, mean ablation", 1, "solid"),
    ("value:resample", "value, resample ablation", 1, "dot"),
)
_METRICS = (("accuracy", "among all tokens"), ("accuracy_cls", "among the classes"))


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, "accuracy", "accuracy_cls", relation=relation)
    ablated = tuple(r for r in rows if r.source is not None)
    if not ablated:
        return ()
    charts = tuple(chart for metric, words in _METRICS if (chart := _chart(rows, metric, words)) is not None)
    figure = Figure(
        caption="Accuracy with one MLP at the last name token hidden from the top heads' keys or from their values.",
        alt="Points per MLP: low under the key where the MLP says where to look, low under the value where "
        "it says what.",
        charts=charts,
    )
    return (figure, *(_table(rows, metric, words) for metric, words in _METRICS))


def _table(rows: tuple[Measured, ...], metric: str, words: str) -> Table:
    """A line per MLP, a column per path and ablation."""
    found = {(r.source, r.condition): r for r in rows if r.statistic == metric}
    sources = tuple(dict.fromkeys(r.source for r in rows if r.source is not None))
    clean = found.get((None, "clean"))
    more, cell = shared_n(found.values())

    return Table(
        caption=f"Accuracy {words}{more}" + (f"; nothing ablated: {cell(clean)}" if clean else ""),
        columns=(Column(title="MLP"), *(Column(title=name, numeric=True) for _, name, _, _ in _LINES)),
        rows=tuple(
            (source_name(source), *(cell(found.get((source, condition))) for condition, _, _, _ in _LINES))
            for source in sources
        ),
    )


def _number(row: Measured) -> int:
    return int((row.source or "mlp.0").removeprefix("mlp."))


def _beside(index: int) -> Callable[[Measured], float]:
    return lambda row: _number(row) + 0.12 * (index - 1.5)


def _chart(rows: tuple[Measured, ...], metric: str, words: str) -> XYChart | None:
    found = tuple(r for r in rows if r.statistic == metric and r.source is not None)
    if not found:
        return None
    clean = next((r for r in rows if r.statistic == metric and r.condition == "clean"), None)
    lines = tuple(
        series(
            (r for r in found if r.condition == condition),
            name=name,
            # the four conditions stand side by side, so that equal values do not hide each other
            x=_beside(index),
            label=lambda r: source_name(r.source),
            color=color,
            style=style,
            joined=False,
        )
        for index, (condition, name, color, style) in enumerate(_LINES)
        if any(r.condition == condition for r in found)
    )
    axis = layer_axis({_number(r) for r in found}, title="MLP", input_at=None)
    guides = (Guide(value=clean.value, label="nothing ablated"),) if clean else ()
    y = Axis(title="accuracy", low=-0.02, high=1.08, percent=True) if clean else percent_axis("accuracy")
    return XYChart(title=words, x=axis, y=y, series=lines, guides=guides)
