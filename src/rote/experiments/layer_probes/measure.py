"""How the class becomes linearly readable, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rote.circuit.concatenation import stack_site
from rote.errors import NotApplicable
from rote.experiments.base import StackExperiment, Study
from rote.experiments.cost import WINDOW, Cost, Sizes
from rote.experiments.layer_probes.card import CARD
from rote.experiments.parameters import checked
from rote.experiments.populations import entities_of, reported
from rote.experiments.tabulator import Tabulator
from rote.model import Read, Site
from rote.settings import Settings
from rote.stack import Readout, Stack
from rote.statistics import Estimate, rng
from rote.statistics.batched_probes import held_out_correct
from rote.statistics.probes import splits
from rote.statistics.weighted import ratio


@dataclass(frozen=True, kw_only=True)
class LayerProbes(StackExperiment):
    """Probes before the first and after each window layer; the readout's loss; each layer's MLP alone.

    Accuracy = right test predictions / test predictions over the splits, inputs standardised on all sampled entities;
    early_rise = (p_mid − p_0)/(p_end − p_0) with p_mid interpolated at half the depth; layer_alone `least` = the lowest
    accuracy over the layers, found anew in every resample. `n_probe_seeds` splits, `test_share` of the entities in each
    test. NotApplicable where the entities are all of one class, MeasurementError where a probe does not converge.
    Source: Fact Finding, post 3.
    """

    card = CARD
    n_probe_seeds: int = 10
    test_share: float = 0.2

    def __post_init__(self) -> None:
        checked(self, test_share=(0 < self.test_share < 1, "a fraction between 0 and 1"))

    def cost(self, sizes: Sizes) -> Cost:
        splits = (WINDOW + 1) * self.n_probe_seeds
        return Cost(splits=splits, stack_splits=splits)

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        readout = next(iter(stack.readouts.values()))
        sample = reported(stack, settings)
        run = sample.run_entities()
        start = "resid_pre" if stack.layers[0].parallel else "resid_mid"
        out = out.over(entities_of(sample, settings))
        cls = sample.entities.cls[readout.relation]
        tests = self._tests(cls, readout, settings)
        _tabulate(out, start, run.resid, run.mlp_out, cls, stack.numbers, readout, tests)

    def _tests(self, cls: np.ndarray, readout: Readout, settings: Settings) -> Sequence[np.ndarray]:
        """The test entities of every split; NotApplicable where no class can be on both sides of one."""
        if np.bincount(cls).max() < 2:
            n = len(cls)
            raise NotApplicable(
                f"no class has two of the {n} reported entities; a probe gives classes that it has seen"
            )
        return splits(
            cls,
            n_splits=self.n_probe_seeds,
            test_share=self.test_share,
            generator=rng(settings.seed, "layer_probes", readout.relation),
        )

    def on_model(self, study: Study, out: Tabulator) -> None:
        stack = reported(study.stack, study.settings)
        recall, window = study.recall, study.circuit.window
        place = {name: index for index, name in enumerate(recall.names)}
        facts = torch.as_tensor([place[name] for name in stack.entities.names])
        at = recall.full.subject_last
        site = stack_site(recall, window.start)
        posts = [Site("resid_post", layer) for layer in window.layers]
        outs = [Site(recall.model.mlp_contribution, layer) for layer in window.layers]
        values = recall.full.read([Read(site=s, position=at) for s in (site, *posts, *outs)])
        readout = next(iter(study.stack.readouts.values()))
        last, use = values[posts[-1]], recall.selection
        fitted = readout.centred_on(last[torch.as_tensor(use)]).calibrated(last, recall.cls, use)
        out = out.over(entities_of(stack, study.settings))
        resid = [values[s][facts] for s in (site, *posts)]
        mlp_out = [values[s][facts] for s in outs]
        cls = stack.entities.cls[recall.relation]
        tests = self._tests(cls, fitted, study.settings)
        _tabulate(out, site.name, resid, mlp_out, cls, window.layers, fitted, tests)


def _tabulate(
    out: Tabulator,
    start: str,
    resid: Sequence[Float[Tensor, "entity d_model"]],
    mlp_out: Sequence[Float[Tensor, "entity d_model"]],
    cls: np.ndarray,
    numbers: Sequence[int],
    readout: Readout,
    tests: Sequence[np.ndarray],
) -> None:
    keys = [{"site": start, "layer": numbers[0]}] + [{"site": "resid_post", "layer": n} for n in numbers]
    counts = [_probe(x.cpu().numpy(), cls, tests) for x in resid]
    for (right, tested), x, key in zip(counts, resid, keys, strict=True):
        out.estimate("probe_accuracy", _share(out, right, tested), **key)
        out.estimate("probe_balanced_accuracy", _balanced(out, right, tested, cls), **key)
        loss = -readout.centred_on(x).log_probs(x).cpu().double().numpy()[np.arange(len(cls)), cls]
        out.mean("readout_loss_nats", loss, **key)
    alone = [resid[0] + x for x in mlp_out]
    rights = np.stack([readout.centred_on(x).predict(x) == cls for x in alone], axis=1)
    for number, right in zip(numbers, rights.T, strict=True):
        out.mean("layer_alone", right, site="mlp_out", layer=number)
    out.estimate("layer_alone", _least(out, rights), condition="least")
    try:
        out.estimate("early_rise", _early_rise(out, counts))
    except NotApplicable as error:
        out.absent("early_rise", error.reason)


def _probe(x: np.ndarray, cls: np.ndarray, tests: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Per entity, how often it was predicted rightly as a test entity, and how often it was one."""
    right, tested = np.zeros(len(cls)), np.zeros(len(cls))
    for test, correct in zip(tests, held_out_correct(x, cls, tests), strict=True):
        right += correct & test
        tested += test
    return right, tested


def _share(out: Tabulator, right: np.ndarray, tested: np.ndarray) -> Estimate:
    return out.bootstrap.interval(lambda weights: ratio(weights @ right, weights @ tested))


def _balanced(out: Tabulator, right: np.ndarray, tested: np.ndarray, cls: np.ndarray) -> Estimate:
    members = [(cls == c).astype(float) for c in np.unique(cls)]

    def statistic(weights: np.ndarray) -> np.ndarray:
        shares = [ratio(weights @ (right * m), weights @ (tested * m)) for m in members]
        return np.asarray(np.mean(shares, axis=0))

    return out.bootstrap.interval(statistic)


def _least(out: Tabulator, rights: Bool[np.ndarray, "entity layer"]) -> Estimate:
    """The lowest share over the layers."""
    return out.bootstrap.interval(lambda weights: ratio(weights @ rights, weights.sum(axis=1)[:, None]).min(axis=1))


def _early_rise(out: Tabulator, counts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    depth = (len(counts) - 1) / 2
    low, high = int(np.floor(depth)), int(np.ceil(depth))

    def statistic(weights: np.ndarray) -> np.ndarray:
        p = [ratio(weights @ right, weights @ tested) for right, tested in counts]
        # NaN, and so dropped, in a resample in which nothing rises: a share of a fall would have the wrong sign
        return ratio((p[low] + p[high]) / 2 - p[0], np.maximum(p[-1] - p[0], 0))

    return out.bootstrap.interval(statistic)
