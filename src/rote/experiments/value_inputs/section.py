"""What feeds the readout heads: earlier nodes ranked by their effect through each head's value path."""

from __future__ import annotations

from rote.experiments.value_inputs.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import By, lines
from rote.page.shapes import figure, first_order, largest, ranked, table
from rote.page.view import source_name

_BARS, _ROWS = 10, 15
_NODE = By(of=lambda r: "embedding" if r.source == "embed" else source_name(r.source), title="node")
_INTO = By(of="name", title="into head")


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    rows = here.rows("value_effect")
    top = "".join(f"the largest is {_NODE.called(r)} into {r.name} with {r.number} logits" for r in largest(rows, 1))
    heads = lines(rows, _INTO)
    yield figure(
        f"For each readout head, the {_BARS} earlier nodes that matter most through its value path.",
        f"Ranked bars; {top}.",
        *(ranked(f"into {head.name}", head.rows, _NODE, value="effect", most=_BARS) for head in heads),
    )
    yield table("Effect in logits", rows, _NODE, _INTO, most=_ROWS, what="paths")
    yield first_order(here, _INTO)
