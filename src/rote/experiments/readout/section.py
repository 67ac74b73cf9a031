"""From which layer on the readout gives the answer, under each condition."""

from __future__ import annotations

from typing import Any

from rote.experiments.readout.card import CARD
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import LAYER, By, lines
from rote.page.shapes import curve, figure, pivot, table
from rote.page.view import Measured

_READOUTS = {"heads": "readout through the extracting heads", "logistic": "logistic regression"}
_CONDITIONS = {
    "full": "full prompt",
    "name_only": "name only",
    "late_attention_ablated": "late attention ablated",
    "both": "both",
    "both_first_mlps_ablated": "both, and the MLPs before the window",
}
_CONTROL, _PERMUTED = "logistic_control", ", permuted labels (control)"


def _readout(row: Measured) -> Any:
    """The regression's control stands beside the regression."""
    readout = row.parameters.get("readout")
    return "logistic" if readout == _CONTROL else readout


def _condition(row: Measured) -> str | None:
    return f"{row.condition}{_PERMUTED}" if row.parameters.get("readout") == _CONTROL else row.condition


_READOUT = By(of=_readout, words=_READOUTS)
_WORDS = {**_CONDITIONS, f"full{_PERMUTED}": f"full prompt{_PERMUTED}"}
_CONDITION = By(of=_condition, words=_WORDS, colors=(4, 2, 1, 0, 3, 7))
_ABLATION = By(of="ablation", words={"mean": "mean", "resample": "resample"})
_SUBSPACES = {
    "readout_subspace": "the readout's subspace",
    "value_inputs": "the same, seen by the readout heads' values alone",
    "random_in_value_span": "random subspaces of what candidate heads' values see (control)",
    "random_subspace": "a random subspace (control)",
    "logistic_subspace": "the logistic regression's subspace",
    "logistic_row_space": "its part that the readout heads' values see",
    "logistic_null_space": "its part that they do not see",
}
_CHOSEN = {"n_readout_heads": "heads in the readout", "temperature": "temperature"}
_HEADS = By(of="heads", title="heads")


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    found = [(r.name, lines(r.rows, _CONDITION, _ABLATION)) for r in lines(here.rows("readout_accuracy"), _READOUT)]
    yield figure(
        "Accuracy of the readout after each layer at the last name token; dotted: resample ablation.",
        "Lines rising over the layers, one per condition.",
        *(curve(name, drawn, y="readout accuracy", band=True) for name, drawn in found),
    )
    for name, drawn in found:
        yield pivot(f"Accuracy after each layer, {name}", drawn, LAYER)
    swapped = By(of="condition", words=_SUBSPACES, title="swapped")
    caption = "Answers that become another entity's when part of the residual is swapped"
    yield table(caption, here.rows("subspace_flip"), swapped)
    ranks = lines(here.rows("readout_rank"), _CONDITION)
    yield pivot("Mean place of the right class among all, readout through the extracting heads", ranks, LAYER)
    gained = "Answers turned by the readout of so many heads beyond those that random subspaces turn, selection half"
    yield table(gained, here.rows("flip_gain"), _HEADS)
    yield table("Chosen on the selection half", here.rows(*_CHOSEN), By(of="statistic", words=_CHOSEN))
