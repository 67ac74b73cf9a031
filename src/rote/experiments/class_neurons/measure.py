"""The neurons that tell a class from the others: how well, by chance how well, and what they read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import false_discovery_control
from scipy.stats import t as student_t
from torch import Tensor

from rote.experiments.base import StackExperiment, Study
from rote.experiments.class_neurons.card import CARD
from rote.experiments.class_neurons.search import Best, halves, sampled_halves, search, searched_classes
from rote.experiments.class_neurons.weights import cosines, direct_logits, directions, without_directions
from rote.experiments.cost import Cost, Sizes
from rote.experiments.populations import entities_of, resampled
from rote.experiments.tabulator import Population, Tabulator
from rote.model import Edit, Read, Site
from rote.settings import Settings
from rote.stack import Readout, Stack, StackLayer
from rote.stack.one_neuron import ablated, posts
from rote.statistics import Estimate, rng
from rote.statistics.weighted import ratio, weighted_auc

LOSSES = ("kept", "mean", "zero")
WITH_TABLE = ("model", "effective")

# (layer, neuron, value or None for the clean run) → the loss of each reported entity's own class
Losses = Callable[[int, int, float | None], Float[np.ndarray, " reported"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Neurons:
    """The window's neurons on the sampled entities; lists run over the layers."""

    layers: Sequence[StackLayer]
    read: Sequence[Float[Tensor, "entity d_model"]]
    post: Sequence[Float[Tensor, "entity neuron"]]
    readout: Readout
    cls: Int[np.ndarray, " entity"]
    selection: Bool[np.ndarray, " entity"]
    losses: Losses

    def place(self, index: int) -> tuple[int, int]:
        """Layer (counted from 0) and neuron of a neuron numbered through all layers."""
        starts = np.cumsum([0, *(x.shape[1] for x in self.post)])
        layer = int(np.searchsorted(starts, index, side="right")) - 1
        return layer, int(index - starts[layer])

    def activation(self, layer: int, neuron: int) -> Float[np.ndarray, " entity"]:
        return _numpy(self.post[layer][:, neuron])


@dataclass(frozen=True, kw_only=True)
class ClassNeurons(StackExperiment):
    """The best neuron of each class over all layers, chosen on one half of the entities and reported on the other.

    `neuron_auc`: AUC of its activation, one class against the rest; `permuted`: the same search on permuted classes;
    `in_sample`, `in_sample_permuted`: on the half it was chosen on. P-values are one-sided Mann–Whitney tests on the
    report half (normal approximation), Benjamini–Hochberg adjusted over the classes. Mean ablation uses the mean over
    the reported entities. Without `name_neurons` the rows of a class do not say which neuron it is: every member of a
    control finds another one. NotApplicable where no class has two entities in each half. Source: Fact Finding, post 3
    (individual neurons).
    """

    card = CARD
    n_permutations: int = 20
    name_neurons: bool = True

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(blocks=sizes.sample * (2 + 2 * sizes.n_classes) * sizes.n_layers)

    def for_controls(self) -> ClassNeurons:
        return replace(self, n_permutations=min(self.n_permutations, 3), name_neurons=False)

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        readout = next(iter(stack.readouts.values()))
        selection = halves(stack.entities, readout.relation, settings)
        chosen = sampled_halves(stack.entities.cls[readout.relation], selection, readout.relation, settings)
        sample, selection = stack.with_entities(stack.entities.take(chosen)), selection[chosen]
        run = sample.run_entities()
        post, cls = posts(sample, run), sample.entities.cls[readout.relation]

        def losses(layer: int, neuron: int, value: float | None) -> Float[np.ndarray, " reported"]:
            x = run.output
            if value is not None:
                x = ablated(sample, run, post[layer], layer=layer, neuron=neuron, value=value)
            log_probs = _numpy(readout.log_probs(x))[~selection]
            return np.asarray(-log_probs[np.arange(len(log_probs)), cls[~selection]])

        neurons = _Neurons(
            layers=sample.layers,
            read=run.mlp_in,
            post=post,
            readout=readout,
            cls=cls,
            selection=selection,
            losses=losses,
        )
        self._tabulate(neurons, replace(entities_of(sample, settings), where=~selection), settings, out)

    def on_model(self, study: Study, out: Tabulator) -> None:
        stack, recall = study.stack, study.recall
        recall = recall.take(sampled_halves(recall.cls, recall.selection, recall.relation, study.settings))
        at, model = recall.full.subject_last, recall.model
        sites = [(Site("mlp_in", n), Site("mlp_post", n)) for n in stack.numbers]
        values = recall.full.read([Read(site=s, position=at) for pair in sites for s in pair])
        reported = recall.take(np.flatnonzero(~recall.selection))

        def losses(layer: int, neuron: int, value: float | None) -> Float[np.ndarray, " reported"]:
            edits = []
            if value is not None:
                put = torch.full((len(reported),), value, device=model.device, dtype=torch.float64)
                position = reported.full.subject_last
                edits = [Edit(site=sites[layer][1], value=put, position=position, neuron=neuron)]
            return -_numpy(reported.full.forward(edits).scores.answer_log_prob)

        neurons = _Neurons(
            layers=stack.layers,
            read=[values[read] for read, _ in sites],
            post=[values[post] for _, post in sites],
            readout=stack.readouts[recall.relation],
            cls=recall.cls,
            selection=recall.selection,
            losses=losses,
        )
        resamples = resampled(recall.prompts, study.settings, recall.relation)
        population = Population(bootstrap=resamples, where=~recall.selection, names=recall.names)
        self._tabulate(neurons, population, study.settings, out)

    def _tabulate(self, neurons: _Neurons, population: Population, settings: Settings, out: Tabulator) -> None:
        relation = neurons.readout.relation
        classes, reasons = searched_classes(neurons.cls, neurons.selection, len(neurons.readout.classes))
        generator = rng(settings.seed, self.name, relation)
        found = search(
            _numpy(torch.cat(list(neurons.post), dim=1)).T,
            neurons.cls,
            neurons.selection,
            classes,
            n_permutations=self.n_permutations,
            generator=generator,
        )
        out = out.over(population)
        for c, reason in reasons.items():
            for statistic in ("neuron_auc", "class_loss_nats", "cosine", "auc_without_directions", "direct_effect"):
                out.absent(statistic, reason, cls=neurons.readout.classes[c])
        _Tabulation(out=out, neurons=neurons, classes=classes, found=found, named=self.name_neurons).tabulate()
        if out.stack in WITH_TABLE:
            out.table(f"neurons_{out.stack}", _table(neurons, classes, found))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tabulation:
    """Rows about the best neuron of each class."""

    out: Tabulator
    neurons: _Neurons
    classes: Int[np.ndarray, " cls"]
    found: Best
    named: bool

    def tabulate(self) -> None:
        n = self.neurons
        scores = [n.activation(*place) for place in self.places]
        adjusted = false_discovery_control(self.found.p)
        self._aucs("neuron_auc", scores, ~n.selection, [{"p_adjusted": float(p)} for p in adjusted], condition="best")
        self._aucs("neuron_auc", scores, n.selection, None, condition="in_sample")
        self._permuted(self.found.permuted_report, "permuted")
        self._permuted(self.found.permuted_selection, "in_sample_permuted")
        self._losses()
        self._weights()

    @property
    def places(self) -> list[tuple[int, int]]:
        return [self.neurons.place(int(index)) for index in self.found.neuron]

    def keys(self) -> list[dict[str, Any]]:
        """What tells each class's best neuron: class, layer, neuron; the class alone where neurons are not named."""
        n = self.neurons
        if not self.named:
            return [{"cls": n.readout.classes[c]} for c in self.classes]
        return [
            {"cls": n.readout.classes[c], "layer": n.layers[layer].number, "neuron": neuron}
            for c, (layer, neuron) in zip(self.classes, self.places, strict=True)
        ]

    def _aucs(
        self,
        statistic: str,
        scores: Sequence[np.ndarray],
        where: Bool[np.ndarray, " entity"],
        more: Sequence[dict[str, Any]] | None,
        **key: Any,
    ) -> None:
        """The AUC of each class's scores, and their mean with one interval over the same resamples."""
        boot, cls = self.out.bootstrap, self.neurons.cls
        key["unit"] = "fraction"
        for k, (place, c) in enumerate(zip(self.keys(), self.classes, strict=True)):
            estimate = boot.auc(scores[k], cls == c, where=where)
            self.out.estimate(statistic, estimate, **place, **key, **(more[k] if more else {}))

        def mean(weights: np.ndarray) -> np.ndarray:
            each = [weighted_auc(s[where], cls[where] == c, weights) for s, c in zip(scores, self.classes, strict=True)]
            return np.asarray(np.mean(each, axis=0))

        self.out.estimate(statistic, boot.interval(mean, where=where), **key)

    def _permuted(self, aucs: Float[np.ndarray, "permutation cls"], condition: str) -> None:
        """What permuted labels give, per class and as the mean over classes."""
        names = [self.neurons.readout.classes[c] for c in self.classes]
        for name, values in zip([*names, None], [*aucs.T, aucs.mean(axis=1)], strict=True):
            key: dict[str, Any] = {"condition": condition}
            if name is not None:
                key["cls"] = name
            self.out.estimate("neuron_auc", _over_permutations(values), **key)

    def _losses(self) -> None:
        """Loss of each class's entities with its neuron kept and ablated; then the mean over classes."""
        n, where = self.neurons, ~self.neurons.selection
        cls, kept = n.cls[where], n.losses(0, 0, None)
        every: dict[str, list[np.ndarray]] = {condition: [] for condition in LOSSES}
        for (layer, neuron), c, key in zip(self.places, self.classes, self.keys(), strict=True):
            mean = float(n.activation(layer, neuron)[where].mean())
            losses = {"kept": kept, "mean": n.losses(layer, neuron, mean), "zero": n.losses(layer, neuron, 0.0)}
            for condition, values in losses.items():
                every[condition].append(values)
                full = np.zeros(len(n.cls))
                full[where] = values
                mask = where & (n.cls == c)
                self.out.mean("class_loss_nats", full, where=mask, condition=condition, **key)
        members = [(cls == c).astype(float) for c in self.classes]
        for condition, of_class in every.items():

            def mean_over_classes(weights: np.ndarray, losses: list[np.ndarray] = of_class) -> np.ndarray:
                each = [ratio(weights @ (x * m), weights @ m) for x, m in zip(losses, members, strict=True)]
                return np.asarray(np.mean(each, axis=0))

            estimate = self.out.bootstrap.interval(mean_over_classes, where=where)
            self.out.estimate("class_loss_nats", estimate, condition=condition)

    def _weights(self) -> None:
        """Cosines, the AUC without the three directions, the direct effect."""
        n, scores = self.neurons, []
        angles: dict[str, list[float]] = {}
        effects = []
        for (layer, neuron), c, key in zip(self.places, self.classes, self.keys(), strict=True):
            at, x = n.layers[layer], n.read[layer]
            for condition, cosine in cosines(at, neuron, n.readout, int(c)).items():
                if cosine is None:
                    reason = "the neuron's input weights or that direction are all zero"
                    self.out.absent("cosine", reason, condition=condition, **key)
                else:
                    self.out.value("cosine", cosine, condition=condition, **key)
                    angles.setdefault(condition, []).append(cosine)
            remove = directions(at, neuron, n.readout, int(c))
            scores.append(_numpy(without_directions(at, neuron, remove, x)))
            effect = direct_logits(at, neuron, n.readout, int(c), x)
            estimate = self.out.bootstrap.interval(
                _scaled_sd(n.activation(layer, neuron)[~n.selection], effect), where=~n.selection
            )
            self.out.estimate("direct_effect", estimate, **key)
            effects.append(estimate.value)
        for condition, values in angles.items():
            self.out.value("cosine", float(np.mean(values)), n=len(values), condition=condition)
        self._aucs("auc_without_directions", scores, ~n.selection, None)
        self.out.value("direct_effect", float(np.mean(effects)), n=len(effects))


def _scaled_sd(values: np.ndarray, effect: float) -> Callable[[np.ndarray], np.ndarray]:
    """effect × the weighted standard deviation."""
    # about the plain mean: a difference of squares far from 0 would lose the variance's digits
    centred = values - values.mean()

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        variance = ratio(weights @ centred**2, total) - ratio(weights @ centred, total) ** 2
        return np.asarray(effect * np.sqrt(np.maximum(variance, 0.0)))

    return statistic


def _over_permutations(values: Float[np.ndarray, " permutation"]) -> Estimate:
    """The mean, and where one more permutation falls: mean ± t₀.₉₇₅·SD·√(1 + 1/k), within [0, 1]."""
    mean, k = float(values.mean()), len(values)
    if k < 2:
        return Estimate(value=mean, n=k)
    half = float(student_t.ppf(0.975, k - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / k))
    return Estimate(value=mean, ci_low=max(mean - half, 0.0), ci_high=min(mean + half, 1.0), n=k)


def _table(neurons: _Neurons, classes: np.ndarray, found: Best) -> pd.DataFrame:
    """Every neuron's AUC for every class on both halves."""
    sizes = [x.shape[1] for x in neurons.post]
    layer = np.repeat([at.number for at in neurons.layers], sizes)
    neuron = np.concatenate([np.arange(size) for size in sizes])
    frames = [
        pd.DataFrame(
            {
                "layer": layer,
                "neuron": neuron,
                "cls": neurons.readout.classes[c],
                "auc_selection": found.auc_selection[:, k],
                "auc_report": found.auc_report[:, k],
            }
        )
        for k, c in enumerate(classes)
    ]
    return pd.concat(frames, ignore_index=True)


def _numpy(x: Tensor) -> np.ndarray:
    return np.asarray(x.detach().double().cpu().numpy())
