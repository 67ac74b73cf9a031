"""Name-only prompts over the product of first and last parts within a stratum, and main effects measured on them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.asking.recall import Recall
from rote.facts.parts import Stratum
from rote.model import Edit, Site
from rote.model.edits import AnyEdit
from rote.model.precision import wide
from rote.statistics import TwoWayFit, rng, two_way_least_squares


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """The first and last parts of one stratum's known names; indices into them name the cells of the product.

    `firsts` and `lasts` are labels, `first_tokens` and `last_tokens` what they are made of; `facts` are the known
    facts of the stratum.
    """

    stratum: Stratum
    facts: Int[np.ndarray, " some"]
    firsts: Int[np.ndarray, " first"]
    lasts: Int[np.ndarray, " last"]
    first_tokens: Int[np.ndarray, "first part"]
    last_tokens: Int[np.ndarray, "last part"]

    @classmethod
    def of(cls, recall: Recall, stratum: Stratum) -> Product:
        """The product of one stratum."""
        facts, p = recall.strata[stratum], recall.prompts
        names = np.array([p.name_tokens[i] for i in facts])
        firsts, of_first = np.unique(p.first[facts], return_index=True)
        lasts, of_last = np.unique(p.last[facts], return_index=True)
        return cls(
            stratum=stratum,
            facts=facts,
            firsts=firsts,
            lasts=lasts,
            first_tokens=names[of_first, : stratum.n_first],
            last_tokens=names[of_last, stratum.n_first :],
        )

    @classmethod
    def all(cls, recall: Recall) -> tuple[Product, ...]:
        """Of every stratum that makes one."""
        return tuple(cls.of(recall, stratum) for stratum in recall.product_strata)

    @property
    def item(self) -> str:
        """What tells this product's random draws from those of longer names."""
        n_first, n_last = self.stratum[1:]
        return "" if (n_first, n_last) == (1, 1) else f"/{self.stratum}"

    def index(
        self, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"]
    ) -> tuple[Int[np.ndarray, " name"], Int[np.ndarray, " name"]]:
        """Labels of parts, all of which are in the product, to indices."""
        return np.searchsorted(self.firsts, first), np.searchsorted(self.lasts, last)

    def own(self, recall: Recall) -> tuple[Int[np.ndarray, " some"], Int[np.ndarray, " some"]]:
        """Indices of the stratum's known names."""
        return self.index(recall.prompts.first[self.facts], recall.prompts.last[self.facts])

    def sample(self, recall: Recall) -> tuple[Int[np.ndarray, " name"], Int[np.ndarray, " name"]]:
        """Cells for main effects: all, where that is at most product_side²; else each part with random partners.

        The study's own names are always among them, so the design is connected.
        """
        n_first, n_last = len(self.firsts), len(self.lasts)
        settings = recall.settings
        if n_first * n_last <= settings.product_side**2:
            grid = np.indices((n_first, n_last)).reshape(2, -1)
            return grid[0], grid[1]
        generator = rng(settings.seed, "product", recall.relation + self.item)
        partners = settings.product_partners
        own = self.own(recall)
        first = np.concatenate([own[0], np.repeat(np.arange(n_first), partners)])
        last = np.concatenate([own[1], generator.integers(n_last, size=n_first * partners)])
        first = np.concatenate([first, generator.integers(n_first, size=n_last * partners)])
        last = np.concatenate([last, np.repeat(np.arange(n_last), partners)])
        cells = np.unique(first * n_last + last)  # one number per cell: a name drawn twice would count twice
        return cells // n_last, cells % n_last

    def side(self, recall: Recall, n: int) -> tuple[Int[np.ndarray, " first"], Int[np.ndarray, " last"]]:
        """Random first and last parts, at most n of each, for a complete sub-product."""
        generator = rng(recall.settings.seed, "product_side", recall.relation + self.item)
        picks = [np.sort(generator.permutation(len(x))[:n]) for x in (self.firsts, self.lasts)]
        return picks[0], picks[1]

    def tokens(
        self, recall: Recall, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"]
    ) -> Int[Tensor, "name pos"]:
        """Name-only prompts of cells: bos where there is one, the tokens of the first part, those of the last."""
        bos = [] if recall.prompts.bos is None else [np.full((len(first), 1), recall.prompts.bos)]
        return torch.as_tensor(np.concatenate([*bos, self.first_tokens[first], self.last_tokens[last]], axis=1))

    def taken(self, names: Collection[tuple[int, ...]]) -> set[tuple[int, int]]:
        """The cells whose whole sequence of tokens is one of the names."""
        row = {tuple(part): i for i, part in enumerate(self.first_tokens.tolist())}
        column = {tuple(part): i for i, part in enumerate(self.last_tokens.tolist())}
        n_first, n = self.stratum.n_first, self.stratum.n_first + self.stratum.n_last
        cut = ((name[:n_first], name[n_first:]) for name in names if len(name) == n)
        return {(row[first], column[last]) for first, last in cut if first in row and last in column}


def in_tables(products: Sequence[Product]) -> Iterator[tuple[Product, int, int]]:
    """Each product with its first rows in two tables that hold the parts of all products after one another."""
    first = last = 0
    for product in products:
        yield product, first, last
        first, last = first + len(product.firsts), last + len(product.lasts)


def read_rows(
    recall: Recall, first: Int[np.ndarray, " name"], last: Int[np.ndarray, " name"], sites: Sequence[Site]
) -> dict[Site, Float[Tensor, "name d_model"]]:
    """`read_names` of names given by their rows in the tables of all products."""
    values: dict[Site, Tensor] = {}
    for product, row, column in in_tables(Product.all(recall)):
        here = np.flatnonzero((first >= row) & (first < row + len(product.firsts)))
        if not len(here):
            continue
        for site, x in read_names(recall, product, first[here] - row, last[here] - column, sites).items():
            into = values.setdefault(site, torch.zeros(len(first), x.shape[1], dtype=x.dtype, device=x.device))
            into[torch.as_tensor(here, device=x.device)] = x
    return values


def read_names(
    recall: Recall,
    product: Product,
    first: Int[np.ndarray, " name"],
    last: Int[np.ndarray, " name"],
    sites: Sequence[Site],
    edits: Sequence[AnyEdit] = (),
) -> dict[Site, Float[Tensor, "name d_model"]]:
    """Sites at the last token of name-only prompts of cells, at least in float32; edits must broadcast over names."""
    return read_last(recall, product.tokens(recall, first, last), sites, edits)


def read_last(
    recall: Recall, tokens: Int[Tensor, "name pos"], sites: Sequence[Site], edits: Sequence[AnyEdit] = ()
) -> dict[Site, Float[Tensor, "name d_model"]]:
    """Sites at the last position of prompts of one length, at least in float32; edits must broadcast over prompts."""
    parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for batch in torch.split(tokens, recall.settings.batch_size * 4):  # rows of a few tokens
        at = torch.full((len(batch),), tokens.shape[1] - 1)
        acts = recall.model.run(batch, read=[site.at(at) for site in sites], edit=list(edits))
        for site in sites:
            parts[site].append(wide(acts[site]))
    return {site: torch.cat(p) for site, p in parts.items()}


def main_effects(
    recall: Recall, product: Product, sites: Sequence[Site], edits: Sequence[Edit] = ()
) -> dict[Site, TwoWayFit]:
    """First-part and last-part main effects of each site over the product, by exact least squares, in float64.

    MeasurementError where the least squares do not converge.
    """
    first, last = product.sample(recall)
    values = read_names(recall, product, first, last, sites, edits)
    return {s: two_way_least_squares(v.double().cpu().numpy(), first, last) for s, v in values.items()}
