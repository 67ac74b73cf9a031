"""The quantities from TransformerLens 2 and 4, by their common hook names; unfolded and uncentred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.crosscheck.anatomy import centred, into_product
from benchmarks.crosscheck.quantities import (
    END,
    HEAD,
    LAYER,
    N_HEADS,
    N_LAYERS,
    PARALLEL,
    POSITION,
    TOKENS,
    direct_effects,
    prompts,
)
from benchmarks.tools import make

HOOKS = {
    "resid_pre": "hook_resid_pre",
    "pattern": "attn.hook_pattern",
    "z": "attn.hook_z",
    "attn_out": "hook_attn_out",
    "resid_mid": "hook_resid_mid",
    "mlp_in": "hook_mlp_in",
    "mlp_pre": "mlp.hook_pre",
    "mlp_post": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}


def quantities(tool: str, folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    lens: Any = make(tool)
    lens.load(folder)
    model, family = lens.model, folder.name
    model.set_use_hook_mlp_in(True)
    clean, corrupted = (torch.as_tensor(x) for x in prompts())
    logits, cache = model.run_with_cache(clean)
    notes: list[str] = []
    found = _captures(model, family, cache, notes) | {"logits": logits}
    z, scores = f"blocks.{LAYER}.attn.hook_z", f"blocks.{LAYER}.attn.hook_attn_scores"

    def last(tokens: Tensor, name: str, change: Any) -> Tensor:
        return model.run_with_hooks(tokens, fwd_hooks=[(name, change)])[:, END]

    def head(x: Tensor) -> Tensor:
        return x if x.dim() == 4 else x.unflatten(-1, (N_HEADS, -1))

    def zero(x: Tensor, hook: Any) -> Tensor:
        x = x.clone()
        head(x)[:, :, HEAD] = 0
        return x

    def forbid(x: Tensor, hook: Any) -> Tensor:
        x = x.clone()
        x[:, :, END, POSITION] = -torch.inf
        return x

    found["head_ablation"] = last(clean, z, zero)
    found["knockout"] = last(clean, scores, forbid)
    for name, to, source in (("denoising", corrupted, clean), ("noising", clean, corrupted)):
        value = head(model.run_with_cache(source, names_filter=z)[1][z])[:, POSITION, HEAD]

        def put(x: Tensor, hook: Any, value: Tensor = value) -> Tensor:
            x = x.clone()
            head(x)[:, POSITION, HEAD] = value
            return x

        found[name] = last(to, z, put)
    found["direct_effects"] = direct_effects(
        torch.stack([head(cache[f"blocks.{layer}.attn.hook_z"])[:, END] for layer in range(N_LAYERS)], 1),
        model.W_O,
        cache["ln_final.hook_scale"][:, END, 0],
        model.ln_final.w if hasattr(model.ln_final, "w") else model.ln_final.weight,
        model.W_U[:, list(TOKENS)],
        centred=centred(family),
    )
    return found, notes


def _captures(model: Any, family: str, cache: Any, notes: list[str]) -> dict[str, Tensor]:
    found = {}
    for layer in range(N_LAYERS):
        block = f"blocks.{layer}."
        for site, hook in HOOKS.items():
            if site != "resid_mid" or family not in PARALLEL:
                found[f"{site}.{layer}"] = cache[block + hook]
        x = found[f"z.{layer}"]
        found[f"z.{layer}"] = x if x.dim() == 4 else x.unflatten(-1, (N_HEADS, -1))
        found |= {f"{n}.{layer}": x for n, x in zip("qkv", _qkv(model, family, cache, block, notes), strict=True)}
    found["final"] = _final(model, cache, notes)
    return found


def _qkv(model: Any, family: str, cache: Any, block: str, notes: list[str]) -> tuple[Tensor, ...]:
    q, k, v = (_per_head(cache[f"{block}attn.hook_{n}"], model) for n in "qkv")
    if block + "attn.hook_rot_q" in cache:
        _note(notes, "`hook_q` and `hook_k` come before rotation, so `hook_rot_q` and `hook_rot_k` were compared")
        q, k = cache[block + "attn.hook_rot_q"], cache[block + "attn.hook_rot_k"]
    elif family != "gpt2":
        _note(notes, "has no hook after rotation: `hook_q` and `hook_k` were rotated by the family's own function")
        return into_product(model.original_model, family, q, k, v)
    groups = q.shape[2] // k.shape[2]
    return q, k.repeat_interleave(groups, 2), v.repeat_interleave(groups, 2)


def _per_head(x: Tensor, model: Any) -> Tensor:
    return x if x.dim() == 4 else x.unflatten(-1, (-1, model.cfg.d_head))


def _final(model: Any, cache: Any, notes: list[str]) -> Tensor:
    if "ln_final.hook_out" in cache:
        return cache["ln_final.hook_out"]
    x = cache["ln_final.hook_normalized"]
    if hasattr(model.ln_final, "b"):  # a LayerNorm's is what it gives
        return x
    _note(notes, "an RMSNorm's `ln_final.hook_normalized` comes before its weight, which was applied to it")
    return x * model.ln_final.w


def _note(notes: list[str], text: str) -> None:
    if text not in notes:
        notes.append(text)
