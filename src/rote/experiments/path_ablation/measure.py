"""How much each MLP of the window depends on the output of an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rote.asking.prompts import Forward
from rote.asking.recall import Recall
from rote.circuit.concatenation import additive_prediction
from rote.circuit.product import Product, main_effects
from rote.experiments.base import StackExperiment, Study
from rote.experiments.cost import WINDOW, Cost, Sizes
from rote.experiments.path_ablation.card import CARD
from rote.experiments.populations import entities_of, reported, within_product
from rote.experiments.tabulator import Tabulator
from rote.model import Edit, Read, Site, path_shift
from rote.settings import Settings
from rote.stack import Readout, Stack, StackRun
from rote.stack.product import mlp_main_effects
from rote.statistics import rng
from rote.statistics.weighted import ratio

ABLATIONS = ("mean", "resample", "additive")
LEAST_KL_NATS = 1e-6  # below this a KL divergence in float32 is rounding
Metrics = dict[str, Float[np.ndarray, " fact"]]  # per fact; kl_nats is 0 in the clean run


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablated:
    """Metrics with paths (i, j) ablated, with all paths of i ablated, and with MLP i removed altogether.

    i and j count the window's layers from 0; losses and divergences are in nats, accuracies 0 or 1 per fact.
    """

    clean: Metrics
    path: Callable[[int, Sequence[int]], Metrics]
    removed: Callable[[int], Metrics]


@dataclass(frozen=True, kw_only=True, eq=False)
class PathAblation(StackExperiment):
    """MLP j reads the residual stream in which MLP i's output is ablated; everything after j runs again.

    mean: its mean over the facts; resample: from a fact of another class; additive: its first-name and last-name
    main effects over the product, which removes only what it computes jointly. path_share = KL(all its paths) /
    KL(removed), per layer and for all layers but the last: Σ_i KL(all paths of i) / Σ_i KL(removed i). On a stack the
    additive ablation is measured on the entities whose names fit a product of product_names × product_names, and the
    product is that of their names. `ablations` are those measured on a stack. KLs are in nats. NotApplicable on the
    model where there is no window. Source: Fact Finding, post 3.
    """

    card = CARD
    ablations: tuple[str, ...] = ABLATIONS

    def cost(self, sizes: Sizes) -> Cost:
        passes = (sizes.draws + 1) * sizes.sample
        return Cost(
            blocks=(WINDOW + 3) * passes * (sizes.n_layers - 1),
            names=sizes.product + passes * WINDOW * (WINDOW + 1) / 2,
        )

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        sample = reported(stack, settings)
        for how in self.ablations:
            studied = within_product(sample, settings) if how == "additive" else sample
            on, to = _Start.of(studied), out.over(entities_of(studied, settings))
            _tabulate(to, [_on_stack(on, values) for values in _stack_values(on, how, settings)], stack.numbers, how)

    def on_model(self, study: Study, out: Tabulator) -> None:
        window = study.circuit.window
        readout, study = study.stack.readouts[study.recall.relation], study.sample
        for how in ABLATIONS:
            values, where = _model_values(study.recall, window.layers, how)
            reported_too = replace(study.population, where=study.report & where)
            draws = [_on_model(study.recall, window.layers, readout, value) for value in values]
            _tabulate(out.over(reported_too), draws, window.layers, how)


def _tabulate(out: Tabulator, draws: Sequence[Ablated], numbers: Sequence[int], how: str) -> None:
    """Rows of one ablation, averaged over its draws."""
    n, shares = len(numbers), []
    for i in range(n - 1):
        for j in range(i + 1, n):
            after = [d.path(i, (j,)) for d in draws]
            changes = _mean([_change(a, d.clean) for a, d in zip(after, draws, strict=True)])
            for metric, change in changes.items():
                key = {"layer": numbers[j], "source": f"mlp.{numbers[i]}", "site": "mlp_in"}
                out.mean(f"path_delta_{metric}", change, condition=how, **key)
        if n - i > 2:  # before the last layer but one, one path is all paths
            after = [d.path(i, tuple(range(i + 1, n))) for d in draws]
        shares.append((_mean(after)["kl_nats"], _mean([d.removed(i) for d in draws])["kl_nats"]))
        _share(out, *shares[-1], {"condition": how, "layer": numbers[i], "unit": "ratio"})
    key = {"condition": how, "unit": "ratio"}
    if shares:
        paths, removed = np.sum(shares, axis=0)
        _share(out, paths, removed, key)
    else:
        out.absent("path_share", "the window has one layer, so there are no paths between its MLPs", **key)


def _share(out: Tabulator, paths: np.ndarray, removed: np.ndarray, key: dict[str, Any]) -> None:
    counted = np.ones(len(paths), dtype=bool) if out.where is None else out.where
    above, below = paths[counted], removed[counted]
    if below.mean() < LEAST_KL_NATS:
        reason = f"removing the MLP altogether changes the answers by less than {LEAST_KL_NATS:g} nats"
        out.absent("path_share", reason, **key)
        return
    # of sums and not of each fact: a fact whose KL is next to nothing would have any ratio
    share = out.bootstrap.interval(lambda weights: ratio(weights @ above, weights @ below), where=out.where)
    out.estimate("path_share", share, **key)


def _change(after: Metrics, before: Metrics) -> Metrics:
    return {name: after[name] - before[name] for name in after}


def _mean(draws: Sequence[Metrics]) -> Metrics:
    return {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}


# ------------------------------------------------------------------ on a stack


@dataclass(frozen=True, kw_only=True, eq=False)
class _Start:
    """The clean run of a stack on its entities, which every ablation of these starts from."""

    stack: Stack
    run: StackRun
    readout: Readout

    @classmethod
    def of(cls, stack: Stack) -> _Start:
        return cls(stack=stack, run=stack.run_entities(), readout=next(iter(stack.readouts.values())))

    def metrics(self, output: Float[Tensor, "entity d_model"]) -> Metrics:
        cls = self.stack.entities.cls[self.readout.relation]
        log_probs = self.readout.log_probs(output).double()
        return {
            "accuracy_cls": (log_probs.argmax(-1).cpu().numpy() == cls).astype(float),
            "loss_nats": -log_probs.cpu().numpy()[np.arange(len(cls)), cls],
            "kl_nats": _kl(self.readout.log_probs(self.run.output).double(), log_probs),
        }


def _stack_values(start: _Start, how: str, settings: Settings) -> list[list[Float[Tensor, "entity d_model"]]]:
    """Per draw and layer, what replaces an MLP's output."""
    stack, outs, entities = start.stack, start.run.mlp_out, start.stack.entities
    if how == "mean":
        return [[out.mean(0, keepdim=True).expand_as(out) for out in outs]]
    if how == "resample":
        relation = next(iter(stack.readouts))
        cls, generator = entities.cls[relation], rng(settings.seed, "path_ablation", relation)
        pools = [np.flatnonzero(cls != c) for c in range(cls.max() + 1)]
        draws = [[int(generator.choice(pools[c])) for c in cls] for _ in range(settings.n_resamples_ablation)]
        return [[out[draw] for out in outs] for draw in draws]
    additive = [out.clone() for out in outs]
    for members, part in stack.by_stratum():
        firsts, row = np.unique(part.entities.first, return_inverse=True)
        lasts, column = np.unique(part.entities.last, return_inverse=True)
        for into, effects in zip(additive, mlp_main_effects(part, firsts, lasts), strict=True):
            into[torch.as_tensor(members, device=into.device)] = effects.additive(row, column).to(into.dtype)
    return [additive]


def _on_stack(start: _Start, values: Sequence[Float[Tensor, "entity d_model"]]) -> Ablated:
    stack, run = start.stack, start.run

    def path(i: int, later: Sequence[int]) -> Metrics:
        # added to what the later MLPs read and not to the stream: what MLP i tells the readout itself stays
        shift = values[i] - run.mlp_out[i]
        return start.metrics(stack.run(run.resid[0], run.stratum, read_shift=dict.fromkeys(later, shift)).output)

    def removed(i: int) -> Metrics:
        return start.metrics(stack.run(run.resid[0], run.stratum, output={i: values[i]}).output)

    return Ablated(clean=start.metrics(run.output), path=path, removed=removed)


def _kl(clean: Float[Tensor, "fact cls"], other: Float[Tensor, "fact cls"]) -> Float[np.ndarray, " fact"]:
    kl: Float[np.ndarray, " fact"] = (clean.exp() * (clean - other)).sum(-1).double().cpu().numpy()
    return kl


# ---------------------------------------------------------------- on the model


def _model_values(
    recall: Recall, layers: Sequence[int], how: str
) -> tuple[list[Mapping[int, Float[Tensor, "fact d_model"]]], np.ndarray]:
    """Per draw and layer, what replaces MLP outputs at subject_last; and the facts for which that exists."""
    everywhere = np.ones(len(recall), dtype=bool)
    clean = recall.at_subject(recall.model.mlp_contribution, tuple(layers))
    if how != "additive":
        values = {layer: recall.ablated_values(x, how) for layer, x in clean.items()}
        n_draws = len(next(iter(values.values())))
        return [{layer: v[d] for layer, v in values.items()} for d in range(n_draws)], everywhere
    sites = {layer: Site(recall.model.mlp_contribution, layer) for layer in layers}
    additive = {layer: x.clone() for layer, x in clean.items()}
    for product in Product.all(recall):
        facts, fits = product.facts, main_effects(recall, product, list(sites.values()))
        for layer, site in sites.items():
            predicted = torch.as_tensor(additive_prediction(fits[site], *product.own(recall))).to(clean[layer])
            # full prompts and name-only prompts may differ by a constant, which is not a joint effect of the names
            shift = clean[layer][facts].mean(0) - predicted.mean(0)
            additive[layer][facts] = predicted + shift
    return [additive], np.isin(np.arange(len(recall)), recall.two_part)


def _on_model(
    recall: Recall,
    layers: Sequence[int],
    readout: Readout,
    values: Mapping[int, Float[Tensor, "fact d_model"]],
) -> Ablated:
    model, at, last = recall.model, recall.full.subject_last, layers[-1]
    outs, reads = (recall.at_subject(site, tuple(layers)) for site in (model.mlp_contribution, "mlp_in"))
    read = Read(site=Site("resid_post", last), position=at)
    start = recall.full.forward(read=[read], keep_log_probs=True)
    assert start.log_probs is not None
    # centred once, on the clean run: else what an ablation does to all facts alike would go unseen
    clean, centred = start.log_probs, readout.centred_on(start.values[read.site])

    def metrics(done: Forward) -> Metrics:
        assert done.log_probs is not None
        return {
            "accuracy_cls": done.scores.correct_cls.double().cpu().numpy(),
            "loss_nats": -done.scores.answer_log_prob.double().cpu().numpy(),
            "kl_nats": _kl(clean, done.log_probs),
            "accuracy": done.scores.correct.double().cpu().numpy(),
            "readout_accuracy": (centred.predict(done.values[read.site]) == recall.cls).astype(float),
        }

    def after(layer: int, shift: Float[Tensor, "fact d_model"]) -> Metrics:
        return metrics(recall.full.forward_after(layer, shift, at, [read], keep_log_probs=True))

    def path(i: int, later: Sequence[int]) -> Metrics:
        change = values[layers[i]] - outs[layers[i]]
        if len(later) == 1:
            # what one MLP changes is one vector behind its block, so up to there nothing runs again
            layer = layers[later[0]]
            return after(layer, path_shift(model, layer, reads[layer], change))
        edits = [Edit(site=Site("mlp_in", layers[j]), change="add", value=change, position=at) for j in later]
        return metrics(recall.full.forward(edits, [read], keep_log_probs=True))

    def removed(i: int) -> Metrics:
        return after(layers[i], values[layers[i]] - outs[layers[i]])

    return Ablated(clean=metrics(start), path=path, removed=removed)
