"""The memorisation toy as shards: one for each configuration and task, one for each picture, one over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rote.errors import SettingsError
from rote.records import Record, Shard
from rote.toys.memorisation.bagging_card import CARD as BAGGING_CARD
from rote.toys.memorisation.card import CARD
from rote.toys.memorisation.measure import UNTRAINED, MeasuredNetworks, Measures, measure
from rote.toys.memorisation.pictures import PICTURES, PictureTraining, draw
from rote.toys.networks import ACTIVATIONS, EMBEDDINGS, Architecture, Embedding
from rote.toys.tabulate import Rows
from rote.toys.tasks import N_STRIPES, TASKS
from rote.toys.toy import ToyStage
from rote.toys.training import Training

EXPERIMENT = CARD.name
CONDITIONS = (*TASKS, UNTRAINED)
_LAYER_STATISTICS = (
    ("integer_probe_accuracy", "integer"),
    ("bit_probe_accuracy", "bit"),
    ("xor_probe_accuracy", "xor"),
)
_FOUND = ((None, "structure_found"), ("bit", "bit_found"), ("xor", "xor_found"))
_SPARSITY = ("kurtosis_activations", "kurtosis_weights", "participation_ratio", "dictionary_l0")


@dataclass(frozen=True, kw_only=True)
class MemorisationSettings:
    """The networks: the first of each list together, then every further value with the first of the other lists.

    Attributes:
        n_integers: in either place; a multiple of 8. d_model is twice that, so that one-hot vectors fit as well.
        unseen_share: share of the pairs that no network is trained on and every probe is scored on.
        n_seeds, n_seeds_others: networks per task of the first configuration, and of each other.
        n_dictionaries: networks per task of the first configuration to which a sparse dictionary is fitted.
        level: structure counts as found in a network at this level, shared among its probes (Bonferroni).

    Shares and the level are fractions. Raises SettingsError with all that is out of range.
    """

    neurons: tuple[int, ...] = (64, 16, 8)
    layers: tuple[int, ...] = (1, 2)
    embeddings: tuple[Embedding, ...] = ("trained", "random", "one_hot")
    activations: tuple[str, ...] = ("relu", "gelu")
    n_integers: int = 24
    unseen_share: float = 0.2
    n_seeds: int = 80
    n_seeds_others: int = 10
    steps: int = 400
    learning_rate: float = 0.02
    weight_decay: float = 1.0
    level: float = 0.004
    n_null: int = 999
    n_dictionaries: int = 5
    picture_widths: tuple[int, ...] = (8, 64)
    picture_seeds: int = 2
    picture_steps: int = 1500
    picture_side: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        for name, known in (("embeddings", EMBEDDINGS), ("activations", tuple(ACTIVATIONS))):
            values = getattr(self, name)
            if not values or not set(values) <= set(known):
                problems.append(f"{name} are {', '.join(values) or '(none)'}; expected some of {', '.join(known)}")
        for name in ("neurons", "layers", "picture_widths"):
            values = getattr(self, name)
            if not values or min(values) < 1:
                problems.append(f"{name} are {values}; expected whole numbers of at least 1")
        if self.n_integers < 8 or self.n_integers % (2 * N_STRIPES):
            problems.append(f"n_integers is {self.n_integers}; expected a multiple of {2 * N_STRIPES}")
        if min(self.n_seeds, self.n_seeds_others, self.steps, self.n_null, self.picture_seeds, self.picture_steps) < 1:
            problems.append("numbers of seeds, steps and null draws must be at least 1")
        if not 0 < self.unseen_share < 1 or not 0 < self.level < 1:
            problems.append("unseen_share and level must lie between 0 and 1")
        elif (self.n_null + 1) * self.level < 2 * max(self.layers, default=1):
            problems.append(
                f"n_null is {self.n_null}: with level {self.level} shared among {2 * max(self.layers)} probes nothing "
                f"could be found; expected at least {round(2 * max(self.layers) / self.level) - 1}"
            )
        if problems:
            raise SettingsError(problems)

    @classmethod
    def quick(cls, **changes: Any) -> MemorisationSettings:
        """Fewer networks of fewer shapes, in half a minute."""
        small = {"neurons": (64, 16), "embeddings": ("trained",), "activations": ("relu",), "n_seeds": 20}
        return cls(**{**small, "n_seeds_others": 4, "n_dictionaries": 2, **changes})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        first = Architecture(
            n_integers=self.n_integers,
            d_model=2 * self.n_integers,
            n_neurons=self.neurons[0],
            n_layers=self.layers[0],
            embedding=self.embeddings[0],
            activation=self.activations[0],
        )
        others = (
            *(replace(first, n_layers=n) for n in self.layers[1:]),
            *(replace(first, n_neurons=n) for n in self.neurons[1:]),
            *(replace(first, embedding=e) for e in self.embeddings[1:]),
            *(replace(first, activation=a) for a in self.activations[1:]),
        )
        return tuple(dict.fromkeys((first, *others)))


def named(architecture: Architecture) -> dict[str, int | str]:
    """What tells a configuration from the others, as the summary says it."""
    return {
        "neurons": architecture.n_neurons,
        "layers": architecture.n_layers,
        "embedding": architecture.embedding,
        "activation": architecture.activation,
    }


class MemorisationWork:
    """Lists the shards and does them; `pooled` reads the records of all networks."""

    def __init__(self, settings: MemorisationSettings) -> None:
        self.settings = settings
        self._cells = {
            f"{'/'.join(str(v) for v in named(a).values())}/{task}": (a, task)
            for a in settings.architectures
            for task in CONDITIONS
        }

    @property
    def stages(self) -> tuple[ToyStage, ...]:
        networks = [Shard(EXPERIMENT, item) for item in self._cells]
        pictures = [Shard(EXPERIMENT, f"picture/{name}") for name in PICTURES]
        return (
            ToyStage(name="training", shards=networks, do=self.measure),
            ToyStage(name="drawing", shards=pictures, do=self.draw),
            ToyStage(name="comparing", shards=[Shard(EXPERIMENT, "over all")], do=self.pooled, over=networks),
        )

    def measure(self, shard: Shard) -> Record:
        """All networks of one configuration and task."""
        s, (architecture, task) = self.settings, self._cells[shard.item]
        first = architecture == s.architectures[0]
        n_seeds = s.n_seeds if first else s.n_seeds_others
        found = measure(
            architecture,
            task,
            [1000 * s.seed + i for i in range(n_seeds)],
            Training(steps=s.steps, learning_rate=s.learning_rate, weight_decay=s.weight_decay),
            Measures(n_null=s.n_null, n_dictionaries=s.n_dictionaries if first else 0),
            s.unseen_share,
        )
        return tabulate(architecture, task, found, s)

    def draw(self, shard: Shard) -> Record:
        """One picture, as networks of every width and seed fill it in."""
        s, name = self.settings, shard.item.rpartition("/")[2]
        training = PictureTraining(
            widths=s.picture_widths, n_seeds=s.picture_seeds, steps=s.picture_steps, side=s.picture_side
        )
        drawn = draw(name, training, s.seed)
        rows = Rows(card=CARD, seed=s.seed)
        for width, networks in drawn.networks.groupby("width", sort=True):
            key = {"condition": name, "parameters": {"neurons": int(str(width))}}
            rows.mean("accuracy_seen", networks["accuracy"].to_numpy(dtype=float), **key)
            if networks["facts_agree"].notna().any():
                rows.mean("facts_agree", networks["facts_agree"].to_numpy(dtype=float), **key)
        return rows.record(maps=drawn.maps, points=drawn.points, pictures=drawn.networks)

    def pooled(self, shard: Shard, records: Sequence[Record]) -> Record:
        """Structure found, over the networks of all configurations; the XOR beside untrained networks."""
        rows = Rows(card=CARD, seed=self.settings.seed)
        networks, layers = (pd.concat([record.tables[name] for record in records]) for name in ("networks", "layers"))
        for task in CONDITIONS:
            these = networks[networks["task"] == task]
            for source, column in _FOUND:
                found = these[column].to_numpy(dtype=bool)
                rows.share("structure_found", int(found.sum()), len(found), condition=task, source=source)
        for architecture in self.settings.architectures:
            key = named(architecture)
            mine = layers[(layers[list(key)] == pd.Series(key)).all(axis=1)]
            for layer in range(architecture.n_layers):
                xor = mine[mine["layer"] == layer].pivot(index="seed", columns="task", values="xor")
                for task in TASKS:
                    gain = (xor[task] - xor[UNTRAINED]).to_numpy(dtype=float)
                    rows.mean("xor_gain", gain, condition=task, parameters=key, layer=layer)
        return rows.record()


def tabulate(architecture: Architecture, task: str, found: MeasuredNetworks, settings: MemorisationSettings) -> Record:
    """The rows of one configuration and task, for memorisation and for bagging."""
    inside = Rows(card=CARD, seed=settings.seed)
    key: dict[str, Any] = {"condition": task, "parameters": named(architecture)}
    for statistic in ("accuracy_seen", "accuracy_unseen"):
        inside.mean(statistic, found.networks[statistic].to_numpy(dtype=float), **key)
    if task == "memorisation":  # a rule need not be stored bit by bit, and nothing is stored before training
        n_mlp, n_embedding = architecture.n_mlp_parameters, architecture.n_embedding_parameters
        bits = found.networks["bits"].to_numpy(dtype=float)
        inside.mean("bits_per_parameter", bits / n_mlp, source="mlp", **key)
        inside.mean("bits_per_parameter", bits / (n_mlp + n_embedding), source="all", **key)
    for layer, states in found.layers.groupby("layer", sort=True):
        place = {**key, "layer": int(str(layer))}
        for statistic, column in _LAYER_STATISTICS:
            inside.mean(statistic, states[column].to_numpy(dtype=float), **place)
            inside.mean(statistic, states[f"{column}_null"].to_numpy(dtype=float), source="permuted", **place)
        for statistic in _SPARSITY:
            values = states[statistic].to_numpy(dtype=float)
            if statistic == "dictionary_l0" and not np.isfinite(values).any():
                inside.absent(statistic, "dictionaries are fitted to the first configuration only", **place)
            else:
                inside.mean(statistic, values, **place)
    networks = found.networks.assign(**named(architecture), **_structure(found, settings.level))
    for source, column in _FOUND:
        found_in = networks[column].to_numpy(dtype=bool)
        inside.share("structure_found", int(found_in.sum()), len(found_in), source=source, **key)
    layers, subsets = (frame.assign(**named(architecture)) for frame in (found.layers, found.subsets))
    votes = _bagging_rows(key, found, settings.seed)
    return Record(
        rows=(*inside.rows, *votes.rows),
        absent=(*inside.absents, *votes.absents),
        tables={"networks": networks, "layers": layers, "subsets": subsets},
    )


def _structure(found: MeasuredNetworks, level: float) -> dict[str, np.ndarray]:
    """Per network: whether the bit, the XOR or either is found in any layer, at a level shared among these probes."""
    p = found.layers.groupby("seed")[["bit_p", "xor_p"]].min().loc[found.networks["seed"]]
    under = p.to_numpy(dtype=float) <= level / (2 * found.layers["layer"].nunique())
    return {"structure_found": under[:, 0] | under[:, 1], "bit_found": under[:, 0], "xor_found": under[:, 1]}


def _bagging_rows(key: dict[str, Any], found: MeasuredNetworks, seed: int) -> Rows:
    rows, networks = Rows(card=BAGGING_CARD, seed=seed), found.networks
    for statistic in ("vote_accuracy", "error_correlation", "vote_count_variance", "majority_accuracy"):
        rows.mean(statistic, networks[statistic].to_numpy(dtype=float), **key)
        if f"{statistic}_null" in networks:
            null = networks[f"{statistic}_null"].to_numpy(dtype=float)
            rows.mean(statistic, null, source="independent", **key)
    for share, subsets in found.subsets.groupby("share", sort=True) if len(found.subsets) else ():
        parameters = {**key["parameters"], "share": float(str(share))}
        for column, source in (("accuracy", None), ("accuracy_null", "independent")):
            values = subsets[column].to_numpy(dtype=float)
            where = {"condition": key["condition"], "parameters": parameters, "source": source}
            rows.mean("subset_accuracy", values, **where)
    return rows
