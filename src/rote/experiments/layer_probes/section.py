"""How the class becomes readable over the window: probes, readout loss, single layers."""

from __future__ import annotations

from dataclasses import replace

from rote.experiments.layer_probes.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import LAYER, STACK, lines
from rote.page.shapes import capital, curve, figure, pivot, table
from rote.page.view import Measured

_BEFORE = ("resid_pre", "resid_mid")  # the stream that the first layer reads, in parallel and sequential blocks
_CURVES = (
    ("probe_accuracy", "probe", "accuracy"),
    ("probe_balanced_accuracy", "probe, classes weighing the same", "balanced accuracy"),
    ("readout_loss_nats", "readout", "loss"),
    ("layer_alone", "one layer's MLP kept", "accuracy"),
)


def _place(row: Measured) -> int | None:
    """A residual stream before a layer is the one after the layer before it."""
    return row.layer if row.layer is None or row.site not in _BEFORE else row.layer - 1


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    before = {r.layer - 1: f"before {r.layer}" for r in here.rows(site=_BEFORE) if r.layer is not None}
    layer = replace(LAYER, of=_place, words={**before, None: "the least of them"})
    found = [(title, y, lines(here.rows(statistic), STACK)) for statistic, title, y in _CURVES]
    yield figure(
        "Over the layers of the window: a probe for the class, the same with classes weighing the same, the stack's "
        "own readout, and what a single layer's MLP gives. Bands are 95 % intervals.",
        "Curves over the layers for the whole model and the effective model.",
        *(curve(title, drawn, y=y, x=layer, band=True) for title, y, drawn in found),
    )
    yield table("Share of the rise in the first half of the window", here.rows("early_rise"), STACK)
    for title, y, drawn in found:
        yield pivot(f"{capital(title)}: {y} by layer", drawn, layer)
