"""Where the top heads look: attention from the prompt's end by kind of position."""

from __future__ import annotations

from rote.experiments.head_attention.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import HEAD, By, lines
from rote.page.shapes import bars, figure, pivot

_POSITIONS = {
    "bos": "start of text",
    "prefix": "one-shot prefix",
    "name_early": "earlier name tokens",
    "subject_last": "last name token",
    "relation_words": "relation words",
    "end": "the end itself",
}
_POSITION = By(of="position", words=_POSITIONS, colors=(4, 7, 2, 0, 1, 3))
_ASKED = By(of=lambda r: (r.condition or "").replace(":", ": "))
_MOST = 8


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    asked = [(line.name, lines(line.rows, _POSITION)) for line in lines(here.rows("attention"), _ASKED)]
    left = f" {len(asked) - _MOST} further relations stand in summary.parquet." if len(asked) > _MOST else ""
    yield figure(
        "Attention of the top heads from the prompt's end, by the relation that the prompt asks for." + left,
        "Stacked bars, one per head, split by kind of position.",
        *(
            bars(name, found, HEAD, value="share of attention", stacked=True, whiskers=False)
            for name, found in asked[:_MOST]
        ),
    )
    for name, found in asked[:_MOST]:
        yield pivot(f"Attention, {name}" if name else "Attention", found, HEAD)
