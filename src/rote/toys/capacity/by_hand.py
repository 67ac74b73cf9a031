"""A network built by hand that stores one fact of three classes in every weight of its table: log₂ 3 ≈ 1.58 bits each.

Neuron j answers for second integer j. E_first(a) is one-hot; E_second(b) is the point at the angle θ_b = 2πb/N of a
circle, so that one gate serves every neuron:

    pre_j = T[a, j] + 1 + C · (cos(θ_b − θ_j) − 1),  T in {−1, 0, 1},  C = 2 / (1 − cos(2π/N))

Neuron b reads T[a, b] + 1 in {0, 1, 2}; every other one is at most 0, and silent. The sum s over the neurons becomes a
class as the nearest of 0, 1, 2: logit_k = 2ks − k². Of the N² + 6N + 3 parameters, N² are the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import numpy as np
import torch
from jaxtyping import Int

from rote.toys.networks import Architecture, Parameters

BITS_PER_WEIGHT = log2(3)


def by_hand_architecture(n_integers: int) -> Architecture:
    """The shape of the network built by hand: a neuron for every second integer."""
    return Architecture(n_integers=n_integers, d_model=n_integers + 2, n_neurons=n_integers, n_classes=3)


def by_hand(tables: Int[np.ndarray, "model integer integer"] | Sequence[np.ndarray]) -> Parameters:
    """Networks that answer tables[model][a, b], a class of 0, 1, 2; ValueError for fewer than three integers."""
    table = np.asarray(tables)
    n = table.shape[-1]
    if table.ndim != 3 or table.shape[1] != n or n < 3 or not np.isin(table, (0, 1, 2)).all():
        raise ValueError(f"tables of shape {table.shape}: expected [model, n, n] of the classes 0, 1, 2, with n ≥ 3")
    angle = 2 * np.pi * np.arange(n) / n
    circle = np.stack([np.cos(angle), np.sin(angle)])
    gate = 2 / (1 - np.cos(2 * np.pi / n))
    embed = np.zeros((2 * n, n + 2))
    embed[:n, :n], embed[n:, n:] = np.eye(n), circle.T
    classes = np.arange(3)
    shared = {
        "embed": embed,
        "in_bias_0": np.full(n, 1 - gate),
        "out_0": np.tile(2.0 * classes, (n, 1)),
        "out_bias": -(classes**2.0),
    }
    read = np.broadcast_to(gate * circle, (len(table), 2, n))
    found = {name: np.broadcast_to(value, (len(table), *value.shape)) for name, value in shared.items()}
    found["in_0"] = np.concatenate([table - 1.0, read], axis=1)
    return {name: torch.from_numpy(np.array(value)).float() for name, value in found.items()}
