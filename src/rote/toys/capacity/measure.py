"""The most facts that a network can be trained to store, by bisection; several seeds of one shape at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import ceil, log2, sqrt

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from rote.toys.bits import stored_bits
from rote.toys.networks import Architecture, Embedding, initial
from rote.toys.tasks import random_facts
from rote.toys.training import Training, train

# does network `models[i]` store `n_facts[i]` facts? One call may train them all together
Stores = Callable[[Int[np.ndarray, " asked"], Int[np.ndarray, " asked"]], Bool[np.ndarray, " asked"]]

# where the bisection begins, in bits per trained parameter; it goes beyond these where it must
_FIRST_GUESSES = (1.5, 2.4)


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """Per network: the most facts seen stored (0: none) and the fewest seen not stored (0: none)."""

    stored: Int[np.ndarray, " model"]
    failed: Int[np.ndarray, " model"]


def bisect(stores: Stores, n_models: int, low: int, high: int, *, precision: float, most: int | None = None) -> Bracket:
    """Narrow each network's edge until failed ≤ (1 + precision) · stored, or failed = stored + 1.

    `low` and `high` are first guesses: where low is not stored it is halved, where high is stored it is doubled, up to
    `most`. What is returned as stored has been seen stored; training is noisy near the edge, so it need not be the
    largest such number. `precision` is a fraction; numbers count facts.
    """
    stored, failed = np.zeros(n_models, dtype=int), np.zeros(n_models, dtype=int)
    asked = np.full(n_models, max(low, 1))
    open_ = np.ones(n_models, dtype=bool)
    while open_.any():
        models = np.flatnonzero(open_)
        right = stores(models, asked[models])
        stored[models[right]] = asked[models[right]]
        failed[models[~right]] = asked[models[~right]]
        for i in models:
            asked[i], open_[i] = _next(int(stored[i]), int(failed[i]), high, precision, most)
    return Bracket(stored=stored, failed=failed)


def _next(stored: int, failed: int, high: int, precision: float, most: int | None) -> tuple[int, bool]:
    """The next number to try, and whether there is one."""
    if not failed:
        if most is not None and stored >= most:
            return stored, False
        further = high if stored < high else 2 * stored
        return (further if most is None else min(further, most)), True
    if not stored:
        return failed // 2, failed > 1
    if failed <= max((1 + precision) * stored, stored + 1):
        return stored, False
    # the geometric mean, since the precision is a ratio
    return min(max(round(sqrt(stored * failed)), stored + 1), failed - 1), True


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One point of the grid."""

    n_neurons: int
    d_model: int
    n_layers: int = 1
    n_classes: int = 2
    embedding: Embedding = "random"
    activation: str = "gelu"
    steps_times: int = 1  # so many times the steps of training

    @property
    def item(self) -> str:
        return (
            f"{self.n_neurons} neurons, d_model {self.d_model}, layers {self.n_layers}, "
            f"classes {self.n_classes}, {self.embedding} embeddings"
            + (f", {self.steps_times} times the steps" if self.steps_times > 1 else "")
        )

    @property
    def parameters(self) -> dict[str, int | str]:
        """What tells it from other configurations, as the summary says it."""
        return {
            "neurons": self.n_neurons,
            "d_model": self.d_model,
            "layers": self.n_layers,
            "classes": self.n_classes,
            "embedding": self.embedding,
            "steps_times": self.steps_times,
        }

    @property
    def architecture(self) -> Architecture:
        """The network, with so many integers that three times as many pairs are there as two bits a parameter take."""
        mlps = self._over(1)
        if self.embedding == "random":
            return self._over(ceil(sqrt(6 * mlps.n_mlp_parameters / log2(self.n_classes))))
        # trained vectors hold facts themselves: 2 · n_integers · d_model of them against n_integers² pairs
        return self._over(8 * self.d_model)

    def _over(self, n_integers: int) -> Architecture:
        return Architecture(
            n_integers=n_integers,
            d_model=self.d_model,
            n_neurons=self.n_neurons,
            n_layers=self.n_layers,
            n_classes=self.n_classes,
            embedding=self.embedding,
            activation=self.activation,
        )


def measure(configuration: Configuration, seeds: list[int], training: Training, precision: float) -> pd.DataFrame:
    """A row per network: the most facts seen stored at the asked accuracy, and the bits that these are.

    ValueError where `training` asks for no accuracy, MeasurementError where a loss is not finite.
    """
    architecture = configuration.architecture
    n_trained = n_trained_parameters(architecture)
    accuracy = np.zeros(len(seeds))
    training = replace(training, steps=training.steps * configuration.steps_times)
    enough = training.enough
    if enough is None:
        raise ValueError("training.enough is None: expected the accuracy at which facts count as stored")

    def stores(models: Int[np.ndarray, " asked"], n_facts: Int[np.ndarray, " asked"]) -> Bool[np.ndarray, " asked"]:
        chosen = [seeds[i] for i in models]
        facts = random_facts(architecture.n_integers, architecture.n_classes, n_facts.tolist(), chosen)
        best = train(architecture, initial(architecture, chosen, configuration.item), facts, training).best
        right = best >= enough
        accuracy[models[right]] = best[right]
        return np.asarray(right)

    low, high = (round(bits * n_trained / log2(configuration.n_classes)) for bits in _FIRST_GUESSES)
    most = architecture.n_integers**2
    found = bisect(stores, len(seeds), low, min(high, most), precision=precision, most=most)
    n_bits = [stored_bits(n, a, configuration.n_classes) for n, a in zip(found.stored.tolist(), accuracy, strict=True)]
    return pd.DataFrame(
        {
            **{name: [value] * len(seeds) for name, value in asdict(configuration).items()},
            "seed": seeds,
            "n_integers": architecture.n_integers,
            "mlp_parameters": architecture.n_mlp_parameters,
            "embedding_parameters": architecture.n_embedding_parameters,
            "trained_parameters": n_trained,
            "facts_stored": found.stored,
            "facts_failed": found.failed,
            "accuracy": accuracy,
            "bits": n_bits,
        }
    )


def n_trained_parameters(architecture: Architecture) -> int:
    """The MLPs' parameters, and the embeddings' where they are trained."""
    trained = architecture.embedding == "trained"
    return architecture.n_mlp_parameters + (architecture.n_embedding_parameters if trained else 0)
