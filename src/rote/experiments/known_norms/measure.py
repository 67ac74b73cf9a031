"""Whether MLP outputs are larger for known names than for unknown ones made of the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from rote.circuit.product import Product, read_names
from rote.errors import NotApplicable
from rote.experiments.base import StackExperiment, Study
from rote.experiments.cost import Cost, Sizes
from rote.experiments.known_norms.card import CARD
from rote.experiments.parameters import checked
from rote.experiments.populations import entities_of, reported
from rote.experiments.tabulator import Tabulator
from rote.model import Site
from rote.settings import Settings
from rote.stack import Stack
from rote.statistics import adjusted_by_fixed_effects, rng


@dataclass(frozen=True, kw_only=True)
class KnownNorms(StackExperiment):
    """AUC and effect size d of ‖MLP output‖, known against unknown names; raw and adjusted.

    Unknown names, at most `n_unknown`, are the product of the reported entities' first and last names without any name
    of the table; `adjusted` subtracts first-token and last-token fixed effects of the norm. NotApplicable where all
    combinations are names of the table, MeasurementError where the fixed effects do not converge. Source: Fact Finding,
    post 3.
    """

    card = CARD
    n_unknown: int = 1600

    def __post_init__(self) -> None:
        checked(self)

    def cost(self, sizes: Sizes) -> Cost:
        names = sizes.sample + self.n_unknown
        return Cost(blocks=sizes.short * names * sizes.read, names=names)

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        sample = reported(stack, settings)
        first, last, known = names(sample, self.n_unknown, settings.seed)
        out = out.over(entities_of(sample, settings))
        run = sample.run(sample.inputs(first, last))
        norms = [x.double().norm(dim=-1).cpu().numpy() for x in run.mlp_out]
        _tabulate(out, norms, stack.numbers, first, last, known)

    def on_model(self, study: Study, out: Tabulator) -> None:
        sample, recall = reported(study.stack, study.settings), study.recall
        first, last, known = names(sample, self.n_unknown, study.settings.seed)
        layers = study.circuit.window.layers
        sites = [Site(recall.model.mlp_contribution, layer) for layer in layers]
        values = read_names(recall, Product.of(recall), first, last, sites)
        out = out.over(entities_of(sample, study.settings))
        norms = [values[site].double().norm(dim=-1).cpu().numpy() for site in sites]
        _tabulate(out, norms, layers, first, last, known)


def names(stack: Stack, n_unknown: int, seed: int) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " name"]]:
    """(first, last, known): the stack's entities and n_unknown random unknown names of the same tokens.

    NotApplicable where there is no unknown one.
    """
    entities = stack.entities
    firsts, lasts = np.unique(entities.first), np.unique(entities.last)
    own = list(zip(entities.first.tolist(), entities.last.tolist(), strict=True))
    taken = entities.taken | set(own)
    generator = rng(seed, "known_norms", next(iter(stack.readouts)))
    cells = generator.permutation(len(firsts) * len(lasts))
    unknown = []
    for cell in cells:
        name = (int(firsts[cell // len(lasts)]), int(lasts[cell % len(lasts)]))
        if name not in taken:
            unknown.append(name)
        if len(unknown) == n_unknown:
            break
    if not unknown:
        raise NotApplicable("every combination of the study's first and last names is a name of the table")
    both = np.array(own + unknown)
    return both[:, 0], both[:, 1], np.arange(len(both)) < len(own)


def _tabulate(
    out: Tabulator,
    norms: Sequence[Float[np.ndarray, " name"]],
    numbers: Sequence[int],
    first: np.ndarray,
    last: np.ndarray,
    known: Bool[np.ndarray, " name"],
) -> None:
    resamples = out.bootstrap.observations(first[:, None], last[:, None])  # type: ignore[attr-defined]
    for number, norm in zip(numbers, norms, strict=True):
        for condition, values in (("raw", norm), ("adjusted", adjusted_by_fixed_effects(norm, first, last))):
            key = {"site": "mlp_out", "layer": number, "condition": condition}
            try:
                out.estimate("norm_auc", resamples.auc(values, known), **key)
                out.estimate("norm_d", resamples.cohens_d(values, known), **key)
            except NotApplicable as error:
                out.absent("norm_auc", error.reason, **key)
                out.absent("norm_d", error.reason, **key)
