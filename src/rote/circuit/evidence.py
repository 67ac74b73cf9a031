"""Whether MLPs look a fact up: what the model loses without them, and what they make of the sum of a name's parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.asking.prompts import Scores
from rote.asking.recall import ABLATIONS, Recall
from rote.asking.resampling import names_bootstrap
from rote.circuit.at_name import mlps, name_ablations
from rote.circuit.effective import effective_model, exact_run
from rote.circuit.extraction import head_readouts
from rote.circuit.top_heads import Head
from rote.errors import NotApplicable
from rote.statistics import Bootstrap, Estimate, rng
from rote.statistics.probes import best_strength, logistic_answers
from rote.statistics.weighted import ratio


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassAnswers:
    """Right or not among the classes, and the loss over them in nats, per fact."""

    correct: Bool[np.ndarray, " fact"]
    loss: Float[np.ndarray, " fact"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowEvidence:
    """What tells a look-up in the window's MLPs from one elsewhere, per fact in `facts`.

    `without`: per ablation, the model without these MLPs at the name's last token; `additive`: a held-out linear model
    on the stack's input, without repeated classes the head readout on it; `stack`: the effective model; `readable`: its
    readout where the first head reads in the whole model: what it cannot read there, no stack can give it. `exact`
    where too few names have two parts: the input is then the residual stream itself, for names of any number of tokens.
    """

    facts: Int[np.ndarray, " some"]
    exact: bool
    model: ClassAnswers
    without: dict[str, ClassAnswers]
    additive: ClassAnswers
    stack: ClassAnswers
    readable: ClassAnswers


def window_evidence(recall: Recall, heads: Sequence[Head], start: int, stop: int) -> WindowEvidence:
    """The evidence for MLPs start..stop, on the facts whose names have two parts, or on all where these are too few.

    NotApplicable where the MLPs have no single neurons, or the selection half has one class.
    """
    facts, exact = recall.two_part, len(recall.two_part) < recall.settings.min_known
    if exact:
        two = np.flatnonzero(recall.prompts.has_first)
        facts = two if len(two) >= recall.settings.min_known else np.arange(len(recall))
        found = exact_run(recall, heads, start, stop)
        run, readout = found.run.take(facts), found.readout
    else:
        stack = effective_model(recall, heads, start, stop)
        run, readout = stack.run_entities(), stack.readouts[recall.relation]
    cls, selection = recall.cls[facts], recall.selection[facts]
    read = recall.at_subject("resid_pre", (heads[0][0],))[heads[0][0]]
    without = {how: _mean([_of(s, facts) for s in _without(recall, (start, stop), how)]) for how in ABLATIONS}
    return WindowEvidence(
        facts=facts,
        exact=exact,
        model=_of(recall.clean.scores, facts),
        without=without,
        additive=_additive(recall, heads, run.resid[0], cls, selection),
        stack=_by(readout.log_probs(run.output), cls),
        readable=_calibrated(recall, heads, read[torch.as_tensor(facts)], cls, selection),
    )


def _without(recall: Recall, window: tuple[int, int], how: str) -> list[Scores]:
    parts = mlps(range(window[0], window[1] + 1))
    return [recall.full.forward(edits).scores for edits in name_ablations(recall, parts, how, "subject_last")]


def _of(scores: Scores, facts: Int[np.ndarray, " some"]) -> ClassAnswers:
    log_probs = torch.log_softmax(scores.class_logits.double(), -1).cpu()[torch.as_tensor(facts)]
    return _by(log_probs, scores.cls.cpu().numpy()[facts])


def _by(log_probs: Float[Tensor, "fact cls"], cls: Int[np.ndarray, " fact"]) -> ClassAnswers:
    values = log_probs.detach().cpu().double().numpy()
    return ClassAnswers(correct=values.argmax(1) == cls, loss=-values[np.arange(len(cls)), cls])


def _mean(draws: Sequence[ClassAnswers]) -> ClassAnswers:
    """Shares of draws, and mean losses."""
    return ClassAnswers(
        correct=np.mean([d.correct for d in draws], axis=0), loss=np.mean([d.loss for d in draws], axis=0)
    )


def _additive(
    recall: Recall, heads: Sequence[Head], x: Float[Tensor, "fact d_model"], cls: np.ndarray, selection: np.ndarray
) -> ClassAnswers:
    """The baseline on the stack's input x: a fit, or where most answers have one name each the heads' readout."""
    others = np.bincount(cls[selection], minlength=len(recall.prompts.classes))[cls] - selection
    if 2 * (others > 0).sum() > len(cls):
        with suppress(NotApplicable):  # classes repeat, but not in every fold
            return additive_answers(x.cpu().numpy(), cls, selection, len(recall.prompts.classes))
    return _calibrated(recall, heads, x, cls, selection)


def _calibrated(
    recall: Recall, heads: Sequence[Head], x: Float[Tensor, "fact d_model"], cls: np.ndarray, selection: np.ndarray
) -> ClassAnswers:
    """What the heads' readout says of x, centred and calibrated on the selection half."""
    centred = head_readouts(recall, heads)[-1].centred_on(x[torch.as_tensor(selection)])
    return _by(centred.calibrated(x, cls, selection).log_probs(x), cls)


def additive_answers(
    x: Float[np.ndarray, "entity d_model"], cls: np.ndarray, selection: Bool[np.ndarray, " entity"], n_cls: int
) -> ClassAnswers:
    """What a linear model on x answers for entities that it was not fitted on.

    The report half is predicted by a fit on the selection half; the selection half, for choices, by fits on four
    fifths of itself. Logistic regression with the penalty that generalises best within the fitting entities.
    NotApplicable where these are all of one class.
    """
    strength = best_strength(x, cls, selection)
    correct, loss = logistic_answers(x, cls, selection, strength, n_cls)
    for fold in np.array_split(np.flatnonzero(selection), 5):
        train = selection.copy()
        train[fold] = False
        folded = logistic_answers(x, cls, train, strength, n_cls)
        correct[fold], loss[fold] = folded[0][fold], folded[1][fold]
    return ClassAnswers(correct=correct, loss=loss)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The three figures that decide, with their intervals, over the names of one half.

    removable = additive's loss − the model's, in nats: what a sum over the parts does not give away. needed, per
    ablation = (loss without these MLPs − the model's) / removable. found = (additive's loss − the stack's) /
    (additive's − that of what the readout can read in the whole model).
    """

    removable: Estimate
    needed: dict[str, Estimate]
    found: Estimate


def shares(evidence: WindowEvidence, half: Bool[np.ndarray, " some"], bootstrap: Bootstrap) -> Shares:
    """The deciding figures over the facts of one half; `bootstrap` is over those of the evidence.

    NotApplicable where nothing is removable, or nothing readable.
    """
    model, additive = evidence.model.loss, evidence.additive.loss
    removable, readable = additive - model, additive - evidence.readable.loss

    def share(above: Float[np.ndarray, " some"], below: Float[np.ndarray, " some"]) -> Estimate:
        a, b = above[half], below[half]
        return bootstrap.interval(lambda weights: ratio(weights @ a, weights @ b), where=half)

    return Shares(
        removable=bootstrap.mean(removable, where=half),
        needed={how: share(answers.loss - model, removable) for how, answers in evidence.without.items()},
        found=share(additive - evidence.stack.loss, readable),
    )


def bootstrap_of(recall: Recall, facts: Int[np.ndarray, " some"], item: str) -> Bootstrap:
    """Resamples over the parts of some facts' names."""
    settings = recall.settings
    return names_bootstrap(recall.prompts.take(facts), settings, rng(settings.seed, item, recall.relation))
