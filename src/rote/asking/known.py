"""Which facts the model knows: every prompt asked once, every answer scored whole."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from rote.asking.prompts import PromptSet
from rote.asking.whole_answers import WholeScores, score_whole
from rote.facts import RelationPrompts
from rote.model import Model
from rote.settings import Settings


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownFacts:
    """What the model answers to every fact, and what it knows by the study's setting.

    Attributes:
        log_prob: log of the right answer's score (nats), which is its probability but for longer answers that go on.
        rank: the worst rank of its tokens, each behind those before it, from 1.
        correct: whether the likeliest tokens spell it.
        predicted_cls: the right class where no answer of the relation is likelier, else one that is: of answers of one
            token the likeliest of all, of whole answers the likeliest of those that were followed.
        known: by `Settings.known`.
        token_log_prob, token_rank: of the answer's class token alone.
    """

    log_prob: Float[np.ndarray, " fact"]
    rank: Int[np.ndarray, " fact"]
    correct: Bool[np.ndarray, " fact"]
    predicted_cls: Int[np.ndarray, " fact"]
    known: Bool[np.ndarray, " fact"]
    token_log_prob: Float[np.ndarray, " fact"]
    token_rank: Int[np.ndarray, " fact"]

    def by(self, how: str, cls: Int[np.ndarray, " fact"], settings: Settings) -> Bool[np.ndarray, " fact"]:
        """What is known by one of `rote.settings.KNOWN`, `cls` being the right classes."""
        found: dict[str, Bool[np.ndarray, " fact"]] = {
            "probability": np.exp(self.log_prob) > settings.known_probability,
            "top1": self.correct,
            "among_answers": self.predicted_cls == cls,
        }
        return found[how]


def ask(model: Model, prompts: RelationPrompts, settings: Settings) -> KnownFacts:
    """Put every fact's prompt to the model; one pass over the prompts where all answers have one token.

    NonFinite, a MeasurementError, names the prompt whose activations are not finite.
    """
    found = _tokens(model, prompts, settings) if prompts.of_one_token else score_whole(model, prompts, settings)
    scores = {spec.name: getattr(found, spec.name) for spec in fields(found)}
    known = KnownFacts(**scores, known=np.zeros(len(prompts), dtype=bool))
    return replace(known, known=known.by(settings.known, prompts.cls, settings))


def _tokens(model: Model, prompts: RelationPrompts, settings: Settings) -> WholeScores:
    """Answers of one token each, read from the predictions at the end of the prompts."""
    scores = PromptSet.of(model, prompts, settings.batch_size).forward().scores
    log_prob, rank = scores.answer_log_prob.cpu().double().numpy(), scores.answer_rank.cpu().numpy()
    return WholeScores(
        log_prob=log_prob,
        rank=rank,
        correct=scores.correct.cpu().numpy(),
        predicted_cls=scores.class_logits.argmax(-1).cpu().numpy(),
        token_log_prob=log_prob,
        token_rank=rank,
    )
