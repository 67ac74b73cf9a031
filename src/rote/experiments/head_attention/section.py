"""Where the readout heads look: attention from the prompt's end by kind of position."""

from __future__ import annotations

from rote.experiments.head_attention.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import HEAD, POSITION, By, lines
from rote.page.shapes import bars, figure, pivot

_ASKED = By(of=lambda r: (r.condition or "").replace(":", ": "))
_MOST = 8


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    asked = [(line.name, lines(line.rows, POSITION)) for line in lines(here.rows("attention"), _ASKED)]
    left = f" {len(asked) - _MOST} further relations stand in summary.parquet." if len(asked) > _MOST else ""
    yield figure(
        "Attention of the readout heads from the prompt's end, by the relation that the prompt asks for." + left,
        "Stacked bars, one per head, split by kind of position.",
        *(
            bars(name, found, HEAD, value="share of attention", stacked=True, whiskers=False)
            for name, found in asked[:_MOST]
        ),
    )
    for name, found in asked[:_MOST]:
        yield pivot(f"Attention, {name}" if name else "Attention", found, HEAD)
