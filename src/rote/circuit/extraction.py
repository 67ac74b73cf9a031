"""The readout: the linear map from the residual stream at the name's last token to class scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.asking.recall import Recall
from rote.circuit.top_heads import Head
from rote.model import Edit, Read, Site
from rote.stack import Readout


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How the residual stream at subject_last is made before it is read."""

    name: str
    name_only: bool = False
    late_attention_ablated: bool = False
    first_mlps_ablated: bool = False


CONDITIONS = (
    Condition(name="full"),
    Condition(name="name_only", name_only=True),
    Condition(name="late_attention_ablated", late_attention_ablated=True),
    Condition(name="both", name_only=True, late_attention_ablated=True),
    Condition(name="both_first_mlps_ablated", name_only=True, late_attention_ablated=True, first_mlps_ablated=True),
)


def head_readouts(recall: Recall, heads: Sequence[Head]) -> tuple[Readout, ...]:
    """The readouts of the first 1, 2, … heads.

    weight = Σ_h p̄_h · N_h · W_V W_O · N_final · U[classes], where N are norms with their weights and centring, and
    with scales frozen at their means over the selection half (N_h at subject_last, N_final at `end`), and p̄_h is
    the head's mean attention from `end` to subject_last. Source: Fact Finding, post 2.
    """
    if tuple(heads) in recall.readouts:
        return recall.readouts[tuple(heads)]
    model, prompts, use = recall.model, recall.full, torch.as_tensor(recall.selection)
    last = Site("resid_post", model.n_layers - 1)
    final, columns = model.final_norm(), model.unembed_columns(prompts.class_tokens)
    final_scale = float(final.scale(prompts.read([Read(site=last, position=prompts.end)])[last])[use].mean())
    weight = torch.zeros(model.d_model, len(recall.prompts.classes), device=columns.device, dtype=columns.dtype)
    readouts = []
    centre = recall.at_subject("resid_pre", (heads[0][0],))[heads[0][0]].mean(0)
    for layer, head in heads:
        written = _head_map(recall, layer, head, use)
        weight = weight + final.linear(written, final_scale) @ columns
        readouts.append(Readout(relation=recall.relation, classes=recall.prompts.classes, weight=weight, centre=centre))
    recall.readouts[tuple(heads)] = tuple(readouts)
    return recall.readouts[tuple(heads)]


def _head_map(recall: Recall, layer: int, head: int, use: Tensor) -> Float[Tensor, "d_model d_model"]:
    """What the head writes at `end` for each direction of the residual stream at subject_last."""
    model, prompts = recall.model, recall.full
    before, after = model.attention_norm(layer), model.attention_out_norm(layer)
    # the identity sent through the head gives its matrix, norms and all, by the functions that serve activations
    x = torch.eye(model.d_model, device=model.device, dtype=torch.promote_types(model.dtype, torch.float32))
    if before is not None:
        x = before.linear(x, float(before.scale(recall.at_subject("attn_in", (layer,))[layer])[use].mean()))
    ov = model.head(layer, head)
    x = x @ ov.w_v @ ov.w_o * float(_mean_attention(recall, layer, head)[use].mean())
    if after is not None:
        site = Site("attn_out", layer)
        scale = after.scale(prompts.read([Read(site=site, position=prompts.end)])[site])
        x = after.linear(x, float(scale[use].mean()))
    return x


def _mean_attention(recall: Recall, layer: int, head: int) -> Float[Tensor, " fact"]:
    """Attention from `end` to subject_last, per fact."""
    prompts, site = recall.full, Site("pattern", layer)
    pattern = prompts.read([Read(site=site, position=prompts.end)])[site]
    return pattern[torch.arange(len(pattern)), head, prompts.subject_last]


def answer_ranks(
    readout: Readout, x: Float[Tensor, "fact d_model"], cls: Int[np.ndarray, " fact"]
) -> Int[np.ndarray, " fact"]:
    """The right class's place among all classes by the readout's scores on x, from 1."""
    scores = readout.centred_on(x).scores(x)
    right = scores[torch.arange(len(cls)), torch.as_tensor(cls)]
    ranks: Int[np.ndarray, " fact"] = 1 + (scores > right[:, None]).sum(-1).cpu().numpy()
    return ranks


def condition_edits(
    recall: Recall, condition: Condition, how: str, attention_from: int, first_mlps: Sequence[int]
) -> list[list[Edit]]:
    """The edits of one condition, per draw; ablated values come from the same kind of prompt."""
    prompts = recall.name_only if condition.name_only else recall.full
    clean: dict[Site, Tensor] = {}
    if condition.late_attention_ablated:
        layers = tuple(range(attention_from, recall.model.n_layers))
        clean |= recall.contributions("attn", layers, name_only=condition.name_only)
    if condition.first_mlps_ablated:
        clean |= recall.contributions("mlp", tuple(first_mlps), name_only=condition.name_only)
    return recall.ablations(clean, how, prompts.subject_last) if clean else [[]]


def residuals(
    recall: Recall, edits: Sequence[Edit], layers: Sequence[int], *, name_only: bool
) -> dict[int, Float[Tensor, "fact d_model"]]:
    """The residual stream at subject_last after each layer (−1: before block 0) under some edits."""
    prompts = recall.name_only if name_only else recall.full
    sites = {layer: Site("resid_post", layer) if layer >= 0 else Site("embed") for layer in layers}
    values = prompts.read([Read(site=s, position=prompts.subject_last) for s in sites.values()], edits)
    return {layer: values[site] for layer, site in sites.items()}
