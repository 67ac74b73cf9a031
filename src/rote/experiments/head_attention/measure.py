"""Where the top heads look from the prompt's end, also when another relation is asked."""

from __future__ import annotations

import numpy as np

from rote.circuit.top_heads import Head, head_attention
from rote.experiments.base import Experiment, Study, Tabulator, bootstrap
from rote.records import Record


class HeadAttentionExperiment(Experiment):
    """`attention` per top head and kind of position; the condition `asked:NAME` tells the relation asked."""

    name = "head_attention"

    def measure(self, study: Study) -> Record:
        recall, heads = study.recall, study.circuit.top_heads
        out = study.tabulator(self.name)
        _rows(out, head_attention(recall.full, recall.prompts, heads), recall.relation)
        selected = {name for name, chosen in zip(recall.names, recall.selection, strict=True) if chosen}
        for asked in study.asked_otherwise:
            other = study.tabulator(self.name)
            other.bootstrap = bootstrap(asked.first, asked.last, study.settings, asked.asked.name)
            other.where = np.array([name not in selected for name in asked.entities])
            _rows(other, head_attention(recall.prompt_set(asked), asked, heads), asked.asked.name)
            out.rows += other.rows
            out.absents += other.absents
        if not study.asked_otherwise:
            out.absent("attention", "the table asks these entities no other relation", condition="other_relation")
        return out.record()


def _rows(out: Tabulator, attention: dict[Head, dict[str, np.ndarray]], relation: str) -> None:
    for (layer, head), spans in attention.items():
        for position, weights in spans.items():
            key = {"layer": layer, "head": head, "position": position, "condition": f"asked:{relation}"}
            out.mean("attention", weights, site="pattern", unit="fraction", **key)
