"""Whether MLP outputs are larger for known names than for unknown ones made of the same tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from rote.circuit.product import read_rows
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
from rote.statistics import Bootstrap, Estimate, adjusted_by_fixed_effects, rng
from rote.statistics.weighted import weighted_auc, weighted_cohens_d

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
STATISTICS: tuple[Statistic, Statistic] = (weighted_auc, weighted_cohens_d)


@dataclass(frozen=True, kw_only=True)
class KnownNorms(StackExperiment):
    """AUC and effect size d of ‖MLP output‖, known against unknown names; raw and adjusted.

    Unknown names, at most about `n_unknown`, are the product of the reported entities' first and last parts within
    each stratum, without any name of the table; `adjusted` subtracts fixed effects of first and last parts from the
    norm. Both are means over the strata, weighted by their facts. NotApplicable where all combinations are names of the
    table, MeasurementError where the fixed effects do not converge. Source: Fact Finding, post 3.
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
        run = sample.run_names(first, last)
        norms = [x.double().norm(dim=-1).cpu().numpy() for x in run.mlp_out]
        _tabulate(out, norms, stack, first, last, known)

    def on_model(self, study: Study, out: Tabulator) -> None:
        sample, recall = reported(study.stack, study.settings), study.recall
        first, last, known = names(sample, self.n_unknown, study.settings.seed)
        sites = [Site(recall.model.mlp_contribution, layer) for layer in study.stack.numbers]
        values = read_rows(recall, first, last, sites)
        out = out.over(entities_of(sample, study.settings))
        norms = [values[site].double().norm(dim=-1).cpu().numpy() for site in sites]
        _tabulate(out, norms, study.stack, first, last, known)


def names(stack: Stack, n_unknown: int, seed: int) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " name"]]:
    """(first, last, known): the stack's entities, then about n_unknown random unknown names of the same parts.

    Each stratum has as many of them as its share of the entities. NotApplicable where there is no unknown one.
    """
    own, unknown = np.stack([stack.entities.first, stack.entities.last], axis=1), []
    generator = rng(seed, "known_norms", next(iter(stack.readouts)))
    for members, part in stack.by_stratum():
        unknown += _unknown(part, round(n_unknown * len(members) / len(own)), generator)
    if not unknown:
        raise NotApplicable("every combination of the study's first and last names is a name of the table")
    both = np.concatenate([own, np.array(unknown)])
    return both[:, 0], both[:, 1], np.arange(len(both)) < len(own)


def _unknown(stack: Stack, n_unknown: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    entities = stack.entities
    firsts, lasts = np.unique(entities.first), np.unique(entities.last)
    taken = entities.taken | set(zip(entities.first.tolist(), entities.last.tolist(), strict=True))
    cells = generator.permutation(len(firsts) * len(lasts))
    unknown: list[tuple[int, int]] = []
    for cell in cells:
        name = (int(firsts[cell // len(lasts)]), int(lasts[cell % len(lasts)]))
        if len(unknown) == n_unknown:
            break
        if name not in taken:
            unknown.append(name)
    return unknown


def _tabulate(
    out: Tabulator,
    norms: Sequence[Float[np.ndarray, " name"]],
    stack: Stack,
    first: np.ndarray,
    last: np.ndarray,
    known: Bool[np.ndarray, " name"],
) -> None:
    resamples = out.bootstrap.observations(first[:, None], last[:, None])  # type: ignore[attr-defined]
    auc, effect = (_over_strata(resamples, statistic, stack.strata_of(first), known) for statistic in STATISTICS)
    for number, norm in zip(stack.numbers, norms, strict=True):
        for condition, values in (("raw", norm), ("adjusted", adjusted_by_fixed_effects(norm, first, last))):
            key = {"site": "mlp_out", "layer": number, "condition": condition}
            try:
                out.estimate("norm_auc", auc(values), **key)
                out.estimate("norm_d", effect(values), **key)
            except NotApplicable as error:
                out.absent("norm_auc", error.reason, **key)
                out.absent("norm_d", error.reason, **key)


def _over_strata(
    resamples: Bootstrap, statistic: Statistic, stratum: Int[np.ndarray, " name"] | None, known: np.ndarray
) -> Callable[[Float[np.ndarray, " name"]], Estimate]:
    """The mean of a statistic over strata, each weighing as many as its known names; of values per name."""
    strata = np.zeros(len(known), dtype=int) if stratum is None else stratum
    places = [place for s in np.unique(strata) if not known[place := np.flatnonzero(strata == s)].all()]
    n = [int(known[place].sum()) for place in places]
    shares = [count / sum(n) for count in n]

    def mean(values: Float[np.ndarray, " name"], weights: Float[np.ndarray, "resample name"]) -> np.ndarray:
        each = [statistic(values[place], known[place], weights[:, place]) for place in places]
        return np.asarray(sum(share * value for share, value in zip(shares, each, strict=True)))

    return lambda values: resamples.interval(lambda weights: mean(values, weights))
