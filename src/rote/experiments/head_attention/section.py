"""Where the top heads look: attention from the prompt's end by kind of position."""

from __future__ import annotations

from rote.page.document import Axis, BarChart, Block, Column, Figure, Part, Series, Table
from rote.page.shapes import per_relation
from rote.page.view import Measured, View

EXPERIMENT = "head_attention"
POSITIONS = ("bos", "prefix", "name_early", "subject_last", "relation_words", "end")
POSITION_WORDS = {
    "bos": "start of text",
    "prefix": "one-shot prefix",
    "name_early": "earlier name tokens",
    "subject_last": "last name token",
    "relation_words": "relation words",
    "end": "the end itself",
}
_COLORS = {"bos": 4, "prefix": 7, "name_early": 2, "subject_last": 0, "relation_words": 1, "end": 3}
_MAX_CHARTS = 8


def blocks(view: View) -> tuple[Block | Part, ...]:
    return per_relation(view, EXPERIMENT, _draw)


def _draw(view: View, relation: str | None) -> tuple[Block, ...]:
    rows = view.rows(EXPERIMENT, "attention", relation=relation)
    questions = tuple(dict.fromkeys(r.condition for r in rows))
    if not rows:
        return ()
    shown = questions[:_MAX_CHARTS]
    charts = tuple(_chart(tuple(r for r in rows if r.condition == asked), asked) for asked in shown)
    left = (
        f" {len(questions) - len(shown)} further relations stand in summary.parquet."
        if len(questions) > len(shown)
        else ""
    )
    figure = Figure(
        caption="Attention of the top heads from the prompt's end, by the relation that the prompt asks for." + left,
        alt="Stacked bars, one per head, split by kind of position.",
        charts=charts,
    )
    return (figure, *(_table(tuple(r for r in rows if r.condition == asked), asked) for asked in shown[:2]))


def _asked(condition: str | None) -> str:
    """`asked:league` as a reader reads it."""
    return "" if condition is None else f"asked: {condition.removeprefix('asked:')}"


def _heads(rows: tuple[Measured, ...]) -> tuple[tuple[int | None, int | None], ...]:
    return tuple(dict.fromkeys((r.layer, r.head) for r in rows))


def _chart(rows: tuple[Measured, ...], condition: str | None) -> BarChart:
    found = {((r.layer, r.head), r.position): r for r in rows}
    heads = _heads(rows)
    names = {(r.layer, r.head): r.name for r in rows}
    series = []
    for position in POSITIONS:
        line = [found.get((head, position)) for head in heads]
        if any(r is not None for r in line):
            word = POSITION_WORDS[position]
            series.append(
                Series(
                    name=word,
                    y=tuple(None if r is None else r.value for r in line),
                    hover=tuple(() if r is None else (r.name, word, r.full) for r in line),
                    color=_COLORS[position],
                    joined=False,
                )
            )
    return BarChart(
        title=_asked(condition),
        categories=tuple(names[head] for head in heads),
        value=Axis(title="share of attention", low=0, high=1.02, percent=True),
        series=tuple(series),
        stacked=True,
    )


def _table(rows: tuple[Measured, ...], condition: str | None) -> Table:
    found = {((r.layer, r.head), r.position): r for r in rows}
    positions = tuple(p for p in POSITIONS if any(key[1] == p for key in found))
    names = {(r.layer, r.head): r.name for r in rows}
    count = {r.n for r in rows if r.n is not None}

    def cell(row: Measured | None) -> str:
        return "–" if row is None else f"{row.number} {row.interval}".strip()

    return Table(
        caption="Attention"
        + (f", {_asked(condition)}" if condition is not None else "")
        + (f" (n = {count.pop():,})" if len(count) == 1 else ""),
        columns=(Column(title="head"), *(Column(title=POSITION_WORDS[p], numeric=True) for p in positions)),
        rows=tuple((names[h], *(cell(found.get((h, p))) for p in positions)) for h in _heads(rows)),
    )
