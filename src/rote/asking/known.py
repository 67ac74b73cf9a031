"""Which facts the model knows: every prompt asked once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from rote.asking.prompts import PromptSet
from rote.facts import RelationPrompts
from rote.model import Model
from rote.settings import Settings


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownFacts:
    """Per fact: log-probability (nats) and rank of the answer's first token, the predictions, and what is known."""

    log_prob: Float[np.ndarray, " fact"]
    rank: Int[np.ndarray, " fact"]
    correct: Bool[np.ndarray, " fact"]
    predicted_cls: Int[np.ndarray, " fact"]
    known: Bool[np.ndarray, " fact"]


def ask(model: Model, prompts: RelationPrompts, settings: Settings) -> KnownFacts:
    """Put every fact's prompt to the model; known means p(first token of the answer) > known_probability.

    NonFinite, a MeasurementError, names the prompt whose activations are not finite.
    """
    asked = PromptSet.of(model, prompts, settings.batch_size)
    scores = asked.forward().scores
    log_prob = scores.answer_log_prob.cpu().double().numpy()
    return KnownFacts(
        log_prob=log_prob,
        rank=scores.answer_rank.cpu().numpy(),
        correct=scores.correct.cpu().numpy(),
        predicted_cls=scores.class_logits.argmax(-1).cpu().numpy(),
        known=np.exp(log_prob) > settings.known_probability,
    )
