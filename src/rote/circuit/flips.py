"""The causal check of a readout: a subspace at the name, patched from another entity, turns the answer into that one's.

What a subspace does is told from what its rank does by random subspaces: in all of d_model, and within what heads'
values can see at all (384 of 576 dimensions of a small model flip the answer by themselves).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rote.asking.recall import Recall
from rote.circuit.top_heads import Head, head_values
from rote.model import Edit, Site

Basis = Float[Tensor, "d_model rank"]  # orthonormal columns
Flips = Bool[np.ndarray, "draw fact"]
_ROUNDING = 1e-5  # of the largest singular value: less is no direction of its own


def patch_layer(heads: Sequence[Head]) -> int:
    """The block before which a readout's subspace is patched: that of the earliest of its heads."""
    return min(layer for layer, _ in heads)


def readout_basis(weight: Float[Tensor, "d_model cls"]) -> Basis:
    """The span of a readout's centred columns; of many classes the d_model/4 leading directions."""
    centred = weight - weight.mean(1, keepdim=True)
    # centred columns sum to 0, so the rank is one less than the classes
    return _span(centred, at_most=min(centred.shape[1] - 1, max(centred.shape[0] // 4, 1)))


def value_span(recall: Recall, heads: Sequence[Head]) -> Basis:
    """All that the heads' values can see: the span of N · W_V over heads, N the norm's weights and centring."""
    model = recall.model
    x = torch.eye(model.d_model, device=model.device, dtype=torch.promote_types(model.dtype, torch.float32))
    seen = []
    for layer, head in heads:
        norm = model.attention_norm(layer)
        seen.append((x if norm is None else norm.linear(x, 1.0)) @ model.head(layer, head).w_v)
    return _span(torch.cat(seen, dim=1))


def _span(columns: Float[Tensor, "d_model column"], *, at_most: int | None = None, size: float | None = None) -> Basis:
    """Directions by their singular values; those that are rounding, beside `size` or the largest, are left out."""
    vectors, sizes, _ = torch.linalg.svd(columns)
    rank = int((sizes > _ROUNDING * (sizes[0] if size is None else size)).sum())
    taken: Tensor = vectors[:, : rank if at_most is None else min(rank, at_most)]
    return taken


def random_basis(n: int, rank: int, generator: np.random.Generator) -> Float[Tensor, "n rank"]:
    """A random subspace of n dimensions, in float64."""
    noise = torch.as_tensor(generator.standard_normal((n, rank)), dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(noise)[0]
    return basis


def random_within(span: Basis, rank: int, generator: np.random.Generator) -> Basis:
    """A random subspace of a span; of the whole span where that is no larger."""
    n = span.shape[1]
    return span @ random_basis(n, min(rank, n), generator).to(span)


def has_room(span: Basis, rank: int) -> bool:
    """Whether random subspaces of a rank within a span tell anything: they hold half of it at most.

    What lies in a span of s dimensions has, on the mean, rank / s of its square in a random subspace of it. So those of
    a span hardly larger than a readout are that readout over again, and no control. Ranks are numerical: singular
    values up to 1e-5 of the largest are none.
    """
    return 2 * rank <= span.shape[1]


def projected(basis: Basis, onto: Basis) -> tuple[Basis, Basis]:
    """What a subspace has inside a span and what it has outside of it (Makelov et al. 2023: row and null part)."""
    basis, onto = basis.double(), onto.double()
    inside = onto @ (onto.T @ basis)
    return _span(inside, size=1.0), _span(basis - inside, size=1.0)


def flips(recall: Recall, basis: Basis, layer: int) -> Flips:
    """x ← x + P(x_other − x) at subject_last before a block: does the answer become the other entity's class?"""
    change = Site("resid_pre", layer)
    return _flipped(
        recall,
        [
            [Edit(site=change, change="add", value=shift, position=recall.full.subject_last)]
            for shift in _shifts(recall, basis, layer)
        ],
    )


def value_flips(recall: Recall, basis: Basis, heads: Sequence[Head]) -> Flips:
    """The same change as seen by the values of these heads alone, everything after them running again."""
    layer, draws = patch_layer(heads), []
    streams = recall.at_subject("attn_in", tuple(sorted({layer for layer, _ in heads})))
    for shift in _shifts(recall, basis, layer):
        draws.append(
            [
                Edit(
                    site=Site("v", number),
                    value=head_values(recall, (number, head), streams[number] + shift),
                    position=recall.full.subject_last,
                    head=head,
                )
                for number, head in heads
            ]
        )
    return _flipped(recall, draws)


def _shifts(recall: Recall, basis: Basis, layer: int) -> list[Float[Tensor, "fact d_model"]]:
    """P(x_other − x) per draw."""
    x = recall.at_subject("resid_pre", (layer,))[layer]
    space = basis.to(x)
    return [(x[other] - x) @ space @ space.T for other in recall.others]


def _flipped(recall: Recall, draws: Sequence[Sequence[Edit]]) -> Flips:
    rows = []
    for edits, other in zip(draws, recall.others.numpy(), strict=True):
        predicted = recall.full.forward(edits).scores.class_logits.argmax(-1).cpu().numpy()
        rows.append(predicted == recall.cls[other])
    return np.stack(rows)
