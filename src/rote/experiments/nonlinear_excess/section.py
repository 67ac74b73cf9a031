"""What exists only for both names together: how much, by what means, and the study's ratio in four variants."""

from __future__ import annotations

from rote.page.document import Axis, Block, Column, Figure, Guide, LineStyle, Paragraph, Part, Table, XYChart
from rote.page.shapes import STACKS, layer_axis, layer_table, per_relation, series
from rote.page.view import Measured, View, layer_name

EXPERIMENT = "nonlinear_excess"
_PARTS: tuple[tuple[str, str, int, LineStyle], ...] = (
    ("inherited", "inherited", 0, "solid"),
    ("norm", "norm", 2, "dot"),
    ("activation", "activation function", 1, "dash"),
)
_KINDS: tuple[tuple[str, str, int, LineStyle], ...] = (
    ("and_share", "AND-like", 1, "dash"),
    ("or_share", "OR-like", 2, "dot"),
    ("linear_share", "nearly linear", 0, "solid"),
)
_RATIOS = (
    ("clamped_rising", "clamped", "rising neurons"),
    ("clamped_all", "clamped", "all neurons"),
    ("raw_rising", "not clamped", "rising neurons"),
    ("raw_all", "not clamped", "all neurons"),
)
_WHOLE = "all layers"


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    return tuple(block for stack in STACKS for block in _of_stack(view, relation, stack))


def _of_stack(view: View, relation: str | None, stack: str) -> tuple[Block, ...]:
    """The controls of a line-up are not drawn here: the line-up shows them."""
    key = {"relation": relation, "stack": stack}
    if not view.rows(EXPERIMENT, **key):
        return ()
    found: list[Block] = []
    sentence = _finding(view, relation, stack)
    if sentence:
        found.append(Paragraph(text=sentence, role="finding"))
    charts = tuple(
        chart
        for chart in (
            _chart(
                view, relation, stack, "how much", "T / SD of the score", (("interaction_score", "excess", 0, "solid"),)
            ),
            _chart(view, relation, stack, "where it comes from", "share of the excess", _PARTS),
            _chart(view, relation, stack, "kinds of neurons", "share of the effect", _KINDS),
        )
        if chart is not None
    )
    if charts:
        found.append(
            Figure(
                caption="By layer: the part of the score that exists only for both names together; where it comes "
                "from; and whether neurons act as an AND or an OR of the two names or nearly add them up, "
                "weighted by their effect. Bars are 95 % intervals.",
                alt="Points per layer for the excess, its three parts, and the three kinds of neurons.",
                charts=charts,
            )
        )
    for caption, lines in (
        (
            "Excess in standard deviations of the score, and where it comes from",
            (("interaction_score", "excess"), *_names(_PARTS)),
        ),
        ("Neurons by kind, as shares of their effect on the score", _names(_KINDS)),
    ):
        columns = [(name, rows) for s, name in lines if (rows := view.rows(EXPERIMENT, s, **key))]
        if columns:
            found.append(layer_table(caption, columns, label=_label, place=_place))
    ratios = _ratios(view, relation, stack)
    return (*found, ratios) if ratios else tuple(found)


def _names(lines: tuple[tuple[str, str, int, LineStyle], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((statistic, name) for statistic, name, _, _ in lines)


def _label(row: Measured) -> str:
    return _WHOLE if row.layer is None else layer_name(row.layer)


def _place(row: Measured) -> int:
    return 10**6 if row.layer is None else row.layer  # all layers together stand last


def _finding(view: View, relation: str | None, stack: str) -> str:
    def whole(statistic: str) -> Measured | None:
        return view.one(EXPERIMENT, statistic, relation=relation, stack=stack, layer=None)

    score, inherited, norm, activation = (whole(s) for s in ("interaction_score", "inherited", "norm", "activation"))
    if score is None:
        return ""
    start = (
        f"In the {STACKS[stack]}, the part of the score that exists only for both names together is on average "
        f"{score.number} {score.interval}"
    )
    if inherited is None or norm is None or activation is None:
        return f"{start}; it cannot be told from 0, so it is not split."
    return (
        f"{start}. Of it the layers' inputs already held {inherited.number} {inherited.interval}, the activation "
        f"function added {activation.number} {activation.interval} and the norm {norm.number} {norm.interval}."
    )


def _chart(
    view: View,
    relation: str | None,
    stack: str,
    title: str,
    axis: str,
    lines: tuple[tuple[str, str, int, LineStyle], ...],
) -> XYChart | None:
    drawn = tuple(
        series(rows, name=name, label=lambda r: f"MLP {r.layer}", color=color, style=style)
        for statistic, name, color, style in lines
        if (rows := _by_layer(view, relation, stack, statistic))
    )
    if not drawn:
        return None
    layers = {int(x) for line in drawn for x in line.x}
    guides = (Guide(value=0.0, label="nothing"),)
    return XYChart(title=title, x=layer_axis(layers, title="MLP"), y=Axis(title=axis), series=drawn, guides=guides)


def _by_layer(view: View, relation: str | None, stack: str, statistic: str) -> tuple[Measured, ...]:
    rows = view.rows(EXPERIMENT, statistic, relation=relation, stack=stack)
    return tuple(row for row in rows if row.layer is not None)


def _ratios(view: View, relation: str | None, stack: str) -> Table | None:
    """One row per variant, one column per layer, so that clamp and filter are compared at a glance."""
    rows = view.rows(EXPERIMENT, "median_excess_ratio", relation=relation, stack=stack)
    if not rows:
        return None
    layers = tuple(dict.fromkeys(_label(r) for r in sorted(rows, key=lambda r: -1 if r.layer is None else r.layer)))
    cells = {(r.condition, _label(r)): r for r in rows}

    def cell(condition: str, layer: str) -> str:
        row = cells.get((condition, layer))
        return "–" if row is None else f"{row.number} {row.interval}".strip()

    return Table(
        caption="The study's ratio: median over facts of the excess before the activation function over the excess "
        "after it",
        columns=(
            Column(title="pre-activations"),
            Column(title="over"),
            *(Column(title=x if x == _WHOLE else f"MLP {x}", numeric=True) for x in layers),
        ),
        rows=tuple((clamp, over, *(cell(name, layer) for layer in layers)) for name, clamp, over in _RATIOS),
    )
