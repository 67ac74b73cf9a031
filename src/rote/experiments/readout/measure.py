"""How well a linear readout finds the attribute at the name's last token, layer by layer."""

from __future__ import annotations

import numpy as np

from rote.asking import ABLATIONS
from rote.circuit.extraction import (
    CONDITIONS,
    Condition,
    condition_edits,
    head_readouts,
    residuals,
    subspace_flips,
)
from rote.circuit.window import condition_curve, read_layer
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.readout.card import CARD
from rote.experiments.tabulator import Tabulator
from rote.statistics import rng
from rote.statistics.probes import logistic_correct


class ReadoutExperiment(Experiment):
    """`readout_accuracy` through the heads and by logistic regression, under five conditions; the causal check."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=2 * sizes.n_facts * sizes.read * (1 + sizes.draws) * (1 + sizes.short))

    def measure(self, study: Study, out: Tabulator) -> None:
        for condition in CONDITIONS:
            if condition.first_mlps_ablated and not study.circuit.first_mlps:
                reason = "no MLP lies between the concatenating layers and the look-up"
                out.absent("readout_accuracy", reason, condition=condition.name)
                continue
            ablates = condition.late_attention_ablated or condition.first_mlps_ablated
            for how in ABLATIONS if ablates else (None,):
                _heads(study, out, condition, how)
                _logistic(study, out, condition, how)
        _single_values(study, out)


def _parameters(readout: str, how: str | None) -> dict[str, str]:
    return {"readout": readout} if how is None else {"readout": readout, "ablation": how}


def _curve(out: Tabulator, curve: dict[int, np.ndarray], condition: Condition, parameters: dict[str, str]) -> None:
    for layer, correct in curve.items():
        key = {"site": "resid_post", "layer": layer, "position": "subject_last"}
        out.mean("readout_accuracy", correct, condition=condition.name, parameters=parameters, **key)


def _heads(study: Study, out: Tabulator, condition: Condition, how: str | None) -> None:
    circuit = study.circuit
    curve = condition_curve(
        study.recall,
        circuit.readout_heads,
        condition,
        how or "mean",
        circuit.attention_from,
        circuit.first_mlps,
    )
    _curve(out, curve, condition, _parameters("heads", how))


def _logistic(study: Study, out: Tabulator, condition: Condition, how: str | None) -> None:
    """Fitted on the selection half under the same condition (the first draw of a resample ablation)."""
    recall, circuit = study.recall, study.circuit
    edits = condition_edits(recall, condition, how or "mean", circuit.attention_from, circuit.first_mlps)[0]
    layers = range(-1, read_layer(circuit.readout_heads) + 1)
    values = residuals(recall, edits, layers, name_only=condition.name_only)
    curve = {
        layer: logistic_correct(x.cpu().numpy(), recall.cls, recall.selection, 1.0).astype(float)
        for layer, x in values.items()
    }
    _curve(out, curve, condition, _parameters("logistic", how))


def _single_values(study: Study, out: Tabulator) -> None:
    recall, heads = study.recall, study.circuit.readout_heads
    readout, layer = head_readouts(recall, heads)[-1], heads[0][0]
    x = recall.at_subject("resid_pre", (layer,))[layer]
    fitted = readout.centred_on(x).calibrated(x, recall.cls, recall.selection)
    n = int(recall.selection.sum())
    out.value("n_readout_heads", len(heads), n=n, condition="selection")
    out.value("temperature", fitted.temperature, n=n, condition="selection")
    generator = rng(study.settings.seed, "readout", "random_subspace")
    first = min(layer for layer, _ in heads)
    for condition, flips in subspace_flips(recall, readout, first, generator).items():
        key = {"condition": condition, "layer": first, "site": "resid_pre", "position": "subject_last"}
        out.mean("subspace_flip", flips.mean(0), **key)
