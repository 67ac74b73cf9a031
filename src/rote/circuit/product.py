"""Name-only prompts over the product of first and last names, and main effects measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.asking.recall import Recall
from rote.model import Edit, Site
from rote.model.precision import wide
from rote.statistics import TwoWayFit, rng, two_way_least_squares


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """The study's first and last name tokens; indices into them name the cells of the product."""

    firsts: Int[np.ndarray, " first"]
    lasts: Int[np.ndarray, " last"]

    @classmethod
    def of(cls, recall: Recall) -> Product:
        """The product of the tokens of all known two-token names."""
        facts = recall.two_token
        return cls(firsts=np.unique(recall.prompts.first[facts]), lasts=np.unique(recall.prompts.last[facts]))

    def index(
        self, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"]
    ) -> tuple[Int[np.ndarray, " name"], Int[np.ndarray, " name"]]:
        """Token ids, all of which are in the product, to indices."""
        return np.searchsorted(self.firsts, first), np.searchsorted(self.lasts, last)

    def sample(self, recall: Recall) -> tuple[Int[np.ndarray, " name"], Int[np.ndarray, " name"]]:
        """Cells for main effects: all, where that is at most product_side²; else each name with random partners.

        The study's own names are always among them, so the design is connected.
        """
        n_first, n_last = len(self.firsts), len(self.lasts)
        settings = recall.settings
        if n_first * n_last <= settings.product_side**2:
            grid = np.indices((n_first, n_last)).reshape(2, -1)
            return grid[0], grid[1]
        generator = rng(settings.seed, "product", recall.relation)
        partners = settings.product_partners
        facts = recall.two_token
        own = self.index(recall.prompts.first[facts], recall.prompts.last[facts])
        first = np.concatenate([own[0], np.repeat(np.arange(n_first), partners)])
        last = np.concatenate([own[1], generator.integers(n_last, size=n_first * partners)])
        first = np.concatenate([first, generator.integers(n_first, size=n_last * partners)])
        last = np.concatenate([last, np.repeat(np.arange(n_last), partners)])
        cells = np.unique(first * n_last + last)  # one number per cell: a name drawn twice would count twice
        return cells // n_last, cells % n_last

    def side(self, recall: Recall, n: int) -> tuple[Int[np.ndarray, " first"], Int[np.ndarray, " last"]]:
        """Random first and last names, at most n of each, for a complete sub-product."""
        generator = rng(recall.settings.seed, "product_side", recall.relation)
        picks = [np.sort(generator.permutation(len(x))[:n]) for x in (self.firsts, self.lasts)]
        return picks[0], picks[1]


def read_names(
    recall: Recall,
    product: Product,
    first: Int[np.ndarray, " name"],
    last: Int[np.ndarray, " name"],
    sites: Sequence[Site],
    edits: Sequence[Edit] = (),
) -> dict[Site, Float[Tensor, "name d_model"]]:
    """Sites at the last token of name-only prompts, at least in float32; edits must broadcast over names."""
    start = [] if recall.prompts.bos is None else [recall.prompts.bos]
    columns = [np.full(len(first), t) for t in start] + [product.firsts[first], product.lasts[last]]
    tokens = torch.as_tensor(np.stack(columns, axis=1))
    position = tokens.shape[1] - 1
    parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for batch in torch.split(tokens, recall.settings.batch_size * 4):  # rows of two or three tokens
        at = torch.full((len(batch),), position)
        acts = recall.model.run(batch, read=[site.at(at) for site in sites], edit=list(edits))
        for site in sites:
            parts[site].append(wide(acts[site]))
    return {site: torch.cat(p) for site, p in parts.items()}


def main_effects(
    recall: Recall, product: Product, sites: Sequence[Site], edits: Sequence[Edit] = ()
) -> dict[Site, TwoWayFit]:
    """First-name and last-name main effects of each site over the product, by exact least squares, in float64.

    MeasurementError where the least squares do not converge.
    """
    first, last = product.sample(recall)
    values = read_names(recall, product, first, last, sites, edits)
    return {s: two_way_least_squares(v.double().cpu().numpy(), first, last) for s, v in values.items()}


def frozen_patterns(recall: Recall, layers: Sequence[int]) -> tuple[Edit, ...]:
    """Edits that set the attention patterns of some layers to their means over the two-token name-only prompts.

    What a head adds is then a sum over the positions that it attends to, each by itself. NotApplicable where too few
    names have two tokens.
    """
    facts = torch.as_tensor(recall.require_two_token())
    names = recall.name_only
    length = int(names.end[facts[0]]) + 1  # the same for all, so patterns are averaged place by place
    sites = [Site("pattern", layer) for layer in layers]
    totals: dict[Site, Tensor] = {}
    for rows in torch.split(facts, recall.settings.batch_size):
        acts = recall.model.run(names.tokens[rows, :length], read=sites) if sites else {}
        for site in sites:
            totals[site] = totals.get(site, 0) + acts[site].double().sum(0)
    dtype = recall.model.dtype
    return tuple(Edit(site=s, value=(total / len(facts)).to(dtype)) for s, total in totals.items())
