"""The quantities from rote, by its public calls."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.crosscheck.quantities import (
    END,
    HEAD,
    LAYER,
    N_LAYERS,
    POSITION,
    SITES,
    TOKENS,
    direct_effects,
    prompts,
)
from benchmarks.shapes import tokenizer
from rote import load_model
from rote.model import Edit, Site


def quantities(tool: str, folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    model = load_model(folder, tokenizer=tokenizer(folder))
    clean, corrupted = (torch.as_tensor(x) for x in prompts())
    sites = [site for site in SITES if site != "resid_mid" or not model.parallel]
    reads = [(site, layer) for layer in range(N_LAYERS) for site in sites]
    acts = model.run(clean, read=[*reads, "final", "logits"])
    found = {f"{site}.{layer}": acts[site, layer] for site, layer in reads}
    found |= {"final": acts["final"], "logits": acts.logits}

    def last(tokens: Tensor, edit: Edit) -> Tensor:
        return model.run(tokens, edit=[edit]).logits[:, END]

    z, at = Site("z", LAYER), torch.full((len(clean),), POSITION)
    found["head_ablation"] = last(clean, Edit(site=z, head=HEAD, value=torch.zeros(model.d_head)))
    end = torch.full((len(clean),), END)
    found["knockout"] = last(clean, Edit(site=Site("scores", LAYER), change="forbid", position=end, key_position=at))
    for name, to, source in (("denoising", corrupted, clean), ("noising", clean, corrupted)):
        value = model.run(source, read=[z])[z][:, POSITION, HEAD]
        found[name] = last(to, Edit(site=z, head=HEAD, position=at, value=value))
    norm, heads = model.final_norm(), range(model.n_heads)
    w_o = torch.stack([torch.stack([model.head(n, h).w_o for h in heads]) for n in range(N_LAYERS)])
    found["direct_effects"] = direct_effects(
        torch.stack([acts["z", layer][:, END] for layer in range(N_LAYERS)], 1),
        w_o,
        norm.scale(acts["resid_post", N_LAYERS - 1][:, END]),
        norm.weight,
        model.unembed_columns(torch.tensor(TOKENS)),
        centred=norm.kind == "layer",
    )
    return found, []
