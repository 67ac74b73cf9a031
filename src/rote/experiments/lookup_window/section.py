"""The window of MLPs: the two curves that bound it, and what happens without its MLPs."""

from __future__ import annotations

from rote.experiments.lookup_window.card import CARD
from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import ABLATION, ABLATION_WORDS, MLP, By, lines
from rote.page.shapes import curve, figure, finding, pivot, table

_SCALARS = {
    "lookup_start": "first MLP layer of the window",
    "lookup_stop": "last MLP layer of the window",
    "window_mlps_ablated_accuracy": "accuracy with the window's MLPs ablated",
    "additive_accuracy_held_out": "linear model on the two tokens, held out",
}
_CURVES = {
    "attention_kept_accuracy": "attention ablated from here on",
    "readout_accuracy": "readout after the layer",
    "mlp_ablated_accuracy": "one MLP",
}
_CURVE = By(of="statistic", words=_CURVES)
_HOW = By(of=lambda r: r.parameters.get("ablation", r.condition), words=ABLATION_WORDS)


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    start, stop = here.one("lookup_start"), here.one("lookup_stop")
    reasons = here.view.reasons(CARD.name, "lookup_start") + here.view.reasons(CARD.name, "lookup_stop")
    found = start and stop and f"MLPs {start.number} to {stop.number} look the fact up."
    yield finding(found or " ".join(("No MLP window.", *dict.fromkeys(reasons))))
    shaded = (start.value - 0.4, stop.value + 0.4, "window") if start and stop else None
    read = here.view.rows("readout", "readout_accuracy", condition="both", relation=here.relation)
    heads = (r for r in read if r.parameters.get("readout") == "heads")
    kept, single = here.rows("attention_kept_accuracy"), here.rows("mlp_ablated_accuracy")
    additive = [
        Guide(value=r.value, label="linear model on the tokens") for r in here.rows("additive_accuracy_held_out")
    ]
    yield figure(
        "The readout's accuracy when all attention at the last name token is ablated from a layer on (where it is "
        "kept, the name has been put together), and the readout after each layer on the name alone; then the accuracy "
        "with one MLP ablated there. Shaded: the window.",
        "Curves over the layers with the look-up window shaded.",
        curve("what bounds the window", lines((*kept, *heads), _CURVE, _HOW), y="readout accuracy", shaded=shaded),
        curve(
            "one MLP ablated", lines(single, ABLATION), y="accuracy among the classes", x=MLP, guides=additive,
            shaded=shaded,
        ),
    )  # fmt: skip
    yield table(
        "The window and the evidence for it", here.rows(*_SCALARS), By(of="statistic", words=_SCALARS), ABLATION
    )
    yield pivot("Accuracy by layer at the last name token", lines((*kept, *single), _CURVE, _HOW), MLP)
