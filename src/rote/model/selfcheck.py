"""The check that every model passes at load: rote's view of it is exact, or the model is refused."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.model.edits import Edit, FunctionEdit
from rote.model.model import Model
from rote.model.precision import wide
from rote.model.sites import Site

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 1e-2}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure of the self-check, with what it should be."""

    name: str
    figure: float
    expected: str
    passed: bool


def self_check(model: Model) -> tuple[Check, ...]:
    """Run every check on two short prompts; relative figures are max|a − b| / max|b|.

    identity: an edit that changes nothing leaves Hugging Face's logits bit-identical (eager attention);
    replay: running the blocks again gives the same residual stream bit for bit;
    implementation: rote's attention against the implementation that the model came with;
    heads: Σ_h z_h·W_O (+ bias) against the attention output; parts: embed + Σ (attention + MLP) against the
    final residual stream, and what each MLP reads against its block's input (+ attention, where blocks are
    sequential); weights: norms and MLPs written as linear algebra against the modules;
    knockout: a forbidden edge has weight zero, and nothing at positions before it changes.
    """
    tokens = _tokens(model)
    tolerance = TOLERANCE.get(model.dtype, 1e-5)
    exact = {
        "identity edit": _identity(model, tokens),
        "replay": _replay(model, tokens),
        "forbidden edge": _knockout(model, tokens),
    }
    close = {
        "attention implementation": _implementation(model, tokens),
        "heads sum to attention": _heads(model, tokens),
        "parts sum to residual": _parts(model, tokens),
        "weights as linear algebra": _weights(model, tokens),
    }
    checks = [Check(name=n, figure=f, expected="expected exactly 0", passed=f == 0) for n, f in exact.items()]
    checks += [
        Check(name=n, figure=f, expected=f"expected at most {tolerance:g} (relative)", passed=f <= tolerance)
        for n, f in close.items()
    ]
    return tuple(checks)


def relative(a: Tensor, b: Tensor) -> float:
    """max|a − b| / max|b|, in float64."""
    a, b = a.detach(), b.detach()
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-30))


def _tokens(model: Model) -> Int[Tensor, "row pos"]:
    generator = torch.Generator().manual_seed(0)
    size = int(model.config.vocab_size)
    return torch.randint(0, size, (2, 7), generator=generator).to(model.device)


def _hugging_face(model: Model, tokens: Tensor, implementation: str | None) -> Float[Tensor, "row pos vocab"]:
    config = model.config
    before = config._attn_implementation
    training = [m for m in model.module.modules() if m.training]
    config._attn_implementation = implementation or before
    model.module.eval()
    try:
        with torch.no_grad():
            logits: Tensor = model.module(tokens, use_cache=False).logits
            return logits
    finally:
        config._attn_implementation = before
        for module in training:
            module.training = True


def _identity(model: Model, tokens: Tensor) -> float:
    sites = [Site("resid_pre", 0)]
    for layer in range(model.n_layers):
        names = ["q", "k", "v", "pattern", "z", "mlp_post", model.attn_contribution, model.mlp_contribution]
        sites += [Site(name, layer) for name in names]
    edits = [FunctionEdit(site=site, function=torch.clone) for site in sites]
    ours = model.run(tokens, edit=edits).logits
    return float((ours - _hugging_face(model, tokens, "eager")).abs().max())


def _implementation(model: Model, tokens: Tensor) -> float:
    return relative(model.run(tokens).logits, _hugging_face(model, tokens, None))


def _replay(model: Model, tokens: Tensor) -> float:
    recording = model.record(tokens)
    start = model.n_layers // 2
    clean = model.run(tokens, read=["final"])["final"]
    return float((model.replay(recording, start, read=["final"])["final"] - clean).abs().max())


def _heads(model: Model, tokens: Tensor) -> float:
    worst = 0.0
    for layer in range(model.n_layers):
        acts = model.run(tokens, read=[("z", layer), ("attn_out", layer)])
        z, out = wide(acts["z", layer]), acts["attn_out", layer]
        total = torch.stack([z[:, :, h] @ model.head(layer, h).w_o for h in range(model.n_heads)]).sum(0)
        bias = getattr(model.wiring.part(layer, model.family.attention_out), "bias", None)
        worst = max(worst, relative(total if bias is None else total + bias, out))
    return worst


def _parts(model: Model, tokens: Tensor) -> float:
    names = (model.attn_contribution, model.mlp_contribution)
    reads = [(name, layer) for layer in range(model.n_layers) for name in names]
    last = ("resid_post", model.n_layers - 1)
    streams = [(name, layer) for layer in range(model.n_layers) for name in ("resid_pre", "mlp_in")]
    acts = model.run(tokens, read=["embed", *reads, *streams, last])
    worst = relative(wide(acts["embed"]) + sum(wide(acts[r]) for r in reads), acts[last])
    for layer in range(model.n_layers):  # what the MLP reads tells parallel blocks from sequential ones
        read = wide(acts["resid_pre", layer])
        if not model.parallel:
            read = read + acts[names[0], layer].float()
        worst = max(worst, relative(read, acts["mlp_in", layer]))
    return worst


def _weights(model: Model, tokens: Tensor) -> float:
    worst = 0.0
    for layer in range(model.n_layers):
        norm, after = model.mlp_norm(layer), model.mlp_out_norm(layer)
        acts = model.run(tokens, read=[("mlp_in", layer), (model.mlp_contribution, layer)])
        x = wide(acts["mlp_in", layer])
        out = model.mlp(layer)(x if norm is None else norm(x))
        worst = max(worst, relative(out if after is None else after(out), acts[model.mlp_contribution, layer]))
        worst = max(worst, _value_gap(model, tokens, layer))
    return worst


def _value_gap(model: Model, tokens: Tensor, layer: int) -> float:
    norm = model.attention_norm(layer)
    acts = model.run(tokens, read=[("attn_in", layer), ("v", layer)])
    stream = wide(acts["attn_in", layer])
    x = stream if norm is None else norm(stream)
    heads = [model.head(layer, h) for h in range(model.n_heads)]
    ours = torch.stack([x @ h.w_v if h.b_v is None else x @ h.w_v + h.b_v for h in heads], dim=2)
    return relative(ours, acts["v", layer])


def _knockout(model: Model, tokens: Tensor) -> float:
    """Forbid 4 → 2 in every layer: the edges' weights, and any change at positions before 4."""
    rows = tokens.shape[0]
    query, key = torch.full((rows,), 4), torch.full((rows,), 2)
    edits = [
        Edit(site=Site("scores", layer), change="forbid", position=query, key_position=key)
        for layer in range(model.n_layers)
    ]
    reads = [("pattern", layer) for layer in range(model.n_layers)]
    cut = model.run(tokens, read=[*reads, "final"], edit=edits)
    clean = model.run(tokens, read=["final"])
    weight = max(float(cut[r][:, :, 4, 2].abs().max()) for r in reads)
    return max(weight, float((cut["final"][:, :4] - clean["final"][:, :4]).abs().max()))
