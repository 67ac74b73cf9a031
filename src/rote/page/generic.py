"""What the report draws of an experiment that brings no drawing of its own: what fits its rows, from its card alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from rote.catalog import ExperimentCard, StatisticCard
from rote.page.document import Chart
from rote.page.here import Blocks, Draw, Here, section_of
from rote.page.lines import LAYER, NODE, STACK, STACKS, By, lines
from rote.page.shapes import bars, capital, curve, figure, largest, matrix, table
from rote.page.view import Measured

# what is told apart by first; what comes later is left out of a chart where it adds nothing
_FIELDS = ("stack", "condition", "cls", "site", "source", "position", "layer", "head", "neuron")
_TITLES = {"cls": "class"}
_MAX_CHARTS, _MAX_LINES, _MAX_BARS, _MAX_ROWS = 4, 8, 40, 200


def generic(card: ExperimentCard) -> Draw:
    """Its section: of every statistic a curve over layers, a matrix of layers by heads or bars, and always a table."""
    return section_of(card)(_draw)


def _draw(here: Here) -> Blocks:
    for statistic in here.card.statistics:
        rows = here.rows(statistic.name)
        by = _varying(statistic, rows)
        title = capital(statistic.title()[0])
        words, charts = _charts(title, rows, by) if len(rows) > 1 else ("", ())
        yield figure(f"{title}, {words}.", f"{statistic.meaning}", *charts)
        of = f", the first {_MAX_ROWS} of {len(rows):,}" if len(rows) > _MAX_ROWS else ""
        meaning = f": {statistic.meaning}" if statistic.meaning else ""
        yield table(f"{title}{of}{meaning}", rows[:_MAX_ROWS], *by.values())


def _charts(title: str, rows: Sequence[Measured], by: dict[str, By]) -> tuple[str, tuple[Chart | None, ...]]:
    """What the charts show, and the charts."""
    by = _needed(rows, by)
    found = lines(rows, _joined([b for name, b in by.items() if name not in ("layer", "head")]))
    if "neuron" in by or "layer" not in by:
        shown = largest(rows, _MAX_BARS) if len(rows) > _MAX_BARS else rows
        places = _joined([b for name, b in by.items() if name != "stack"])
        of = f"the {_MAX_BARS} largest of {len(rows):,}" if len(rows) > _MAX_BARS else "each value a bar"
        return of, (bars("", lines(shown, STACK), places, value=title),)
    if "head" in by:
        head = By(of="head", words={None: "none"}, title="head")
        return "layers by heads", tuple(
            matrix(line.name, line.rows, y=LAYER, x=head, unit=rows[0].unit or "", label=NODE.called)
            for line in found[:_MAX_CHARTS]
        )
    of = f"the first {_MAX_LINES} of {len(found)} lines" if len(found) > _MAX_LINES else "over the layers"
    return of, (curve("", found[:_MAX_LINES], y=title),)


def _needed(rows: Sequence[Measured], by: dict[str, By]) -> dict[str, By]:
    """Without what the others tell as well, such as the layer of a neuron."""
    needed = dict(by)
    for name in reversed(by):
        rest = [b for other, b in needed.items() if other != name]
        if len({tuple(b.value(row) for b in rest) for row in rows}) == len(rows):
            del needed[name]
    return needed


def _varying(statistic: StatisticCard, rows: Sequence[Measured]) -> dict[str, By]:
    """The key fields and parameters in which its rows differ."""
    words = {
        "stack": STACKS,
        "condition": {name: title for name, (title, _) in statistic.titles.items()},
        "layer": LAYER.words,
    }
    parameters = dict.fromkeys(name for row in rows for name in row.parameters)
    every = {
        **{name: By(of=name, words=words.get(name, {}), title=_TITLES.get(name, name)) for name in _FIELDS},
        **{name: By(of=partial(_parameter, name), title=name) for name in parameters},
    }
    return {name: by for name, by in every.items() if len({by.value(row) for row in rows}) > 1}


def _parameter(name: str, row: Measured) -> object:
    value = row.parameters.get(name)
    return value if isinstance(value, int | float | str | None) else json.dumps(value, ensure_ascii=False)


def _joined(by: Sequence[By]) -> By:
    """What differs in any of these, in one string."""
    return By(of=lambda row: ", ".join(filter(None, (b.called(row) for b in by))), title=", ".join(b.title for b in by))
