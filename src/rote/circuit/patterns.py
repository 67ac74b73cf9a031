"""Attention patterns of name-only prompts, held at their means within a stratum of names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rote.asking.recall import Recall
from rote.circuit.product import Product
from rote.facts.parts import Stratum
from rote.model import Edit, Site
from rote.model.edits import FunctionEdit
from rote.statistics import rng

LEAST_NAMES = 8  # a stratum with fewer has its patterns from random cells …
N_CELLS = 64  # … so many


def mean_patterns(recall: Recall, stratum: Stratum, layers: Sequence[int]) -> tuple[Edit, ...]:
    """Edits that set the attention patterns of some layers to their means over the name-only prompts of a stratum.

    What a head adds is then a sum over the positions that it attends to, each by itself. The means are over the
    stratum's names, where these are fewer than LEAST_NAMES over N_CELLS random combinations of their parts.
    """
    sites = [Site("pattern", layer) for layer in layers]
    totals: dict[Site, Tensor] = {}
    tokens = _names(recall, stratum)
    for batch in torch.split(tokens, recall.settings.batch_size):
        acts = recall.model.run(batch, read=sites) if sites else {}
        for site in sites:
            totals[site] = totals.get(site, 0) + acts[site].double().sum(0)
    dtype = recall.model.dtype
    return tuple(Edit(site=s, value=(total / len(tokens)).to(dtype)) for s, total in totals.items())


def _names(recall: Recall, stratum: Stratum) -> Tensor:
    facts, names = recall.strata[stratum], recall.name_only
    if len(facts) >= LEAST_NAMES or not stratum.n_first:
        rows = torch.as_tensor(facts)
        return names.tokens[rows, : int(names.end[facts[0]]) + 1]
    product = Product.of(recall, stratum)
    generator = rng(recall.settings.seed, "patterns", f"{recall.relation}/{stratum}")
    cells = generator.permutation(len(product.firsts) * len(product.lasts))[:N_CELLS]
    return product.tokens(recall, cells // len(product.lasts), cells % len(product.lasts))


def frozen_patterns(recall: Recall, layers: Sequence[int]) -> tuple[Edit, ...]:
    """Edits for all name-only prompts, each with the mean patterns of its stratum; padding attends to itself."""
    length = recall.name_only.tokens.shape[1]
    values: dict[Site, Float[Tensor, "fact head query key"]] = {}
    for stratum, facts in recall.strata.items():
        for edit in mean_patterns(recall, stratum, layers):
            assert edit.value is not None
            n_heads, n = edit.value.shape[:2]
            if edit.site not in values:
                eye = torch.eye(length, dtype=edit.value.dtype, device=edit.value.device)
                values[edit.site] = eye.repeat(len(recall), n_heads, 1, 1)
            values[edit.site][torch.as_tensor(facts), :, :n, :n] = edit.value
    return tuple(Edit(site=site, value=value) for site, value in values.items())


def between_parts(recall: Recall, stratum: Stratum, layers: Sequence[int]) -> tuple[FunctionEdit, ...]:
    """Edits that hold only the edges from the last part to the first at their means, for prompts of one stratum.

    The rest of a row stays in its own proportions and takes what these edges leave: how tokens are put together inside
    a part is each name's own.
    """
    bos = int(recall.prompts.bos is not None)
    cut = bos + stratum.n_first
    edges = (slice(None), slice(cut, None), slice(bos, cut))
    return tuple(_held(edit, edges) for edit in mean_patterns(recall, stratum, layers))


def _held(edit: Edit, edges: tuple[slice, slice, slice]) -> FunctionEdit:
    assert edit.value is not None
    mean = edit.value[edges]

    def hold(pattern: Float[Tensor, "row head query key"]) -> Tensor:
        held = pattern[(slice(None), *edges)]
        left, taken = 1 - mean.sum(-1), 1 - held.sum(-1)
        rows = (slice(None), slice(None), edges[1])
        pattern[rows] = pattern[rows] * (left / taken.clamp_min(torch.finfo(pattern.dtype).tiny))[..., None]
        pattern[(slice(None), *edges)] = mean.to(pattern)
        return pattern

    return FunctionEdit(site=edit.site, function=hold)
