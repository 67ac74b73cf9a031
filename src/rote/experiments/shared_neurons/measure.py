"""Whether the same neurons matter for every fact about an entity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from rote.experiments.base import StackExperiment, Study
from rote.experiments.cost import WINDOW, Cost, Sizes
from rote.experiments.populations import bootstrap, reported
from rote.experiments.shared_neurons.card import CARD
from rote.experiments.shared_neurons.facts import Pair, choose, correlations, linked_pairs
from rote.experiments.shared_neurons.model import model_effects
from rote.experiments.shared_neurons.stack import (
    Ablation,
    Effects,
    exact_effects,
    first_order_effects,
    mean_ablation,
    resample_ablation,
)
from rote.experiments.sweeps import is_first_order, samples, tabulate_agreement
from rote.experiments.tabulator import Population, Tabulator
from rote.settings import Settings
from rote.stack import Stack
from rote.stack.one_neuron import posts
from rote.statistics import rng

SUFFIX = {"mean": "", "resample": "_resample"}  # the mean ablation's rows are the primary ones


@dataclass(frozen=True, kw_only=True)
class SharedNeurons(StackExperiment):
    """Each neuron is ablated alone; effects on the log-probabilities of an entity's facts, correlated over neurons.

    Entities are of the report half, with at least four known relations, at most `n_entities`, no two sharing a name
    token. `mean`: the mean over the reported entities; `resample`: `n_resamples` random ones of another class of the
    studied relation (on the model `n_model_resamples`, one after the other, since there every draw is a forward pass
    for each neuron and fact). With `first_order` (by default as `Settings.sweeps` says), effects are slope × change;
    `first_order_correlation` sets those of the mean ablation beside exact ones, on `n_checked` random neurons and on
    as many with the largest first-order effects. NotApplicable where fewer than two entities have four known relations.
    Source: Fact Finding, posts 1 and 3 (are neurons shared between the facts of an athlete?).
    """

    card = CARD
    first_order: bool | None = None
    n_entities: int = 8
    n_resamples: int = 64
    n_model_resamples: int = 2
    n_checked: int = 256

    def cost(self, sizes: Sizes) -> Cost:
        passes = self.n_entities * (1 + self.n_model_resamples) * sizes.n_relations
        return Cost(blocks=passes * WINDOW * sizes.n_neurons * sizes.n_layers)

    def for_controls(self) -> SharedNeurons:
        return replace(self, n_resamples=min(self.n_resamples, 8))

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        relations, entities = list(stack.readouts), stack.entities
        cls = {relation: entities.cls[relation] for relation in relations}
        chosen = choose(
            np.stack([c >= 0 for c in cls.values()], axis=1),
            entities.first,
            entities.last,
            where=~entities.selection,
            count=self.n_entities,
            settings=settings,
            relation=relations[0],
        )
        sample = stack.with_entities(entities.take(chosen))
        ablations = self._ablations(stack, sample, settings)
        first_order = self._first_order(sample, ablations, settings)
        measure = first_order_effects if first_order else exact_effects
        effects = {how: measure(sample, ablation) for how, ablation in ablations.items()}
        out = out.over(_apart(sample.entities.names, relations[0], settings))
        _tabulate(out, effects, relations, linked_pairs(cls))
        mean = ablations["mean"]
        first = effects["mean"] if first_order else first_order_effects(sample, mean)

        def exact(only: Int[np.ndarray, " chosen"]) -> Effects:
            return exact_effects(sample, mean, only) if first_order else effects["mean"][:, :, only]

        self._agreement(out, first, exact, settings)

    def _first_order(self, sample: Stack, ablations: Mapping[str, Ablation], settings: Settings) -> bool:
        if self.first_order is not None:
            return self.first_order
        sizes = [layer.mlp.w_out.numel() for layer in sample.layers]
        neurons = [layer.mlp.w_out.shape[0] for layer in sample.layers]
        passes = sum(ablation.values[0].shape[1] for ablation in ablations.values()) * len(sample.entities)
        later = sum(n * 4 * sum(sizes[i + 1 :]) for i, n in enumerate(neurons))
        return is_first_order(settings, float(passes) * later, sample.constant.device.type)

    def _ablations(self, stack: Stack, sample: Stack, settings: Settings) -> dict[str, Ablation]:
        pool, relation = reported(stack, settings), next(iter(stack.readouts))
        activations, n = posts(pool, pool.run_entities()), len(sample.entities)
        found = {"mean": mean_ablation(activations, n)}
        cls, generator = pool.entities.cls[relation], rng(settings.seed, "shared_neurons/resample", relation)
        others = [np.flatnonzero(cls != c) for c in sample.entities.cls[relation]]
        # as many for every entity, so that draws are one array
        count = min(self.n_resamples, *(len(other) for other in others))
        if count > 0:
            draws = np.stack([generator.choice(other, size=count, replace=False) for other in others])
            found["resample"] = resample_ablation(activations, draws)
        return found

    def _agreement(
        self,
        out: Tabulator,
        first: Effects,
        exact: Callable[[Int[np.ndarray, " chosen"]], Effects],
        settings: Settings,
    ) -> None:
        """Over entities, facts and neurons, of which some are random and some those of the largest effects."""
        cases, n_neurons = first.shape[0] * first.shape[1], first.shape[2]
        flat = first.reshape(cases, n_neurons)
        chosen = samples(flat, settings, f"shared_neurons/{out.relation}", self.n_checked)
        tabulate_agreement(out, flat, lambda only: exact(only).reshape(cases, -1), chosen)

    def on_model(self, study: Study, out: Tabulator) -> None:
        relation, settings = study.recall.relation, study.settings
        found = model_effects(
            study,
            count=self.n_entities,
            pool=self.n_resamples,
            draws=self.n_model_resamples,
            first_order=self.first_order,
        )
        out = out.over(_apart(found.entities, relation, settings))
        _tabulate(out, found.effects, found.relations, linked_pairs(study.stack.entities.cls))
        self._agreement(out, found.first, found.exact, settings)


def _apart(entities: Sequence[str], relation: str, settings: Settings) -> Population:
    """Entities that share no token, so that they are resampled as they are."""
    resamples = bootstrap(np.arange(len(entities)), None, settings, f"{relation}/shared_neurons")
    return Population(bootstrap=resamples, names=entities)


def _tabulate(
    out: Tabulator, effects: Mapping[str, Effects], relations: Sequence[str], linked: frozenset[Pair]
) -> None:
    for how, effect in effects.items():
        found = correlations(effect, relations)
        for kind in ("unlinked", "linked"):
            of_kind = {pair: r for pair, r in found.items() if (pair in linked) == (kind == "linked")}
            key = {"condition": kind + SUFFIX[how]}
            for pair, r in of_kind.items():
                if np.isfinite(r).any():
                    parameters = {"relations": list(pair)}
                    _mean(out, "fact_correlation", r, parameters=parameters, **key)
            if not of_kind:
                reason = "no two relations determine each other" if kind == "linked" else "all relations are linked"
                out.absent("mean_abs_correlation", reason, **key)
                continue
            _mean(out, "mean_abs_correlation", _mean_abs(list(of_kind.values())), **key)


def _mean(out: Tabulator, statistic: str, values: Float[np.ndarray, " entity"], **key: object) -> None:
    """The mean over the entities in which the value is defined."""
    defined = np.isfinite(values)
    if not defined.any():
        reason = "no entity has two such facts whose log-probabilities some neuron changes more than another"
        out.absent(statistic, reason, **key)
        return
    out.mean(statistic, np.where(defined, values, 0.0), where=defined, **key)


def _mean_abs(correlation: Sequence[Float[np.ndarray, " entity"]]) -> Float[np.ndarray, " entity"]:
    """Per entity the mean over its pairs of |correlation|; NaN where it has none."""
    every = np.abs(np.stack(correlation))
    count = np.isfinite(every).sum(axis=0)
    total = np.where(np.isfinite(every), every, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
