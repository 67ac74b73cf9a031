"""How far each layer departs from a sum over tokens, beside permuted weights and unknown pairs."""

from __future__ import annotations

from rote.page.document import Axis, Block, Figure, LineStyle, Part, XYChart
from rote.page.shapes import layer_axis, layer_table, layered, per_relation, series
from rote.page.view import View

EXPERIMENT = "linear_structure"
_SITES = (("mlp_out", "MLP outputs"), ("resid_post", "residual stream"))
_CONDITIONS: tuple[tuple[str, str, int, LineStyle], ...] = (
    ("real", "known names", 0, "solid"),
    ("unknown_pairs", "unknown names", 2, "dash"),
    ("shuffled", "permuted weights", 1, "dot"),
    ("shuffled_matched", "permuted weights, matched", 5, "dash"),
)


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    found: list[Block] = []
    broken = tuple(
        chart for site, words in _SITES if (chart := _chart(view, relation, "broken_fraction", site, words)) is not None
    )
    if broken:
        found.append(
            Figure(
                caption="Broken fraction per layer: 0 is a plain sum over the two tokens. Bars are 95 % intervals.",
                alt="Points per layer for known names, unknown names and permuted weights.",
                charts=broken,
            )
        )
    shares = tuple(
        chart
        for site, words in _SITES
        if (chart := _chart(view, relation, "interaction_share", site, words)) is not None
    )
    if shares:
        found.append(
            Figure(
                caption="Interaction share per layer, over all combinations of first and last names.",
                alt="Points per layer.",
                charts=shares,
            )
        )
    for statistic, caption in (
        ("broken_fraction", "Broken fraction"),
        ("interaction_share", "Interaction share"),
    ):
        for site, words in _SITES:
            lines = [
                (name, rows)
                for condition, name, _, _ in _CONDITIONS
                if (rows := view.rows(EXPERIMENT, statistic, relation=relation, site=site, condition=condition))
            ]
            plain = view.rows(EXPERIMENT, statistic, relation=relation, site=site, condition=None)
            if plain:
                lines.append(("all combinations", plain))
            if lines:
                found.append(layer_table(f"{caption} of {words}", lines))
    return tuple(found)


def _chart(view: View, relation: str | None, statistic: str, site: str, words: str) -> XYChart | None:
    rows = layered(view.rows(EXPERIMENT, statistic, relation=relation, site=site))
    if not rows:
        return None
    lines = [
        series((r for r in rows if r.condition == condition), name=name, color=color, style=style)
        for condition, name, color, style in _CONDITIONS
        if any(r.condition == condition for r in rows)
    ]
    plain = tuple(r for r in rows if r.condition is None)
    if plain:
        lines.append(series(plain, name="all combinations"))
    axis = layer_axis({r.layer for r in rows if r.layer is not None})
    top = max(r.high if r.high is not None else r.value for r in rows)
    title = "broken fraction" if statistic == "broken_fraction" else "interaction share"
    y = Axis(title=title, low=0, high=max(1.0, 1.05 * top))
    return XYChart(title=words, x=axis, y=y, series=tuple(lines))
