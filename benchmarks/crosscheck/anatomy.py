"""Where the three families keep their parts in transformers, for tools that show its modules as they are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Attribute paths below the causal model, and below a block."""

    base: str
    blocks: str
    final: str
    attention: str
    qkv: tuple[str, ...]  # one fused projection, or three
    attention_out: str
    mlp: str
    mlp_norm: str
    mlp_pre: str
    mlp_down: str


FAMILIES = {
    "gpt_neox": Anatomy(
        base="gpt_neox",
        blocks="gpt_neox.layers",
        final="gpt_neox.final_layer_norm",
        attention="attention",
        qkv=("attention.query_key_value",),
        attention_out="attention.dense",
        mlp="mlp",
        mlp_norm="post_attention_layernorm",
        mlp_pre="mlp.dense_h_to_4h",
        mlp_down="mlp.dense_4h_to_h",
    ),
    "gpt2": Anatomy(
        base="transformer",
        blocks="transformer.h",
        final="transformer.ln_f",
        attention="attn",
        qkv=("attn.c_attn",),
        attention_out="attn.c_proj",
        mlp="mlp",
        mlp_norm="ln_2",
        mlp_pre="mlp.c_fc",
        mlp_down="mlp.c_proj",
    ),
    "llama": Anatomy(
        base="model",
        blocks="model.layers",
        final="model.norm",
        attention="self_attn",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        attention_out="self_attn.o_proj",
        mlp="mlp",
        mlp_norm="post_attention_layernorm",
        mlp_pre="mlp.gate_proj",
        mlp_down="mlp.down_proj",
    ),
}


def get(root: Any, path: str) -> Any:
    """The attribute at a dotted path."""
    for name in path.split("."):
        root = getattr(root, name)
    return root


def heads_of(family: str, projections: list[Tensor], n_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v [row, pos, head, d_head], before rotation and before repetition, from the projections' outputs."""
    if family == "gpt_neox":
        q, k, v = projections[0].unflatten(-1, (n_heads, -1)).chunk(3, dim=-1)
        return q, k, v
    if family == "gpt2":
        q, k, v = projections[0].unflatten(-1, (3, n_heads, -1)).unbind(2)
        return q, k, v
    width = projections[0].shape[-1] // n_heads
    q, k, v = (x.unflatten(-1, (-1, width)) for x in projections)
    return q, k, v


def into_product(module: Any, family: str, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As they enter the dot product: rotated by the family's own functions, keys and values repeated."""
    if family != "gpt2":
        base = get(module, FAMILIES[family].base)
        positions = torch.arange(q.shape[1])[None]
        cos, sin = base.rotary_emb(q, positions)
        rotate = sys.modules[type(base).__module__].apply_rotary_pos_emb
        q, k = (x.transpose(1, 2) for x in rotate(q.transpose(1, 2), k.transpose(1, 2), cos, sin))
    groups = q.shape[2] // k.shape[2]
    return q, k.repeat_interleave(groups, 2), v.repeat_interleave(groups, 2)


def output_matrix(module: Any, family: str, layer: int, n_heads: int) -> Tensor:
    """W_O [head, d_head, d_model]."""
    blocks, parts = get(module, FAMILIES[family].blocks), FAMILIES[family]
    weight = get(blocks[layer], parts.attention_out).weight.detach()
    return (weight if family == "gpt2" else weight.T).unflatten(0, (n_heads, -1))


def final_scale(module: Any, family: str, resid: Tensor) -> tuple[Tensor, Tensor]:
    """The final norm's scale for a residual stream, and its weight."""
    norm = get(module, FAMILIES[family].final)
    eps = getattr(norm, "eps", None) or norm.variance_epsilon
    x = resid - resid.mean(-1, keepdim=True) if centred(family) else resid
    return (x.pow(2).mean(-1) + eps).sqrt(), norm.weight.detach()


def centred(family: str) -> bool:
    return family != "llama"
