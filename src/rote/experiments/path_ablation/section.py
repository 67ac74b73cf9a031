"""Paths between MLPs: a matrix of earlier by later layer for each ablation."""

from __future__ import annotations

from rote.page.document import Axis, Block, Column, Figure, Heatmap, LineStyle, Part, Table, XYChart
from rote.page.shapes import (
    ABLATION_WORDS,
    COLORS,
    STACKS,
    VALUE,
    layer_axis,
    layered,
    per_relation,
    series,
    shared_n,
    table,
)
from rote.page.view import Measured, View, source_name

EXPERIMENT = "path_ablation"
_ABLATIONS = ("mean", "resample", "additive")
_METRICS = (
    ("path_delta_kl_nats", "KL (nats)"),
    ("path_delta_loss_nats", "loss (nats)"),
    ("path_delta_accuracy_cls", "accuracy among the classes (pp)"),
    ("path_delta_accuracy", "accuracy (pp)"),
    ("path_delta_readout_accuracy", "readout accuracy (pp)"),
)
_ROWS = 30
_STYLES: dict[str, LineStyle] = {"mean": "solid", "resample": "dot", "additive": "dash"}


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    found: list[Block] = []
    for statistic, words in (_METRICS[0], _METRICS[2]):
        charts = tuple(
            chart
            for stack in STACKS
            for ablation in _ABLATIONS
            if (chart := _matrix(view, relation, statistic, stack, ablation, words)) is not None
        )
        if charts:
            found.append(
                Figure(
                    caption=f"Change of {words} when the later MLP (column) no longer reads the earlier one (row).",
                    alt="Matrices of earlier by later MLP, one for each stack and ablation.",
                    charts=charts,
                )
            )
    shares = view.rows(EXPERIMENT, "path_share", relation=relation)
    if shares:
        if layered(shares):
            found.append(_shares(layered(shares)))
        cells = (
            ("MLP", lambda r: "all but the last" if r.layer is None else str(r.layer), False),
            ("stack", lambda r: STACKS.get(r.stack or "", r.stack or ""), False),
            ("ablation", lambda r: ABLATION_WORDS.get(r.condition or "", r.condition or ""), False),
        )
        found.append(table("Share of an MLP's importance that passes through later MLPs", shares, *cells, *VALUE))
    found.extend(_table(view, relation))
    return tuple(found)


def _earlier(row: Measured) -> int:
    return int((row.source or "mlp.0").removeprefix("mlp."))


def _matrix(view: View, relation: str | None, statistic: str, stack: str, ablation: str, words: str) -> Heatmap | None:
    rows = view.rows(EXPERIMENT, statistic, relation=relation, stack=stack, condition=ablation)
    if not rows:
        return None
    cells = {(_earlier(r), r.layer): r for r in rows}
    earlier = sorted({i for i, _ in cells})
    later = sorted({j for _, j in cells if j is not None})
    grid = [[cells.get((i, j)) for j in later] for i in earlier]
    return Heatmap(
        title=f"{STACKS[stack]}, {ABLATION_WORDS[ablation]}",
        x=Axis(title="later MLP"),
        y=Axis(title="earlier MLP"),
        columns=tuple(str(j) for j in later),
        rows=tuple(str(i) for i in earlier),
        values=tuple(tuple(None if r is None else r.value for r in line) for line in grid),
        hover=tuple(
            tuple(() if r is None else (f"MLP {_earlier(r)} → MLP {r.layer}", r.full) for r in line) for line in grid
        ),
        unit=words,
        limit=max(abs(r.value) for r in view.rows(EXPERIMENT, statistic, relation=relation)),
        printed=tuple(tuple("" if r is None else _short(r) for r in line) for line in grid) if len(later) <= 8 else (),
    )


def _short(row: Measured) -> str:
    return row.number.removesuffix(" nats").removesuffix(" pp")


def _shares(rows: tuple[Measured, ...]) -> Figure:
    lines = tuple(
        series(
            (r for r in rows if r.stack == stack and r.condition == ablation),
            name=f"{STACKS[stack]}, {ablation}",
            label=lambda r: f"MLP {r.layer}",
            color=COLORS[stack],
            style=_STYLES[ablation],
        )
        for stack in STACKS
        for ablation in _ABLATIONS
        if any(r.stack == stack and r.condition == ablation for r in rows)
    )
    ends = [end for r in rows for end in (r.low, r.high, r.value) if end is not None]
    chart = XYChart(
        title="",
        x=layer_axis({r.layer for r in rows if r.layer is not None}, title="MLP"),
        y=Axis(title="path share", low=min(0.0, *ends), high=max(1.0, *ends)),
        series=lines,
    )
    caption = "KL with all of an MLP's paths into later MLPs ablated, as a share of the KL with the MLP removed."
    return Figure(caption=caption, alt="Share per MLP for each stack and ablation.", charts=(chart,))


def _table(view: View, relation: str | None) -> tuple[Table, ...]:
    rows = view.rows(EXPERIMENT, *(name for name, _ in _METRICS), relation=relation)
    metrics = tuple((name, words) for name, words in _METRICS if any(r.statistic == name for r in rows))
    paths: dict[tuple[str, str, int, int], dict[str, Measured]] = {}
    for row in rows:
        key = (row.stack or "", row.condition or "", _earlier(row), row.layer if row.layer is not None else 0)
        paths.setdefault(key, {})[row.statistic] = row
    if not paths:
        return ()

    def size(key: tuple[str, str, int, int]) -> float:
        kl = paths[key].get("path_delta_kl_nats")
        return -abs(kl.value) if kl else 0.0

    top = sorted(paths, key=size)[:_ROWS]
    caption = "Change when one path is cut" + (
        f": the {_ROWS} paths of largest KL out of {len(paths)}" if len(paths) > _ROWS else ""
    )

    more, _ = shared_n(rows)

    def cell(row: Measured | None) -> str:
        return "–" if row is None else f"{_short(row)} {row.interval}".strip()

    columns = ("path", "stack", "ablation", *(words for _, words in metrics))
    return (
        Table(
            caption=caption + more,
            columns=tuple(Column(title=title, numeric=i > 2) for i, title in enumerate(columns)),
            rows=tuple(
                (
                    f"{source_name(f'mlp.{key[2]}')} → {key[3]}",
                    key[0],
                    key[1],
                    *(cell(paths[key].get(name)) for name, _ in metrics),
                )
                for key in top
            ),
        ),
    )
