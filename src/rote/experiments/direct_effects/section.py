"""Which heads and MLPs write the answer: every node as a cell, the largest in a table."""

from __future__ import annotations

from rote.experiments.direct_effects.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import HEAD, LAYER, NODE, POSITION, By, Line, lines
from rote.page.shapes import figure, largest, matrix, pivot

_SHOWN = 12
_BY_SOURCE = 6
_HEAD = By(of="head", words={None: "MLP"}, title="head (last column: the layer's MLP)")
_HALF = By(of="condition", words={"report": "report half", "selection": "selection half"})


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    rows, report = here.rows("direct_effect"), here.rows("direct_effect", condition="report")
    top = "".join(f"; the largest effect is {r.name} with {r.number} logits" for r in largest(report, 1))
    yield figure(
        "Direct effect of every head and MLP on the logit difference, at the prompt's end.",
        f"Heat map of layers by heads{top}.",
        matrix("", report, y=LAYER, x=_HEAD, unit="logit", label=NODE.called),
    )
    ranks = Line(name="rank by effect", rows=here.rows("top_head"), cell=lambda r: r.number)
    readers = Line(name="readout head", rows=here.rows("readout_head"), cell=lambda r: r.number)
    yield pivot("Direct effect in logits", (*lines(rows, _HALF), ranks, readers), NODE, most=_SHOWN, what="nodes")
    parts = here.rows("source_effect", condition="report")
    from_name = [r for r in parts if r.position == "subject_last"]
    shown = {r.name for r in (*largest(from_name, _BY_SOURCE), *here.rows("readout_head"))}
    shown |= {r.name for r in here.rows("top_head")}
    yield pivot(
        "The same heads' effect by the tokens that it comes from, in logits, report half",
        lines((r for r in parts if r.name in shown), POSITION),
        HEAD,
    )
    halves = lines((r for r in here.rows("source_effect") if r.position == "subject_last"), _HALF)
    yield pivot("Effect that comes from the last name token, in logits", halves, HEAD, most=_SHOWN, what="heads")
