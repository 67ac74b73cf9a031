"""Which earlier nodes feed the values of the readout heads."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from rote.circuit.top_heads import Head, earlier_nodes, value_inputs, value_inputs_first_order
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.sweeps import N_PASSES_CHECKED, is_first_order, samples, tabulate_agreement
from rote.experiments.tabulator import Tabulator
from rote.experiments.value_inputs.card import CARD

Effects = dict[str, Float[np.ndarray, " fact"]]


class ValueInputsExperiment(Experiment):
    """`value_effect` of every earlier node through each readout head's value path; `Settings.sweeps` says how."""

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        nodes, settings = sizes.read * (sizes.n_heads + 1) + 1, sizes.settings
        passes = settings.n_top_heads * nodes * settings.n_resamples_ablation
        return Cost(blocks=passes * sizes.sample * sizes.after)

    def measure(self, study: Study, out: Tabulator) -> None:
        study = study.sample
        heads = study.circuit.require_readout()
        out, first_order = out.over(study.population), _first_order(study)
        for layer, head in heads:
            first = value_inputs_first_order(study.recall, (layer, head))
            effects = first if first_order else value_inputs(study.recall, (layer, head))
            keys = [
                {"layer": layer, "head": head, "source": source, "site": "v", "position": "subject_last"}
                for source in effects
            ]
            columns = np.stack(list(effects.values()), axis=1)
            out.means(["value_effect"] * len(keys), columns, keys)
            _agreement(out, study, (layer, head), first, None if first_order else effects)


def _first_order(study: Study) -> bool:
    """Whether a pass for every node costs too much."""
    recall, model, layer = study.recall, study.recall.model, study.circuit.readout_heads[0][0]
    nodes = len(study.circuit.readout_heads) * len(earlier_nodes(recall, layer))
    positions = int((recall.full.end - recall.full.subject_last + 1).sum())
    share = 1 - layer / model.n_layers
    operations = 2.0 * model.n_parameters * share * positions * nodes * len(recall.others)
    return is_first_order(study.settings, operations, model.device.type)


def _agreement(out: Tabulator, study: Study, head: Head, first: Effects, exact: Effects | None, n: int = 32) -> None:
    """First-order against exact effects over facts, for n nodes at random and the n largest."""
    n = N_PASSES_CHECKED if exact is None else n
    names, columns = list(first), np.stack(list(first.values()), axis=1)
    chosen = samples(columns, study.settings, f"value_inputs/{study.recall.relation}/{head}", n)

    def effects(index: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "fact chosen"]:
        wanted = [names[i] for i in index]
        found = value_inputs(study.recall, head, wanted) if exact is None else exact
        return np.stack([found[name] for name in wanted], axis=1)

    tabulate_agreement(out, columns, effects, chosen, layer=head[0], head=head[1])
