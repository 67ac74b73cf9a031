"""Whether MLP outputs for known names break the linear structure that a sum over tokens would have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import NotApplicable
from rote.experiments.base import StackExperiment, Tabulator, on_stack, reported
from rote.records import Record
from rote.settings import Settings
from rote.stack import Stack
from rote.stack.product import product_effects
from rote.statistics import rng

TRIES = 200  # random draws per pair before a pair counts as impossible
Name = tuple[int, int]


class LinearStructure(StackExperiment):
    """broken = ‖mid(A,B) − mid(C,D)‖ / mean over draws of ‖mid(A,B) − mid(C′,D′)‖, for MLP outputs and residual.

    (C, D) is the surname swap of (A, B); C′, D′ are random unknown names that share no token with A, B or each
    other. Source: Fact Finding, post 3 (known names break linear structure).
    """

    name = "linear_structure"

    def __call__(self, stack: Stack, settings: Settings | None = None) -> Record:
        settings = settings or Settings()
        sample = reported(stack, settings)
        out = on_stack(self.name, sample, settings)
        table = pd.DataFrame()
        relation = next(iter(stack.readouts))
        for condition in ("real", "shuffled", "shuffled_matched", "unknown_pairs"):
            generator = rng(settings.seed, "linear_structure", f"{relation}/{condition == 'unknown_pairs'}")
            pairs = draw_pairs(sample, settings, generator, known=condition != "unknown_pairs")
            if not pairs:
                reason = "no two names without a common token have surname swaps that are both unknown"
                out.absent("broken_fraction", reason, condition=condition)
                continue
            weights = rng(settings.seed, "linear_structure", f"{relation}/{condition}")
            studied = getattr(sample, condition)(weights) if condition.startswith("shuffled") else sample
            broken = broken_fractions(studied, pairs)
            _rows(out, broken, pairs, stack.numbers, condition)
            if condition == "real":
                table = _table(sample, pairs, broken, stack.numbers)
        _interactions(out, sample, settings)
        return out.record(pairs=table)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two names and, for each draw, two random unknown names; (first, last) indices of the stack's tables."""

    a: Name
    b: Name
    draws: tuple[tuple[Name, Name], ...]


def draw_pairs(stack: Stack, settings: Settings, generator: np.random.Generator, *, known: bool) -> tuple[Pair, ...]:
    """At most n_pairs random pairs, each once, of known (or unknown) names without a common token, swaps unknown."""
    entities = stack.entities
    firsts, lasts = np.unique(entities.first), np.unique(entities.last)
    names = list(zip(entities.first.tolist(), entities.last.tolist(), strict=True))
    taken = entities.taken | set(names)
    pairs: dict[frozenset[Name], Pair] = {}
    for _ in range(settings.n_pairs * 20):
        if len(pairs) == settings.n_pairs:
            break
        if known:
            a, b = (names[int(i)] for i in generator.integers(len(names), size=2))
        else:
            a, b = (_random_name(firsts, lasts, generator) for _ in range(2))
        if frozenset((a, b)) in pairs or a[0] == b[0] or a[1] == b[1] or {(a[0], b[1]), (b[0], a[1])} & taken:
            continue
        if not known and {a, b} & taken:
            continue
        draws = _draws(a, b, firsts, lasts, taken, settings.n_pair_draws, generator)
        if draws is not None:
            pairs[frozenset((a, b))] = Pair(a=a, b=b, draws=draws)
    return tuple(pairs.values())


def _random_name(firsts: np.ndarray, lasts: np.ndarray, generator: np.random.Generator) -> Name:
    return int(generator.choice(firsts)), int(generator.choice(lasts))


def _draws(
    a: Name,
    b: Name,
    firsts: np.ndarray,
    lasts: np.ndarray,
    taken: set[Name] | frozenset[Name],
    n: int,
    generator: np.random.Generator,
) -> tuple[tuple[Name, Name], ...] | None:
    """n pairs of unknown names disjoint from A, B and each other; None where chance finds none."""
    draws: list[tuple[Name, Name]] = []
    for _ in range(TRIES * n):
        c, d = _random_name(firsts, lasts, generator), _random_name(firsts, lasts, generator)
        if len({a[0], b[0], c[0], d[0]}) == 4 and len({a[1], b[1], c[1], d[1]}) == 4 and not {c, d} & taken:
            draws.append((c, d))
            if len(draws) == n:
                return tuple(draws)
    return None


def broken_fractions(stack: Stack, pairs: Sequence[Pair]) -> dict[tuple[str, int], Float[np.ndarray, " pair"]]:
    """Per site and layer (counted in the stack), the broken fraction of each pair; NaN where it is undefined."""
    swaps = [((p.a[0], p.b[1]), (p.b[0], p.a[1])) for p in pairs]
    real = _mids(stack, [(p.a, p.b) for p in pairs])
    swapped = _mids(stack, swaps)
    n_draws = len(pairs[0].draws)
    random = [_mids(stack, [p.draws[d] for p in pairs]) for d in range(n_draws)]
    broken = {}
    for key in real:
        above = (real[key] - swapped[key]).norm(dim=-1)
        below = torch.stack([(real[key] - r[key]).norm(dim=-1) for r in random]).mean(0)
        scale = real[key].norm(dim=-1).clamp_min(1e-30)
        ratio = torch.where(below > 1e-7 * scale, above / below.clamp_min(1e-30), torch.nan)
        broken[key] = ratio.cpu().numpy()
    return broken


def _mids(stack: Stack, pairs: Sequence[tuple[Name, Name]]) -> dict[tuple[str, int], Float[Tensor, "pair d_model"]]:
    """Midpoints of two names' outputs, in float64."""
    index: Int[np.ndarray, "pair name token"] = np.array(pairs)
    first = stack.run(stack.inputs(index[:, 0, 0], index[:, 0, 1]))
    second = stack.run(stack.inputs(index[:, 1, 0], index[:, 1, 1]))
    mids = {}
    for layer in range(len(stack.layers)):
        mids["mlp_out", layer] = (first.mlp_out[layer].double() + second.mlp_out[layer].double()) / 2
        mids["resid_post", layer] = (first.resid[layer + 1].double() + second.resid[layer + 1].double()) / 2
    return mids


def _rows(
    out: Tabulator,
    broken: dict[tuple[str, int], np.ndarray],
    pairs: Sequence[Pair],
    numbers: Sequence[int],
    condition: str,
) -> None:
    first = np.array([[p.a[0], p.b[0]] for p in pairs])
    last = np.array([[p.a[1], p.b[1]] for p in pairs])
    resamples = out.bootstrap.observations(first, last)  # type: ignore[attr-defined]
    for (site, layer), values in broken.items():
        key = {"site": site, "layer": numbers[layer], "condition": condition}
        if np.isnan(values).any():
            out.absent("broken_fraction", "the output is the same for all names, so nothing can break", **key)
        else:
            out.estimate("broken_fraction", resamples.median(values), unit="ratio", **key)


def _interactions(out: Tabulator, stack: Stack, settings: Settings) -> None:
    entities = stack.entities
    effects = product_effects(stack, np.unique(entities.first), np.unique(entities.last))
    cells = len(np.unique(entities.first)) * len(np.unique(entities.last))
    for site, layers in zip(("mlp_out", "resid_post"), effects, strict=True):
        for number, effect in zip(stack.numbers, layers, strict=True):
            try:
                share = effect.interaction_share
                out.value("interaction_share", share, n=cells, site=site, layer=number, unit="ratio")
            except NotApplicable as error:
                out.absent("interaction_share", error.reason, site=site, layer=number)


def _table(
    stack: Stack, pairs: Sequence[Pair], broken: dict[tuple[str, int], np.ndarray], numbers: Sequence[int]
) -> pd.DataFrame:
    entities = stack.entities
    names = dict(zip(zip(entities.first.tolist(), entities.last.tolist(), strict=True), entities.names, strict=True))
    columns = {f"{site}_{numbers[layer]}": values for (site, layer), values in broken.items()}
    return pd.DataFrame({"a": [names[p.a] for p in pairs], "b": [names[p.b] for p in pairs], **columns})
