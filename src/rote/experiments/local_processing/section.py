"""Cosine with the full context's residual stream, by layer, length and kind of token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rote.page.document import Axis, Block, Column, Figure, Paragraph, Part, Series, Table, XYChart
from rote.page.shapes import layer_axis, layer_table, series
from rote.page.view import Measured, View

EXPERIMENT = "local_processing"
CATEGORY_WORDS = {
    "newline": "newline",
    "full_stop": "full stop",
    "comma": "comma",
    "common_word": "common word",
    "alphabetic": "other letters",
    "other": "all other",
}
TEN = 10  # the longest context of the study
_MAX_LINES = 8


def blocks(view: View) -> tuple[Block | Part, ...]:
    rows = cosines(view)
    if not rows:
        return ()
    lengths, layers = lengths_of(rows), sorted({r.layer for r in rows if r.layer is not None})
    shown = _spread(lengths)
    ten = length_shown(lengths)
    charts = (
        _by_layer("every token", [(last(k), _at(rows, length=k)) for k in shown]),
        _by_length(lengths, [(f"after layer {layer}", _at(rows, layer=layer)) for layer in _thinned(layers)]),
        _by_layer(f"{last(ten)}, by kind of token", _by_category(view, ten)),
    )
    figure = Figure(
        caption="Median cosine between the residual stream with the full context and with the last tokens alone, both "
        "minus the layer's mean: over the layers, over the number of last tokens kept, and by kind of token. Bands are "
        "95 % intervals from resampling whole strings.",
        alt="Curves of the median cosine.",
        charts=charts,
    )
    squared = view.rows(EXPERIMENT, "truncated_cosine_squared", condition="all")
    return (
        Paragraph(text=sentence(view), role="finding"),
        figure,
        layer_table("Median cosine, every token", [(last(k), _at(rows, length=k)) for k in shown]),
        layer_table("Median squared cosine, every token", [(last(k), _at(squared, length=k)) for k in shown]),
        _category_table(view, ten),
        Paragraph(text=_how(view), role="note"),
    )


def cosines(view: View) -> tuple[Measured, ...]:
    """The medians over every token."""
    return view.rows(EXPERIMENT, "truncated_cosine", condition="all")


def lengths_of(rows: Sequence[Measured]) -> list[int]:
    return sorted({_length(r) for r in rows})


def length_shown(lengths: Sequence[int]) -> int:
    """Ten where it was measured, as in the study; else the longest below it, or the shortest."""
    return max((k for k in lengths if k <= TEN), default=min(lengths))


def last(length: int) -> str:
    return "the token alone" if length == 1 else f"last {length} tokens"


def sentence(view: View) -> str:
    """How much the last ten tokens account for, early and late."""
    rows = cosines(view)
    lengths = lengths_of(rows)
    here = sorted(_at(rows, length=length_shown(lengths)), key=lambda r: r.layer or 0)
    first, final, lowest = here[0], here[-1], min(here, key=lambda r: r.value)
    text = (
        f"With {_words(length_shown(lengths))}, the residual stream after layer {first.layer} has a median cosine of "
        f"{first.number} {first.interval} with that of the full context"
    )
    if final is not first:
        text += f", and {final.number} {final.interval} after the last layer, {final.layer}"
    if lowest not in (first, final):
        text += f"; it is lowest after layer {lowest.layer}, {lowest.number} {lowest.interval}"
    longest = max(_at(rows, length=max(lengths)), key=lambda r: r.layer or 0)
    if max(lengths) > TEN:
        text += f". With {_words(max(lengths))} it is {longest.number} {longest.interval} after the last layer"
    return text + "."


def _words(length: int) -> str:
    return "the token alone" if length == 1 else f"the last {length} tokens alone"


def _length(row: Measured) -> int:
    return int(row.parameters.get("length", 0))


def _at(rows: Sequence[Measured], *, length: int | None = None, layer: int | None = None) -> tuple[Measured, ...]:
    return tuple(r for r in rows if (length is None or _length(r) == length) and (layer is None or r.layer == layer))


def _spread(lengths: Sequence[int], most: int = _MAX_LINES) -> list[int]:
    """The shortest, the longest, ten, and about equal ratios between."""
    if len(lengths) <= most:
        return list(lengths)
    ratio = lengths[-1] / lengths[0]
    wanted = [lengths[0] * ratio ** (i / (most - 1)) for i in range(most)]
    nearest = {min(lengths, key=lambda k: abs(math.log(k / w))) for w in wanted}
    return sorted(nearest | {length_shown(lengths)})


def _thinned(layers: Sequence[int], most: int = 6) -> list[int]:
    """The first, the last, and evenly spaced ones between."""
    if len(layers) <= most:
        return list(layers)
    return [layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most)]


def _by_category(view: View, length: int) -> list[tuple[str, tuple[Measured, ...]]]:
    found = []
    for name, words in CATEGORY_WORDS.items():
        rows = _at(view.rows(EXPERIMENT, "truncated_cosine", condition=name), length=length)
        if rows:
            found.append((words, rows))
    return found


def _by_layer(title: str, lines: Sequence[tuple[str, tuple[Measured, ...]]]) -> XYChart:
    layers = [r.layer for _, rows in lines for r in rows if r.layer is not None]
    drawn = tuple(series(rows, name=name, color=i, band=True) for i, (name, rows) in enumerate(lines))
    return XYChart(title=title, x=layer_axis(layers, title="after layer"), y=_cosine(drawn), series=drawn)


def _by_length(lengths: Sequence[int], lines: Sequence[tuple[str, tuple[Measured, ...]]]) -> XYChart:
    """Lengths stand side by side, since 1..10 and 100 fit on no scale together."""
    place = {length: float(i) for i, length in enumerate(lengths)}
    drawn = tuple(
        series(rows, name=name, x=lambda r: place[_length(r)], label=lambda r: last(_length(r)), color=i, band=True)
        for i, (name, rows) in enumerate(lines)
    )
    ticks = tuple((place[k], str(k)) for k in lengths)
    x = Axis(title="last tokens kept", ticks=ticks, low=-0.4, high=len(lengths) - 0.6)
    return XYChart(title="every token, over the length", x=x, y=_cosine(drawn), series=drawn)


def _cosine(drawn: Sequence[Series]) -> Axis:
    lows = [v for s in drawn for v in (*s.low, *s.y) if v is not None]
    return Axis(title="median cosine", low=math.floor(10 * min(lows, default=0.0)) / 10 - 0.02, high=1.02)


def _category_table(view: View, length: int) -> Table:
    counts = {r.condition: r for r in view.rows(EXPERIMENT, "n_tokens")}
    words = {name: f"{words} ({counts[name].number})" for name, words in CATEGORY_WORDS.items() if name in counts}
    found = {name: _at(view.rows(EXPERIMENT, "truncated_cosine", condition=name), length=length) for name in words}
    kinds = [name for name, rows in found.items() if rows]
    by_layer = {name: {r.layer: f"{r.number} {r.interval}".strip() for r in found[name]} for name in kinds}
    layers = sorted({r.layer for name in kinds for r in found[name] if r.layer is not None})
    return Table(
        caption=f"Median cosine with the {last(length).removeprefix('the ')}, by kind of token (number of tokens)",
        columns=(Column(title="layer"), *(Column(title=words[name], numeric=True) for name in kinds)),
        rows=tuple((str(layer), *(by_layer[name].get(layer, "–") for name in kinds)) for layer in layers),
    )


def _how(view: View) -> str:
    strings = view.one(EXPERIMENT, "n_strings")
    tokens = view.one(EXPERIMENT, "n_tokens", condition="all")
    rows = cosines(view)
    if strings is None or tokens is None or not rows:
        return ""
    text = (
        f"{tokens.number} tokens in {strings.number} strings of {strings.parameters.get('tokens')} tokens. Tokens of a "
        f"truncated context {_PLACES.get(str(rows[0].parameters.get('positions')), '')}. "
    )
    bos = "The beginning of text stands before every context."
    none = "The tokenizer has no token for the beginning of text, so none was put before any context."
    return text + (bos if strings.parameters.get("bos") else none)


_PLACES = {"kept": "keep the positions that they had in the string", "reset": "are moved up to the beginning"}
