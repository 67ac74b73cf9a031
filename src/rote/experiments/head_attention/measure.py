"""Where the readout heads look from the prompt's end, also when another relation is asked."""

from __future__ import annotations

import numpy as np

from rote.circuit.top_heads import Head, head_attention
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.head_attention.card import CARD
from rote.experiments.populations import resampled
from rote.experiments.tabulator import Population, Tabulator


class HeadAttentionExperiment(Experiment):
    """`attention` per readout head and kind of position; the condition `asked:NAME` tells the relation asked."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=sizes.n_facts * (sizes.n_layers + sizes.after) * sizes.n_relations)

    def measure(self, study: Study, out: Tabulator) -> None:
        recall, heads = study.recall, study.circuit.require_readout()
        _rows(out, head_attention(recall.full, recall.prompts, heads), recall.relation)
        selected = {name for name, chosen in zip(recall.names, recall.selection, strict=True) if chosen}
        for asked in study.asked_otherwise:
            population = Population(
                bootstrap=resampled(asked, study.settings, asked.asked.name),
                where=np.array([name not in selected for name in asked.entities]),
                names=asked.entities,
            )
            _rows(out.over(population), head_attention(recall.prompt_set(asked), asked, heads), asked.asked.name)
        for relation, reason in study.not_asked.items():
            out.absent("attention", reason, condition=f"asked:{relation}")
        if not study.asked_otherwise and not study.not_asked:
            out.absent("attention", "the table asks these entities no other relation", condition="other_relation")


def _rows(out: Tabulator, attention: dict[Head, dict[str, np.ndarray]], relation: str) -> None:
    for (layer, head), spans in attention.items():
        for position, weights in spans.items():
            key = {"layer": layer, "head": head, "position": position, "condition": f"asked:{relation}"}
            out.mean("attention", weights, site="pattern", **key)
