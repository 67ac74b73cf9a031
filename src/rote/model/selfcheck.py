"""The check that every model passes at load: rote's view of it is exact, or the model is refused."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rote.errors import InputError, MeasurementError, ModelRefused, NotApplicable
from rote.model.activations import Activations
from rote.model.edits import Edit, FunctionEdit
from rote.model.model import Model
from rote.model.precision import wide
from rote.model.recording import Recording
from rote.model.sites import Site

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 1e-2}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure of the self-check, with what it should be; no figure where the check does not apply."""

    name: str
    figure: float | None
    expected: str
    passed: bool

    @property
    def verdict(self) -> str:
        return "not applicable" if self.figure is None else "pass" if self.passed else "FAIL"


def self_check(model: Model) -> tuple[Check, ...]:
    """Run every check on two short prompts; relative figures are max|a − b| / max|b|, without a unit.

    identity: an edit that changes nothing leaves Hugging Face's logits bit-identical (eager attention);
    replay: running the blocks again gives the same residual stream bit for bit;
    suffix replay: the same for the later positions alone, with the recorded keys and values of the earlier ones;
    knockout: a forbidden edge has weight zero, and nothing at positions before it changes (with mixtures of experts
    only to rounding);
    implementation: rote's attention against the implementation that the model came with;
    padding: a prompt padded on the left or on the right against the same prompt alone;
    heads: Σ_h z_h·W_O (+ bias) against the attention output; parts: embed + Σ (attention + MLP) against the
    final residual stream, and what each MLP reads against its block's input (+ attention, where blocks are
    sequential); weights: norms, values and unembedding written as linear algebra against the modules; neurons: the
    same for the MLPs, unless they are mixtures of experts.

    Raises:
        ModelRefused: the modules do not fit rote's description of their family, so that there are no figures.
    """
    try:
        return _checks(model)
    except (RuntimeError, AttributeError, LookupError, NotApplicable, InputError, MeasurementError) as error:
        reason = f"its modules do not fit rote's description of family {model.family.model_type} ({error})"
        raise ModelRefused(f"{model.name} failed the self-check: {reason}") from error


def _checks(model: Model) -> tuple[Check, ...]:
    tokens = _tokens(model)
    acts, recording = model.run(tokens, read=_reads(model)), model.record(tokens)
    tolerance = TOLERANCE.get(model.dtype, 1e-5)
    weight, leak = _knockout(model, tokens, acts)
    exact = {
        "identity edit": _identity(model, tokens),
        "replay": _replay(model, recording, acts),
        "forbidden edge": weight,
    }
    close = {}
    if model.family.experts is None:
        exact["before a forbidden edge"] = leak
    else:  # an expert's tokens are multiplied together, and rounding depends on all of them
        close["before a forbidden edge"] = leak
    close |= {
        "suffix replay": _suffix(model, recording, acts),
        "attention implementation": relative(acts.logits, _hugging_face(model, tokens, None)),
        "padding": _padding(model, tokens),
        "heads sum to attention": _heads(model, acts),
        "parts sum to residual": _parts(model, acts),
        "weights as linear algebra": _weights(model, acts),
    }
    if model.family.experts is None:
        close["neurons as linear algebra"] = _neurons(model, acts)
    checks = [Check(name=n, figure=f, expected="expected exactly 0", passed=f == 0) for n, f in exact.items()]
    checks += [
        Check(name=n, figure=f, expected=f"expected at most {tolerance:g} (relative)", passed=f <= tolerance)
        for n, f in close.items()
    ]
    if model.family.experts is not None:
        reason = f"not applicable: {model.family.experts}"
        checks.append(Check(name="neurons as linear algebra", figure=None, expected=reason, passed=True))
    return tuple(checks)


def relative(a: Tensor, b: Tensor) -> float:
    """max|a − b| / max|b|, without a unit."""
    a, b = a.detach(), b.detach()
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-30))


def _tokens(model: Model) -> Int[Tensor, "row pos"]:
    generator = torch.Generator().manual_seed(0)
    size = int(model.config.vocab_size)
    return torch.randint(0, size, (2, 7), generator=generator).to(model.device)


def _reads(model: Model) -> list[Site]:
    """All that the sums and the linear algebra are held against, read in one pass."""
    names = ["resid_pre", "attn_in", "v", "z", "attn_out", "mlp_in", "mlp_out"]
    names += [] if model.family.experts else ["mlp_pre", "mlp_post"]
    names = list(dict.fromkeys([*names, model.attn_contribution, model.mlp_contribution]))
    layered = [Site(name, layer) for layer in range(model.n_layers) for name in names]
    return [Site("embed"), *layered, Site("resid_post", model.n_layers - 1), Site("final"), Site("logits")]


def _hugging_face(model: Model, tokens: Tensor, implementation: str | None) -> Float[Tensor, "row pos vocab"]:
    config = model.config
    before = config._attn_implementation
    training = [m for m in model.module.modules() if m.training]
    config._attn_implementation = implementation or before
    model.module.eval()
    try:
        with torch.no_grad():
            logits: Tensor = model.module(tokens, use_cache=False).logits
            return logits.to(model.device)
    finally:
        config._attn_implementation = before
        for module in training:
            module.training = True


def _identity(model: Model, tokens: Tensor) -> float:
    names = ["attn_in", "q", "k", "v", "pattern", "z", "mlp_in"]
    names += [] if model.family.experts else ["mlp_pre", "mlp_post"]
    names += [model.attn_contribution, model.mlp_contribution]
    sites = [Site("resid_pre", 0)] + [Site(name, layer) for layer in range(model.n_layers) for name in names]
    edits = [FunctionEdit(site=site, function=torch.clone) for site in sites]
    ours = model.run(tokens, edit=edits).logits
    return float((ours - _hugging_face(model, tokens, "eager")).abs().max())


def _replay(model: Model, recording: Recording, acts: Activations) -> float:
    again = model.replay(recording, model.n_layers // 2, read=["final"])
    return float((again["final"] - acts["final"]).abs().max())


def _suffix(model: Model, recording: Recording, acts: Activations) -> float:
    """The positions from 4 on alone; rounding depends on how many rows a matrix product has."""
    again = model.replay(recording, 0, first=4, read=["final"])
    return relative(again["final"], acts["final"][:, 4:])


def _padding(model: Model, tokens: Tensor) -> float:
    """The first prompt's first four tokens alone, and padded with the second prompt's to seven."""
    real, other = tokens[:1, :4], tokens[1:, :3]
    padded = torch.cat([torch.cat([other, real], 1), torch.cat([real, other], 1)])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], dtype=torch.bool)
    alone, both = model.run(real).logits[0], model.run(padded, mask).logits
    return max(relative(both[0, 3:], alone), relative(both[1, :4], alone))


def _heads(model: Model, acts: Activations) -> float:
    worst = 0.0
    for layer in range(model.n_layers):
        z = wide(acts["z", layer])
        total = torch.stack([z[:, :, h] @ model.head(layer, h).w_o for h in range(model.n_heads)]).sum(0)
        bias = model.attention_bias(layer)
        worst = max(worst, relative(total if bias is None else total + bias, acts["attn_out", layer]))
    return worst


def _parts(model: Model, acts: Activations) -> float:
    names = (model.attn_contribution, model.mlp_contribution)
    added = [wide(acts[name, layer]) for layer in range(model.n_layers) for name in names]
    worst = relative(wide(acts["embed"]) + sum(added), acts["resid_post", model.n_layers - 1])
    for layer in range(model.n_layers):  # what the MLP reads tells parallel blocks from sequential ones
        read = wide(acts["resid_pre", layer])
        if not model.parallel:
            read = read + wide(acts[names[0], layer])
        worst = max(worst, relative(read, acts["mlp_in", layer]))
    return worst


def _weights(model: Model, acts: Activations) -> float:
    """Values from the stream that attention reads, the final norm, and some logits."""
    worst = relative(model.final_norm()(wide(acts["resid_post", model.n_layers - 1])), acts["final"])
    for layer in range(model.n_layers):
        norm, stream = model.attention_norm(layer), wide(acts["attn_in", layer])
        x = stream if norm is None else norm(stream)
        ours = torch.stack([model.head(layer, h).values(x) for h in range(model.n_heads)], dim=2)
        worst = max(worst, relative(ours, acts["v", layer]))
    some = torch.arange(min(5, int(model.config.vocab_size)))
    logits = acts["logits"][..., some.to(model.device)]
    difference = wide(acts["final"]) @ model.unembed_columns(some)
    if model.cap is None:  # columns leave a bias out, so differences between positions are compared
        return max(worst, relative(difference - difference[:, :1], wide(logits) - wide(logits[:, :1])))
    return max(worst, relative(torch.tanh(difference / model.cap) * model.cap, logits))


def _neurons(model: Model, acts: Activations) -> float:
    worst = 0.0
    for layer in range(model.n_layers):
        norm, after, mlp = model.mlp_norm(layer), model.mlp_out_norm(layer), model.mlp(layer)
        stream = wide(acts["mlp_in", layer])
        x = stream if norm is None else norm(stream)
        worst = max(worst, relative(mlp.pre(x), acts["mlp_pre", layer]), relative(mlp.post(x), acts["mlp_post", layer]))
        out = mlp(x)
        worst = max(worst, relative(out, acts["mlp_out", layer]))
        worst = max(worst, relative(out if after is None else after(out), acts[model.mlp_contribution, layer]))
    return worst


def _knockout(model: Model, tokens: Tensor, acts: Activations) -> tuple[float, float]:
    """Forbid 4 → 2 in every layer: the largest of the edges' weights, and of the changes at positions before 4."""
    rows = tokens.shape[0]
    query, key = torch.full((rows,), 4), torch.full((rows,), 2)
    edits = [
        Edit(site=Site("scores", layer), change="forbid", position=query, key_position=key)
        for layer in range(model.n_layers)
    ]
    reads = [("pattern", layer) for layer in range(model.n_layers)]
    cut = model.run(tokens, read=[*reads, "final"], edit=edits)
    weight = max(float(cut[r][:, :, 4, 2].abs().max()) for r in reads)
    return weight, relative(cut["final"][:, :4], acts["final"][:, :4])
