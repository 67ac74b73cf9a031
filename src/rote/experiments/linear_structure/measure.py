"""Whether MLP outputs for known names break the linear structure that a sum over tokens would have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rote.errors import InputError
from rote.experiments.base import StackExperiment
from rote.experiments.cost import Cost, Sizes
from rote.experiments.linear_structure.card import CARD
from rote.experiments.parameters import checked
from rote.experiments.populations import entities_of, reported, within_product
from rote.experiments.tabulator import Tabulator
from rote.settings import Settings
from rote.stack import Stack
from rote.stack.product import Effects, product_effects
from rote.statistics import Estimate, rng
from rote.statistics.weighted import ratio

TRIES = 200  # random draws per pair before a pair counts as impossible
CONDITIONS = ("real", "shuffled", "shuffled_matched", "unknown_pairs")
BLOCK_NAMES = 4096  # about so many names run at once
Name = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearStructure(StackExperiment):
    """broken = ‖mid(A,B) − mid(C,D)‖ / mean over draws of ‖mid(A,B) − mid(C′,D′)‖, for MLP outputs and residual.

    (C, D) is the surname swap of (A, B); C′, D′ are random unknown names that share no token with A, B or each
    other. interaction_share = √(Σσ²_interaction / Σσ²_total), per layer and summed over the layers, over the product
    of the entities whose names fit product_names × product_names; its interval resamples first and last names with
    the main effects held as they are (a cell weighs the product of its two counts). `conditions` are those measured,
    of CONDITIONS; at most `n_pairs` pairs, and `n_pair_draws` draws of unknown names for each. InputError for other
    conditions. Source: Fact Finding, post 3 (known names break linear structure).
    """

    card = CARD
    conditions: tuple[str, ...] = CONDITIONS
    n_pairs: int = 400
    n_pair_draws: int = 16

    def cost(self, sizes: Sizes) -> Cost:
        return Cost(names=2 * sizes.product + 2 * self.n_pairs * (1 + self.n_pair_draws))

    def __post_init__(self) -> None:
        checked(self)
        unknown = sorted(set(self.conditions) - set(CONDITIONS))
        if unknown or not self.conditions:
            raise InputError(
                f"linear_structure got the conditions {self.conditions}; expected some of {', '.join(CONDITIONS)}"
            )

    def for_controls(self) -> LinearStructure:
        return replace(self, conditions=("real",))

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        sample = reported(stack, settings)
        out = out.over(entities_of(sample, settings))
        relation = next(iter(stack.readouts))
        for condition in self.conditions:
            # the shuffled stacks get the very pairs of the real one
            generator = rng(settings.seed, "linear_structure", f"{relation}/{condition == 'unknown_pairs'}")
            known = condition != "unknown_pairs"
            pairs = self._pairs(sample, generator, known=known)
            if not any(pairs):
                reason = "no two names without a common token have surname swaps that are both unknown"
                out.absent("broken_fraction", reason, condition=condition)
                continue
            weights = rng(settings.seed, "linear_structure", f"{relation}/{condition}")
            studied = getattr(sample, condition)(weights) if condition.startswith("shuffled") else sample
            parts = [part for _, part in studied.by_stratum()]
            found = [broken_fractions(part, some) for part, some in zip(parts, pairs, strict=True) if some]
            broken = {key: np.concatenate([each[key] for each in found]) for key in found[0]}
            drawn = list(chain.from_iterable(pairs))
            _rows(out, broken, drawn, stack.numbers, condition)
            if condition == "real":
                out.table("pairs", _table(sample, drawn, broken, stack.numbers))
        product = within_product(sample, settings)
        _interactions(out.over(entities_of(product, settings)), product)

    def _pairs(self, sample: Stack, generator: np.random.Generator, *, known: bool) -> list[tuple[Pair, ...]]:
        """Pairs within each stratum, as many as its share of the entities."""
        strata = sample.by_stratum()
        shares = [round(self.n_pairs * len(members) / len(sample.entities)) for members, _ in strata]
        return [
            draw_pairs(part, generator, known=known, n_pairs=n, n_draws=self.n_pair_draws) if n else ()
            for (_, part), n in zip(strata, shares, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two names and, for each draw, two random unknown names; (first, last) indices of the stack's tables."""

    a: Name
    b: Name
    draws: tuple[tuple[Name, Name], ...]


def draw_pairs(
    stack: Stack, generator: np.random.Generator, *, known: bool, n_pairs: int, n_draws: int
) -> tuple[Pair, ...]:
    """At most n_pairs random pairs, each once, of known (or unknown) names without a common token, swaps unknown.

    Empty where none is found among 20 · n_pairs drawn.
    """
    entities = stack.entities
    names = np.stack([entities.first, entities.last], axis=1)
    tokens = np.unique(names[:, 0]), np.unique(names[:, 1])
    taken = _Taken(*tokens, entities.taken | set(map(tuple, names.tolist())))
    n = n_pairs * 20
    if known:
        a, b = (names[index] for index in generator.integers(len(names), size=(2, n)))
    else:
        a, b = (_random_names(tokens, (n,), generator) for _ in range(2))
    # drawn far too many at once and thrown out together: one after the other would be a loop over names
    fits = (a != b).all(axis=1) & ~taken(a[:, 0], b[:, 1]) & ~taken(b[:, 0], a[:, 1])
    if not known:
        fits &= ~taken(*a.T) & ~taken(*b.T)
    pairs: dict[frozenset[Name], Pair] = {}
    for start in range(0, int(fits.sum()), n_pairs):
        some = slice(start, start + n_pairs)
        for one, two, draws in _draws(a[fits][some], b[fits][some], tokens, taken, n_draws, generator):
            if len(pairs) < n_pairs:
                pairs.setdefault(frozenset((one, two)), Pair(a=one, b=two, draws=draws))
        if len(pairs) == n_pairs:
            break
    return tuple(pairs.values())


class _Taken:
    """Whether names made of the product's tokens are names of the table."""

    def __init__(self, firsts: np.ndarray, lasts: np.ndarray, names: Collection[Name]) -> None:
        self.table = np.zeros((firsts.max() + 1, lasts.max() + 1), dtype=bool)
        first, last = np.array(sorted(names)).T
        inside = (first < self.table.shape[0]) & (last < self.table.shape[1])
        self.table[first[inside], last[inside]] = True

    def __call__(self, first: Int[np.ndarray, "*name"], last: Int[np.ndarray, "*name"]) -> Bool[np.ndarray, "*name"]:
        return np.asarray(self.table[first, last])


def _random_names(
    tokens: tuple[np.ndarray, np.ndarray], shape: tuple[int, ...], generator: np.random.Generator
) -> Int[np.ndarray, "*shape token"]:
    return np.stack([generator.choice(side, size=shape) for side in tokens], axis=-1)


def _draws(
    a: Int[np.ndarray, "pair token"],
    b: Int[np.ndarray, "pair token"],
    tokens: tuple[np.ndarray, np.ndarray],
    taken: _Taken,
    n: int,
    generator: np.random.Generator,
) -> Iterator[tuple[Name, Name, tuple[tuple[Name, Name], ...]]]:
    """Pairs with n pairs of unknown names disjoint from A, B and each other; without those where chance finds none."""
    found: list[list[tuple[Name, Name]]] = [[] for _ in a]
    for _ in range(TRIES // 2):
        short = np.array([i for i, draws in enumerate(found) if len(draws) < n], dtype=int)
        if not len(short):
            break
        c, d = (_random_names(tokens, (len(short), 2 * n), generator) for _ in range(2))
        one, two = a[short, None], b[short, None]
        fits = ((c != d) & (c != one) & (c != two) & (d != one) & (d != two)).all(axis=2)
        fits &= ~taken(c[..., 0], c[..., 1]) & ~taken(d[..., 0], d[..., 1])
        for row, place in zip(*np.nonzero(fits), strict=True):
            if len(found[short[row]]) < n:
                found[short[row]].append((_name(c[row, place]), _name(d[row, place])))
    for i, draws in enumerate(found):
        if len(draws) == n:
            yield _name(a[i]), _name(b[i]), tuple(draws)


def _name(tokens: Int[np.ndarray, " token"]) -> Name:
    return int(tokens[0]), int(tokens[1])


def broken_fractions(stack: Stack, pairs: Sequence[Pair]) -> dict[tuple[str, int], Float[np.ndarray, " pair"]]:
    """Per site and layer (counted in the stack), the broken fraction of each pair; NaN where it is undefined."""
    # [pair, which, name, token]: the names themselves, their swaps, then the draws
    names = np.array([[(p.a, p.b), ((p.a[0], p.b[1]), (p.b[0], p.a[1])), *p.draws] for p in pairs])
    size = max(BLOCK_NAMES // names[0, ..., 0].size, 1)
    blocks = [_broken(stack, names[start : start + size]) for start in range(0, len(names), size)]
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def _broken(
    stack: Stack, names: Int[np.ndarray, "pair which name token"]
) -> dict[tuple[str, int], Float[np.ndarray, " pair"]]:
    run = stack.run(stack.inputs(names[..., 0].ravel(), names[..., 1].ravel()))
    outputs = {("mlp_out", layer): out for layer, out in enumerate(run.mlp_out)}
    outputs |= {("resid_post", layer): out for layer, out in enumerate(run.resid[1:])}
    return {key: _ratios(out.reshape(*names.shape[:3], -1)) for key, out in outputs.items()}


def _ratios(outputs: Float[Tensor, "pair which name d_model"]) -> Float[np.ndarray, " pair"]:
    """‖mid − swapped mid‖ / mean over the draws of ‖mid − drawn mid‖, in float64."""
    mids = (outputs[:, :, 0].double() + outputs[:, :, 1].double()) / 2
    real = mids[:, 0]
    distances = (mids[:, 1:] - real[:, None]).norm(dim=-1)
    above, below = distances[:, 0], distances[:, 1:].mean(1)
    scale = real.norm(dim=-1).clamp_min(1e-30)
    # midpoints that differ by less than float32 can tell are those of a constant output
    ratio = torch.where(below > 1e-7 * scale, above / below.clamp_min(1e-30), torch.nan)
    broken: Float[np.ndarray, " pair"] = ratio.cpu().numpy()
    return broken


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
            out.estimate("broken_fraction", resamples.median(values), **key)


def _interactions(out: Tabulator, stack: Stack) -> None:
    """Rows per site and layer, and of all MLP outputs together."""
    strata = []
    for members, part in stack.by_stratum():
        firsts, lasts = np.unique(part.entities.first), np.unique(part.entities.last)
        mlp_out, resid_post = product_effects(part, firsts, lasts)
        share = len(members) / len(stack.entities)
        strata.append(_Product(share=share, mlp_out=mlp_out, resid_post=resid_post, counts=_counts(out, firsts, lasts)))
    for site in ("mlp_out", "resid_post"):
        for layer, number in enumerate(stack.numbers):
            _interaction(out, strata, site, [layer], {"site": site, "layer": number})
    _interaction(out, strata, "mlp_out", range(len(stack.numbers)), {"site": "mlp_out"})


@dataclass(frozen=True, kw_only=True, eq=False)
class _Product:
    """One stratum's product: the share of the facts in it, its effects per layer, and its parts' counts."""

    share: float
    mlp_out: tuple[Effects, ...]
    resid_post: tuple[Effects, ...]
    counts: tuple[Float[np.ndarray, "resample first"], Float[np.ndarray, "resample last"]]


def _interaction(
    out: Tabulator, strata: Sequence[_Product], site: str, layers: Sequence[int], key: dict[str, Any]
) -> None:
    """√(Σ interaction / Σ total) over cells and layers, a cell weighing the product of its names' counts.

    The mean over strata, weighted by their facts.
    """
    value, n, total, shares = 0.0, 0, 0.0, np.zeros(0)
    for product in strata:
        varying = [e for e in (getattr(product, site)[layer] for layer in layers) if not e.constant]
        if not varying:
            continue
        above, below = np.sum([e.interaction for e in varying], axis=0), np.sum([e.total for e in varying], axis=0)
        # per resample Σ over cells of count(first) · count(last) · cell, without an array of the cells' weights
        weighted = [np.einsum("rl,rl->r", product.counts[0] @ cells, product.counts[1]) for cells in (above, below)]
        resampled = product.share * np.sqrt(ratio(*weighted))
        shares = resampled if not n else shares + resampled
        value += product.share * float(np.sqrt(above.sum() / below.sum()))
        n, total = n + above.size, total + product.share
    if not n:
        reason = "the output is constant over the product, so no share of its variance exists"
        out.absent("interaction_share", reason, **key)
        return
    defined = shares[np.isfinite(shares)] / total
    low, high = np.percentile(defined, (2.5, 97.5)) if 2 * len(defined) >= len(shares) else (None, None)
    estimate = Estimate(
        value=value / total,
        ci_low=None if low is None else float(low),
        ci_high=None if high is None else float(high),
        n=n,
        dropped=len(shares) - len(defined),
    )
    out.estimate("interaction_share", estimate, **key)


def _counts(
    out: Tabulator, firsts: Int[np.ndarray, " first"], lasts: Int[np.ndarray, " last"]
) -> tuple[Float[np.ndarray, "resample first"], Float[np.ndarray, "resample last"]]:
    """How often each first and each last name is drawn: the weights of observations made of one token."""
    none = [np.empty((len(side), 0), dtype=int) for side in (firsts, lasts)]
    first = out.bootstrap.observations(firsts[:, None], none[0])  # type: ignore[attr-defined]
    last = out.bootstrap.observations(none[1], lasts[:, None])  # type: ignore[attr-defined]
    return first.weights, last.weights


def _table(
    stack: Stack, pairs: Sequence[Pair], broken: dict[tuple[str, int], np.ndarray], numbers: Sequence[int]
) -> pd.DataFrame:
    entities = stack.entities
    names = dict(zip(zip(entities.first.tolist(), entities.last.tolist(), strict=True), entities.names, strict=True))
    columns = {f"{site}_{numbers[layer]}": values for (site, layer), values in broken.items()}
    return pd.DataFrame({"a": [names[p.a] for p in pairs], "b": [names[p.b] for p in pairs], **columns})
