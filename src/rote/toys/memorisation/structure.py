"""Intermediate states: what a linear probe reads off hidden activations of pairs that nobody trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import Ridge

from rote.toys.tasks import random_halves, xor_of


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Accuracy of one probe on unseen pairs, the mean under its null, and how often the null does as well (one-sided).

    All three are fractions; p = (1 + number of null draws at least as accurate) / (1 + number of draws).
    """

    accuracy: float
    null: float
    p: float


@dataclass(frozen=True, kw_only=True, eq=False)
class States:
    """Hidden activations of one layer of one network, pair by pair, and what can be asked of them.

    `train` marks the pairs on which probes are fitted: those that the network has seen.
    """

    hidden: Float[np.ndarray, "fact neuron"]
    first: Int[np.ndarray, " fact"]
    second: Int[np.ndarray, " fact"]
    label: Int[np.ndarray, " fact"]
    sides: Bool[np.ndarray, "place integer"]
    train: Bool[np.ndarray, " fact"]


def probe_bit(states: States, *, n_null: int, generator: np.random.Generator) -> Probe:
    """The bit itself; null: the same bits dealt out to other pairs."""
    null = np.stack([generator.permutation(states.label) for _ in range(n_null)], axis=1)
    return _two_way(states, np.column_stack([states.label, null]))


def probe_xor(states: States, *, n_null: int, generator: np.random.Generator) -> Probe:
    """The XOR of one bit of either integer; null: other halves of the integers."""
    sides = np.stack([states.sides, *(random_halves(states.sides.shape[1], generator) for _ in range(n_null))])
    shape = (len(sides), len(states.first))
    xor = xor_of(sides, np.broadcast_to(states.first, shape), np.broadcast_to(states.second, shape))
    return _two_way(states, xor.T.astype(int))


def probe_integer(states: States, place: int, *, n_null: int, generator: np.random.Generator) -> Probe:
    """Which integer stands in one place (one against the rest, highest score); null: integers dealt to other pairs."""
    n = states.sides.shape[1]
    truth = (states.first, states.second)[place]
    targets = np.stack([truth, *(generator.permutation(truth) for _ in range(n_null))], axis=1)
    one_hot = np.eye(n)[targets].reshape(len(truth), -1)
    scores = _scores(states, one_hot).reshape(-1, targets.shape[1], n)
    right = scores.argmax(-1) == targets[~states.train]
    return _compared(right.mean(0))


def _two_way(states: States, targets: Int[np.ndarray, "fact target"]) -> Probe:
    scores = _scores(states, 2.0 * targets - 1)
    return _compared(((scores > 0) == (targets[~states.train] > 0)).mean(0))


def _scores(states: States, targets: Float[np.ndarray, "fact target"]) -> Float[np.ndarray, "unseen target"]:
    """Ridge regression on standardised neurons, fitted on seen pairs for all targets at once, scored on unseen ones."""
    train = states.train
    mean, sd = states.hidden[train].mean(0), states.hidden[train].std(0)
    x = (states.hidden - mean) / np.maximum(sd, 1e-6 * max(float(sd.max()), 1e-12))
    ridge = Ridge(alpha=0.01 * int(train.sum()), solver="cholesky").fit(x[train], targets[train])
    return np.asarray(ridge.predict(x[~train])).reshape(int((~train).sum()), -1)


def _compared(accuracy: Float[np.ndarray, " target"]) -> Probe:
    null = accuracy[1:]
    # the real targets are one of the draws: p is never 0
    p = (1 + int((null >= accuracy[0]).sum())) / (1 + len(null))
    return Probe(accuracy=float(accuracy[0]), null=float(null.mean()), p=p)
