"""Which earlier nodes feed the values of the top heads."""

from __future__ import annotations

import numpy as np

from rote.circuit.top_heads import value_inputs
from rote.experiments.base import Experiment, Study
from rote.records import Record


class ValueInputsExperiment(Experiment):
    """`value_effect` of every earlier node through each top head's value path."""

    name = "value_inputs"

    def measure(self, study: Study) -> Record:
        study = study.sample
        out = study.tabulator(self.name)
        for layer, head in study.circuit.top_heads:
            effects = value_inputs(study.recall, (layer, head))
            keys = [
                {"layer": layer, "head": head, "source": source, "site": "v", "position": "subject_last"}
                for source in effects
            ]
            columns = np.stack(list(effects.values()), axis=1)
            out.means(["value_effect"] * len(keys), columns, [{**key, "unit": "logit"} for key in keys])
        return out.record()
