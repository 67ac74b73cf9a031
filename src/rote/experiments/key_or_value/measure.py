"""Whether an early MLP matters for the keys or for the values of the readout heads."""

from __future__ import annotations

import numpy as np

from rote.asking import ABLATIONS
from rote.circuit.top_heads import key_or_value
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.key_or_value.card import CARD
from rote.experiments.tabulator import Tabulator


class KeyOrValueExperiment(Experiment):
    """Accuracy with each early MLP ablated along the readout heads' key inputs only, or their value inputs only."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=2 * sizes.read * sizes.draws * sizes.sample * (2 + sizes.after))

    def measure(self, study: Study, out: Tabulator) -> None:
        study = study.sample
        recall, heads = study.recall, study.circuit.require_readout()
        out = out.over(study.population)
        clean = recall.clean.scores
        _pair(study, out, clean.correct.cpu().numpy(), clean.correct_cls.cpu().numpy(), condition="clean")
        for mlp in range(max(layer for layer, _ in heads)):
            for path, letter in (("key", "k"), ("value", "v")):
                for how in ABLATIONS:
                    draws = key_or_value(recall, heads, mlp, letter, how)
                    right, right_cls = (np.mean([d[i] for d in draws], axis=0) for i in (0, 1))
                    _pair(study, out, right, right_cls, condition=f"{path}:{how}", source=f"mlp.{mlp}")


def _pair(study: Study, out: Tabulator, right: np.ndarray, right_cls: np.ndarray, **key: str) -> None:
    out.mean("accuracy", right, **key)
    out.mean("accuracy_cls", right_cls, **key)
