"""The quantities from nnsight: modules' inputs and outputs; q, k, v from their projections, rotated by transformers."""

from __future__ import annotations

from pathlib import Path

import nnsight
import torch
from nnsight import TransformersModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.crosscheck.anatomy import FAMILIES, centred, final_scale, get, heads_of, into_product, output_matrix
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
from benchmarks.shapes import tokenizer

NOTES = [
    "q and k are no module's input or output in nnsight: its projections' outputs were rotated by the family's own "
    "function in transformers",
]


def quantities(tool: str, folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    family, model = module.config.model_type, TransformersModel(module, tokenizer=tokenizer(folder))
    clean, corrupted = (torch.as_tensor(x) for x in prompts())
    found = _captures(model, family, clean)
    parts, blocks = FAMILIES[family], get(model, FAMILIES[family].blocks)
    out = get(blocks[LAYER], parts.attention_out)
    width = found[f"z.{LAYER}"].shape[-1]
    columns = slice(HEAD * width, (HEAD + 1) * width)
    with model.trace(clean):
        out.input[:, :, columns] = 0
        found["head_ablation"] = model.output.logits[:, END].save()
    attention = get(blocks[LAYER], parts.attention)
    with model.trace(clean):
        args, kwargs = attention.inputs
        mask = kwargs["attention_mask"].clone()
        mask[:, :, END, POSITION] = torch.finfo(mask.dtype).min
        attention.inputs = (args, {**kwargs, "attention_mask": mask})
        knocked = model.output.logits[:, END].save()
    found["knockout"] = knocked
    for name, to, source in (("denoising", corrupted, clean), ("noising", clean, corrupted)):
        with model.trace(source):
            z = out.input[:, POSITION, columns].clone().save()
        with model.trace(to):
            out.input[:, POSITION, columns] = z
            patched = model.output.logits[:, END].save()
        found[name] = patched
    scale, weight = final_scale(module, family, found[f"resid_post.{N_LAYERS - 1}"][:, END])
    found["direct_effects"] = direct_effects(
        torch.stack([found[f"z.{layer}"][:, END] for layer in range(N_LAYERS)], 1),
        torch.stack([output_matrix(module, family, layer, N_HEADS) for layer in range(N_LAYERS)]),
        scale,
        weight,
        module.get_output_embeddings().weight.detach()[list(TOKENS)].T,
        centred=centred(family),
    )
    return found, NOTES if family != "gpt2" else []


def _captures(model: TransformersModel, family: str, tokens: Tensor) -> dict[str, Tensor]:
    """One trace; a module's parts are asked for in the order in which they run."""
    parts, blocks = FAMILIES[family], get(model, FAMILIES[family].blocks)
    with model.trace(tokens):
        kept = nnsight.save([])
        for layer in range(N_LAYERS):
            block, here = blocks[layer], {}
            here["resid_pre"] = block.input.clone()
            projections = [get(block, path).output.clone() for path in parts.qkv]
            here["z"] = get(block, parts.attention_out).input.clone()
            here["attn_out"] = get(block, parts.attention_out).output.clone()
            here["pattern"] = get(block, parts.attention).output[1].clone()
            here["mlp_in"] = get(block, parts.mlp_norm).input.clone()
            here["mlp_pre"] = get(block, parts.mlp_pre).output.clone()
            here["mlp_post"] = get(block, parts.mlp_down).input.clone()
            here["mlp_out"] = get(block, parts.mlp).output.clone()
            here["resid_post"] = block.output.clone()
            kept.append((here, projections))
        final = get(model, parts.final).output.clone().save()
        logits = model.output.logits.save()
    found = {"final": final, "logits": logits}
    for layer, (here, projections) in enumerate(kept):
        q, k, v = heads_of(family, projections, N_HEADS)
        here["q"], here["k"], here["v"] = into_product(model._module, family, q, k, v)
        here["z"] = here["z"].unflatten(-1, (N_HEADS, -1))
        if family not in PARALLEL:
            here["resid_mid"] = here["mlp_in"]
        found |= {f"{site}.{layer}": x for site, x in here.items()}
    return found
