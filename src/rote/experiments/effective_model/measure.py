"""How well the distilled circuit recalls what the whole model recalls."""

from __future__ import annotations

import numpy as np

from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.effective_model.card import CARD
from rote.experiments.populations import entities_of
from rote.experiments.tabulator import Tabulator
from rote.stack import Stack
from rote.statistics import rng


class EffectiveModelExperiment(Experiment):
    """Accuracy, loss (nats) and agreement of the effective model on entities that no choice was made on.

    NotApplicable where there is no window.
    """

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=0.1 * sizes.n_facts * sizes.n_layers)

    def measure(self, study: Study, out: Tabulator) -> None:
        stack, relation = study.stack, study.recall.relation
        out = out.over(entities_of(stack, study.settings), stack.name)
        entities, cls = stack.entities, stack.entities.cls[relation]
        correct, loss, predicted = _answers(stack, relation)
        model = study.recall.clean.scores.class_logits.argmax(-1).cpu().numpy()[study.recall.two_token]
        shared = _shared(entities.first) | _shared(entities.last)
        shuffled = _shuffled(study)
        for condition, where in (
            ("report", ~entities.selection),
            ("selection", entities.selection),
            ("shared", ~entities.selection & shared),
        ):
            key = {"condition": condition}
            out.mean("effective_accuracy", correct, where=where, **key)
            out.mean("effective_agreement", predicted == model, where=where, **key)
            out.mean("effective_loss_nats", loss, where=where, condition=condition)
            if where.any():
                balanced = out.bootstrap.balanced_accuracy(correct, cls, where=where)
                out.estimate("effective_balanced_accuracy", balanced, **key)
        where = ~entities.selection
        out.mean("effective_accuracy", shuffled, where=where, condition="shuffled")


def _answers(stack: Stack, relation: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right or not, loss in nats and predicted class per entity."""
    readout, cls = stack.readouts[relation], stack.entities.cls[relation]
    output = stack.run_entities().output
    predicted = readout.predict(output)
    loss = -readout.log_probs(output).cpu().double().numpy()[np.arange(len(cls)), cls]
    return predicted == cls, loss, predicted


def _shuffled(study: Study) -> np.ndarray:
    """The same stack with permuted weights, its readout centred on its own outputs."""
    relation = study.recall.relation
    stack = study.stack.shuffled(rng(study.settings.seed, "effective_model", "shuffled"))
    output = stack.run_entities().output
    right: np.ndarray = stack.readouts[relation].centred_on(output).predict(output) == stack.entities.cls[relation]
    return right


def _shared(index: np.ndarray) -> np.ndarray:
    shared: np.ndarray = np.bincount(index)[index] > 1
    return shared
