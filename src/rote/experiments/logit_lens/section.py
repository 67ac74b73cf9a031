"""Accuracy and loss of the logit lens over the layers."""

from __future__ import annotations

from rote.experiments.logit_lens.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import LAYER, By, lines
from rote.page.shapes import curve, figure, pivot

_AMONG = By(
    of="statistic",
    words={"lens_accuracy": "among all tokens", "lens_accuracy_cls": "among the classes", "lens_loss_nats": "loss"},
)


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    right = lines(here.rows("lens_accuracy", "lens_accuracy_cls"), _AMONG)
    loss = lines(here.rows("lens_loss_nats"), _AMONG)
    yield figure(
        "What the model would answer if it stopped after a layer: its final norm and unembedding on the residual "
        "stream at the prompt's end.",
        "Accuracy and loss over the layers; the last layer is the model's own answer.",
        curve("right answers", right, y="accuracy", band=True),
        curve("loss of the answer", loss, y="loss", band=True),
    )
    yield pivot("Accuracy and loss after every layer", [*right, *loss], LAYER)
