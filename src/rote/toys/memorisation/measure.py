"""Networks that learn pairs of integers by rote or by a rule, and what is found inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from rote.statistics import rng
from rote.toys.bits import stored_bits
from rote.toys.memorisation.bagging import Bagging, bagging
from rote.toys.memorisation.sparsity import dictionary_l0, kurtosis, participation_ratio
from rote.toys.memorisation.structure import Probe, States, probe_bit, probe_integer, probe_xor
from rote.toys.networks import Architecture, NetworkActivations, Parameters, forward, initial
from rote.toys.tasks import PairFacts, all_pairs
from rote.toys.training import Training, accuracy, train

UNTRAINED = "untrained"
_BATCH = 20  # networks trained together


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How the inside is measured.

    Attributes:
        n_null: permuted targets behind the p of a probe; 1 / (n_null + 1) is the smallest p there is.
        n_null_integer: the same for the probes for integers, which decide nothing.
        n_dictionaries: networks of a configuration and task to which a dictionary is fitted.
    """

    n_null: int = 999
    n_null_integer: int = 9
    n_dictionaries: int = 2


@dataclass(frozen=True, kw_only=True)
class MeasuredNetworks:
    """Long tables: `networks` (a row per network), `layers` (per network and hidden layer), `subsets` (bagging)."""

    networks: pd.DataFrame
    layers: pd.DataFrame
    subsets: pd.DataFrame


def measure(
    architecture: Architecture, task: str, seeds: Sequence[int], training: Training, measures: Measures, unseen: float
) -> MeasuredNetworks:
    """Train one network per seed on a task (or leave them as they are) and measure each.

    MeasurementError where a loss is not finite.
    """
    found = [
        _measure(architecture, task, seeds[start : start + _BATCH], training, measures, unseen, start)
        for start in range(0, len(seeds), _BATCH)
    ]
    return MeasuredNetworks(
        networks=pd.concat([m.networks for m in found]),
        layers=pd.concat([m.layers for m in found]),
        subsets=pd.concat([m.subsets for m in found]),
    )


def _measure(
    architecture: Architecture,
    task: str,
    seeds: Sequence[int],
    training: Training,
    measures: Measures,
    unseen: float,
    start: int,
) -> MeasuredNetworks:
    item, learned = str(architecture), "memorisation" if task == UNTRAINED else task
    facts = all_pairs(learned, architecture.n_integers, seeds, unseen_share=unseen, item=item)
    parameters = initial(architecture, seeds, item)
    if task != UNTRAINED:
        parameters = train(architecture, parameters, facts, training).parameters
    with torch.no_grad():
        run = forward(architecture, parameters, facts.pairs())
    seen = accuracy(run.logits, facts, facts.seen)
    networks = pd.DataFrame(
        {
            "task": task,
            "seed": list(seeds),
            "accuracy_seen": seen,
            "accuracy_unseen": accuracy(run.logits, facts, ~facts.seen),
            "bits": [stored_bits(int(n), float(a)) for n, a in zip(facts.n_seen, seen, strict=True)],
        }
    )
    layers, subsets, votes = [], [], []
    for i, seed in enumerate(seeds):
        for layer in range(architecture.n_layers):
            inside = _inside(architecture, parameters, run, facts, i, layer, seed, measures, start + i)
            layers.append({"task": task, "seed": seed, "layer": layer, **inside})
        ensemble = _bagging(architecture, parameters, run, facts, i, seed)
        votes.append(_votes(ensemble))
        subsets += _subsets(ensemble, task, seed)
    return MeasuredNetworks(
        networks=networks.join(pd.DataFrame(votes)), layers=pd.DataFrame(layers), subsets=pd.DataFrame(subsets)
    )


def _inside(
    architecture: Architecture,
    parameters: Parameters,
    run: NetworkActivations,
    facts: PairFacts,
    i: int,
    layer: int,
    seed: int,
    measures: Measures,
    place: int,
) -> dict[str, float | None]:
    """Probes and sparsity of one hidden layer of one network."""
    states = States(
        hidden=run.hidden[layer][i].double().numpy(),
        first=facts.first[i],
        second=facts.second[i],
        label=facts.label[i],
        sides=facts.sides[i],
        train=facts.seen[i],
    )
    generator = rng(seed, "toy_probes", f"{architecture}/{layer}")
    integers = [probe_integer(states, p, n_null=measures.n_null_integer, generator=generator) for p in (0, 1)]
    bit = probe_bit(states, n_null=measures.n_null, generator=generator)
    xor = probe_xor(states, n_null=measures.n_null, generator=generator)
    fitted = place < measures.n_dictionaries and layer == architecture.n_layers - 1
    seen, unseen = states.hidden[states.train], states.hidden[~states.train]
    return {
        "integer": float(np.mean([p.accuracy for p in integers])),
        "integer_null": float(np.mean([p.null for p in integers])),
        **_fields("bit", bit),
        **_fields("xor", xor),
        "kurtosis_activations": kurtosis(states.hidden),
        "kurtosis_weights": kurtosis(parameters[f"in_{layer}"][i].double().numpy().reshape(-1, 1)),
        "participation_ratio": participation_ratio(states.hidden),
        "dictionary_l0": dictionary_l0(seen, unseen, seed=place) if fitted else None,
    }


def _fields(name: str, probe: Probe) -> dict[str, float]:
    return {name if key == "accuracy" else f"{name}_{key}": value for key, value in asdict(probe).items()}


def _bagging(
    architecture: Architecture, parameters: Parameters, run: NetworkActivations, facts: PairFacts, i: int, seed: int
) -> Bagging:
    """The last layer's neurons on the seen facts."""
    out = parameters[f"out_{architecture.n_layers - 1}"][i, :, 0]
    contributions: Float[np.ndarray, "fact neuron"] = (run.hidden[-1][i] * out).double().numpy()
    seen = facts.seen[i]
    return bagging(contributions[seen], facts.label[i][seen], generator=rng(seed, "toy_bagging", str(architecture)))


def _votes(found: Bagging) -> dict[str, float]:
    names = (
        "vote_accuracy",
        "error_correlation",
        "error_correlation_null",
        "vote_count_variance",
        "vote_count_variance_null",
        "majority_accuracy",
        "majority_accuracy_null",
    )
    return {name: getattr(found, name) for name in names}


def _subsets(found: Bagging, task: str, seed: int) -> list[dict[str, object]]:
    rows = zip(found.shares, found.subset_accuracy, found.subset_accuracy_null, strict=True)
    return [{"task": task, "seed": seed, "share": s, "accuracy": a, "accuracy_null": n} for s, a, n in rows]
