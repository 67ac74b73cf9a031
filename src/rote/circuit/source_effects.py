"""Where the heads that write the answer read it: direct effects split by source token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rote.asking.recall import Recall
from rote.circuit.top_heads import Head
from rote.facts.prompts import POSITIONS
from rote.model import Read, Site

NAME = POSITIONS.index("subject_last")
_ROUNDING = 1e-5  # of the largest mean part of any head from any kind of position: less is rounding of 32-bit sums


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceEffects:
    """The parts of each head's direct effect by the kind of position that they come from, in logits.

    Kinds are POSITIONS: bos, prefix, name_early, subject_last, relation_words, end. The six sum to the head's effect.
    """

    parts: Float[np.ndarray, "fact layer head position"]

    def name_heads(self, facts: Bool[np.ndarray, " fact"], n: int, *, above: int = 1) -> tuple[Head, ...]:
        """At most n heads, as (layer, head) from 0, by the signed mean of their part from subject_last, largest first.

        A head whose part speaks against the answer, or is rounding (at most 1e-5 of the largest mean part that any head
        has from anywhere), is none of them. Heads of layer 0 (of those below `above`) are left out where there are
        others: nothing has been looked up where they read.
        """
        least = _ROUNDING * np.abs(self.parts[facts].mean(0)).max()
        means = self.parts[facts, ..., NAME].mean(0)
        if len(means) > above:
            means[:above] = -np.inf
        order = np.argsort(-means, axis=None, kind="stable")[:n]
        return tuple((int(i) // means.shape[1], int(i) % means.shape[1]) for i in order if means.flat[i] > least)


def source_effects(recall: Recall) -> SourceEffects:
    """Split the direct effect of every head exactly by source token.

    part_c = (Σ_{k in c of prompt i} pattern[end, k] · v_k − the same of donor j over its own positions of kind c)
    · W_O, through a norm behind attention and the final norm with fact i's clean scales, times (u[class of i] −
    u[class of j]); averaged over draws. Donors' prompts differ in length, so positions are paired by kind.
    """
    model, prompts, others = recall.model, recall.full, recall.others
    last = Site("resid_post", model.n_layers - 1)
    final, columns = model.final_norm(), model.unembed_columns(prompts.class_tokens)
    final_scale = final.scale(prompts.read([Read(site=last, position=prompts.end)])[last])
    cls = torch.as_tensor(recall.cls)
    layers = []
    for layer in range(model.n_layers):
        sums, scale = _summed_values(recall, layer)
        norm = model.attention_out_norm(layer)
        w_o = torch.stack([model.head(layer, head).w_o for head in range(model.n_heads)])
        written = final.linear(w_o if norm is None else norm.linear(w_o, 1.0), 1.0) @ columns
        total = torch.zeros(sums.shape[:-1], dtype=sums.dtype, device=sums.device)
        for other in others:
            direction = written[..., cls] - written[..., cls[other]]
            total += torch.einsum("fhcd,hdf->fhc", sums - sums[other], direction)
        total /= (final_scale if scale is None else final_scale * scale)[:, None, None]
        layers.append((total / len(others)).cpu().numpy())
    return SourceEffects(parts=np.stack(layers, axis=1))


def _summed_values(
    recall: Recall, layer: int
) -> tuple[Float[Tensor, "fact head position d_head"], Float[Tensor, " fact"] | None]:
    """Σ pattern · v from `end` over each kind of position, and the scale of a norm behind attention at `end`."""
    model, prompts = recall.model, recall.full
    norm, out = model.attention_out_norm(layer), Site("attn_out", layer)
    value, pattern = Site("v", layer), Site("pattern", layer)
    reads = [Read(site=value), Read(site=pattern, position=prompts.end)]
    reads += [] if norm is None else [Read(site=out, position=prompts.end)]
    found = prompts.read(reads)
    spans = recall.prompts.spans()
    kinds = torch.as_tensor(np.stack([spans[kind] for kind in POSITIONS], axis=1)).to(found[value])
    sums = torch.einsum("fck,fhk,fkhd->fhcd", kinds, found[pattern], found[value])
    return sums, None if norm is None else norm.scale(found[out])
