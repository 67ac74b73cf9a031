"""Where each family of models keeps its parts: one frozen description per family, one tuple that lists them.

To serve another family, add a `Family`; the self-check at load proves or refutes the description.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rote.errors import ModelRefused


def _never(config: Any) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Family:
    """Module paths of one architecture; paths below `blocks` are relative to a block.

    `fused` says how the query–key–value projection is laid out: separate matrices, concatenated (GPT-2), or
    interleaved per head (GPT-NeoX). `norm_offset` is added to norm weights (Gemma stores weight − 1).
    `parallel(config)` tells whether attention and MLP read the same residual stream.
    """

    model_type: str
    blocks: str
    final_norm: str
    attention: str
    attention_norm: str | None
    value: str
    attention_out: str
    mlp: str
    mlp_norm: str | None
    mlp_in: str
    mlp_out: str
    fused: Literal["separate", "concatenated", "interleaved"] = "separate"
    mlp_gate: str | None = None
    activation: str = "act_fn"
    attention_out_norm: str | None = None
    mlp_out_norm: str | None = None
    norm_offset: float = 0.0
    rotary: bool = True
    parallel: Callable[[Any], bool] = _never


_LLAMA_PARTS: dict[str, Any] = {
    "blocks": "model.layers",
    "final_norm": "model.norm",
    "attention": "self_attn",
    "attention_norm": "input_layernorm",
    "value": "self_attn.v_proj",
    "attention_out": "self_attn.o_proj",
    "mlp": "mlp",
    "mlp_norm": "post_attention_layernorm",
    "mlp_gate": "mlp.gate_proj",
    "mlp_in": "mlp.up_proj",
    "mlp_out": "mlp.down_proj",
}

GPT_NEOX = Family(
    model_type="gpt_neox",
    blocks="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    attention="attention",
    attention_norm="input_layernorm",
    value="attention.query_key_value",
    fused="interleaved",
    attention_out="attention.dense",
    mlp="mlp",
    mlp_norm="post_attention_layernorm",
    mlp_in="mlp.dense_h_to_4h",
    mlp_out="mlp.dense_4h_to_h",
    activation="act",
    parallel=lambda config: bool(config.use_parallel_residual),
)
GPT2 = Family(
    model_type="gpt2",
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    attention="attn",
    attention_norm="ln_1",
    value="attn.c_attn",
    fused="concatenated",
    attention_out="attn.c_proj",
    mlp="mlp",
    mlp_norm="ln_2",
    mlp_in="mlp.c_fc",
    mlp_out="mlp.c_proj",
    activation="act",
    rotary=False,
)
LLAMA = Family(model_type="llama", **_LLAMA_PARTS)
QWEN3 = Family(model_type="qwen3", **_LLAMA_PARTS)
GEMMA2 = Family(
    model_type="gemma2",
    **{
        **_LLAMA_PARTS,
        "mlp_norm": "pre_feedforward_layernorm",
        "attention_out_norm": "post_attention_layernorm",
        "mlp_out_norm": "post_feedforward_layernorm",
        "norm_offset": 1.0,
    },
)

FAMILIES: tuple[Family, ...] = (GPT_NEOX, GPT2, LLAMA, GEMMA2, QWEN3)

# Families whose modules never call the attention function they are given, or need a term it has not.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("falcon", "bloom", "gptj", "gpt_neo", "codegen", "mpt"),
        "its attention modules ignore transformers' AttentionInterface, so patterns could not be read or edited",
    ),
    "gpt_oss": "its attention sinks are a term of the softmax that rote's attention function does not have",
}


def family_of(config: Any) -> Family:
    """The description of a configuration's family; ModelRefused, by name and reason, where there is none."""
    model_type = str(getattr(config, "model_type", "unknown"))
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    served = ", ".join(family.model_type for family in FAMILIES)
    reason = REFUSED.get(model_type, "rote has no description of its modules yet")
    raise ModelRefused(f"models of family {model_type!r} are not served: {reason}; served are {served}")
