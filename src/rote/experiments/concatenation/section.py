"""How the parts of a name come together: heads, layers, and how additive the result is."""

from __future__ import annotations

from dataclasses import replace

from rote.experiments.concatenation.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import ABLATION, HEAD, LAYER, By, lines
from rote.page.shapes import curve, figure, first_order, pivot, ranked, table

_MOST = 16
_ABLATED = replace(LAYER, title="layer whose attention is ablated")
_SCALARS = {
    "concatenation_r2": "plain sum over both parts (R²)",
    "patterns_frozen_accuracy": "accuracy with frozen patterns",
    "self_attention_forbidden_accuracy": "accuracy without self-attention in the second layer",
    "closed_form_difference": "difference from the closed form",
}
_FROZEN = By(
    of="condition",
    words={"patterns_frozen": "patterns frozen", "between_parts": "edges between parts alone"},
    title="attention",
)
_NAMES = By(of="stratum", title="names")


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    heads, layers = here.rows("total_effect"), lines(here.rows("attention_ablated_accuracy"), ABLATION)
    yield figure(
        "Total effect of each head at the last name token, and accuracy when all attention of one layer is ablated "
        "there; the layers that concatenate stand out.",
        "Ranked bars of heads, and accuracy per ablated layer.",
        ranked("heads at the last name token", heads, HEAD, value="total effect", most=_MOST),
        curve("attention ablated, layer by layer", layers, y="accuracy", x=_ABLATED),
    )
    scalar, layer = By(of="statistic", words=_SCALARS), By(of="layer", title="layer")
    yield table("Is the input of the look-up a sum over parts?", here.rows(*_SCALARS), scalar, layer, _FROZEN, _NAMES)
    yield pivot("Accuracy with one layer's attention ablated at the last name token", layers, LAYER)
    yield table("Total effect in logits", heads, HEAD, most=_MOST, what="heads")
    yield first_order(here)
