"""Which heads and MLPs write the answer: direct effects at the prompt's end, and the heads ranked by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.asking.recall import Recall
from rote.model import Read, Site


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectEffects:
    """Drop of logit[clean class] − logit[other class] per node, fact by fact, in logits."""

    heads: Float[np.ndarray, "fact layer head"]
    mlps: Float[np.ndarray, "fact layer"]

    def top_heads(self, facts: np.ndarray, n: int, *, above: int = 1) -> tuple[tuple[int, int], ...]:
        """The n heads, as (layer, head) from 0, with the largest mean effect over the given facts, largest first.

        Heads of layer 0 (of those below `above`) are left out where there are others: nothing has been looked up
        where they read.
        """
        means = self.heads[facts].mean(0)
        if len(means) > above:
            means[:above] = -np.inf
        order = np.argsort(-means, axis=None, kind="stable")[: min(n, int(np.isfinite(means).sum()))]
        return tuple((int(i) // means.shape[1], int(i) % means.shape[1]) for i in order)


def direct_effects(recall: Recall) -> DirectEffects:
    """Replace one node's output at `end`, along the direct path into the unembedding only.

    effect_i = (o_i − o_j) folded through the final norm with its scale frozen at fact i's clean run, times
    (u[class of i] − u[class of j]), where j is a random fact of another class; averaged over draws. A drop
    counts positive. Source: Fact Finding, post 2. Logits before any soft-capping.
    """
    parts = _class_logits(recall)
    cls, others = torch.as_tensor(recall.cls), recall.others
    total: Tensor | None = None
    for other in others:
        effect = _drop(parts, cls, other)
        total = effect if total is None else total + effect
    assert total is not None
    mean = (total / len(others)).cpu().numpy()
    n_heads = recall.model.n_layers * recall.model.n_heads
    shape = (len(recall), recall.model.n_layers, recall.model.n_heads)
    return DirectEffects(heads=mean[:, :n_heads].reshape(shape), mlps=mean[:, n_heads:])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parts:
    """Each node's contribution to the class logits before the final scale, and the final scale."""

    logits: Float[Tensor, "fact node cls"]
    out_scale: Float[Tensor, "fact node"]  # of a norm that follows the output; 1 where there is none
    final_scale: Float[Tensor, " fact"]


def _drop(parts: _Parts, cls: Int[Tensor, " fact"], other: Int[Tensor, " fact"]) -> Float[Tensor, "fact node"]:
    rows = torch.arange(len(cls))
    difference = parts.logits[rows, :, cls] - parts.logits[rows, :, cls[other]]
    swapped = parts.logits[other, :, cls] - parts.logits[other, :, cls[other]]
    # scales are of fact i's clean run for both terms: only what the node writes is taken from fact j
    return (difference - swapped) / parts.out_scale / parts.final_scale[:, None]


def _class_logits(recall: Recall) -> _Parts:
    model, end = recall.model, recall.full.end
    layers = range(model.n_layers)
    last = Site("resid_post", model.n_layers - 1)
    reads = [Read(site=Site(n, layer), position=end) for layer in layers for n in ("z", "attn_out", "mlp_out")]
    values = recall.full.read([*reads, Read(site=last, position=end)])
    final = model.final_norm()
    columns = model.unembed_columns(recall.full.class_tokens)
    logits, scales = [], []
    for layer in layers:
        norm = model.attention_out_norm(layer)
        scale = None if norm is None else norm.scale(values[Site("attn_out", layer)])
        for head in range(model.n_heads):
            out = values[Site("z", layer)][:, head] @ model.head(layer, head).w_o
            # with scales of 1 the maps are the same for all facts: swapping in fact j is then a matter of indices
            logits.append(final.linear(out if norm is None else norm.linear(out, 1.0), 1.0) @ columns)
            scales.append(torch.ones(len(recall)) if scale is None else scale)
    for layer in layers:
        norm, out = model.mlp_out_norm(layer), values[Site("mlp_out", layer)]
        logits.append(final.linear(out if norm is None else norm.linear(out, 1.0), 1.0) @ columns)
        scales.append(torch.ones(len(recall)) if norm is None else norm.scale(out))
    device = logits[0].device
    return _Parts(
        logits=torch.stack(logits, 1),
        out_scale=torch.stack([s.to(device) for s in scales], 1),
        final_scale=final.scale(values[last]),
    )
