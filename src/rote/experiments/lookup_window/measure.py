"""Which MLP layers look the attribute up, with both curves and the evidence."""

from __future__ import annotations

import numpy as np

from rote.asking import ABLATIONS
from rote.circuit.concatenation import mlps_ablated
from rote.circuit.window import attention_curve, window_evidence
from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.lookup_window.card import CARD
from rote.experiments.tabulator import Tabulator


class LookupWindowExperiment(Experiment):
    """`lookup_start`, `lookup_stop`, the curve behind them, and what ablating MLPs at the name does."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        whole = (sizes.read * sizes.sample + sizes.n_facts) * sizes.n_layers
        return Cost(blocks=sizes.draws * (sizes.curve + whole))

    def measure(self, study: Study, out: Tabulator) -> None:
        heads = study.circuit.require_readout()
        for how in ABLATIONS:
            for layer, correct in enumerate(attention_curve(study.recall, heads, how)):
                key = {"layer": layer, "condition": how, "position": "subject_last"}
                out.mean("attention_kept_accuracy", correct, **key)
        _single_mlps(study.sample, out.over(study.sample.population))
        try:
            _window(study, out)
        except NotApplicable as error:
            names = (
                "lookup_start",
                "lookup_stop",
                "window_mlps_ablated_accuracy",
                "additive_accuracy_held_out",
            )
            for statistic in names:
                out.absent(statistic, error.reason)


def _single_mlps(study: Study, out: Tabulator) -> None:
    for layer in range(study.circuit.readout_heads[0][0]):
        for how in ABLATIONS:
            _ablated(study, out, "mlp_ablated_accuracy", (layer,), how, layer=layer)


def _ablated(study: Study, out: Tabulator, statistic: str, layers: tuple[int, ...], how: str, **key: int) -> None:
    draws = mlps_ablated(study.recall, layers, how)
    correct = np.mean([scores.correct_cls.cpu().numpy() for scores in draws], axis=0)
    common = {"condition": how, "site": "mlp_out", "position": "subject_last"}
    out.mean(statistic, correct, **common, **key)


def _window(study: Study, out: Tabulator) -> None:
    window = study.circuit.window
    n = int(study.recall.selection.sum())
    out.value("lookup_start", window.start, n=n)
    out.value("lookup_stop", window.stop, n=n)
    for how in ABLATIONS:
        _ablated(study, out, "window_mlps_ablated_accuracy", window.layers, how)
    evidence = window_evidence(study.recall, study.circuit.readout_heads, window)
    correct = np.zeros(len(study.recall))
    correct[evidence.facts] = evidence.additive
    where = study.report & np.isin(np.arange(len(study.recall)), evidence.facts)
    out.mean("additive_accuracy_held_out", correct, where=where)
