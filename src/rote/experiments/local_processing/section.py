"""Cosine with the full context's residual stream, by layer, length and kind of token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rote.experiments.local_processing.card import CARD
from rote.page.document import Paragraph
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import LAYER, By, lines
from rote.page.shapes import curve, figure, finding, pivot, table
from rote.page.view import Measured, View

_KINDS = {
    "all": "every token",
    "newline": "newline",
    "full_stop": "full stop",
    "comma": "comma",
    "common_word": "common word",
    "alphabetic": "other letters",
    "other": "all other",
}
_KIND = By(of="condition", words=_KINDS, title="kind of token")
_TEN = 10  # the longest context of the study
_MAX_LINES, _MAX_LAYERS = 8, 6
_AFTER = replace(LAYER, title="after layer")
_LENGTH = By(of="length", title="last tokens kept")
_PLACES = {"kept": "keep the positions that they had in the string", "reset": "are moved up to the beginning"}


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    rows = cosines(here.view)
    if not rows:
        return
    lengths, layers = lengths_of(rows), sorted({r.layer for r in rows if r.layer is not None})
    ten, of_lengths = length_shown(lengths), By(of="length", words={k: last(k) for k in lengths})
    shown, drawn = _spread(lengths), _thinned(layers)
    by_length = lines(_at(rows, *shown), of_lengths)
    by_layer = lines(
        (r for r in rows if r.layer in drawn), By(of="layer", words={i: f"after layer {i}" for i in drawn})
    )
    by_kind, squared_by_kind = (
        lines((r for r in _at(here.rows(name), ten) if r.condition != "all"), _KIND)
        for name in ("truncated_cosine", "truncated_cosine_squared")
    )
    y, span = "median cosine", (min(0.9, *(r.value for r in rows)), 1.0)
    yield finding(sentence(here.view))
    yield figure(
        "Median cosine between the residual stream with the full context and with the last tokens alone, both minus "
        "the layer's mean: over the layers, over the number of last tokens kept, and by kind of token. Bands are 95 % "
        "intervals from resampling whole strings.",
        "Curves of the median cosine.",
        curve("every token", by_length, y=y, x=_AFTER, band=True, span=span),
        curve("every token, over the length", by_layer, y=y, x=_LENGTH, scale="even", band=True, span=span),
        curve(f"{last(ten)}, by kind of token", by_kind, y=y, x=_AFTER, band=True, span=span),
    )
    squared = lines(_at(here.rows("truncated_cosine_squared", condition="all"), *shown), of_lengths)
    yield pivot("Median cosine, every token", by_length, LAYER)
    yield pivot("Median squared cosine, every token", squared, LAYER)
    yield pivot(f"Median cosine, {last(ten)}, by kind of token", by_kind, LAYER)
    yield pivot(f"Median squared cosine, {last(ten)}, by kind of token", squared_by_kind, LAYER)
    yield table("Tokens looked at", here.rows("n_tokens"), _KIND)
    yield Paragraph(text=_how(here), role="note")


def cosines(view: View) -> tuple[Measured, ...]:
    """The medians over every token."""
    return view.rows(CARD.name, "truncated_cosine", condition="all")


def lengths_of(rows: Sequence[Measured]) -> list[int]:
    return sorted({int(r.parameters["length"]) for r in rows})


def length_shown(lengths: Sequence[int]) -> int:
    """Ten where it was measured, as in the study; else the longest below it, or the shortest."""
    return max((k for k in lengths if k <= _TEN), default=min(lengths))


def last(length: int) -> str:
    return "the token alone" if length == 1 else f"last {length} tokens"


def sentence(view: View) -> str:
    """How much the last ten tokens account for, early and late."""
    rows = cosines(view)
    lengths = lengths_of(rows)
    here = sorted(_at(rows, length_shown(lengths)), key=lambda r: r.layer or 0)
    first, final, lowest = here[0], here[-1], min(here, key=lambda r: r.value)
    text = (
        f"With {_words(length_shown(lengths))}, the residual stream after layer {first.layer} has a median cosine of "
        f"{first.number} {first.interval} with that of the full context"
    )
    if final is not first:
        text += f", and {final.number} {final.interval} after the last layer, {final.layer}"
    if lowest not in (first, final):
        text += f"; it is lowest after layer {lowest.layer}, {lowest.number} {lowest.interval}"
    longest = max(_at(rows, max(lengths)), key=lambda r: r.layer or 0)
    if max(lengths) > _TEN:
        text += f". With {_words(max(lengths))} it is {longest.number} {longest.interval} after the last layer"
    return text + "."


def _words(length: int) -> str:
    return "the token alone" if length == 1 else f"the last {length} tokens alone"


def _at(rows: Sequence[Measured], *lengths: int) -> tuple[Measured, ...]:
    return tuple(r for r in rows if r.parameters["length"] in lengths)


def _spread(lengths: Sequence[int], most: int = _MAX_LINES) -> list[int]:
    """The shortest, the longest, ten, and about equal ratios between."""
    if len(lengths) <= most:
        return list(lengths)
    ratio = lengths[-1] / lengths[0]
    wanted = [lengths[0] * ratio ** (i / (most - 1)) for i in range(most)]
    nearest = {min(lengths, key=lambda k: abs(math.log(k / w))) for w in wanted}
    return sorted(nearest | {length_shown(lengths)})


def _thinned(layers: Sequence[int], most: int = _MAX_LAYERS) -> list[int]:
    """The first, the last, and evenly spaced ones between."""
    if len(layers) <= most:
        return list(layers)
    return [layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most)]


def _how(here: Here) -> str:
    strings, tokens = here.one("n_strings"), here.one("n_tokens", condition="all")
    if strings is None or tokens is None:
        return ""
    positions = _PLACES.get(str(cosines(here.view)[0].parameters.get("positions")), "")
    text = (
        f"{tokens.number} tokens in {strings.number} strings of {strings.parameters.get('tokens')} tokens. Tokens of a "
        f"truncated context {positions}. "
    )
    bos = "The beginning of text stands before every context."
    none = "The tokenizer has no token for the beginning of text, so none was put before any context."
    return text + (bos if strings.parameters.get("bos") else none)
