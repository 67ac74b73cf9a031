"""How well the distilled circuit recalls what the whole model recalls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.circuit.effective import exact_run
from rote.errors import NotApplicable
from rote.experiments.base import Experiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.effective_model.card import CARD
from rote.experiments.populations import entities_of
from rote.experiments.tabulator import Tabulator
from rote.stack import Readout
from rote.statistics import rng


class EffectiveModelExperiment(Experiment):
    """Accuracy, loss (nats) and agreement of the effective model on entities that no choice was made on.

    On the sum of two parts, and on the frozen-attention residual stream itself (conditions `exact…`), which a name of
    one token has too. NotApplicable where there is no window.
    """

    card = CARD

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=0.1 * sizes.n_facts * sizes.n_layers)

    def measure(self, study: Study, out: Tabulator) -> None:
        study.circuit.window  # noqa: B018  without one there is no effective model on any input
        try:
            self._additive(study, out)
        except NotApplicable as error:
            out.nothing(error.reason)
        self._exact(study, out.over(study.population, "effective"))

    def _additive(self, study: Study, out: Tabulator) -> None:
        stack, relation = study.stack, study.recall.relation
        out = out.over(entities_of(stack, study.settings), stack.name)
        entities, cls = stack.entities, stack.entities.cls[relation]
        answers = _Answers.of(stack.run_entities().output, stack.readouts[relation], cls)
        model = _classes_of_model(study)[study.recall.two_part]
        shared = _shared(entities.first) | _shared(entities.last)
        shuffled = _shuffled(study)
        for condition, where in (
            ("report", ~entities.selection),
            ("selection", entities.selection),
            ("shared", ~entities.selection & shared),
        ):
            _rows(out, answers, model, cls, where=where, condition=condition)
        where = ~entities.selection
        out.mean("effective_accuracy", shuffled, where=where, condition="shuffled")

    def _exact(self, study: Study, out: Tabulator) -> None:
        """On the frozen-attention residual stream itself: of the same names, then of all, and those of one part."""
        recall, window = study.recall, study.circuit.window
        exact = exact_run(recall, study.circuit.readout_heads, window.start, window.stop)
        answers = _Answers.of(exact.run.output, exact.readout, recall.cls)
        two = np.isin(np.arange(len(recall)), recall.two_part)
        names = {"exact": study.report & two, "exact_selection": recall.selection & two}
        if not two.all():
            names |= {"exact_all_names": study.report, "exact_one_token": study.report & ~recall.prompts.has_first}
        for condition, where in names.items():
            _rows(out, answers, _classes_of_model(study), recall.cls, where=where, condition=condition)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answers:
    """Per entity: right or not, loss in nats, predicted class."""

    correct: Bool[np.ndarray, " entity"]
    loss: Float[np.ndarray, " entity"]
    predicted: Int[np.ndarray, " entity"]

    @classmethod
    def of(cls, output: Float[Tensor, "entity d_model"], readout: Readout, wanted: np.ndarray) -> _Answers:
        predicted = readout.predict(output)
        loss = -readout.log_probs(output).cpu().double().numpy()[np.arange(len(wanted)), wanted]
        return cls(correct=predicted == wanted, loss=loss, predicted=predicted)


def _rows(
    out: Tabulator, answers: _Answers, model: np.ndarray, cls: np.ndarray, *, where: np.ndarray, condition: str
) -> None:
    out.mean("effective_accuracy", answers.correct, where=where, condition=condition)
    out.mean("effective_agreement", answers.predicted == model, where=where, condition=condition)
    out.mean("effective_loss_nats", answers.loss, where=where, condition=condition)
    if where.any():
        balanced = out.bootstrap.balanced_accuracy(answers.correct, cls, where=where)
        out.estimate("effective_balanced_accuracy", balanced, condition=condition)


def _classes_of_model(study: Study) -> Int[np.ndarray, " fact"]:
    return np.asarray(study.recall.clean.scores.class_logits.argmax(-1).cpu().numpy())


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
