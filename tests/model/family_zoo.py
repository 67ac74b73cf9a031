"""A tiny model of every served family, built from its configuration, with every parameter random.

Sliding windows are shorter than the prompts, heads do not fill the residual stream where the family allows it, and
norms, biases and multipliers are far from what would make them an identity.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from rote.model import Model, load_model

VOCAB, N_LAYERS, N_HEADS, LENGTH = 61, 3, 4, 8
IDS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
PLAIN: dict[str, Any] = {
    **IDS,
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": N_HEADS,
    "max_position_embeddings": 32,
}
GROUPED: dict[str, Any] = {**PLAIN, "num_key_value_heads": 2}
WIDE: dict[str, Any] = {**GROUPED, "head_dim": 12}  # 4 heads of 12 are not the width of the residual stream
SLIDING: dict[str, Any] = {
    "sliding_window": 3,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
BIASED: dict[str, Any] = {"attention_bias": True, "mlp_bias": True}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "num_experts": 4, "num_local_experts": 4}
GEMMA: dict[str, Any] = {**WIDE, "query_pre_attn_scalar": 5}
CAPPED: dict[str, Any] = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}
GRANITE: dict[str, Any] = {
    "embedding_multiplier": 3.0,
    "residual_multiplier": 0.3,
    "attention_multiplier": 0.7,
    "logits_scaling": 0.6,
}
GEMMA3: dict[str, Any] = {**GEMMA, **SLIDING, "rope_parameters": None}
BIGCODE: dict[str, Any] = {**IDS, "vocab_size": VOCAB, "n_positions": 32, "n_embd": 32, "n_layer": N_LAYERS}
BIGCODE |= {"n_head": N_HEADS, "n_inner": 24}
HALF_ROTARY: dict[str, Any] = {
    "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
}
ROTARY: dict[str, Any] = {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}

# name → (model_type, configuration); a family with several layouts stands here once for each of them
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox": ("gpt_neox", {**PLAIN, "rotary_pct": 0.5, "use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", {**PLAIN, "use_parallel_residual": False}),
    "gpt2": ("gpt2", {**BIGCODE, "scale_attn_by_inverse_layer_idx": True}),
    "gpt_bigcode": ("gpt_bigcode", {**BIGCODE, "multi_query": True}),
    "gpt_bigcode_multi_head": ("gpt_bigcode", {**BIGCODE, "multi_query": False}),
    "llama": ("llama", {**GROUPED, "head_dim": 8, **BIASED}),
    "qwen3": ("qwen3", {**WIDE, **ROTARY}),
    "gemma": ("gemma", {**WIDE, "num_key_value_heads": 1}),
    "gemma2": ("gemma2", {**GEMMA, **SLIDING, **CAPPED}),
    "gemma3_text": ("gemma3_text", {**GEMMA3, "final_logit_softcapping": 5.0}),
    "olmo": ("olmo", {**GROUPED, "clip_qkv": 0.5}),
    "olmo2": ("olmo2", GROUPED),
    "phi": ("phi", {**GROUPED, **HALF_ROTARY, "qk_layernorm": True}),
    "phi3": ("phi3", {**GROUPED, "sliding_window": 3}),
    "stablelm": (
        "stablelm",
        {**GROUPED, **HALF_ROTARY, "use_parallel_residual": False, "qk_layernorm": True, "use_qkv_bias": True},
    ),
    "stablelm_parallel": ("stablelm", {**GROUPED, **HALF_ROTARY, "use_parallel_residual": True}),
    "starcoder2": ("starcoder2", {**GROUPED, "sliding_window": 3}),
    "cohere": ("cohere", {**GROUPED, "logit_scale": 0.4, "use_qk_norm": True}),
    "granite": ("granite", {**GROUPED, **GRANITE, **BIASED}),
    "glm4": ("glm4", {**WIDE, "attention_bias": True}),
    "mixtral": ("mixtral", {**GROUPED, **EXPERTS, "sliding_window": 3}),
    "olmoe": ("olmoe", {**GROUPED, **EXPERTS, "clip_qkv": 0.5}),
    "opt": (
        "opt",
        {**PLAIN, "ffn_dim": 24, "word_embed_proj_dim": 32, "do_layer_norm_before": True, "dropout": 0.1},
    ),
    "biogpt": ("biogpt", PLAIN),
    "persimmon": ("persimmon", {**PLAIN, **HALF_ROTARY, "qk_layernorm": True}),
    "mistral": ("mistral", {**WIDE, "sliding_window": 3}),
    "ministral": ("ministral", {**WIDE, **SLIDING}),
    "ministral3": ("ministral3", WIDE),
    "qwen2": ("qwen2", {**GROUPED, **SLIDING, "use_sliding_window": True}),
    "smollm3": ("smollm3", {**GROUPED, "no_rope_layers": [1, 0, 1]}),
    "helium": ("helium", {**GROUPED, "head_dim": 8}),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", WIDE),
    "cwm": ("cwm", {**WIDE, **SLIDING}),
    "ernie4_5": ("ernie4_5", {**WIDE, "use_bias": True}),
    "seed_oss": ("seed_oss", {**WIDE, **BIASED}),
    "arcee": ("arcee", {**WIDE, **BIASED}),
    "jais2": ("jais2", {**WIDE, **BIASED}),
    "olmo3": ("olmo3", {**GROUPED, **SLIDING}),
    "exaone4": ("exaone4", {**WIDE, **SLIDING}),
    "qwen2_moe": (
        "qwen2_moe",
        {**GROUPED, **EXPERTS, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
    ),
    "qwen3_moe": ("qwen3_moe", {**WIDE, **EXPERTS, "moe_intermediate_size": 16, "mlp_only_layers": [1]}),
    "phimoe": ("phimoe", {**GROUPED, **EXPERTS, "attention_bias": True, "lm_head_bias": True}),
    "flex_olmo": ("flex_olmo", {**GROUPED, **EXPERTS}),
    "granitemoe": ("granitemoe", {**GROUPED, **EXPERTS, **GRANITE}),
    "apertus": ("apertus", WIDE),
    "nemotron": ("nemotron", {**WIDE, **BIASED}),
    "glm": ("glm", {**WIDE, "attention_bias": True}),
    "cohere2": ("cohere2", {**WIDE, **SLIDING, "logit_scale": 0.4}),
    "vaultgemma": ("vaultgemma", {**GEMMA, **SLIDING, **CAPPED}),
    "gemma3": ("gemma3", GEMMA3),
}
NAMES = tuple(CONFIGS)


def configuration(name: str, **changes: Any) -> Any:
    model_type, options = CONFIGS[name]
    if model_type != "gemma3":
        return AutoConfig.for_model(model_type, **{**options, **changes})
    text = AutoConfig.for_model("gemma3_text", **{**options, **changes}).to_dict()
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision |= {"image_size": 28, "patch_size": 14}
    return AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, mm_tokens_per_image=4)


def build(name: str, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> nn.Module:
    """A fresh model in eager attention; norms and biases are random too, so that none is an identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(configuration(name, **changes), attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(parameter.nan_to_num() + 0.2 * torch.randn_like(parameter))
    return module.to(dtype)


@cache
def shared(name: str) -> nn.Module:
    """One model of this kind for all tests that leave it as it is."""
    return build(name)


@cache
def served(name: str) -> Model:
    return load_model(shared(name), tokenizer=object(), name=name, check=False)


def tokens(rows: int = 3, length: int = LENGTH, seed: int = 1) -> Tensor:
    return torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def hugging_face(module: nn.Module, ids: Tensor, **options: Any) -> Tensor:
    with torch.no_grad():
        return module(ids, use_cache=False, **options).logits
