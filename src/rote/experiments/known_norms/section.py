"""Norms of MLP outputs on known against unknown names, raw and adjusted for the parts."""

from __future__ import annotations

from rote.experiments.known_norms.card import CARD
from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import MLP, STACK, By, lines
from rote.page.shapes import curve, figure, pivot

_METRICS = (("norm_d", "effect size", "d", 0.0), ("norm_auc", "known told from unknown", "AUC", 0.5))
_ADJUSTED = By(of="condition", words={"adjusted": "adjusted", "raw": "raw"})


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    found = [(title, y, null, lines(here.rows(s), STACK, _ADJUSTED)) for s, title, y, null in _METRICS]
    yield figure(
        "Norms of MLP outputs, known names against unknown combinations of the same parts. Adjusted: after removing "
        "what each part contributes on its own.",
        "Effect size and AUC per MLP, raw and adjusted.",
        *(
            curve(title, drawn, y=y, x=MLP, guides=[Guide(value=null, label="no difference")])
            for title, y, null, drawn in found
        ),
    )
    for title, _, _, drawn in found:
        yield pivot(f"{title.capitalize()} by MLP, known against unknown names", drawn, MLP)
