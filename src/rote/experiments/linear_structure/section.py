"""How far each layer departs from a sum over parts, beside permuted weights and unknown pairs."""

from __future__ import annotations

from rote.experiments.linear_structure.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import LAYER, By, lines
from rote.page.shapes import curve, figure, pivot

_SITE = By(of="site", words={"mlp_out": "MLP outputs", "resid_post": "residual stream"})
_CONDITIONS = {
    "real": "known names",
    "unknown_pairs": "unknown names",
    "shuffled": "permuted weights",
    "shuffled_matched": "permuted weights, matched",
    None: "all combinations",
}
_CONDITION = By(of="condition", words=_CONDITIONS)
_CAPTIONS = {
    "broken_fraction": "Broken fraction per layer: 0 is a plain sum over the two parts. Bars are 95 % intervals.",
    "interaction_share": "Interaction share per layer, over all combinations of first and last names.",
}


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    for statistic, caption in _CAPTIONS.items():
        words = statistic.replace("_", " ")
        found = [(site.name, lines(site.rows, _CONDITION)) for site in lines(here.rows(statistic), _SITE)]
        charts = (curve(site, drawn, y=words, span=(0, 1)) for site, drawn in found)
        yield figure(caption, "Points per layer.", *charts)
        for site, drawn in found:
            yield pivot(f"{words.capitalize()} of {site}", drawn, LAYER)
