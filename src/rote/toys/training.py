"""Training many networks at once: one optimiser over stacked parameters, each network with its own facts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rote.errors import MeasurementError
from rote.toys.networks import Architecture, Parameters, forward, trained_names
from rote.toys.tasks import PairFacts


@dataclass(frozen=True, kw_only=True)
class Training:
    """AdamW on all facts at every step; the learning rate falls linearly to 0.

    The losses of the networks are added, and Adam works entry by entry, so that each network learns as it would alone.
    `enough` ends the training once every network has reached this accuracy on its facts, at steps that are multiples
    of `check_every`.
    """

    steps: int = 3000
    learning_rate: float = 0.02
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    enough: float | None = None
    check_every: int = 25


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedNetworks:
    """The networks at the end of training.

    `best` is the accuracy on the seen facts at the first check at which it was `enough`, or else the highest at any: so
    it does not depend on which other networks are trained beside.
    """

    parameters: Parameters
    best: Float[np.ndarray, " model"]
    steps: int


def train(architecture: Architecture, parameters: Parameters, facts: PairFacts, training: Training) -> TrainedNetworks:
    """Train all networks; MeasurementError where a loss is not finite."""
    names = trained_names(architecture)
    parameters = {name: value.clone().requires_grad_(name in names) for name, value in parameters.items()}
    pairs, label = facts.pairs(), torch.from_numpy(np.array(facts.label)).long()
    weight = torch.from_numpy(facts.seen & facts.counts).float()
    n_seen = weight.sum(1, keepdim=True)
    optimiser = torch.optim.AdamW(
        [parameters[name] for name in names],
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        foreach=True,
    )
    best, steps = np.zeros(len(label)), 0
    for steps in range(training.steps + 1):
        logits = forward(architecture, parameters, pairs).logits
        last = steps == training.steps
        if last or (training.enough is not None and steps % training.check_every == 0):
            enough = best >= (np.inf if training.enough is None else training.enough)
            best = np.where(enough, best, np.maximum(best, _accuracy(logits, label, weight)))
            if last or (training.enough is not None and (best >= training.enough).all()):
                break
        loss = (_losses(logits, label) * (weight / n_seen)).sum(1)
        if not torch.isfinite(loss).all():
            raise MeasurementError(f"the loss of a toy network is {loss.max().item()} at step {steps}")
        optimiser.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * (1 - steps / training.steps)
        optimiser.step()
    return TrainedNetworks(parameters={n: p.detach() for n, p in parameters.items()}, best=best, steps=steps)


def predicted(logits: Float[Tensor, "model fact output"]) -> Int[Tensor, "model fact"]:
    """The class of highest logit; of two classes, the sign of the one logit."""
    return (logits[..., 0] > 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)


def accuracy(
    logits: Float[Tensor, "model fact output"], facts: PairFacts, where: Bool[np.ndarray, "model fact"]
) -> Float[np.ndarray, " model"]:
    """Fraction of the facts `where` that each network gives right."""
    where = where & facts.counts
    right = predicted(logits).numpy() == facts.label
    return np.asarray((right & where).sum(1) / where.sum(1))


def _accuracy(
    logits: Float[Tensor, "model fact output"], label: Int[Tensor, "model fact"], weight: Float[Tensor, "model fact"]
) -> Float[np.ndarray, " model"]:
    right = (predicted(logits.detach()) == label) & (weight > 0)
    return np.asarray(right.sum(1).numpy() / (weight > 0).sum(1).numpy())  # whole numbers: 99 of 100 is exactly enough


def _losses(
    logits: Float[Tensor, "model fact output"], label: Int[Tensor, "model fact"]
) -> Float[Tensor, "model fact"]:
    """Cross-entropy in nats."""
    if logits.shape[-1] == 1:
        return F.softplus(logits[..., 0] * (1 - 2 * label))  # −log σ(logit) for 1, −log σ(−logit) for 0
    return F.cross_entropy(logits.transpose(1, 2), label, reduction="none")
