"""Which heads and MLPs write the answer directly into the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from rote.circuit.direct_effects import direct_effects
from rote.circuit.source_effects import source_effects
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.direct_effects.card import CARD
from rote.experiments.tabulator import Tabulator
from rote.facts.prompts import POSITIONS


class DirectEffectsExperiment(Experiment):
    """`direct_effect` of every head and MLP, `source_effect` of every head, on both halves; the heads by either."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=3 * sizes.n_facts * sizes.n_layers)

    def measure(self, study: Study, out: Tabulator) -> None:
        effects = direct_effects(study.recall)
        keys = [
            {"site": "z", "layer": layer, "head": head}
            for layer in range(effects.heads.shape[1])
            for head in range(effects.heads.shape[2])
        ]
        keys += [{"site": "mlp_out", "layer": layer} for layer in range(effects.mlps.shape[1])]
        values = np.concatenate([effects.heads.reshape(len(effects.heads), -1), effects.mlps], axis=1)
        for condition, where in (("selection", ~study.report), ("report", study.report)):
            full = [{**key, "position": "end", "condition": condition} for key in keys]
            full[0]["where"] = where
            out.means(["direct_effect"] * len(full), values, full)
        for rank, (layer, head) in enumerate(study.circuit.top_heads, start=1):
            out.value("top_head", rank, layer=layer, head=head, position="end")
        _by_source(study, out)


def _by_source(study: Study, out: Tabulator) -> None:
    parts = source_effects(study.recall).parts
    n_facts, n_layers, n_heads, _ = parts.shape
    keys = [
        {"site": "z", "layer": layer, "head": head, "position": kind}
        for layer in range(n_layers)
        for head in range(n_heads)
        for kind in POSITIONS
    ]
    for condition, where in (("selection", ~study.report), ("report", study.report)):
        full: list[dict[str, Any]] = [{**key, "condition": condition} for key in keys]
        full[0]["where"] = where
        out.means(["source_effect"] * len(full), parts.reshape(n_facts, -1), full)
    if study.circuit.no_readout is not None:
        out.absent("readout_head", study.circuit.no_readout)
    for rank, (layer, head) in enumerate(study.circuit.readout_heads, start=1):
        out.value("readout_head", rank, layer=layer, head=head, position="subject_last")
