"""Tiny models of every served family, with all parameters perturbed, and slow twins written with plain hooks.

Nothing here uses rote: the paths below are written out a second time, so that a wrong path in rote shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

VOCAB, N_LAYERS, N_HEADS = 61, 3, 4
SHARED: dict[str, Any] = {"vocab_size": VOCAB, "max_position_embeddings": 32, "num_attention_heads": N_HEADS}
GROUPED: dict[str, Any] = {**SHARED, "num_hidden_layers": N_LAYERS, "num_key_value_heads": 2, "intermediate_size": 20}
NEOX: dict[str, Any] = {
    **SHARED,
    "num_hidden_layers": N_LAYERS,
    "hidden_size": 32,
    "intermediate_size": 20,
    "rotary_pct": 0.5,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox": ("gpt_neox", {**NEOX, "use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", {**NEOX, "use_parallel_residual": False}),
    "gpt2": (
        "gpt2",
        {
            "vocab_size": VOCAB,
            "n_positions": 32,
            "n_embd": 24,
            "n_layer": N_LAYERS,
            "n_head": N_HEADS,
            "n_inner": 20,
            "scale_attn_by_inverse_layer_idx": True,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "llama": ("llama", {**GROUPED, "hidden_size": 24, "head_dim": 6, "attention_bias": True, "mlp_bias": True}),
    "gemma2": (
        "gemma2",
        {
            **GROUPED,
            "hidden_size": 24,
            "head_dim": 8,  # 4 heads of 8 are not the width of the residual stream
            "query_pre_attn_scalar": 8,
            "sliding_window": 3,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 5.0,
        },
    ),
    "qwen3": ("qwen3", {**GROUPED, "hidden_size": 24, "head_dim": 8, "rope_theta": 100.0}),
}
NAMES = tuple(CONFIGS)
PARALLEL = ("gpt_neox",)
WITH_OUT_NORMS = ("gemma2",)

_LLAMA = {
    "block": "model.layers.{}",
    "final": "model.norm",
    "attention": "self_attn",
    "attention_norm": "input_layernorm",
    "attention_out": "self_attn.o_proj",
    "mlp": "mlp",
    "mlp_norm": "post_attention_layernorm",
    "mlp_first": "mlp.gate_proj",
    "mlp_last": "mlp.down_proj",
}
_NEOX = {
    "block": "gpt_neox.layers.{}",
    "final": "gpt_neox.final_layer_norm",
    "attention": "attention",
    "attention_norm": "input_layernorm",
    "attention_out": "attention.dense",
    "mlp": "mlp",
    "mlp_norm": "post_attention_layernorm",
    "mlp_first": "mlp.dense_h_to_4h",
    "mlp_last": "mlp.dense_4h_to_h",
}
_PATHS: dict[str, dict[str, str]] = {
    "gpt_neox": _NEOX,
    "gpt_neox_sequential": _NEOX,
    "gpt2": {
        "block": "transformer.h.{}",
        "final": "transformer.ln_f",
        "attention": "attn",
        "attention_norm": "ln_1",
        "attention_out": "attn.c_proj",
        "mlp": "mlp",
        "mlp_norm": "ln_2",
        "mlp_first": "mlp.c_fc",
        "mlp_last": "mlp.c_proj",
    },
    "llama": _LLAMA,
    "gemma2": {
        **_LLAMA,
        "mlp_norm": "pre_feedforward_layernorm",
        "attention_out_norm": "post_attention_layernorm",
        "mlp_out_norm": "post_feedforward_layernorm",
    },
    "qwen3": _LLAMA,
}
_SIDES = {
    "resid_pre": ("", "in"),
    "attn_in": ("attention_norm", "in"),
    "z": ("attention_out", "in"),
    "attn_out": ("attention_out", "out"),
    "attn_out_post": ("attention_out_norm", "out"),
    "mlp_in": ("mlp_norm", "in"),
    "mlp_pre": ("mlp_first", "out"),
    "mlp_post": ("mlp_last", "in"),
    "mlp_out": ("mlp", "out"),
    "mlp_out_post": ("mlp_out_norm", "out"),
    "resid_post": ("", "out"),
}
Change = tuple[str, str, Callable[[Tensor], Tensor]]


def build(name: str, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> nn.Module:
    """A fresh model of this kind in eager attention; norms and biases are random too, so that none is an identity."""
    model_type, options = CONFIGS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(model_type, **{**options, **changes})
        module = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return module.to(dtype)


@cache
def shared(name: str) -> nn.Module:
    """One model of this kind for all tests that leave it as it is."""
    return build(name)


def tokens(rows: int = 3, length: int = 8, seed: int = 1) -> Tensor:
    return torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def noise(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sites(name: str) -> list[tuple[str, int] | str]:
    """Every place of this kind of model, as rote names them."""
    layered = [*_SIDES, "q", "k", "v", "scores", "pattern", "resid_mid"]
    if name not in WITH_OUT_NORMS:
        layered = [site for site in layered if not site.endswith("_out_post")]
    if name in PARALLEL:
        layered.remove("resid_mid")
    return ["embed", *[(site, layer) for layer in range(N_LAYERS) for site in layered], "final", "logits"]


def path(name: str, part: str, layer: int) -> str:
    """A part's module path, written out."""
    paths = _PATHS[name]
    block = paths["block"].format(layer)
    return f"{block}.{paths[part]}" if part else block


def place(name: str, site: str, layer: int) -> tuple[str, str]:
    """Module path and side of a site."""
    if site == "embed":
        return path(name, "", 0), "in"
    if site == "final":
        return _PATHS[name]["final"], "out"
    part, side = _SIDES[site]
    return path(name, part, layer), side


def slow_logits(module: nn.Module, ids: Tensor, changes: Sequence[Change] = (), mask: Tensor | None = None) -> Tensor:
    """Hugging Face's logits under plain hooks, each a (module path, side, function)."""
    return slow_run(module, ids, changes, mask).logits


def slow_run(
    module: nn.Module, ids: Tensor, changes: Sequence[Change] = (), mask: Tensor | None = None, **options: Any
) -> Any:
    handles = [_hook(module.get_submodule(where), side, function) for where, side, function in changes]
    try:
        with torch.no_grad():
            return module(ids, attention_mask=mask, use_cache=False, **options)
    finally:
        for handle in handles:
            handle.remove()


def slow_read(module: nn.Module, ids: Tensor, where: str, side: str) -> Tensor:
    seen: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x

    slow_run(module, ids, [(where, side, keep)])
    return seen[0]


def _hook(module: nn.Module, side: str, function: Callable[[Tensor], Tensor]) -> Any:
    if side == "in":

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (function(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": function(kwargs["hidden_states"])}

        return module.register_forward_pre_hook(before, with_kwargs=True)
    if side == "mask":

        def masked(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, {**kwargs, "attention_mask": function(kwargs["attention_mask"])}

        return module.register_forward_pre_hook(masked, with_kwargs=True)

    def after(_: nn.Module, args: Any, output: Any) -> Any:
        return (function(output[0]), *output[1:]) if isinstance(output, tuple) else function(output)

    return module.register_forward_hook(after)


def slow_patterns(module: nn.Module, ids: Tensor) -> tuple[Tensor, ...]:
    """Attention weights as Hugging Face gives them out."""
    return tuple(slow_run(module, ids, output_attentions=True).attentions)


def slow_values(name: str, module: nn.Module, ids: Tensor, layer: int) -> Tensor:
    """Values by query head, (row, pos, head, d_head), cut out of the projection's output."""
    inner = path(name, "attention", layer)
    if name == "gpt2":
        fused = slow_read(module, ids, f"{inner}.c_attn", "out")
        return fused[..., -24:].unflatten(-1, (N_HEADS, 6))
    if name.startswith("gpt_neox"):
        fused = slow_read(module, ids, f"{inner}.query_key_value", "out")
        return fused.unflatten(-1, (N_HEADS, 3, 8))[..., 2, :]
    two = slow_read(module, ids, f"{inner}.v_proj", "out").unflatten(-1, (2, -1))
    return two[:, :, [0, 0, 1, 1]]


def mixed(pattern: Tensor, values: Tensor) -> Tensor:
    """z = pattern·values, heads side by side as the output projection reads them."""
    return torch.einsum("bhqk,bkhd->bqhd", pattern, values).flatten(-2)
