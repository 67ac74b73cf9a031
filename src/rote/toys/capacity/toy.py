"""The capacity toy as shards: one for each configuration, one for the construction by hand, one for the exponents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from rote.errors import NotApplicable, SettingsError
from rote.records import Record, Shard
from rote.statistics import Estimate, rng
from rote.toys.bits import stored_bits
from rote.toys.capacity.by_hand import by_hand, by_hand_architecture
from rote.toys.capacity.card import CARD
from rote.toys.capacity.exponents import AXES, GridAxis, exponent, steps_along
from rote.toys.capacity.measure import Configuration, measure
from rote.toys.networks import ACTIVATIONS, forward
from rote.toys.pairs import AllPairs
from rote.toys.tabulate import Rows
from rote.toys.toy import ToyStage
from rote.toys.training import Training, predicted

EXPERIMENT = CARD.name
_GROWTH = (
    ("facts", "facts_stored"),
    ("bits", "bits"),
    ("parameters", "trained_parameters"),
    ("bits_per_parameter", "bits_per_parameter"),
)
_AT_ONCE = 64  # first integers of the construction by hand


@dataclass(frozen=True, kw_only=True)
class CapacitySettings:
    """The grid: every number of neurons with every d_model at the first of layers and classes and random embeddings;
    where neurons = d_model also the other layers and classes; `trained_embeddings` as (neurons, d_model) beside them.
    `longer`, as (neurons, d_model, embeddings), are trained `steps_times` as long again: is room or training short?

    Attributes:
        accuracy: facts count as stored where a network gives this share of them right.
        precision: the bisection ends when more by this share is known to fail.
        n_seeds: networks of each configuration, each with facts and initial weights of its own.
        by_hand: numbers of integers for the construction by hand.

    Accuracy and precision are fractions. Raises SettingsError with all that is out of range.
    """

    neurons: tuple[int, ...] = (8, 16, 32, 64)
    d_models: tuple[int, ...] = (8, 16, 32)
    layers: tuple[int, ...] = (1, 2)
    classes: tuple[int, ...] = (2, 3, 4, 16)
    trained_embeddings: tuple[tuple[int, int], ...] = ((8, 8), (12, 8), (16, 8), (32, 8))
    longer: tuple[tuple[int, int, str], ...] = ((8, 8, "random"), (32, 16, "random"), (8, 8, "trained"))
    steps_times: int = 4
    activation: str = "gelu"
    accuracy: float = 0.99
    precision: float = 0.05
    n_seeds: int = 4
    steps: int = 1000
    learning_rate: float = 0.02
    by_hand: tuple[int, ...] = (8, 32, 128, 256, 1024)
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        for name in ("neurons", "d_models", "layers", "classes"):
            values, least = getattr(self, name), 2 if name == "classes" else 1
            if not values or min(values) < least:
                problems.append(f"{name} are {values}; expected whole numbers of at least {least}")
        if self.activation not in ACTIVATIONS:
            problems.append(f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}")
        if not 0.5 < self.accuracy <= 1 or not 0 < self.precision < 1:
            problems.append("accuracy must lie in (0.5, 1] and precision in (0, 1)")
        if min(self.n_seeds, self.steps) < 1:
            problems.append("n_seeds and steps must be at least 1")
        if problems:
            raise SettingsError(problems)

    @classmethod
    def quick(cls, **changes: Any) -> CapacitySettings:
        """A smaller grid, in a few minutes."""
        small = {
            "neurons": (8, 16, 32),
            "d_models": (8, 16, 32),
            "classes": (2, 3, 16),
            "trained_embeddings": ((12, 8),),
            "longer": ((8, 8, "random"),),
            "n_seeds": 3,
            "precision": 0.06,
        }
        return cls(**{**small, **changes})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        layers, classes, activation = self.layers[0], self.classes[0], self.activation
        common: dict[str, Any] = {"n_layers": layers, "n_classes": classes, "activation": activation}
        found = [Configuration(n_neurons=m, d_model=d, **common) for m in self.neurons for d in self.d_models]
        for m in (m for m in self.neurons if m in self.d_models):
            square: dict[str, Any] = {"n_neurons": m, "d_model": m, "activation": activation}
            found += [Configuration(**square, n_layers=n, n_classes=classes) for n in self.layers[1:]]
            found += [Configuration(**square, n_layers=layers, n_classes=n) for n in self.classes[1:]]
        for m, d in self.trained_embeddings:
            found.append(Configuration(n_neurons=m, d_model=d, embedding="trained", **common))
        for m, d, embedding in self.longer:
            longer = {**common, "embedding": embedding, "steps_times": self.steps_times}
            found.append(Configuration(n_neurons=m, d_model=d, **longer))
        return tuple(dict.fromkeys(found))


class CapacityWork:
    """Lists the shards and does them; `exponents` reads the records of the configurations."""

    def __init__(self, settings: CapacitySettings) -> None:
        self.settings = settings
        self._configurations = {c.item: c for c in settings.configurations}

    @property
    def stages(self) -> tuple[ToyStage, ...]:
        networks = [Shard(EXPERIMENT, item) for item in self._configurations]
        by_hand = [Shard(EXPERIMENT, f"by hand/{n}") for n in self.settings.by_hand]
        return (
            ToyStage(name="training", shards=networks, do=self.measure),
            ToyStage(name="building by hand", shards=by_hand, do=self.build_by_hand),
            ToyStage(name="comparing", shards=[Shard(EXPERIMENT, "exponents")], do=self.exponents, over=networks),
        )

    def measure(self, shard: Shard) -> Record:
        """One configuration."""
        s, configuration = self.settings, self._configurations[shard.item]
        seeds = [1000 * s.seed + i for i in range(s.n_seeds)]
        training = Training(steps=s.steps, learning_rate=s.learning_rate, enough=s.accuracy)
        return tabulate(configuration, measure(configuration, seeds, training, s.precision), s.seed)

    def build_by_hand(self, shard: Shard) -> Record:
        """One size of the construction by hand: built, asked for every fact, counted as trained ones are."""
        n, seed = int(shard.item.rpartition("/")[2]), self.settings.seed
        table = rng(seed, "toy_by_hand", n).integers(0, 3, (n, n))
        architecture, parameters = by_hand_architecture(n), by_hand(table[None])
        answers = []
        for start in range(0, n, _AT_ONCE):  # all n² facts at once would take 4 n³ bytes
            pairs = AllPairs(n, slice(start, start + _AT_ONCE))
            answers.append(predicted(forward(architecture, parameters, pairs).logits)[0].numpy())
        accuracy = float((np.concatenate(answers) == table.ravel()).mean())
        rows, key = Rows(card=CARD, seed=seed), {"condition": "by_hand", "parameters": {"integers": n}}
        if accuracy < self.settings.accuracy:
            rows.absent("facts_stored", f"it gives only {accuracy:.3f} of its facts right", **key)
            return rows.record()
        bits = stored_bits(n * n, accuracy, 3) / architecture.n_mlp_parameters
        rows.estimate("facts_stored", Estimate(value=n * n, n=1), **key)
        with_vectors = bits * architecture.n_mlp_parameters / (architecture.n_mlp_parameters + 2 * n * (n + 2))
        rows.estimate("bits_per_parameter", Estimate(value=bits, n=1), source="mlp", **key)
        rows.estimate("bits_per_parameter", Estimate(value=with_vectors, n=1), source="all", **key)
        return rows.record()

    def exponents(self, shard: Shard, records: Sequence[Record]) -> Record:
        """Slopes along every axis, and the bits per parameter over all configurations."""
        networks = pd.concat([record.tables["networks"] for record in records])
        rows = Rows(card=CARD, seed=self.settings.seed)
        frozen = networks[(networks["embedding"] == "random") & (networks["steps_times"] == 1)]
        frozen = frozen.assign(bits_per_parameter=frozen["bits"] / frozen["trained_parameters"])
        for axis in AXES:
            for condition, value in _GROWTH:
                self._exponent(rows, axis.name, condition, frozen, axis, value)
        for axis in AXES[:2]:
            for name, these in steps_along(frozen, axis):
                self._exponent(rows, name, "facts", these, axis, "facts_stored")
        for embedding, these in networks[networks["steps_times"] == 1].groupby("embedding", sort=True):
            rows.mean(
                "bits_per_parameter",
                np.asarray(these["bits"] / these["trained_parameters"]),
                condition=f"all configurations, {embedding} embeddings",
                source="trained",
            )
        return rows.record()

    def _exponent(
        self, rows: Rows, source: str, condition: str, networks: pd.DataFrame, axis: GridAxis, value: str
    ) -> None:
        try:
            found = exponent(networks, axis, value=value, seed=self.settings.seed)
            rows.estimate("exponent", found, condition=condition, source=source)
        except NotApplicable as error:
            rows.absent("exponent", error.reason, condition=condition, source=source)


def tabulate(configuration: Configuration, networks: pd.DataFrame, seed: int) -> Record:
    """The rows of one configuration; parameters counted in three ways, since the choice decides the figure."""
    rows = Rows(card=CARD, seed=seed)
    stored = networks["facts_stored"] > 0
    key = {"condition": "trained", "parameters": configuration.parameters}
    rows.geometric("facts_stored", networks["facts_stored"].to_numpy(dtype=float)[stored], **key)
    bits = networks["bits"].to_numpy(dtype=float)[stored]
    embeddings = networks["embedding_parameters"].to_numpy(dtype=float)[stored]
    mlps = networks["mlp_parameters"].to_numpy(dtype=float)[stored]
    trained = networks["trained_parameters"].to_numpy(dtype=float)[stored]
    for source, count in (("trained", trained), ("mlp", mlps), ("all", mlps + embeddings)):
        rows.mean("bits_per_parameter", bits / count, source=source, **key)
    return rows.record(networks=networks)
