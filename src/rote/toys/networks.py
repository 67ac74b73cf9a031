"""Small networks from a pair of integers to a class, many at once along a leading `model` axis.

x = E_first(a) + E_second(b); each layer but the last adds W_out act(W_in x + b) to x; the last layer's W_out writes the
logits themselves, since an unembedding behind it would only say the same map with more parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rote.statistics import rng
from rote.toys.pairs import Pairs

Embedding: TypeAlias = Literal["trained", "random", "one_hot"]
Parameters: TypeAlias = dict[str, Tensor]

EMBEDDINGS: tuple[Embedding, ...] = ("trained", "random", "one_hot")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a network.

    Attributes:
        n_integers: how many integers each of the two places can hold.
        embedding: vectors that are trained, random and frozen, or one-hot (d_model is then 2 · n_integers).
        n_classes: two classes are one logit, more are one logit each.

    Raises ValueError for sizes that do not fit, and for an embedding or activation that there is none of.
    """

    n_integers: int
    d_model: int
    n_neurons: int
    n_layers: int = 1
    n_classes: int = 2
    embedding: Embedding = "random"
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.embedding not in EMBEDDINGS or self.activation not in ACTIVATIONS:
            raise ValueError(
                f"embedding {self.embedding!r}, activation {self.activation!r}: expected one of "
                f"{', '.join(EMBEDDINGS)} and one of {', '.join(ACTIVATIONS)}"
            )
        if self.embedding == "one_hot" and self.d_model != 2 * self.n_integers:
            raise ValueError(
                f"d_model is {self.d_model}: one-hot vectors of 2 × {self.n_integers} integers need "
                f"{2 * self.n_integers}"
            )
        if min(self.n_integers, self.d_model, self.n_neurons, self.n_layers) < 1 or self.n_classes < 2:
            raise ValueError(f"{self} has a size below 1, or fewer than two classes")

    @property
    def n_outputs(self) -> int:
        """Logits: one for two classes, else one for each."""
        return 1 if self.n_classes == 2 else self.n_classes

    @property
    def n_mlp_parameters(self) -> int:
        """Weights and biases of the MLP layers, those that write the logits among them."""
        d, m, o = self.d_model, self.n_neurons, self.n_outputs
        return self.n_layers * (d * m + m) + (self.n_layers - 1) * m * d + m * o + o

    @property
    def n_embedding_parameters(self) -> int:
        """Entries of the embedding tables, trained or not; none where they are one-hot."""
        return 0 if self.embedding == "one_hot" else 2 * self.n_integers * self.d_model


def initial(architecture: Architecture, seeds: Sequence[int], item: str = "") -> Parameters:
    """Parameters of one network per seed, each from its own generator: the same alone as in any batch.

    Weights are normal with variance 2 / inputs (He), embeddings normal with variance 1/2, so that x has variance 1 in
    every direction, biases 0.
    """
    drawn = [_one(architecture, rng(seed, "toy_network", item)) for seed in seeds]
    return {name: torch.stack([torch.from_numpy(one[name]) for one in drawn]).float() for name in drawn[0]}


def _one(a: Architecture, generator: np.random.Generator) -> dict[str, np.ndarray]:
    def normal(n_in: int, n_out: int, variance: float) -> Float[np.ndarray, "n_in n_out"]:
        return np.asarray(generator.standard_normal((n_in, n_out)) * np.sqrt(variance))

    found: dict[str, np.ndarray] = {"embed": np.eye(2 * a.n_integers)}
    if a.embedding != "one_hot":
        found["embed"] = normal(2 * a.n_integers, a.d_model, 0.5)
    inputs = a.d_model if a.embedding != "one_hot" else 2  # two entries of a one-hot x are 1
    for layer in range(a.n_layers):
        last = layer == a.n_layers - 1
        n_out = a.n_outputs if last else a.d_model
        found[f"in_{layer}"] = normal(a.d_model, a.n_neurons, 2 / inputs)
        found[f"in_bias_{layer}"] = np.zeros(a.n_neurons)
        found[f"out_{layer}"] = normal(a.n_neurons, n_out, (1 if last else 0.25) / a.n_neurons)
    found["out_bias"] = np.zeros(a.n_outputs)
    return found


def trained_names(architecture: Architecture) -> tuple[str, ...]:
    """The parameters that training changes, in a fixed order."""
    names = [f"{part}_{layer}" for layer in range(architecture.n_layers) for part in ("in", "in_bias", "out")]
    return (*(("embed",) if architecture.embedding == "trained" else ()), *names, "out_bias")


@dataclass(frozen=True, kw_only=True)
class NetworkActivations:
    """What a forward pass yields: logits, and per layer the hidden activations."""

    logits: Float[Tensor, "model fact output"]
    hidden: tuple[Float[Tensor, "model fact neuron"], ...]


def forward(architecture: Architecture, parameters: Parameters, pairs: Pairs) -> NetworkActivations:
    """All networks at once, on their pairs."""
    act, hidden, embed = ACTIVATIONS[architecture.activation], [], parameters["embed"]
    x = pairs.embedded(embed) if architecture.n_layers > 1 else None
    for layer in range(architecture.n_layers):
        weight, bias = parameters[f"in_{layer}"], parameters[f"in_bias_{layer}"]
        if layer == 0 or x is None:
            pre = pairs.projected(embed, weight, bias)
        else:
            pre = torch.baddbmm(bias.unsqueeze(1), x, weight)
        hidden.append(act(pre))
        if x is not None and layer < architecture.n_layers - 1:
            x = torch.baddbmm(x, hidden[-1], parameters[f"out_{layer}"])
    out = parameters[f"out_{architecture.n_layers - 1}"]
    logits = torch.baddbmm(parameters["out_bias"].unsqueeze(1), hidden[-1], out)
    return NetworkActivations(logits=logits, hidden=tuple(hidden))
