"""The window of MLPs: the two curves that bound it, and what happens without its MLPs."""

from __future__ import annotations

from rote.experiments.lookup_window.card import CARD
from rote.page.document import Guide
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import ABLATION, ABLATION_WORDS, LAYER, MLP, By, lines
from rote.page.shapes import curve, figure, finding, pivot, table

_SCALARS = {
    "lookup_start": "first MLP layer of the window",
    "lookup_stop": "last MLP layer of the window",
    "window_decided": "intervals say that it is there",
    "borders_decided": "intervals say where it begins and ends",
    "window_mlps_ablated_accuracy": "accuracy with the window's MLPs ablated",
    "window_mlps_ablated_increase": "loss that this adds",
    "window_mlps_ablated_kl": "divergence of the next token",
    "additive_accuracy_held_out": "linear model on the two parts, held out",
    "additive_loss_held_out": "its loss",
    "removable_nats": "what it loses more than the model",
    "needed_share": "share of that lost without the window's MLPs",
    "found_share": "share of that found by the effective model",
}
_PLACES = By(of="position", words={"subject_last": "last name token", "name": "all name tokens"}, title="at")
_NAMES = By(of="names", title="names")
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
    doubts = here.view.reasons(CARD.name, "window_decided") or (
        start and stop and f"MLPs {start.number} to {stop.number} look the fact up.",
    )
    found = start and stop and " ".join((*doubts, *here.view.reasons(CARD.name, "borders_decided")))
    yield finding(found or " ".join(("No MLP window.", *dict.fromkeys(reasons))))
    shaded = (start.value - 0.4, stop.value + 0.4, "window") if start and stop else None
    read = here.view.rows("readout", "readout_accuracy", condition="both", relation=here.relation)
    heads = (r for r in read if r.parameters.get("readout") == "heads")
    kept, single = here.rows("attention_kept_accuracy"), here.rows("mlp_ablated_accuracy")
    shares = lines(here.rows("attention_kept_share"), _PLACES, ABLATION)
    additive = [
        Guide(value=r.value, label="linear model on the parts") for r in here.rows("additive_accuracy_held_out")
    ]
    yield figure(
        "How much of the loss that the name keeps away is still kept away without attention there from a layer on.",
        "Curves over the layers with the look-up window shaded.",
        curve("what attention at the name is needed for", shares, y="share kept", shaded=shaded),
    )
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
    scalars = here.rows(*_SCALARS)
    what = By(of="statistic", words=_SCALARS)
    yield table("The window and the evidence for it", scalars, what, ABLATION, _PLACES, _NAMES)
    yield pivot("Share kept without attention from a layer on", shares, LAYER)
    yield pivot("Accuracy by layer at the last name token", lines((*kept, *single), _CURVE, _HOW), MLP)
